"""Time coordinates as numbers: elapsed time, and whether steps are equal."""

import numpy as np
import xarray as xr

from closura.metrics.pairing import check_dim

# Steps may differ by this share of a step: rounding of 0.005 * k kept in float32 or as text.
EQUAL_STEPS = 1e-3


def elapsed_time(array: xr.DataArray, along: str) -> tuple[np.ndarray, str | None]:
    """Return the time since the first value, and its unit.

    Dates become seconds ("s"). Numbers stay what they are, in the coordinate's own `units`, or
    None where it does not say.

    Raises:
        ValueError: If there is no such dimension, no coordinate, or times do not increase.
    """
    check_dim(array, along, "along")
    if along not in array.coords:
        raise ValueError(
            f"{array.name!r} has no coordinate along {along!r}, but this score needs times. "
            f"Give it one: values.assign_coords({along}=dt * np.arange(n))."
        )
    times = array[along].values
    times = times.astype(float) if times.dtype.kind in "iuf" else times
    elapsed, unit = times - times[0], array[along].attrs.get("units")
    if elapsed.dtype.kind in "mO":  # numpy dates, or cftime dates of a model's calendar
        microseconds = elapsed.astype("timedelta64[us]").astype(float)
        elapsed, unit = microseconds * 1e-6, "s"
    elapsed = elapsed.astype(float)
    if not (np.diff(elapsed) > 0.0).all():
        raise ValueError(
            f"Times along {along!r} do not increase everywhere. Sort them and drop doubles: "
            f"values.sortby({along!r}).drop_duplicates({along!r})."
        )
    return elapsed, unit


def equal_step(array: xr.DataArray, along: str) -> tuple[float, str | None]:
    """Return the time step and its unit.

    Raises:
        ValueError: As in `elapsed_time`; also if steps differ, or there are fewer than 2 times.
    """
    elapsed, unit = elapsed_time(array, along)
    steps = np.diff(elapsed)
    if steps.size == 0 or np.ptp(steps) > EQUAL_STEPS * steps.mean():
        found = f"from {steps.min():g} to {steps.max():g}" if steps.size else "none"
        raise ValueError(
            f"Steps along {along!r} are {found}; this score wants 2 times or more, equally "
            f"spaced. Interpolate first: values.interp({along}=...)."
        )
    return float(elapsed[-1] / steps.size), unit
