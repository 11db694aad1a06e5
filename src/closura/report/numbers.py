"""Numbers out of the scores: a value, a curve, an interval, or nothing; and how to write them."""

from typing import NamedTuple

import numpy as np
import xarray as xr

NOTHING = "–"
FAINT = 1e-6  # of the most energy that a wave number has
SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


class Interval(NamedTuple):
    """A value and the limits of its confidence interval, NaN where unknown."""

    value: float
    lower: float
    upper: float


class Curve(NamedTuple):
    """Values along one coordinate, and the limits of their interval (None where unknown)."""

    x: np.ndarray
    y: np.ndarray
    lower: np.ndarray | None
    upper: np.ndarray | None


def resolved(spectrum: Curve) -> np.ndarray:
    """Return at which wave numbers there is energy: beyond its truncation a model has rounding."""
    return spectrum.y > spectrum.y.max() * FAINT


def variables_of(dataset: xr.Dataset | None) -> tuple[str, ...]:
    """Names of the scored variables."""
    if dataset is None or "variable" not in dataset.coords:
        return ()
    return tuple(str(name) for name in np.atleast_1d(dataset["variable"].values))


def pick(
    dataset: xr.Dataset | None, name: str, model: str | None, variable: str | None
) -> xr.DataArray | None:
    """Return one score of one model and variable, or None where it was not made.

    A score that has no such dimension is the same for all of them.
    """
    if dataset is None or name not in dataset:
        return None
    array = dataset[name]
    for dim, value in (("model", model), ("variable", variable)):
        if value is None or dim not in array.dims:
            continue
        names = [str(found) for found in array[dim].values]
        if value not in names:
            return None
        array = array.isel({dim: names.index(value)})
    return array


def interval(
    dataset: xr.Dataset | None, name: str, model: str | None, variable: str | None = None
) -> Interval:
    """Return a single number with its bounds; dimensions that are left over are averaged."""
    return Interval(
        *(_number(pick(dataset, name + end, model, variable)) for end in ("", "_lower", "_upper"))
    )


def curve(
    dataset: xr.Dataset | None, name: str, model: str | None, variable: str | None, along: str
) -> Curve | None:
    """Return a score along one coordinate, or None where there is nothing finite to draw."""
    found = [pick(dataset, name + end, model, variable) for end in ("", "_lower", "_upper")]
    centre = found[0]
    if centre is None or along not in centre.dims:
        return None
    rows = [None if a is None or along not in a.dims else _along(a, along) for a in found]
    values = rows[0]
    if values is None or not np.isfinite(values).any():
        return None
    centres = pick(dataset, f"{along}_centre", None, variable)  # bins differ between variables
    x = coordinate(centre, along) if centres is None else _along(centres, along)
    return Curve(x, values, rows[1], rows[2])


def coordinate(array: xr.DataArray, along: str) -> np.ndarray:
    """Return the coordinate along a dimension, or counts where it has none."""
    if along in array.coords:
        return np.asarray(array[along].values, float)
    return np.arange(array.sizes[along], dtype=float)


def units_of(dataset: xr.Dataset | None, name: str, variable: str | None = None) -> str:
    """Return the units of a score or coordinate: per variable where `units` is a coordinate."""
    if dataset is None or name not in dataset:
        return ""
    array = dataset[name]
    if variable is not None and "units" in array.coords and "variable" in array["units"].dims:
        return str(pick(dataset.assign(_u=array["units"]), "_u", None, variable).item())  # type: ignore[union-attr]
    return str(array.attrs.get("units", ""))


def label(words: str, units: str | None) -> str:
    """Return an axis label with its unit; a number without a unit has none."""
    pretty = pretty_units(units)
    return f"{words} [{pretty}]" if pretty else words


def pretty_units(units: str | None) -> str:
    """Write CF units as print does: "K s-1" becomes "K s⁻¹"; "1" becomes nothing."""
    if units is None or units.strip() in ("", "1"):
        return ""
    words = []
    for word in units.replace("**", "").replace("^", "").split():
        stem = word.rstrip("0123456789-")
        power = word[len(stem) :]
        words.append(stem + power.translate(SUPERSCRIPTS) if stem else word)
    return " ".join(words)


def written(value: float | None, digits: int = 3) -> str:
    """Write a number with significant digits, the minus of print, and a dash for nothing."""
    if value is None or not np.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 10.0**5 or size < 10.0**-4:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        text = f"{mantissa} × 10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    else:
        decimals = max(0, digits - 1 - int(np.floor(np.log10(size))))
        text = f"{value:.{decimals}f}"
    return text.replace("-", "−")


def _number(array: xr.DataArray | None) -> float:
    if array is None:
        return float("nan")
    values = np.asarray(array.values, float)
    return float(values.mean()) if values.size and np.isfinite(values).all() else float("nan")


def _along(array: xr.DataArray, along: str) -> np.ndarray:
    others = [dim for dim in array.dims if dim != along]
    values = array.astype(float).mean(others) if others else array
    return np.asarray(values.values, float)
