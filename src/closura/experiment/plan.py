"""The steps of an experiment, in the order in which they run."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from closura.experiment import stages
from closura.experiment.stages import HELD_OUT, TRAINING, Work, closure_folder
from closura.experiment.steps import FILE_STAGES, MODEL_STAGES, Step, digest
from closura.registry import foreign_sources, nearest

CLOSURE_FILES = ("closure.eqx", "closure.json", "history.json")


def plan(work: Work, *, until: str | None = None) -> list[Step]:
    """Return the steps of an experiment, those after the stage `until` left out.

    Raises:
        ValueError: There is no such stage.
    """
    uses_files = work.experiment.uses_files
    known = FILE_STAGES if uses_files else MODEL_STAGES
    if until is not None and until not in known:
        raise ValueError(
            f"there is no stage {until!r}{nearest(until, known)} The stages are, in order: "
            f"{', '.join(known)}."
        )
    steps = [*(_from_files(work) if uses_files else _from_models(work)), *_learn(work)]
    steps += _scores(work, [step.name for step in steps if step.stage == "learn"])
    wanted = known[: known.index(until) + 1] if until else known
    return sorted(
        (_with_code(step) for step in steps if step.stage in wanted),
        key=lambda step: known.index(step.stage),
    )


def _with_code(step: Step) -> Step:
    """Return a step that also depends on the user's own code, where its settings name any."""
    hashes = {name: hash_of(file) for name, file in foreign_sources(step.part).items()}
    return replace(step, part=step.part | {"code": hashes}) if hashes else step


def _from_models(work: Work) -> list[Step]:
    said = work.experiment.resolved()
    data, evaluate = said["data"], said["evaluate"]
    base = _some(said, "truth", "coarse", "seed", "precision")
    train = base | _some(data, "spinup", "duration", "every", "members", "target")
    long = base | _some(data, "spinup") | _some(evaluate, "climate", "lead", "every")
    check = base | _some(data, "spinup", "test_duration", "every", "members", "target")
    simulations: list[tuple[str, str, Any, tuple[str, ...], Any]] = [
        ("truth/training", "truth.zarr", train, (), stages.simulate_training),
        ("truth/test", "test.zarr", long, (), stages.simulate_test),
        ("truth/reference", "reference.zarr", long, (), stages.simulate_reference),
        ("pairs/training", TRAINING, train, ("truth/training",), stages.make_training_pairs),
        ("pairs/test", HELD_OUT, check, (), stages.make_test_pairs),
    ]
    return [
        Step(name, name.partition("/")[0], part, needs, (output,), partial(make, work))
        for name, output, part, needs, make in simulations
    ]


def _from_files(work: Work) -> list[Step]:
    said = work.experiment.resolved()
    part = _some(said, "data", "precision") | {"files": _file_hashes(work)}
    make = partial(stages.split_file_pairs, work)
    return [Step("pairs/files", "pairs", part, (), (TRAINING, HELD_OUT), make)]


def _learn(work: Work) -> list[Step]:
    experiment = work.experiment
    said = experiment.resolved()
    pairs = "pairs/files" if experiment.uses_files else "pairs/training"
    found = []
    for name in experiment.learners:
        for seed in range(experiment.settings.seeds):
            part = {"learner": said["learners"][name], "seed": [said["seed"], seed]}
            folder = closure_folder(Path(), name, seed)
            found.append(
                Step(
                    _fit_name(name, seed),
                    "learn",
                    part,
                    (pairs, *(_fit_name(other, seed) for other in experiment.needs[name])),
                    tuple(str(folder / file) for file in CLOSURE_FILES),
                    partial(stages.learn, work, name, seed),
                )
            )
    return found


def _scores(work: Work, fits: list[str]) -> list[Step]:
    said = work.experiment.resolved()
    seed = {"seed": said["seed"], "learners": list(said["learners"])}
    first = [name for name in fits if name.count("/") == 1]
    pairs = ("pairs/files",) if work.experiment.uses_files else ("pairs/training", "pairs/test")
    settings = said["evaluate"] if work.experiment.uses_files else _some(said["evaluate"], "level")
    part = seed | {"evaluate": settings}
    steps = [Step("offline", "offline", part, (*pairs, *first), ("offline.nc",),
                  partial(stages.score_on_pairs, work))]  # fmt: skip
    if work.experiment.uses_files:
        return steps
    run = _some(said, "coarse", "coupling") | seed
    needed = ("truth/test", "truth/reference", *fits)
    steps += [
        Step("online", "online", run | _some(said, "evaluate"), needed, ("scores.nc",),
             partial(stages.score_online, work)),
        Step("price", "price", run, tuple(first), ("price.json",), partial(stages.price, work)),
    ]  # fmt: skip
    return steps


def _fit_name(learner: str, seed: int) -> str:
    return f"learn/{learner}" if seed == 0 else f"learn/{learner}/seed_{seed}"


def _file_hashes(work: Work) -> list[str]:
    """Return the content of every input file, as hashes: a changed file is another input."""
    from closura.data.files import find_files

    paths = find_files(work.experiment.with_files.data.files)
    return [f"{path.name} {hash_of(path)}" for path in paths]


def hash_of(path: Path) -> str:
    """Return a hash of a file's content, or of the names, sizes and times in a folder."""
    import hashlib

    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        about = [(file.relative_to(path), file.stat()) for file in files]
        return digest([[str(name), stat.st_size, stat.st_mtime_ns] for name, stat in about])
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _some(settings: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: settings[key] for key in keys}


def stages_of(steps: Iterable[Step]) -> list[str]:
    """Return the stages that some steps belong to, each once, in order."""
    return list(dict.fromkeys(step.stage for step in steps))
