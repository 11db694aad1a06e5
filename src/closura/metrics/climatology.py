"""Scores of a climate against the true climate: of distributions, not of single instants.

The values along `over` (None is all) are pooled into a sample. The two samples need not match
along these dimensions: runs may differ in length and dates. Along the dimensions that are kept
(a level, a learner) coordinates must be equal. A value that is NaN or infinite makes the result
NaN. Distances cost O(n log n).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr

from closura.metrics.pairing import (
    Dims,
    Frame,
    check_kinds,
    choose,
    describe,
    per_variable,
    wanted_dims,
)

Bins = int | Sequence[float] | np.ndarray | None

_FARTHEST = 10.0  # interquartile ranges beyond the quartiles: holds any tail short of a blow-up
_FALLBACK_BINS = 100  # where half of the sample or more is one value, as for rain


def mean_difference(forecast: Frame, truth: Frame, *, over: Dims = None) -> Frame:
    """Mean of the forecast's sample minus that of the truth's [units of the variable].

    For forecasts and truth at the same times, `bias` takes weights and checks the times.
    """

    def measure(forecast, truth, dims):
        values = _compare_samples(lambda a, b: a.mean() - b.mean(), forecast, truth, dims)
        return describe(values, "difference of means", forecast.attrs.get("units"))

    return per_variable(measure, over, independent=True, forecast=forecast, truth=truth)


def variance_difference(forecast: Frame, truth: Frame, *, over: Dims = None) -> Frame:
    """Variance of the forecast's sample minus that of the truth's [square of the units]."""

    def measure(forecast, truth, dims):
        values = _compare_samples(lambda a, b: a.var() - b.var(), forecast, truth, dims)
        units = forecast.attrs.get("units")
        return describe(values, "difference of variances", units and f"({units})2")

    return per_variable(measure, over, independent=True, forecast=forecast, truth=truth)


def wasserstein_1(forecast: Frame, truth: Frame, *, over: Dims = None) -> Frame:
    """Area between the two distribution functions: how far probability must be carried.

    Exact for the samples, the integral of |F - G|. It is at least |difference of means|.

    Args:
        forecast: Sample [units of the variable].
        truth: Sample, of any size.
        over: Dimensions pooled into the samples; None is all.

    Returns:
        The remaining dimensions [units of the variable].

    Reference:
        Ramdas, Garcia and Cuturi (2017), doi:10.3390/e19020047.
    """

    def measure(forecast, truth, dims):
        values = _compare_samples(_wasserstein, forecast, truth, dims)
        return describe(values, "Wasserstein-1 distance", forecast.attrs.get("units"))

    return per_variable(measure, over, independent=True, forecast=forecast, truth=truth)


def kolmogorov_smirnov(forecast: Frame, truth: Frame, *, over: Dims = None) -> Frame:
    """Largest difference of the two distribution functions, max|F - G| [1], from 0 to 1.

    This is the exact two-sample statistic; arguments as in `wasserstein_1`. It gives no
    significance: values close in time are not independent.
    """

    def measure(forecast, truth, dims):
        values = _compare_samples(_kolmogorov_smirnov, forecast, truth, dims)
        return describe(values, "Kolmogorov-Smirnov statistic", "1")

    return per_variable(measure, over, independent=True, forecast=forecast, truth=truth)


def hellinger(
    forecast: Frame, truth: Frame, *, over: Dims = None, bins: Bins | Mapping[str, Bins] = None
) -> Frame:
    """Hellinger distance of two histograms: integral of (sqrt(p) - sqrt(q))^2 dx / 2.

    From 0 (equal) to 1 (disjoint). This is the square of what others call Hellinger distance;
    it is the form used for Lorenz-96. With B bins, two samples of n and m independent values of
    one distribution still differ by about (B - 1) / 8 * (1 / n + 1 / m).

    Args:
        forecast: Sample [units of the variable].
        truth: Sample, of any size.
        over: Dimensions pooled into the samples; None is all.
        bins: Increasing edges; or a number of equal bins; or None for the rule of `shared_bins`;
            or one of these for each variable of a Dataset. Compare distances only for equal bins.
            Values outside the edges count in two further bins, open to the left and right.

    Returns:
        The remaining dimensions [1].

    Reference:
        Arnold et al. (2013), doi:10.1098/rsta.2011.0479; Gagne et al. (2020),
        doi:10.1029/2019MS001896.
    """

    def measure(forecast, truth, dims):
        chosen = choose(bins, forecast.name)
        values = _compare_samples(
            lambda first, second: _hellinger(first, second, chosen), forecast, truth, dims
        )
        return describe(values, "Hellinger distance", "1")

    return per_variable(measure, over, independent=True, forecast=forecast, truth=truth)


def shared_bins(*samples: xr.DataArray | np.ndarray, count: int | None = None) -> np.ndarray:
    """Return the edges of equal bins for samples to be compared, from all of them pooled.

    Args:
        samples: Finite values, any shape.
        count: Number of bins between the least and the greatest value. None takes the
            Freedman-Diaconis width, 2 IQR / n^(1/3), and leaves out what lies more than 10
            interquartile ranges (IQR) beyond the quartiles, so that a run that blew up does not
            squeeze all others into one bin.

    Returns:
        Edges, of shape (bins + 1,) [units of the samples].

    Raises:
        ValueError: If there are no values, if some are not finite, or if count is not positive.

    Reference:
        Freedman and Diaconis (1981), doi:10.1007/BF01025868.
    """
    pooled = np.concatenate([np.asarray(s, dtype=float).ravel() for s in samples])
    if pooled.size == 0 or not np.isfinite(pooled).all():
        raise ValueError(
            f"shared_bins found {np.sum(~np.isfinite(pooled))} values that are not finite among "
            f"{pooled.size}; it wants at least one value, all finite. Cut the run before it blew "
            "up (see blow_up), or pass the edges yourself."
        )
    lower, upper = pooled.min(), pooled.max()
    if count is None:
        first, third = np.quantile(pooled, [0.25, 0.75])
        width = third - first
        count = _FALLBACK_BINS
        if width > 0.0:
            lower = max(lower, first - _FARTHEST * width)
            upper = min(upper, third + _FARTHEST * width)
            count = int(np.ceil((upper - lower) / (2.0 * width) * np.cbrt(pooled.size)))
    if count < 1:
        raise ValueError(f"count is {count}; a histogram wants at least 1 bin. Leave it None.")
    return np.histogram_bin_edges([], count, range=(lower, upper))


def probability_density(
    values: xr.DataArray, bins: Sequence[float] | np.ndarray, *, over: Dims = None
) -> xr.DataArray:
    """Density of a sample on given bins, as the height of its histogram.

    Args:
        values: Sample [units of the variable].
        bins: Increasing edges, the same for all samples to be compared: see `shared_bins`.
        over: Dimensions pooled into the sample; None is all.

    Returns:
        Density, of dimensions (remaining, bin) [1 / units], with coordinates `bin` (the centres)
        and `bin_width`. Its integral is the share of values inside the edges.

    Raises:
        ValueError: If the edges do not increase.
    """
    edges = _checked_edges(bins)

    def density(sample: np.ndarray) -> np.ndarray:
        if not _is_sample(sample):
            return np.full(edges.size - 1, np.nan)
        return np.histogram(sample, edges)[0] / (sample.size * np.diff(edges))

    check_kinds({"values": values})
    dims = wanted_dims(over, values.dims)
    heights = xr.apply_ufunc(
        density,
        values.astype("float64").compute(),
        input_core_dims=[dims],
        output_core_dims=[["bin"]],
        vectorize=True,
    ).assign_coords(bin=("bin", (edges[:-1] + edges[1:]) / 2.0), bin_width=("bin", np.diff(edges)))
    units = values.attrs.get("units")
    return describe(heights, "probability density", units and f"({units})-1")


def _compare_samples(distance: Callable, forecast, truth, dims) -> xr.DataArray:
    def finite_distance(first: np.ndarray, second: np.ndarray) -> float:
        if not (_is_sample(first) and _is_sample(second)):
            return np.nan
        return distance(first.ravel(), second.ravel())

    return xr.apply_ufunc(
        finite_distance,
        forecast.compute(),
        truth.compute(),
        input_core_dims=[[d for d in dims if d in a.dims] for a in (forecast, truth)],
        exclude_dims=set(dims),
        vectorize=True,
        join="exact",
        output_dtypes=[float],
    ).rename(forecast.name)


def _is_sample(values: np.ndarray) -> bool:
    return values.size > 0 and bool(np.isfinite(values).all())


def _distribution_functions(first, second):
    """Return the pooled sorted values and both distribution functions there."""
    first, second = np.sort(first), np.sort(second)
    pooled = np.sort(np.concatenate([first, second]), kind="stable")  # merges two sorted runs
    functions = [s.searchsorted(pooled, side="right") / s.size for s in (first, second)]
    return pooled, *functions


def _wasserstein(first: np.ndarray, second: np.ndarray) -> float:
    pooled, f, g = _distribution_functions(first, second)
    return np.abs(f - g)[:-1] @ np.diff(pooled)


def _kolmogorov_smirnov(first: np.ndarray, second: np.ndarray) -> float:
    _, f, g = _distribution_functions(first, second)
    return np.abs(f - g).max()


def _hellinger(first: np.ndarray, second: np.ndarray, bins: Bins) -> float:
    if bins is None or isinstance(bins, int):
        edges = shared_bins(first, second, count=bins)
    else:
        edges = _checked_edges(bins)
    roots = [np.sqrt(_probabilities(sample, edges)) for sample in (first, second)]
    return 0.5 * np.sum((roots[0] - roots[1]) ** 2)


def _probabilities(sample: np.ndarray, edges: np.ndarray) -> np.ndarray:
    inside = np.histogram(sample, edges)[0]
    outside = np.sum(sample < edges[0]), np.sum(sample > edges[-1])
    return np.concatenate([outside[:1], inside, outside[1:]]) / sample.size


def _checked_edges(bins: Sequence[float] | np.ndarray) -> np.ndarray:
    edges = np.asarray(bins, dtype=float)
    if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0.0).all():
        raise ValueError(
            f"bins has shape {edges.shape} and values {np.array2string(edges, threshold=6)}; "
            "wanted are at least 2 increasing edges. Make them with shared_bins(forecast, truth)."
        )
    return edges
