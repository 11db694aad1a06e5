"""An experiment that assimilates observations of a simulated truth, and learns from it."""

import math
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from closura.data.observations import Observe
from closura.evaluation.analyses import ANALYSIS_SCORES
from closura.evaluation.scores import NO_CLOSURE
from closura.experiment.kind import Document, Kind
from closura.experiment.kinds import assimilated_stages as stages
from closura.experiment.kinds.assimilated_settings import AssimilatedExperiment
from closura.experiment.kinds.pairs import closure_files, fit_name
from closura.experiment.specification import Skeleton
from closura.experiment.steps import Step, check_multiple, some
from closura.experiment.vocabulary import Vocabulary
from closura.experiment.work import Work
from closura.registry import nearest

if TYPE_CHECKING:
    from closura.experiment.loading import Experiment

SECTIONS = ("name", "kind", "description", "seed", "precision", "truth", "coarse", "observe",
            "assimilate", "seeds", "solvers", "increments", "learners", "expect",
            "workers", "report")  # fmt: skip
EXAMPLES = {
    "increments": "increments: {solver: etkf, duration: 400.0}",
    "learners": "learners: {cubic: {type: Polynomial, degree: 3}}",
}
TELLING = ("assimilate", "solvers", "observe")  # any of these sections shows the kind


def _recognises(document: Document) -> bool:
    return any(section in document for section in TELLING)


def _tidy(document: Document, source: str) -> Document:
    known = [field.name for field in fields(Observe)]
    observed = document.get("observe")
    for key in observed if isinstance(observed, dict) else ():
        if key not in known:
            raise ValueError(
                f"{source}: observe has no {key!r}{nearest(key, known)} It has: {', '.join(known)}."
            )
    learns, increments = document.get("learners"), document.get("increments")
    if bool(learns) != bool(increments):
        found, wanted = ("learners", "increments") if learns else ("increments", "learners")
        raise ValueError(
            f"{source}: there is '{found}' and no '{wanted}'. Learners learn from increments: add "
            f"{wanted}, e.g. {EXAMPLES[wanted]}, or remove {found}."
        )
    left_out = ("coarse", "learners", "increments")  # null says the same as nothing
    return {k: v for k, v in document.items() if v is not None or k not in left_out}


def _settle(experiment: "Experiment") -> Skeleton:
    """Return the settings with lengths filled in; refuse what does not fit together."""
    settings = cast(AssimilatedExperiment, experiment.settings)
    said, every = settings.assimilate, settings.observe.every
    if not math.isfinite(settings.observe.noise):
        raise ValueError("observe.noise is infinite, so nothing is observed; make it finite.")
    for section in ("truth", "coarse"):
        dt = experiment.model(section).dt
        check_multiple("observe.every", every, f"the time step of {section}", dt)
    climate = said.climate or said.duration
    lengths = {"assimilate.duration": said.duration, "assimilate.climate": climate}
    if settings.increments is not None:
        lengths["increments.duration"] = settings.increments.duration
    for name, length in lengths.items():
        check_multiple(name, length, "observe.every", every)
    if said.skip > 0.9 * said.duration:
        raise ValueError(
            f"assimilate.skip is {said.skip:g} of a duration of {said.duration:g}, which leaves "
            "too little to score; make the run longer, or skip less."
        )
    _check_variables(experiment, settings)
    _check_solvers(settings)
    said = said.model_copy(update={"climate": climate})
    return settings.model_copy(update={"assimilate": said})


def _check_variables(experiment: "Experiment", settings: AssimilatedExperiment) -> None:
    truth, coarse = ([v.name for v in experiment.model(s).variables] for s in ("truth", "coarse"))
    for name in coarse:
        if name not in truth:
            raise ValueError(
                f"coarse has the variable {name!r} and truth only {', '.join(truth)}: an analysis "
                "is scored in every variable; choose models of the same system."
            )
    for name in settings.observe.variables:
        if name not in coarse:
            raise ValueError(
                f"observe.variables names {name!r}{nearest(name, coarse)} The forecast model has "
                f"{', '.join(coarse)}."
            )


def _check_solvers(settings: AssimilatedExperiment) -> None:
    for name in settings.solvers:
        stages.solver(settings, name)
        if name in settings.learners:
            raise ValueError(
                f"{name!r} is the name of a solver and of a learner; rename one of the two."
            )
    increments = settings.increments
    if increments is None:
        return
    if increments.solver not in settings.solvers:
        known = settings.solvers
        raise ValueError(
            f"increments.solver is {increments.solver!r}{nearest(increments.solver, known)} The "
            f"solvers are: {', '.join(known)}."
        )
    for number in range(len(increments.rounds)):
        stages.solver_of_round(settings, number)


