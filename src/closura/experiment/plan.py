"""The steps of an experiment, in the order in which they run."""

from dataclasses import replace

from closura.experiment.steps import Step, hash_of
from closura.experiment.work import Work
from closura.registry import foreign_sources, nearest


def plan(work: Work, *, until: str | None = None) -> list[Step]:
    """Return the steps of an experiment, those after the stage `until` left out.

    Raises:
        ValueError: There is no such stage.
    """
    known = work.experiment.kind.stages
    if until is not None and until not in known:
        raise ValueError(
            f"there is no stage {until!r}{nearest(until, known)} The stages are, in order: "
            f"{', '.join(known)}."
        )
    steps = work.experiment.kind.steps(work)
    wanted = known[: known.index(until) + 1] if until else known
    return sorted(
        (_with_code(step) for step in steps if step.stage in wanted),
        key=lambda step: known.index(step.stage),
    )


def _with_code(step: Step) -> Step:
    """Return a step that also depends on the user's own code, where its settings name any."""
    hashes = {name: hash_of(file) for name, file in foreign_sources(step.part).items()}
    return replace(step, part=step.part | {"code": hashes}) if hashes else step
