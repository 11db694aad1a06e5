"""Whether a run stays alive and in balance: blow-up, drift, values outside a range."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from closura.metrics.pairing import Dims, Frame, check_dim, choose, describe, per_variable, without
from closura.metrics.time_axis import elapsed_time


def blow_up(
    values: Frame,
    bound: float | int | Mapping[str, float | int] = np.inf,
    *,
    along: str = "time",
    over: Dims = None,
) -> Frame:
    """First time at which a value is not finite or its size exceeds a bound.

    Args:
        values: A run, or several.
        bound: Largest allowed |value| [units of the variable], or one for each variable.
        along: Name of the time dimension; without a coordinate, the step is returned.
        over: Other dimensions of which any value counts; None is all. Leave out "member" to see
            when each member fails.

    Returns:
        Time, of the remaining dimensions, as the time coordinate has it; NaN (NaT for dates)
        where the run holds to its end.
    """

    def measure(values, dims):
        check_dim(values, along, "along")
        size = abs(values)
        bad = ~(size <= choose(bound, values.name)) | ~np.isfinite(values)
        bad = bad.any(without(dims, along)).compute()
        first = np.asarray(values[along].values)
        first = first.astype(float) if first.dtype.kind in "iuf" else first
        never = np.datetime64("NaT") if first.dtype.kind == "M" else np.nan
        times = bad.argmax(along)
        times = times.copy(data=np.where(bad.any(along), first[times.values], never))
        described = describe(times, "time of blow-up", values[along].attrs.get("units"))
        return described.rename(values.name)

    return per_variable(measure, over, values=values)


def drift(values: Frame, *, along: str = "time", over: Dims = None, blocks: int = 20) -> Frame:
    """Trend of a run's mean per unit time, and how well it is known.

    The series of means is cut into blocks of time, a straight line is fitted to the block means
    by least squares, and the standard error is widened by sqrt((1 + r) / (1 - r)) for what
    autocorrelation r (lag 1, of the residuals, if positive) is left between blocks.

    Args:
        values: A run with a time coordinate.
        along: Name of the time dimension.
        over: Other dimensions to average over first; None is all.
        blocks: Number of blocks, at least 4. Each should last several decorrelation times.

    Returns:
        Dimensions (estimate, remaining); `estimate` is "trend" and "standard_error", both in
        units of the variable per unit of the time coordinate, per second for dates. NaN where
        any value is NaN. A trend within two standard errors is no drift.

    Raises:
        ValueError: If times are missing or not increasing, or fewer than the blocks.

    Reference:
        Santer et al. (2000), doi:10.1029/1999JD901105, for the effective sample size.
    """

    def measure(values, dims):
        time, unit = elapsed_time(values, along)
        if not 4 <= blocks <= time.size:
            raise ValueError(
                f"blocks is {blocks}, but {along!r} has {time.size} values. "
                f"Choose 4 to {time.size}, each block longer than the decorrelation time."
            )
        series = values.mean(without(dims, along), skipna=False).compute()
        estimate = xr.apply_ufunc(
            lambda series: _trend(time, series, blocks),
            series,
            input_core_dims=[[along]],
            output_core_dims=[["estimate"]],
        ).assign_coords(estimate=["trend", "standard_error"])
        units = unit and values.attrs.get("units")
        units = units and f"{units} ({unit})-1"
        return describe(estimate.transpose("estimate", ...), "drift", units)

    return per_variable(measure, over, values=values)


def share_outside(values: Frame, lower: object, upper: object, *, over: Dims = None) -> Frame:
    """Share of values below `lower` or above `upper`, such as inputs outside the training range.

    Args:
        values: Any shape [units of the variable].
        lower: Least allowed value: a number, a DataArray on some dimensions of `values` (one
            bound for each level or feature), or one of these for each variable.
        upper: Greatest allowed value, likewise.
        over: Dimensions to count over; None is all.

    Returns:
        Share, from 0 to 1, of the remaining dimensions; NaN where any value or bound is NaN.

    Raises:
        ValueError: If a lower bound exceeds its upper bound.
    """

    def measure(values, dims):
        least, greatest = choose(lower, values.name), choose(upper, values.name)
        if np.any(least > greatest):
            raise ValueError(
                f"lower exceeds upper for variable {values.name!r}, which leaves nothing inside. "
                "Swap them: share_outside(values, lower, upper)."
            )
        with xr.set_options(arithmetic_join="exact"):
            outside = ((values < least) | (values > greatest)).astype(float)
            known = ~(np.isnan(values) | np.isnan(least) | np.isnan(greatest))
        return describe(outside.where(known).mean(dims, skipna=False), "share outside", "1")

    return per_variable(measure, over, values=values)


def _trend(time: np.ndarray, series: np.ndarray, blocks: int) -> np.ndarray:
    """Return the slope and its standard error, stacked on the last axis."""
    starts = np.linspace(0, time.size, blocks, endpoint=False).astype(int)
    sizes = np.diff(np.append(starts, time.size))
    times = np.add.reduceat(time, starts) / sizes
    means = np.add.reduceat(series, starts, axis=-1) / sizes
    times = times - times.mean()
    means = means - means.mean(axis=-1, keepdims=True)
    slope = means @ times / (times @ times)
    residual = means - slope[..., np.newaxis] * times
    power = (residual**2).sum(axis=-1)
    lagged = (residual[..., 1:] * residual[..., :-1]).sum(axis=-1)
    correlation = np.divide(lagged, power, out=np.zeros_like(power), where=power != 0.0)
    left = np.maximum(correlation, 0.0)
    inflation = (1.0 + left) / (1.0 - left)
    error = np.sqrt(power / (blocks - 2) / (times @ times) * inflation)
    return np.stack([slope, error], axis=-1)
