"""`expect:`: numbers that a run must reproduce, beside what was found."""

import difflib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from closura.data.closures import load_closure
from closura.experiment.specification import Expectation
from closura.registry import nearest
from closura.report.run_folder import read_run_folder

OPERATORS = (" / ", " - ")
SCORE_FILES = ("scores.nc", "offline.nc")
NOT_LEARNED = ("no closure", "noise floor")  # models in the score files beside the learners
BOUNDS = ("", "_lower", "_upper")
_BOUNDED = ("forecast_mae", "forecast_rmse", "forecast_crps", "forecast_spread",
            "forecast_correlation", "forecast_mae_first_unit", "wasserstein_1", "hellinger",
            "kolmogorov_smirnov", "lyapunov")  # fmt: skip
_SHAPES = ("probability_density", "autocorrelation", "power_spectrum", "wave_number_spectrum",
           "example", "lyapunov", "mean", "variance")  # fmt: skip
# What `evaluate` writes.
ONLINE_SCORES = (
    *(f"{name}{end}" for name in _BOUNDED for end in BOUNDS), "forecast_mae_first_unit_seeds",
    "useful_lead", "rank_histogram", "climate_mean", "climate_mean_error", "climate_variance",
    "climate_variance_ratio", "bin_centre", "drift", "drift_significance", "drifts",
    "lost_chaos", "lost_chaos_share", "blown_up_share", "blown_up_forecasts_share",
    "extrapolated_share", *_SHAPES[:5], *(f"truth_{name}" for name in _SHAPES),
)  # fmt: skip
# What `score_offline` and `learning_curve` write.
OFFLINE_SCORES = (
    *(f"{kind}{name}{end}" for name in ("r_squared", "rmse", "bias", "learning_curve")
      for kind in ("", "overall_", "column_") for end in BOUNDS
      if name != "learning_curve" or not kind),
    "learning_curve_repeats", "extrapolated_share",
)  # fmt: skip
SCORES = (*ONLINE_SCORES, *OFFLINE_SCORES)
TYPO = 0.85  # likeness at which a name is a score's with a typo, not an attribute of a closure


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


def check_all(folder: Path, expected: Mapping[str, Expectation]) -> list[Check]:
    """Return every expectation of an experiment beside what its run folder holds."""
    results = Results(folder)
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
    if wanted.value is not None:
        return f"{wanted.value:g} ± {wanted.within:g}"
    if wanted.between is not None:
        return f"{wanted.between[0]:g} to {wanted.between[1]:g}"
    return f"> {wanted.above:g}" if wanted.above is not None else f"< {wanted.below:g}"


def check_names(expected: Iterable[str], learners: Iterable[str]) -> None:
    """Raise ValueError where a path cannot lead anywhere, whatever the run will find.

    Attributes of a closure are not known before it is fitted, and pass.
    """
    heads = [*learners, *NOT_LEARNED, "price"]
    for name in expected:
        for path in _operands(name):
            head, _, rest = path.partition(".")
            words = rest.split(".")
            if head not in heads:
                raise ValueError(
                    f"expect: {name!r} begins with {head!r}{nearest(head, heads)} "
                    f"A path begins with: {', '.join(heads)}. Correct it; with other learners "
                    "than the expectations are of, drop them: --set 'expect={}'."
                )
            if head != "price":
                _check_score(name, words, is_learner=head not in NOT_LEARNED)


def _check_score(name: str, words: list[str], *, is_learner: bool) -> None:
    """Raise ValueError where the word that should name a score does not."""
    offline = words[0] == "offline"
    known = OFFLINE_SCORES if offline else SCORES
    word = words[int(offline)] if len(words) > int(offline) else ""
    typo = difflib.get_close_matches(word, known, n=1, cutoff=TYPO)
    if word not in known and (offline or not is_learner or typo):
        where = "offline score" if offline else "score"
        raise ValueError(
            f"expect: {name!r} asks for {word!r}, which is no {where}{nearest(word, known)} "
            "Correct the path."
        )


def _operands(name: str) -> list[str]:
    """Return the paths that a name consists of, as `Results.look_up` takes it apart."""
    for operator in OPERATORS:
        first, found, second = name.partition(operator)
        if found:
            return [*_operands(first), *_operands(second)]
    return [name.strip()]


class Results:
    """The numbers in a run folder, by dotted path.

    - ``learner.attribute.index``: of the closure, e.g. ``cubic.coefficients.1``
    - ``model.score[.coordinate ...]``: of the online, else the offline scores, e.g.
      ``network.forecast_mae_first_unit``, ``no closure.wasserstein_1``
    - ``model.offline.score[.coordinate ...]``: of the offline scores
    - ``price.model.entry``: of the prices
    - ``a / b`` and ``a - b`` of two such paths

    A coordinate is the value along a dimension that is left (a variable's name, a level, the
    number nearest to the one given).

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        run = read_run_folder(folder)
        self._price = run.price
        self._scores = {"scores.nc": run.scores, "offline.nc": run.offline}

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
        if head == "price":
            return _inside(self._price or {}, rest, head)
        if rest and rest[0] == "offline":
            return self._score("offline.nc", head, rest[1:])
        for file in SCORE_FILES:
            if rest and rest[0] in getattr(self._scores[file], "data_vars", ()):
                return self._score(file, head, rest)
        if rest and rest[0] in SCORES:
            return self._score(
                "scores.nc" if rest[0] in ONLINE_SCORES else "offline.nc", head, rest
            )
        if (self.folder / head / "closure.json").exists():
            return _inside(load_closure(self.folder / head), rest, head)
        known = [child.parent.name for child in self.folder.glob("*/closure.json")]
        scores = self._scores["scores.nc"]
        known += [] if scores is None else [str(name) for name in scores["model"].values]
        raise ValueError(f"there is no {head!r} in the results{nearest(head, [*known, 'price'])}")

    def _score(self, file: str, model: str, path: list[str]) -> Any:
        scores = self._scores[file]
        if scores is None:
            raise FileNotFoundError(f"{file} is not there: the stage that writes it has not run.")
        if not path or path[0] not in scores:
            asked = path[0] if path else ""
            raise ValueError(f"{file} holds no {asked!r}{nearest(asked, scores.data_vars)}")
        array = scores[path[0]]
        coordinates = path[1:]
        if "model" in array.dims:
            coordinates = [model, *coordinates]
        return _select(array, _rejoined(coordinates), file)


def _select(array: Any, coordinates: list[str], file: str) -> Any:
    """Return the one number left when coordinates are chosen along the dimensions, in any order."""
    for wanted in coordinates:
        dim = next((d for d in array.dims if _position(array, d, wanted) is not None), None)
        if dim is None:
            names = [str(v) for d in array.dims for v in array[d].values[:50]]
            raise ValueError(f"{file}: {array.name} has no {wanted!r}{nearest(wanted, names)}")
        array = array.isel({dim: _position(array, dim, wanted)})
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
