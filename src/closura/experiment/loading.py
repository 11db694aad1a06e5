"""An experiment as read: its settings, and the models and learners that they describe."""

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from closura.experiment.checks import check_names
from closura.experiment.document import change, locate, read_document
from closura.experiment.specification import (
    SECTIONS,
    FileExperiment,
    ModelExperiment,
    check_skeleton,
)
from closura.registry import build, find, nearest, settings_of

LEADS = 60  # lead times scored by default: enough for a smooth curve
Fitted = Callable[[str], Any]


@dataclass(frozen=True)
class Experiment:
    """One experiment: what it says, checked, and what its names lead to.

    Args:
        settings: The checked skeleton.
        source: The YAML file that it was read from.
        needs: For each learner, the other learners of the experiment that it names.
    """

    settings: ModelExperiment | FileExperiment
    source: Path
    needs: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the experiment; also of its run folder."""
        return self.settings.name

    @property
    def uses_files(self) -> bool:
        """Whether pairs come from the user's files and not from a simulated truth."""
        return isinstance(self.settings, FileExperiment)

    @property
    def learners(self) -> tuple[str, ...]:
        """Names of the learners, each after those that it needs."""
        return _ordered(self.needs)

    def resolved(self) -> dict[str, Any]:
        """Return the whole experiment with its defaults filled in, as plain values."""
        found = self.settings.model_dump(by_alias=True)
        for expected in found["expect"].values():
            for key in [key for key, value in expected.items() if value in (None, "")]:
                del expected[key]
        return _listed(found)

    def truth(self) -> Any:
        """Return the model that stands for the truth."""
        return build("models", self.with_models.truth, path="truth")

    def coarse(self) -> Any:
        """Return the model that is to be corrected."""
        return build("models", self.with_models.coarse, path="coarse")

    def learner(self, name: str, fitted: Fitted) -> Any:
        """Return a learner; `fitted` gives the closures of others that it starts from."""
        others = self.settings.learners.keys() - {name}

        def resolve(text: str, wanted: frozenset[str]) -> Any:
            if "models" in wanted and text in ("coarse", "truth") and not self.uses_files:
                return self.coarse() if text == "coarse" else self.truth()
            if text not in others:
                return None
            return fitted(text) if "closures" in wanted else self.learner(text, fitted)

        spec = self._with_model(self.settings.learners[name], f"learners.{name}")
        return build("learners", spec, path=f"learners.{name}", resolve=resolve)

    def _with_model(self, spec: Any, path: str) -> Any:
        """Return a learner's spec with `model: coarse` where it needs a model and names none."""
        named = spec if isinstance(spec, str) else spec.get("type")
        if self.uses_files or not isinstance(named, str):
            return spec
        model = settings_of(find("learners", named, path=path)).get("model")
        if model is None or (isinstance(spec, dict) and "model" in spec):
            return spec
        return ({"type": named} if isinstance(spec, str) else spec) | {"model": "coarse"}

    @property
    def with_models(self) -> ModelExperiment:
        """The settings of an experiment that simulates its truth."""
        if not isinstance(self.settings, ModelExperiment):
            raise ValueError(f"{self.name!r} takes its pairs from files and has no model.")
        return self.settings

    @property
    def with_files(self) -> FileExperiment:
        """The settings of an experiment that reads its pairs from files."""
        if not isinstance(self.settings, FileExperiment):
            raise ValueError(f"{self.name!r} simulates its truth and reads no files.")
        return self.settings


def load_experiment(name_or_path: str | Path, overrides: Iterable[str] = ()) -> Experiment:
    """Read an experiment, change settings, and check all that can be checked before it runs.

    Args:
        name_or_path: Name of a bundled experiment, or the path of a YAML file.
        overrides: Changes such as ``"learners.network.width=64"``.

    Raises:
        FileNotFoundError: There is no such experiment.
        ValueError: Something in it cannot be; one line says what, where, and the remedy.
    """
    source = locate(name_or_path)
    document = read_document(source)
    for setting in overrides:
        change(document, setting, SECTIONS)
    settings = check_skeleton(document, source.name)
    needs = {name: _names_in(spec, settings.learners, name)
             for name, spec in settings.learners.items()}  # fmt: skip
    experiment = Experiment(settings, source, needs)
    for name in experiment.learners:
        experiment.learner(name, lambda _: _stand_in())
    if isinstance(settings, ModelExperiment):
        settings = _with_lengths(experiment, settings)
    else:
        _check_reading(settings, source.name)
    check_names(settings.expect, settings.learners)
    return Experiment(settings, source, needs)


def _stand_in() -> Any:
    """Return the closure that does nothing, for one that is not fitted yet."""
    from closura.core.closure import Zero

    return Zero()


def _ordered(needs: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    ordered: list[str] = []

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            loop = " -> ".join((*above, name))
            raise ValueError(f"learners.{name}: learners need each other in a loop: {loop}.")
        for other in needs[name]:
            add(other, (*above, name))
        if name not in ordered:
            ordered.append(name)

    for name in needs:
        add(name, ())
    return tuple(ordered)


def _check_reading(settings: FileExperiment, source: str) -> None:
    """Raise ValueError unless every key of `data` is one that `read_pairs` takes."""
    from closura.data.pairs import read_pairs

    known = [*inspect.signature(read_pairs).parameters, "held_out"]
    for key in settings.data.model_extra or {}:
        if key not in known:
            raise ValueError(
                f"{source}: data has no {key!r}{nearest(key, known)} It has: {', '.join(known)}."
            )


def _with_lengths(experiment: Experiment, settings: ModelExperiment) -> ModelExperiment:
    """Return the settings with lengths filled in, and refuse time steps that divide nothing."""
    truth, coarse = experiment.truth(), experiment.coarse()
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


def check_multiple(name: str, length: float, of: str, unit: float) -> None:
    """Raise ValueError unless a length is a whole number of units, one or more."""
    count = round(length / unit)
    if count < 1 or not math.isclose(count * unit, length, rel_tol=1e-6):
        nearest = max(1, count) * unit
        raise ValueError(
            f"{name} is {length:g}, which is no multiple of {of}, {unit:g}; "
            f"the nearest that is: {nearest:g}."
        )


def _names_in(spec: Any, learners: Iterable[str], owner: str) -> tuple[str, ...]:
    """Return the learners of the experiment that a learner's settings name as a value."""
    if isinstance(spec, str):
        return ()
    found: list[str] = []

    def visit(value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                if key != "type":
                    visit(item)
        elif isinstance(value, list):
            for item in value:
                visit(item)
        elif isinstance(value, str) and value in learners and value != owner:
            found.append(value)

    visit(spec)
    return tuple(dict.fromkeys(found))


def _listed(value: Any) -> Any:
    """Return tuples as lists, all the way down: YAML and JSON know no tuples."""
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_listed(item) for item in value]
    return value
