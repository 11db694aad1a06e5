"""An experiment that nudges a model to a truth, learns what that took, and runs it free."""

from collections.abc import Collection, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from closura.core.durations import duration
from closura.evaluation.gain import RULE
from closura.evaluation.scores import FLOOR, NO_CLOSURE
from closura.experiment.kind import Document, Kind
from closura.experiment.kinds import nudged_scores as scores
from closura.experiment.kinds import nudged_stages as stages
from closura.experiment.kinds.nudged_inputs import check_closures, reference_files
from closura.experiment.kinds.nudged_settings import NudgedExperiment
from closura.experiment.kinds.pairs import (
    HELD_OUT,
    OFFLINE_SCORES,
    TRAINING,
    closure_files,
    first_fits,
    fit_name,
)
from closura.experiment.specification import Skeleton
from closura.experiment.steps import Step, check_multiple, hash_of, some
from closura.experiment.vocabulary import OFFLINE_FILE, Vocabulary
from closura.experiment.work import Work
from closura.registry import nearest

if TYPE_CHECKING:
    from closura.experiment.loading import Experiment

SECTIONS = ("name", "kind", "description", "seed", "precision", "truth", "reference", "coarse",
            "nudging", "data", "learners", "iterate", "guards", "coupling", "evaluate", "seeds",
            "processes", "workers", "expect", "report")  # fmt: skip
LENGTHS = ("spinup", "duration", "discard", "every", "record", "block", "lead")
FREE = ("duration", "discard", "every", "block")  # what of `evaluate` a free run depends on
DATE = ("begin", "calendar")
_BOUNDED = ("mean_error", "zonal_error", "mean_gain", "zonal_gain", "forecast_rmse")
SCORES = (
    *(name + end for name in _BOUNDED for end in ("", "_lower", "_upper")),
    "verdict", "zonal_verdict", "excess_removed", "drift", "survived", "blew_up",
    "mean_error_seeds", "jet_strength", "jet_latitude", "eddy_energy_mean", "added_mean",
    "added_rms", "guard_share", "spectrum", "section", "eddy_energy",
)  # fmt: skip


def _tidy(document: Document, source: str) -> Document:
    given = [name for name in ("truth", "reference") if document.get(name) is not None]
    if len(given) == 2:
        raise ValueError(
            f"{source}: 'truth' and 'reference' exclude each other: a truth is a model that is "
            "run, or a file; remove one of the two."
        )
    if not given:
        raise ValueError(f"{source}: there is neither a truth (a model) nor a reference; add one.")
    return document


def _recognises(document: Document) -> bool:
    return "nudging" in document


def _settle(experiment: "Experiment") -> Skeleton:
    """Return the settings with lengths in the model's time units, and refuse what divides not."""
    settings = cast(NudgedExperiment, experiment.settings)
    coarse = experiment.model("coarse")
    data = _in_time_units(settings.data, "data", coarse.time_units)
    evaluate = _in_time_units(settings.evaluate, "evaluate", coarse.time_units)
    data = data.model_copy(update={"record": data.record or data.every})
    steppers = {"coarse": coarse}
    if settings.truth is not None:
        steppers["truth"] = experiment.model("truth")
    for name, model in steppers.items():
        for said, value in (("data.every", data.every), ("evaluate.every", evaluate.every)):
            check_multiple(said, value, f"the time step of {name!r}", model.dt)
    check_multiple("data.duration", data.duration, "data.every", data.every)
    check_multiple("data.record", data.record, "data.every", data.every)
    check_multiple("evaluate.block", evaluate.block, "evaluate.every", evaluate.every)
    scored = evaluate.duration - evaluate.discard
    check_multiple("evaluate.duration - evaluate.discard", scored, "evaluate.block",
                   evaluate.block)  # fmt: skip
    if round(scored / evaluate.block) < 4:
        raise ValueError(
            f"evaluate scores {scored:g} in blocks of {evaluate.block:g}; wanted are 4 blocks or "
            "more: run longer or take shorter blocks."
        )
    if evaluate.forecasts and evaluate.lead:
        check_multiple("evaluate.lead", evaluate.lead, "evaluate.every", evaluate.every)
    _check_named("iterate", settings.iterate, settings.learners)
    if not isinstance(settings.guards, list):
        _check_named("guards", settings.guards, settings.learners)
    every = _steps_of(settings.coupling.every, coarse)
    check_closures(experiment, settings.coupling.at, every)
    coupling = settings.coupling.model_copy(update={"every": every})
    return settings.model_copy(update={"data": data, "evaluate": evaluate, "coupling": coupling})


def _check_named(section: str, names: Iterable[str], learners: Collection[str]) -> None:
    for name in names:
        if name not in learners:
            raise ValueError(
                f"{section} names {name!r}, which is no learner{nearest(name, learners)} "
                f"There are: {', '.join(learners)}."
            )


def _in_time_units(section: Any, name: str, units: str) -> Any:
    """Return a section with every length as a number."""
    found = {
        key: duration(value, name=f"{name}.{key}", time_units=units)
        for key in LENGTHS
        if (value := getattr(section, key, None)) is not None
    }
    return section.model_copy(update=found)


def _steps_of(every: int | str, model: Any) -> int:
    if isinstance(every, int):
        return every
    length = duration(every, name="coupling.every", time_units=model.time_units)
    check_multiple("coupling.every", length, "the time step of the coarse model", model.dt)
    return round(length / model.dt)


def _vocabulary(settings: Skeleton) -> Vocabulary:
    learners = tuple(settings.recipes())
    scored = (NO_CLOSURE, *learners, FLOOR)
    return Vocabulary(learners, scored, {"scores.nc": SCORES, OFFLINE_FILE: OFFLINE_SCORES})


