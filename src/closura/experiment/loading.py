"""An experiment as read: its settings, and the models and learners that they describe."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from closura.experiment.document import change, locate, read_document
from closura.experiment.kind import Kind
from closura.experiment.kinds import kind_of
from closura.experiment.specification import Skeleton, check_skeleton
from closura.experiment.vocabulary import check_names
from closura.registry import build, find, settings_of

Fitted = Callable[[str], Any]


@dataclass(frozen=True)
class Experiment:
    """One experiment: what it says, checked, and what its names lead to.

    Args:
        settings: The checked skeleton of its kind.
        kind: What sort of experiment it is.
        source: The YAML file that it was read from.
        needs: For each learner, the other learners of the experiment that it names.
    """

    settings: Skeleton
    kind: Kind
    source: Path
    needs: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the experiment; also of its run folder."""
        return self.settings.name

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

    def model(self, section: str) -> Any:
        """Return the model that a section describes, e.g. ``"truth"``."""
        return build("models", self.settings.models()[section], path=section)

    def learner(self, name: str, fitted: Fitted) -> Any:
        """Return a learner; `fitted` gives the closures of others that it starts from."""
        others = self.settings.recipes().keys() - {name}

        def resolve(text: str, wanted: frozenset[str]) -> Any:
            if "models" in wanted and text in self.settings.models():
                return self.model(text)
            if text not in others:
                return None
            return fitted(text) if "closures" in wanted else self.learner(text, fitted)

        spec = self._with_model(self.settings.recipes()[name], f"learners.{name}")
        return build("learners", spec, path=f"learners.{name}", resolve=resolve)

    def _with_model(self, spec: Any, path: str) -> Any:
        """Return a learner's spec with `model: coarse` where it needs a model and names none."""
        named = spec if isinstance(spec, str) else spec.get("type")
        if "coarse" not in self.settings.models() or not isinstance(named, str):
            return spec
        model = settings_of(find("learners", named, path=path)).get("model")
        if model is None or (isinstance(spec, dict) and "model" in spec):
            return spec
        return ({"type": named} if isinstance(spec, str) else spec) | {"model": "coarse"}


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
        change(document, setting, kind_of(document, source.name).sections)
    kind = kind_of(document, source.name)
    settings = check_skeleton(document, kind, source.name)
    recipes = settings.recipes()
    needs = {name: _names_in(spec, recipes, name) for name, spec in recipes.items()}
    experiment = Experiment(settings, kind, source, needs)
    for name in experiment.learners:
        experiment.learner(name, lambda _: _stand_in())
    settings = kind.settle(experiment)
    check_names(settings.expect, kind.vocabulary(settings))
    return replace(experiment, settings=settings)


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
