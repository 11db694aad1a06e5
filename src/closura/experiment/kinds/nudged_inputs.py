"""What a nudged experiment builds from its settings: nudging, guards, and what they read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from closura.core.closure import AbstractClosure
from closura.core.inputs import Calendar, Inputs
from closura.data.store import open_run
from closura.evaluation.protocol import interval_of, whole
from closura.experiment.kinds.nudged_settings import NudgedExperiment
from closura.experiment.loading import Experiment
from closura.experiment.work import Work
from closura.registry import build


def nudging_closure(experiment: Experiment) -> AbstractClosure:
    """Return the closure that nudges."""
    settings = cast(NudgedExperiment, experiment.settings)
    found = build("closures", settings.nudging.model_dump(), path="nudging")
    return cast(AbstractClosure, found)


def guarded(experiment: Experiment, closure: AbstractClosure) -> AbstractClosure:
    """Return a closure inside the guards of the experiment, the first guard innermost."""
    settings = cast(NudgedExperiment, experiment.settings)
    for number, spec in enumerate(settings.guards):
        said = {"type": spec} if isinstance(spec, str) else dict(spec)
        built = build("closures", said | {"closure": closure}, path=f"guards.{number}")
        closure = cast(AbstractClosure, built)
    return closure


def date(work: Work) -> Inputs | None:
    """Return the calendar that closures may read; None where time is not in seconds."""
    settings, model = _settings(work), work.experiment.model("coarse")
    if model.time_units != "s":
        return None
    calendar = Calendar(settings.data.begin, model.dt, settings.data.calendar)
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
    from closura.core.series import Series

    model = work.experiment.model("coarse")
    names = [variable.name for variable in model.variables if variable.name in truth]
    values = {name: truth[name].isel(member=0).values for name in names}
    series = Series(values, every=whole(interval_of(truth), model.dt))
    given = date(work)
    parts = {} if given is None else given.parts
    return Inputs(reference=series, **parts)


def _settings(work: Work) -> NudgedExperiment:
    return cast(NudgedExperiment, work.experiment.settings)