def _steps(work: Work) -> list[Step]:
    settings = cast(AssimilatedExperiment, work.experiment.settings)
    steps = [*_truths(work, settings), *_assimilations(work, None)]
    if settings.increments is not None:
        steps += _learning(work, settings)
    for learner in settings.learners:
        steps += _assimilations(work, learner)
    done = [step for step in steps if step.stage in ("assimilate", "again")]
    scored = tuple(step.name for step in done if step.name != stages.INCREMENTS)
    said = work.experiment.resolved()
    part = some(said["assimilate"], "level") | some(said, "seed")
    score = partial(stages.score, work)
    return [*steps, Step("scores", "scores", part, scored, ("scores.nc",), score)]


def _truths(work: Work, settings: AssimilatedExperiment) -> list[Step]:
    """Return the runs of the truth: the climate, one for each twin, and one to learn from each."""
    said = work.experiment.resolved()
    base = some(said, "truth", "coarse", "seed", "precision")
    base |= {"every": settings.observe.every, "spinup": settings.assimilate.spinup}
    lengths = {"climate": cast(float, settings.assimilate.climate)}  # filled in by `_settle`
    lengths |= {f"test_{twin}": settings.assimilate.duration for twin in range(settings.seeds)}
    if settings.increments is not None:
        length = settings.increments.duration
        lengths |= {f"training_{twin}": length for twin in range(settings.seeds)}
    coupled = stages.lacks_a_coupling(work.experiment)
    found = [
        Step(f"truth/{name}", "truth",
             base | {"duration": length, "tendencies": coupled and name == stages.FIRST}, (),
             (f"{name}.zarr",), partial(stages.simulate_truth, work, name, length))
        for name, length in lengths.items()
    ]  # fmt: skip
    if coupled:
        make = partial(stages.record_coupling, work)
        found.append(Step("truth/coupling", "truth", base, (f"truth/{stages.FIRST}",),
                          (stages.COUPLING,), make))  # fmt: skip
    return found


def _assimilations(work: Work, learner: str | None) -> list[Step]:
    """Return the steps that assimilate with each solver, into the model with a closure or none."""
    settings = cast(AssimilatedExperiment, work.experiment.settings)
    said = work.experiment.resolved()
    runs = tuple(f"truth/{name}" for name in ("climate", *_twins("test", settings.seeds)))
    fits = () if learner is None else tuple(fit_name(learner, i) for i in range(settings.seeds))
    found = []
    for name in said["solvers"]:
        part = some(said["assimilate"], "skip", "start") | some(said, "observe", "seed")
        part |= {"solver": said["solvers"][name]}
        stage, step = ("assimilate", name) if learner is None else ("again", f"{learner}/{name}")
        make = partial(stages.assimilate_with, work, name, learner)
        outputs = (stages.series_file(name, learner or NO_CLOSURE),)
        found.append(Step(f"{stage}/{step}", stage, part, (*runs, *fits), outputs, make))
    return found


def _learning(work: Work, settings: AssimilatedExperiment) -> list[Step]:
    """Return the first assimilation to learn from, and the rounds of each learner and twin."""
    experiment, said = work.experiment, work.experiment.resolved()
    increments: dict[str, Any] = said["increments"]
    base = some(said["assimilate"], "skip", "start") | some(said, "observe", "seed")
    base |= {"solver": said["solvers"][increments["solver"]]}
    runs = ("truth/climate", *(f"truth/{name}" for name in _twins("training", settings.seeds)))
    outputs = tuple(stages.increments_file(twin) for twin in range(settings.seeds))
    first = Step(stages.INCREMENTS, "assimilate", base | {"round": increments["rounds"][0]}, runs,
                 outputs, partial(stages.record_increments, work))  # fmt: skip
    found = [first]
    for name in experiment.learners:
        for twin in range(settings.seeds):
            part = base | {"learner": said["learners"][name], "twin": twin}
            part |= some(increments, "rounds")
            needs = (first.name, *(fit_name(other, twin) for other in experiment.needs[name]))
            make = partial(stages.learn_in_rounds, work, name, twin)
            outputs = closure_files(name, twin)
            found.append(Step(fit_name(name, twin), "learn", part, needs, outputs, make))
    return found


def _twins(kind: str, seeds: int) -> tuple[str, ...]:
    return tuple(f"{kind}_{twin}" for twin in range(seeds))


def _vocabulary(settings: AssimilatedExperiment) -> Vocabulary:
    return Vocabulary(
        learners=tuple(settings.learners),
        scored=tuple(settings.solvers),
        scores={"scores.nc": ANALYSIS_SCORES},
        along="solver",
        defaults={"model": NO_CLOSURE},
        verdict="diverged",
        priced=False,
    )


KIND = Kind(
    name="assimilated",
    skeleton=AssimilatedExperiment,
    sections=SECTIONS,
    stages=("truth", "assimilate", "learn", "again", "scores", "report"),
    recognises=_recognises,
    tidy=_tidy,
    settle=_settle,
    steps=_steps,
    vocabulary=_vocabulary,
)
