"""What each stage of an experiment with assimilation does."""

import functools
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import jax

from closura.core.couple import couple
from closura.core.model import AbstractODE
from closura.core.progress import listen, report
from closura.data.diagnose import diagnose
from closura.data.observations import observe
from closura.data.pairs import save_pairs
from closura.data.simulate import simulate
from closura.data.store import open_run, read_dataset
from closura.evaluation.analyses import gather_twins, score_analyses
from closura.evaluation.scores import NO_CLOSURE
from closura.evaluation.twins import Twin, follow_twin, read_truth, run_twin
from closura.experiment.kinds.assimilated_settings import AssimilatedExperiment, Increments
from closura.experiment.kinds.pairs import HELD_OUT, TRAINING, keep_closure
from closura.experiment.loading import Experiment
from closura.experiment.work import Work, plain, write_dataset
from closura.registry import build

COUPLING = HELD_OUT  # what the truth shows that the coarse model lacks: closures are held to it
FIRST = "test_0"  # the scored truth along which it is recorded
INCREMENTS = "assimilate/increments"


def solver(settings: AssimilatedExperiment, name: str) -> Any:
    """Return the solver of a name."""
    return build("solvers", settings.solvers[name], path=f"solvers.{name}")


def solver_of_round(settings: AssimilatedExperiment, number: int) -> Any:
    """Return the solver whose increments are learned from in a round."""
    said = _increments(settings)
    spec = settings.solvers[said.solver]
    spec = {"type": spec} if isinstance(spec, str) else spec
    return build("solvers", spec | said.rounds[number], path=f"increments.rounds.{number}")


def series_file(name: str, model: str) -> str:
    """Return where it is kept how a solver did with a learned closure, or with none."""
    return f"analyses/{name}.nc" if model == NO_CLOSURE else f"analyses/{model}/{name}.nc"


def increments_file(twin: int) -> str:
    """Return where the first increments of a twin are kept."""
    return TRAINING if twin == 0 else f"pairs_{twin}.zarr"


def lacks_a_coupling(experiment: Experiment) -> bool:
    """Return whether it can be told from the truth what the coarse model lacks at an instant."""
    settings = _settings(experiment)
    known = [isinstance(experiment.model(name), AbstractODE) for name in ("truth", "coarse")]
    return settings.increments is not None and settings.coarse is not None and all(known)


def simulate_truth(work: Work, name: str, duration: float) -> None:
    """Run the truth; its first instant is the state before the first observation."""
    settings, coarse = _settings(work.experiment), work.experiment.model("coarse")
    variables = tuple(variable.name for variable in coarse.variables)
    wanted = name == FIRST and lacks_a_coupling(work.experiment)
    simulate(
        work.experiment.model("truth"),
        duration=duration + settings.observe.every,
        spinup=settings.assimilate.spinup,
        every=settings.observe.every,
        key=work.key(f"truth/{name}"),
        variables=variables,
        tendencies=variables if wanted else (),
        path=work.folder / f"{name}.zarr",
    )


def record_coupling(work: Work) -> None:
    """Record what the coarse model lacks along the first scored truth: nobody learns from it."""
    truth, coarse = (work.experiment.model(name) for name in ("truth", "coarse"))
    with open_run(work.folder / f"{FIRST}.zarr") as run:
        pairs = diagnose(run, truth=truth, coarse=coarse, target="coupling")
        save_pairs(work.folder / COUPLING, pairs)


def assimilate_with(work: Work, name: str, learner: str | None) -> None:
    """Assimilate into every scored twin with one solver, and keep how it went."""
    settings = _settings(work.experiment)
    series = []
    for twin in range(settings.seeds):
        model = work.experiment.model("coarse")
        if learner is not None:
            model = couple(model, work.closure(learner, twin))
        report("evaluate", model=learner or NO_CLOSURE, what=f"{name}, twin {twin}")
        series.append(
            follow_twin(
                model,
                solver(settings, name),
                _twin(work, "test", twin),
                skip=settings.assimilate.skip,
            )
        )
    path = work.folder / series_file(name, learner or NO_CLOSURE)
    write_dataset(gather_twins(series), path)


def record_increments(work: Work) -> None:
    """Keep what the solver of the first round adds to the model as it is, twin by twin."""
    settings = _settings(work.experiment)
    for twin in range(settings.seeds):
        pairs = _increments_of(work, work.experiment.model("coarse"), 0, twin)
        save_pairs(work.folder / increments_file(twin), pairs)


def learn_in_rounds(work: Work, name: str, twin: int) -> None:
    """Fit a learner to increments, put it into the model, and go on with those that are left."""
    settings = _settings(work.experiment)
    history: list[dict[str, Any]] = []
    learned: list[Any] = []
    model = work.experiment.model("coarse")
    key = jax.random.fold_in(work.key(f"learn/{name}"), twin)
    for number in range(len(_increments(settings).rounds)):
        if number == 0:
            pairs = work.pairs(increments_file(twin))
        else:
            pairs = _increments_of(work, model, number, twin)
        with _kept(history, number):
            closure = work.learner(name, twin).fit(pairs, key=jax.random.fold_in(key, number))
        learned.append(closure)
        model = couple(model, closure)
    keep_closure(work, name, twin, functools.reduce(operator.add, learned), history)


def score(work: Work) -> None:
    """Write the scores of every solver with every closure and with none."""
    settings = _settings(work.experiment)
    twins = {
        (name, model): read_dataset(work.folder / series_file(name, model))
        for model in (NO_CLOSURE, *settings.learners)
        for name in settings.solvers
    }
    said = settings.assimilate
    scores = score_analyses(twins, skip=said.skip, level=said.level, seed=settings.seed)
    write_dataset(scores, work.folder / "scores.nc")


def _increments_of(work: Work, model: Any, number: int, twin: int) -> Any:
    """Return the increments of a round's solver as pairs; the model is the coarse one, so far."""
    settings = _settings(work.experiment)
    report("evaluate", model=f"round {number + 1}", what=f"increments, twin {twin}")
    found = run_twin(model, solver_of_round(settings, number), _twin(work, "training", twin))
    coarse = work.experiment.model("coarse")
    return diagnose(found, coarse=coarse, target="increments", skip=settings.assimilate.skip)


def _twin(work: Work, kind: str, number: int) -> Twin:
    settings, name = _settings(work.experiment), f"{kind}_{number}"
    truth = read_truth(work.folder / f"{name}.zarr")
    return Twin(
        truth,
        observe(truth, settings.observe, key=work.key(f"observe/{name}")),
        read_truth(work.folder / "climate.zarr"),
        settings.assimilate.start,
        work.key(f"assimilate/{name}"),
    )


@contextmanager
def _kept(history: list[dict[str, Any]], number: int) -> Iterator[None]:
    """Keep what a training reports inside the block, with the number of its round."""

    def listener(event: str, values: dict[str, Any]) -> None:
        if event == "train":
            history.append({k: plain(v) for k, v in values.items()} | {"round": number + 1})

    with listen(listener):
        yield


def _settings(experiment: Experiment) -> AssimilatedExperiment:
    return cast(AssimilatedExperiment, experiment.settings)


def _increments(settings: AssimilatedExperiment) -> Increments:
    return cast(Increments, settings.increments)
