"""`expect:`: numbers that a run must reproduce, beside what was found."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from closura.data.closures import load_closure
from closura.experiment.specification import Expectation
from closura.experiment.vocabulary import OFFLINE, OFFLINE_FILE, OPERATORS, PRICE, Vocabulary
from closura.registry import nearest
from closura.report.run_folder import read_run_folder


class Check(NamedTuple):
    """One expectation and what came out.

    Attributes:
        name: The dotted path.
        expected: What is wanted, in words.
        found: The value, or None where there is none.
        passed: Whether it is as wanted.
        source: Where the wanted value comes from.
        problem: Why there is no value.
    """

    name: str
    expected: str
    found: Any
    passed: bool
    source: str = ""
    problem: str = ""


def check_all(
    folder: Path, expected: Mapping[str, Expectation], vocabulary: Vocabulary
) -> list[Check]:
    """Return every expectation of an experiment beside what its run folder holds."""
    results = Results(folder, vocabulary)
    found = []
    for name, wanted in expected.items():
        try:
            value = results.look_up(name)
        except (ValueError, FileNotFoundError) as error:
            found.append(Check(name, spell(wanted), None, False, wanted.source, str(error)))
            continue
        passed = holds(wanted, value)
        found.append(Check(name, spell(wanted), value, passed, wanted.source))
    return found


def holds(wanted: Expectation, value: Any) -> bool:
    """Return whether a value is as wanted; one that is not a number never is."""
    if wanted.equals is not None:
        return bool(value == wanted.equals)
    if wanted.is_not is not None:
        return isinstance(value, str) and value != "" and value != wanted.is_not
    if not isinstance(value, int | float) or math.isnan(value):
        return False
    if wanted.value is not None and wanted.within is not None:
        return abs(value - wanted.value) <= wanted.within
    if wanted.between is not None:
        return wanted.between[0] <= value <= wanted.between[1]
    if wanted.above is not None:
        return value > wanted.above
    return wanted.below is not None and value < wanted.below


def spell(wanted: Expectation) -> str:
    """Return an expectation in words."""
    if wanted.equals is not None:
        return str(wanted.equals).lower()
    if wanted.is_not is not None:
        return f"not {wanted.is_not}"
    if wanted.value is not None:
        return f"{wanted.value:g} ± {wanted.within:g}"
    if wanted.between is not None:
        return f"{wanted.between[0]:g} to {wanted.between[1]:g}"
    return f"> {wanted.above:g}" if wanted.above is not None else f"< {wanted.below:g}"


class Results:
    """The numbers in a run folder, by dotted path.

    - ``learner.attribute.index``: of the closure, e.g. ``cubic.coefficients.1``
    - ``name.score[.coordinate ...]``: of the scores of a model or a solver, e.g.
      ``network.forecast_mae_first_unit``, ``no closure.wasserstein_1``
    - ``model.offline.score[.coordinate ...]``: of the offline scores
    - ``price.model.entry``: of the prices
    - ``a / b`` and ``a - b`` of two such paths

    A coordinate is the value along a dimension that is left (a variable's name, a level, the
    number nearest to the one given).

    Args:
        folder: The run folder.
        vocabulary: What can be asked for.
    """

    def __init__(self, folder: Path, vocabulary: Vocabulary):
        self.folder = folder
        self.vocabulary = vocabulary
        run = read_run_folder(folder)
        self._price = run.price
        self._scores = {"scores.nc": run.scores, OFFLINE_FILE: run.offline}

    def look_up(self, path: str) -> Any:
        """Return the value at a dotted path.

        Raises:
            ValueError: There is none; the nearest name is offered.
        """
        for operator in OPERATORS:
            first, found, second = path.partition(operator)
            if found:
                left, right = self.look_up(first), self.look_up(second)
                return _divided(left, right) if operator == " / " else left - right
        head, *rest = (part for part in path.strip().split("."))
        if head == PRICE:
            return _inside(self._price or {}, rest, head)
        if rest and rest[0] == OFFLINE:
            return self._score(OFFLINE_FILE, head, rest[1:])
        for file in self.vocabulary.scores:
            if rest and rest[0] in getattr(self._scores[file], "data_vars", ()):
                return self._score(file, head, rest)
        for file, names in self.vocabulary.scores.items():
            if rest and rest[0] in names:
                return self._score(file, head, rest)
        if (self.folder / head / "closure.json").exists():
            return _inside(load_closure(self.folder / head), rest, head)
        known = [child.parent.name for child in self.folder.glob("*/closure.json")]
        scores = self._scores["scores.nc"]
        known += [] if scores is None else map(str, scores[self.vocabulary.along].values)
        raise ValueError(f"there is no {head!r} in the results{nearest(head, [*known, PRICE])}")

    def _score(self, file: str, name: str, path: list[str]) -> Any:
        scores = self._scores[file]
        if scores is None:
            raise FileNotFoundError(f"{file} is not there: the stage that writes it has not run.")
        if not path or path[0] not in scores:
            asked = path[0] if path else ""
            raise ValueError(f"{file} holds no {asked!r}{nearest(asked, scores.data_vars)}")
        array = scores[path[0]]
        coordinates = _rejoined(path[1:])
        if self.vocabulary.along in array.dims:
            coordinates = [name, *coordinates]
        found = _select(array, coordinates, self.vocabulary.defaults, file)
        verdict = scores.get(self.vocabulary.verdict)
        if verdict is not None and isinstance(found, float) and math.isnan(found):
            named = [c for c in coordinates if any(_position(verdict, d, c) is not None
                     for d in verdict.dims)]  # fmt: skip
            if _select(verdict, named, self.vocabulary.defaults, file):
                raise ValueError(f"{' with '.join(named)}: {self.vocabulary.verdict}")
        return found


def _select(array: Any, coordinates: list[str], defaults: Mapping[str, str], file: str) -> Any:
    """Return the one number left when coordinates are chosen along the dimensions, in any order."""
    for wanted in coordinates:
        dim = next((d for d in array.dims if _position(array, d, wanted) is not None), None)
        if dim is None:
            names = [str(v) for d in array.dims for v in array[d].values[:50]]
            raise ValueError(f"{file}: {array.name} has no {wanted!r}{nearest(wanted, names)}")
        array = array.isel({dim: _position(array, dim, wanted)})
    array = array.sel({dim: wanted for dim, wanted in defaults.items() if dim in array.dims})
    array = array.squeeze()
    if array.dims:
        left = ", ".join(f"{d} ({array.sizes[d]})" for d in array.dims)
        raise ValueError(f"{file}: {array.name} still has {left}; add a coordinate to the path.")
    return array.item()


def _position(array: Any, dim: Any, wanted: str) -> int | None:
    """Return where a coordinate lies along a dimension: the exact text, or the nearest number."""
    values = array[dim].values
    spaced = wanted.replace("_", " ")
    for index, value in enumerate(values):
        if str(value) in (wanted, spaced):
            return index
    try:
        number = float(wanted)
        return int(abs(values.astype(float) - number).argmin())
    except (ValueError, TypeError):
        return None


def _rejoined(parts: list[str]) -> list[str]:
    """Return path parts with numbers put together again that their decimal point had split."""
    found: list[str] = []
    for part in parts:
        if found and part.isdigit() and found[-1].lstrip("-").isdigit():
            found[-1] += f".{part}"
        else:
            found.append(part)
    return found


def _inside(value: Any, path: list[str], name: str) -> Any:
    """Return what attributes, keys and indices lead to."""
    for part in path:
        known: list[str]
        if isinstance(value, Mapping):
            known = [str(key) for key in value]
            key = part if part in value else part.replace("_", " ")
            following = value.get(key)
        elif part.lstrip("-").isdigit() and hasattr(value, "__getitem__"):
            known, index = [], int(part)
            following = value[index] if -len(value) <= index < len(value) else None
        else:
            known = [key for key in dir(value) if not key.startswith("_")]
            following = getattr(value, part, None) if part in known else None
        if following is None:
            raise ValueError(f"{name} has no {part!r}{nearest(part, known)}")
        value, name = following, f"{name}.{part}"
    if hasattr(value, "item") and getattr(value, "size", 0) == 1:
        return value.item()
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f"{name} is a {type(value).__name__} and no number; go further into it.")
    return value


def _divided(left: Any, right: Any) -> float:
    return left / right if right else math.nan