def _steps(work: Work) -> list[Step]:
    said = work.experiment.resolved()
    hashes = [f"{path.name} {hash_of(path)}" for path in reference_files(work.experiment)]
    base = some(said, "truth", "reference", "seed", "precision") | {"files": hashes}
    learning = _fits(work)
    return [*_simulations(work, base), *learning, *_scores(work, base, learning)]


def _simulations(work: Work, base: dict[str, Any]) -> list[Step]:
    said = work.experiment.resolved()
    data, evaluate = said["data"], said["evaluate"]
    train = base | some(data, "spinup", "duration", "every")
    long = base | some(data, "spinup") | some(evaluate, *FREE)
    nudged = train | some(said, "coarse", "nudging") | some(data, "record", *DATE)
    truths = []
    if said["truth"] is not None:
        truths = [
            Step("truth/training", "truth", train, (), ("truth.zarr",),
                 partial(stages.simulate_training, work)),
            Step("truth/test", "truth", long, (), ("test.zarr",),
                 partial(stages.simulate_test, work)),
            Step("truth/independent", "truth", long, (), (stages.statistics_file(FLOOR),),
                 partial(stages.run_independent, work)),
        ]  # fmt: skip
    needs = tuple(step.name for step in truths[:1])
    recording = Step("nudged/run", "nudged", nudged, needs, ("nudged.zarr",),
                     partial(stages.nudge, work))  # fmt: skip
    part = nudged | some(data, "discard", "held_out")
    pairs = Step("pairs/nudging", "pairs", part, ("nudged/run",), (TRAINING, HELD_OUT),
                 partial(stages.make_pairs, work))  # fmt: skip
    return [*truths, recording, pairs]


def _fits(work: Work) -> list[Step]:
    """Return the step that fits each learner from each seed, nudging again where it iterates."""
    experiment = work.experiment
    said = experiment.resolved()
    found = []
    for name in experiment.learners:
        again = said["iterate"].get(name, 0)
        for seed in range(said["seeds"]):
            part: dict[str, Any] = {
                "learner": said["learners"][name], "seed": [said["seed"], seed]
            }  # fmt: skip
            if again:
                part |= {"iterate": again} | some(said, "coupling", "nudging", "coarse")
                part |= _guards(work, name)
            needs = ("pairs/nudging", *(fit_name(n, seed) for n in experiment.needs[name]))
            make = partial(stages.learn_again, work, name, seed)
            outputs = closure_files(name, seed)
            found.append(Step(fit_name(name, seed), "learn", part, needs, outputs, make))
    return found


def _scores(work: Work, base: dict[str, Any], learning: list[Step]) -> list[Step]:
    said = work.experiment.resolved()
    learners = {"learners": list(said["learners"])}
    hybrid = some(said, "coarse", "coupling", "seed", "precision") | some(said["data"], *DATE)
    steps = _runs(work, base | hybrid)
    hybrid |= some(said, "guards")
    truths = () if said["truth"] is None else ("truth/test", "truth/independent")
    part = base | hybrid | learners | {"rule": RULE, "evaluate": said["evaluate"]}
    level = some(said, "seed") | learners | some(said["evaluate"], "samples", "level")
    first = first_fits(learning)
    return [
        Step("offline", "offline", level, ("pairs/nudging", *first), ("offline.nc",),
             partial(scores.score_offline, work)),
        *steps,
        Step("online/scores", "online", part, (*(step.name for step in steps), *truths),
             ("scores.nc",), partial(scores.score, work)),
        Step("price", "price", hybrid | learners, first, ("price.json",),
             partial(scores.price, work), alone=True),
    ]  # fmt: skip


def _runs(work: Work, part: dict[str, Any]) -> list[Step]:
    """Return the free runs of every model and seed, and the forecasts of the first seed."""
    said = work.experiment.resolved()
    evaluate = said["evaluate"]
    truths = () if said["truth"] is None else ("truth/test",)
    free = part | some(evaluate, *FREE)
    ahead = part | some(evaluate, "forecasts", "lead", "every")
    steps = []
    for name in (NO_CLOSURE, *said["learners"]):
        own = {"model": name} | ({} if name == NO_CLOSURE else _guards(work, name))
        for seed in range(1 if name == NO_CLOSURE else said["seeds"]):
            title = f"online/{name}" + (f"/seed_{seed}" if seed else "")
            needs = truths if name == NO_CLOSURE else (*truths, fit_name(name, seed))
            steps.append(
                Step(title, "online", free | own | {"seed": [said["seed"], seed]}, needs,
                     (stages.statistics_file(name, seed),),
                     partial(scores.run_free, work, name, seed))
            )  # fmt: skip
        if scores.has_forecasts(work):
            steps.append(
                Step(f"online/{name}/forecasts", "online", ahead | own,
                     (*truths, f"online/{name}"), (stages.leads_file(name),),
                     partial(scores.make_forecasts, work, name))
            )  # fmt: skip
    return steps


def _guards(work: Work, learner: str) -> dict[str, Any]:
    return {"guards": cast(NudgedExperiment, work.experiment.settings).guards_of(learner)}


KIND = Kind(
    name="nudged",
    skeleton=NudgedExperiment,
    sections=SECTIONS,
    stages=("truth", "nudged", "pairs", "learn", "offline", "online", "price", "report"),
    recognises=_recognises,
    tidy=_tidy,
    settle=_settle,
    steps=_steps,
    vocabulary=_vocabulary,
    side_by_side=True,
)
