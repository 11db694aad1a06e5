"""Power spectra in time and along a ring, and autocorrelation, their counterpart in lags.

Neither weighs nor skips values: a NaN makes the spectrum of its series NaN.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy import fft, signal

from closura.metrics.pairing import Dims, Frame, check_dim, describe, per_variable, without
from closura.metrics.time_axis import equal_step

_FFT_BLOCK = 2**22  # values a transform holds at once: 32 MB, beyond which caches gain nothing
_SEGMENTS = 8  # with half overlap 15 periodograms: about 27 % of noise in the mean of them


def power_spectrum(
    series: Frame, *, along: str = "time", segment: int | None = None, over: Dims = ()
) -> Frame:
    """Spectral density in time by Welch's method; its integral over frequency is the variance.

    Hann windows that overlap by half, each segment's mean removed, one-sided.

    Args:
        series: Equally spaced along `along`, which has a coordinate.
        along: Name of the time dimension.
        segment: Values in a segment; None takes an eighth of the series. Longer resolves lower
            frequencies, shorter averages out more noise. Values after the last whole half
            segment are not used.
        over: Dimensions to average the spectra over; by default none, None is all others.

    Returns:
        Density, of dimensions (remaining, frequency), in squared units of the variable times the
        time unit. `frequency` is in cycles per unit of the time coordinate; per second for dates.

    Raises:
        ValueError: If times are missing or unequally spaced, or the segment does not fit.

    Reference:
        Welch (1967), doi:10.1109/TAU.1967.1161901.
    """

    def measure(series, dims):
        step, unit = equal_step(series, along)
        size = series.sizes[along]
        length = max(2, size // _SEGMENTS) if segment is None else segment
        if not 2 <= length <= size:
            raise ValueError(
                f"segment is {length}, but {along!r} has {size} values. "
                f"Choose 2 to {size}, or leave it None for {max(2, size // _SEGMENTS)}."
            )
        density = xr.apply_ufunc(
            lambda values: signal.welch(values, 1.0 / step, nperseg=length)[1],
            series.compute(),
            input_core_dims=[[along]],
            output_core_dims=[["frequency"]],
        ).assign_coords(frequency=np.fft.rfftfreq(length, step))
        density["frequency"].attrs = _units(unit and f"({unit})-1")
        mean = density.mean(without(dims, along), skipna=False)
        known = unit and series.attrs.get("units")
        return describe(mean, "spectral density", known and f"({series.attrs['units']})2 {unit}")

    return per_variable(measure, over, series=series)


def wave_number_spectrum(field: Frame, *, along: str, over: Dims = ()) -> Frame:
    """Variance at each wave number along a ring; the sum is the variance along the ring.

    Args:
        field: Periodic and equally spaced along `along`, n values.
        along: Name of the ring dimension, such as "k" or "lon".
        over: Dimensions to average the spectra over; by default none, None is all others.

    Returns:
        Variance, of dimensions (remaining, wave_number), in squared units of the variable.
        `wave_number` counts waves around the ring, 1 ... n // 2; the mean is left out.

    Raises:
        ValueError: If there is no such dimension.
    """

    def measure(field, dims):
        check_dim(field, along, "along")
        size = field.sizes[along]
        variance = xr.apply_ufunc(
            _ring_variance,
            field.compute(),
            input_core_dims=[[along]],
            output_core_dims=[["wave_number"]],
        ).assign_coords(wave_number=np.arange(1, size // 2 + 1))
        variance["wave_number"].attrs = _units("1")
        mean = variance.mean(without(dims, along), skipna=False)
        units = field.attrs.get("units")
        return describe(mean, "variance by wave number", units and f"({units})2")

    return per_variable(measure, over, field=field)


def autocorrelation(
    series: Frame, lags: int | Sequence[int] | np.ndarray, *, along: str = "time", over: Dims = None
) -> Frame:
    """Correlation of a series with itself some steps later, averaged over other dimensions.

    sum(x'(t) x'(t + lag)) / sum(x'(t)^2), the departures x' taken from each series' own mean and
    both sums over time and the dimensions of `over`. The missing pairs at the end count as zero
    (the biased estimate), so it never exceeds 1 and shrinks by (1 - lag / n).

    Args:
        series: Equally spaced along `along`.
        lags: Steps, not negative and below the length n; an integer L means 0, 1 ... L.
        along: Name of the time dimension.
        over: Other dimensions to average over; None is all of them.

    Returns:
        Dimensions (remaining, lag) [1], `lag` in steps; NaN where the series is constant.

    Raises:
        ValueError: If a lag is negative or not below the length.
    """
    steps = np.arange(lags + 1) if isinstance(lags, int) else np.asarray(lags)

    def measure(series, dims):
        check_dim(series, along, "along")
        size = series.sizes[along]
        if steps.min() < 0 or steps.max() >= size:
            raise ValueError(
                f"lags run from {steps.min()} to {steps.max()}, but {along!r} has {size} steps. "
                f"Choose lags from 0 to {size - 1}."
            )
        covariance = xr.apply_ufunc(
            lambda values: _autocovariance(values, steps),
            series.compute(),
            input_core_dims=[[along]],
            output_core_dims=[["lag"]],
        )
        mean = covariance.assign_coords(lag=np.append(0, steps)).mean(
            without(dims, along), skipna=False
        )
        variance = mean.isel(lag=0, drop=True)
        ratio = mean.isel(lag=slice(1, None)) / variance.where(variance > 0.0)
        return describe(ratio, "autocorrelation", "1")

    return per_variable(measure, over, series=series)


def _ring_variance(values: np.ndarray) -> np.ndarray:
    size = values.shape[-1]
    power = np.abs(np.fft.rfft(values) / size) ** 2
    twice = np.full(power.shape[-1], 2.0)  # a wave and its conjugate, which rfft leaves out
    if size % 2 == 0:
        twice[-1] = 1.0  # the shortest wave is its own conjugate
    return (power * twice)[..., 1:]


def _units(units: str | None) -> dict[str, str]:
    return {} if units is None else {"units": units}


def _autocovariance(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the covariances at lag 0 and at each of the steps, along the last axis."""
    size = values.shape[-1]
    padded = fft.next_fast_len(size + int(steps.max()), real=True)
    flat = values.reshape(-1, size)
    result = np.empty((flat.shape[0], steps.size + 1))
    rows = max(1, _FFT_BLOCK // padded)
    for start in range(0, flat.shape[0], rows):
        block = flat[start : start + rows]
        spectrum = fft.rfft(block - block.mean(axis=-1, keepdims=True), padded)
        covariance = fft.irfft(np.abs(spectrum) ** 2, padded)
        result[start : start + rows] = covariance[:, np.append(0, steps)] / size
    return result.reshape(*values.shape[:-1], -1)
