"""What a nudged experiment builds from its settings: nudging, guards, and what they read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import numpy as np

from closura.closures.guards import AbstractGuard
from closura.closures.novelty import Guarded
from closura.core.closure import AbstractClosure, Zero
from closura.core.couple import compose
from closura.core.inputs import Calendar, Inputs, Steady
from closura.data.atmosphere import analysis_state, reference_fields
from closura.data.border import to_dataset
from closura.data.files import find_files
from closura.data.store import open_run
from closura.data.stored_series import read_series
from closura.evaluation.running_means import MEAN
from closura.experiment.kinds.nudged_settings import NudgedExperiment
from closura.experiment.loading import Experiment
from closura.experiment.work import Work
from closura.registry import build


def truth_model(experiment: Experiment) -> Any:
    """Return the truth, shown on the grid of the coarse model where its own is another."""
    truth, coarse = experiment.model("truth"), experiment.model("coarse")
    own, wanted = truth.coordinates, coarse.coordinates
    if own.keys() == wanted.keys() and all(np.array_equal(own[d], wanted[d]) for d in own):
        return truth
    from closura.models.regridded import Regridded  # needs dinosaur, which others do without

    return Regridded(truth, coarse)


def nudging_closure(experiment: Experiment) -> AbstractClosure:
    """Return the closure that nudges."""
    settings = cast(NudgedExperiment, experiment.settings)
    found = build("closures", settings.nudging.model_dump(), path="nudging")
    return cast(AbstractClosure, found)


def guarded(
    experiment: Experiment,
    learner: str,
    closure: AbstractClosure,
    pairs: Any = None,
    *,
    features: Any = None,
) -> AbstractClosure:
    """Return a closure inside the guards of the experiment, the first guard innermost.

    Args:
        experiment: The experiment.
        learner: Who learned it.
        closure: What is guarded.
        pairs: What guards take limits and ranges from; without them they are built alone.
        features: What `Guarded` looks at where the experiment does not say; see `features_of`.
    """
    settings = cast(NudgedExperiment, experiment.settings)
    guards = settings.guards_of(learner)
    where = "guards" if isinstance(settings.guards, list) else f"guards.{learner}"
    for number, spec in enumerate(guards):
        said = {"type": spec} if isinstance(spec, str) else dict(spec)
        built = build("closures", said | {"closure": closure}, path=f"{where}.{number}")
        if isinstance(built, Guarded) and built.features is None:
            built = replace(built, features=features)
        closure = cast(AbstractClosure, built)
    if pairs is not None and guards and hasattr(closure, "fit"):
        closure = closure.fit(pairs)
    return closure


def features_of(experiment: Experiment, learner: str) -> Any:
    """Return the features of a learner; None where it has none of its own."""
    return getattr(experiment.learner(learner, lambda _: Zero()), "features", None)


def check_closures(experiment: Experiment, at: str | None, every: int) -> None:
    """Refuse what cannot be built or coupled, before anything runs: nudging, guards, the date.

    Args:
        experiment: The experiment.
        at: Where learned closures act; see `closura.couple`.
        every: Time steps between two calls.

    Raises:
        ValueError: One of them cannot be, or a guard has no features to look at.
    """
    nudging_closure(experiment)
    date_of(experiment)
    for name in experiment.learners:
        inside = guarded(experiment, name, Zero(), features=features_of(experiment, name))
        compose(experiment.model("coarse"), inside, at=at, every=every)
        while isinstance(inside, AbstractGuard):
            if isinstance(inside, Guarded) and inside.features is None:
                raise ValueError(
                    f"guards has Guarded without features, and learner {name!r} has none of its "
                    "own; say what to look at: {type: Guarded, features: ...}."
                )
            inside = inside.closure


def date(work: Work) -> Inputs | None:
    """Return the calendar that closures may read; None where time is not in seconds."""
    return date_of(work.experiment)


def date_of(experiment: Experiment) -> Inputs | None:
    """Return the same of an experiment that does not run yet.

    Raises:
        ValueError: The date is none of the calendar, or the time step divides no day.
    """
    settings, model = cast(NudgedExperiment, experiment.settings), experiment.model("coarse")
    if model.time_units != "s":
        return None
    try:
        calendar = Calendar(settings.data.begin, model.dt, settings.data.calendar)
    except ValueError as error:
        raise ValueError(f"data.begin and the time step of 'coarse': {error}") from None
    return Inputs(calendar=calendar)


@contextmanager
def reference_run(work: Work) -> Iterator[Any]:
    """Give the truth that the model is nudged to, opened; None where it is a file."""
    if _settings(work).truth is None:
        yield None
        return
    with open_run(work.folder / "truth.zarr") as run:
        yield run


def nudging_inputs(work: Work, truth: Any) -> Inputs:
    """Return what the nudged run reads: the truth between its saved states, and the date."""
    model, given = work.experiment.model("coarse"), date(work)
    parts = {} if given is None else given.parts
    if truth is None:
        return Inputs(reference=Steady(_reference(work)), **parts)
    return Inputs(reference=read_series(truth, model), **parts)


def reference_climate(work: Work) -> Any:
    """Return the reference file as statistics, of one block that has no sampling error."""
    fields = {name: values[None] for name, values in _reference(work).items()}
    made = to_dataset(work.experiment.model("coarse"), fields, time=[0.0])
    return made.rename({name: MEAN + name for name in fields}).rename(time="block")


def first_state(work: Work) -> Any:
    """Return the state that the runs of an experiment with a reference file start from."""
    said, model = _settings(work).reference, work.experiment.model("coarse")
    assert said is not None
    if said.start is None:
        return model.initial_state(work.key("start"))
    return analysis_state(model, said.start, names=said.start_variables)


def reference_files(experiment: Experiment) -> list[Any]:
    """Return the paths of the files that an experiment reads."""
    said = cast(NudgedExperiment, experiment.settings).reference
    names = [] if said is None else [said.file, *([said.start] if said.start else [])]
    return [path for name in names for path in find_files(name)]


def _reference(work: Work) -> dict[str, Any]:
    """Return the fields of the reference file on the model's grid, by name."""
    said, model = _settings(work).reference, work.experiment.model("coarse")
    assert said is not None
    fields = reference_fields(model, said.file, names=said.variables)
    return dict(fields._asdict())


def _settings(work: Work) -> NudgedExperiment:
    return cast(NudgedExperiment, work.experiment.settings)
