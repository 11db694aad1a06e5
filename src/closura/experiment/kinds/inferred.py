"""An experiment that infers the parameters of a simulator from what was measured."""

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from closura.evaluation.posteriors import PRIOR, SCORES_OF_POSTERIORS
from closura.experiment.kind import Document, Kind
from closura.experiment.kinds import inferred_stages as stages
from closura.experiment.kinds.inferred_settings import InferredExperiment
from closura.experiment.specification import RESERVED, Skeleton
from closura.experiment.steps import Step, some
from closura.experiment.vocabulary import Vocabulary
from closura.experiment.work import Work
from closura.registry import build, nearest

if TYPE_CHECKING:
    from closura.experiment.loading import Experiment

SECTIONS = ("name", "kind", "description", "seed", "precision", "simulator", "prior", "measured",
            "calibrators", "check", "batch", "expect", "workers", "report")  # fmt: skip


def _recognises(document: Document) -> bool:
    return "calibrators" in document or "prior" in document


def _settle(experiment: "Experiment") -> Skeleton:
    """Refuse names that lead nowhere, and a truth that is not that of the prior."""
    settings = cast(InferredExperiment, experiment.settings)
    prior = stages.prior_of(settings)
    stages.simulator_of(settings)
    for name, spec in settings.calibrators.items():
        build("calibrators", spec, path=f"calibrators.{name}")
        if name in (*RESERVED, PRIOR):
            raise ValueError(f"calibrators: {name!r} is taken; choose another name.")
    known = set(settings.measured.parameters or prior.names)
    for name in sorted(known ^ set(prior.names)):
        where = "measured.parameters" if name in known else "prior"
        raise ValueError(
            f"{where} has {name!r} and the other has not{nearest(name, known | set(prior.names))} "
            "Prior and measured.parameters name the same parameters."
        )
    return settings


def _vocabulary(settings: Any) -> Vocabulary:
    return Vocabulary(
        learners=(),
        scored=(PRIOR, *settings.calibrators),
        scores={"scores.nc": SCORES_OF_POSTERIORS},
        along="calibrator",
        priced=False,
    )


def _steps(work: Work) -> list[Step]:
    said = work.experiment.resolved()
    base = some(said, "simulator", "prior", "seed", "precision")
    check = said["check"]
    found = [
        Step("measure/measured", "measure", base | some(said, "measured"), (),
             (stages.MEASURED,), partial(stages.measure, work)),
    ]  # fmt: skip
    if check["coverage"]:
        found.append(
            Step("measure/cases", "measure", base | some(check, "coverage"), (),
                 (stages.CASES,), partial(stages.simulate_cases, work))
        )  # fmt: skip
    needs = tuple(step.name for step in found)
    kept = some(check, "draws", "coverage", "predictive")
    for name, spec in said["calibrators"].items():
        found.append(
            Step(f"infer/{name}", "infer", base | kept | {"calibrator": spec}, needs,
                 (stages.posterior_file(name),), partial(stages.infer, work, name), alone=True)
        )  # fmt: skip
    part = base | {"check": check, "calibrators": list(said["calibrators"])}
    found.append(
        Step("score", "score", part, tuple(step.name for step in found), (stages.SCORES,),
             partial(stages.score, work))
    )  # fmt: skip
    return found


KIND = Kind(
    name="inferred",
    skeleton=InferredExperiment,
    sections=SECTIONS,
    stages=("measure", "infer", "score", "report"),
    recognises=_recognises,
    tidy=lambda document, source: document,
    settle=_settle,
    steps=_steps,
    vocabulary=_vocabulary,
)
