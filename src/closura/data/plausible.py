"""Values that cannot be what their unit says: the commonest slips in model files."""

from collections.abc import Collection

import numpy as np

from closura.data.units import parse_unit

FILL = 1e15  # no quantity of an atmosphere or ocean is as large in SI units; fill values are
GALE = 0.05  # [m s-2] 4 km/s in a day: no tendency of a wind is as large
BLAZE = 0.05  # [K s-1] 4000 K in a day
SURFACE = (300.0, 1100.0)  # what a pressure at the ground is in millibars, and never in Pa
COLDEST = 100.0  # [K] nothing in an atmosphere is as cold; many values are in degrees Celsius


def without_fill(values: np.ndarray) -> np.ndarray:
    """Return values with NaN for fill values that a file does not declare, such as 9.97e36."""
    return np.where(np.abs(values) < FILL, values, np.nan)


def check_no_covariant(names: Collection[str]) -> None:
    """Refuse LMDZ's covariant increments where its layout is not named.

    Raises:
        ValueError: One of the names is `ucov` or `vcov`.
    """
    for name in sorted({"ucov", "vcov"} & set(names)):
        raise ValueError(
            f"{name!r} is LMDZ's covariant increment: on the C-grid, times cu or cv, per day or "
            f"per call. Say layout: lmdz and read {name[0]}_tendency, in m s-2 at the centres."
        )


def check_plausible(name: str, variable: str, values: np.ndarray, units: str) -> None:
    """Refuse values that a unit cannot have.

    Args:
        name: What the user calls the variable.
        variable: Its name in the files.
        values: In `units`.
        units: The unit that they are said to have.

    Raises:
        ValueError: They cannot be in this unit.
    """
    held = values[np.isfinite(values)]
    found = _problem(held, units) if held.size else None
    if found is not None:
        what, instead = found
        raise ValueError(
            f"{variable!r} is said to have units {units!r} and {what}; {instead} If it is right "
            f"all the same, say so: {name}: {{variable: {variable}, found: {units}}}."
        )


def _problem(held: np.ndarray, units: str) -> tuple[str, str] | None:
    """Return what is impossible and what the unit may be instead, or None."""
    try:
        unit = parse_unit(units)
    except ValueError:
        return None
    size = float(np.sqrt(np.mean(held**2))) * unit.factor
    limits = {"acceleration": (GALE, "m s-1"), "temperature per time": (BLAZE, "K")}
    if unit.kind in limits and size > limits[unit.kind][0]:
        base = limits[unit.kind][1]
        return (
            f"{size:.3g} {base} a second on average, which no atmosphere does",
            f"is it per day (found: {base} day-1), or a covariant wind (LMDZ's ucov, vcov: "
            "layout: lmdz)?",
        )
    mean = float(held.mean())
    at_ground = SURFACE[0] < held.min() and held.max() < SURFACE[1]
    if unit.kind == "pressure" and unit.factor == 1.0 and at_ground:
        return f"is {mean:.4g} on average, which are millibars", "found: hPa."
    if unit.kind == "temperature" and unit.factor == 1.0 and unit.offset == 0.0 and mean < COLDEST:
        return f"is {mean:.3g} on average, colder than any air", "found: degC?"
    return None
