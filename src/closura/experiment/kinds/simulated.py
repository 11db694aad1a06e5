"""An experiment with a truth that is simulated, and a coarse model that is to be corrected."""

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from closura.experiment.kind import Document, Kind
from closura.experiment.kinds import simulated_stages as stages
from closura.experiment.kinds.pairs import (
    HELD_OUT,
    TRAINING,
    first_fits,
    fits,
    score_on_pairs,
    vocabulary_of,
)
from closura.experiment.kinds.simulated_settings import SimulatedExperiment
from closura.experiment.specification import Skeleton
from closura.experiment.steps import Step, check_multiple, some
from closura.experiment.work import Work

if TYPE_CHECKING:
    from closura.experiment.loading import Experiment

SECTIONS = ("name", "kind", "description", "seed", "precision", "truth", "coarse", "data",
            "coupling", "learners", "seeds", "processes", "evaluate", "expect",
            "workers", "report")  # fmt: skip
LEADS = 60  # lead times scored by default: enough for a smooth curve


def _tidy(document: Document, source: str) -> Document:
    data = document.get("data")
    if not isinstance(data, dict):
        raise ValueError(
            f"{source}: data is {data!r}; it must be a mapping, for example "
            "{duration: 100, every: 0.005} for a simulated truth or {files: [my.nc], ...}."
        )
    return document


def _settle(experiment: "Experiment") -> Skeleton:
    """Return the settings with lengths filled in, and refuse time steps that divide nothing."""
    settings = cast(SimulatedExperiment, experiment.settings)
    truth, coarse = experiment.model("truth"), experiment.model("coarse")
    data, evaluate = settings.data, settings.evaluate
    every = evaluate.every or _lead_interval(evaluate.lead, coarse.dt)
    check_multiple("data.every", data.every, "the time step of the truth", truth.dt)
    check_multiple("evaluate.every", every, "the time step of the truth", truth.dt)
    check_multiple("evaluate.every", every, "the time step of the coarse model", coarse.dt)
    check_multiple("evaluate.lead", evaluate.lead, "evaluate.every", every)
    test = data.test_duration or data.every * max(2, round(data.duration / 5 / data.every))
    for name, length in (("data.duration", data.duration), ("data.test_duration", test)):
        check_multiple(name, length, "data.every", data.every)
    return settings.model_copy(
        update={
            "data": data.model_copy(update={"test_duration": test}),
            "evaluate": evaluate.model_copy(update={"every": every}),
        }
    )


def _lead_interval(lead: float, dt: float) -> float:
    """Return an interval, in whole steps, that cuts a lead into LEADS parts or somewhat more."""
    steps = max(1, round(lead / dt))
    longest = max(1, steps // LEADS)
    return dt * next(n for n in range(longest, 0, -1) if steps % n == 0)


def _steps(work: Work) -> list[Step]:
    learning = fits(work, "pairs/training")
    return [*_simulations(work), *learning, *_scores(work, learning)]


def _simulations(work: Work) -> list[Step]:
    said = work.experiment.resolved()
    data, evaluate = said["data"], said["evaluate"]
    base = some(said, "truth", "coarse", "seed", "precision")
    train = base | some(data, "spinup", "duration", "every", "members", "target")
    long = base | some(data, "spinup") | some(evaluate, "climate", "lead", "every")
    check = base | some(data, "spinup", "test_duration", "every", "members", "target")
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


def _scores(work: Work, learning: list[Step]) -> list[Step]:
    said = work.experiment.resolved()
    seed = {"seed": said["seed"], "learners": list(said["learners"])}
    first = first_fits(learning)
    run = some(said, "coarse", "coupling") | seed
    needed = ("truth/test", "truth/reference", *(step.name for step in learning))
    part = seed | {"evaluate": some(said["evaluate"], "level")}
    return [
        Step("offline", "offline", part, ("pairs/training", "pairs/test", *first), ("offline.nc",),
             partial(score_on_pairs, work)),
        Step("online", "online", run | some(said, "evaluate"), needed, ("scores.nc",),
             partial(stages.score_online, work)),
        Step("price", "price", run, first, ("price.json",), partial(stages.price, work),
             alone=True),
    ]  # fmt: skip


KIND = Kind(
    name="simulated",
    skeleton=SimulatedExperiment,
    sections=SECTIONS,
    stages=("truth", "pairs", "learn", "offline", "online", "price", "report"),
    recognises=lambda document: True,  # what shows no other kind is taken for the first of all
    tidy=_tidy,
    settle=_settle,
    steps=_steps,
    vocabulary=vocabulary_of,
)
