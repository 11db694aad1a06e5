"""Scores of a forecast against the truth at the same time and place.

All take DataArrays or Datasets (scored variable by variable) with equal coordinates, reduce the
dimensions named by `over` (None is all), and take `weights` (cell masses, areas) as a DataArray,
or as a Dataset with one for each variable. A NaN anywhere in what is reduced gives NaN.
"""

import numpy as np
import xarray as xr

from closura.metrics.pairing import Dims, Frame, choose, describe, per_variable, weighted_mean

# Variance relative to the mean square below which a target counts as constant: far above the
# rounding of float64 sums (about 1e-16), far below any physical signal on a mean (1e-6 in std).
NO_VARIANCE = 1e-12


def bias(
    forecast: Frame, truth: Frame, *, over: Dims = None, weights: Frame | None = None
) -> Frame:
    """Mean of forecast minus truth.

    Args:
        forecast: Any shape [units of the variable].
        truth: Broadcasts against the forecast; equal coordinates.
        over: Dimensions to reduce; None is all.
        weights: Not negative; None weighs all alike.

    Returns:
        The remaining dimensions [units of the variable].
    """

    def measure(forecast, truth, dims):
        mean = weighted_mean(forecast - truth, choose(weights, forecast.name), dims)
        return describe(mean, "bias", forecast.attrs.get("units"))

    return per_variable(measure, over, forecast=forecast, truth=truth)


def mean_absolute_error(
    forecast: Frame, truth: Frame, *, over: Dims = None, weights: Frame | None = None
) -> Frame:
    """Mean of |forecast - truth|; arguments and result as in `bias`."""

    def measure(forecast, truth, dims):
        mean = weighted_mean(abs(forecast - truth), choose(weights, forecast.name), dims)
        return describe(mean, "mean absolute error", forecast.attrs.get("units"))

    return per_variable(measure, over, forecast=forecast, truth=truth)


def root_mean_square_error(
    forecast: Frame, truth: Frame, *, over: Dims = None, weights: Frame | None = None
) -> Frame:
    """Square root of the mean of (forecast - truth)^2; arguments and result as in `bias`.

    The root is taken last: the score over `("time", "k")` is not the mean of scores over `"k"`.
    """

    def measure(forecast, truth, dims):
        mean = weighted_mean((forecast - truth) ** 2, choose(weights, forecast.name), dims)
        return describe(mean**0.5, "root-mean-square error", forecast.attrs.get("units"))

    return per_variable(measure, over, forecast=forecast, truth=truth)


def anomaly_correlation(
    forecast: Frame,
    truth: Frame,
    climatology: Frame,
    *,
    over: Dims = None,
    weights: Frame | None = None,
    centred: bool = False,
) -> Frame:
    """Correlation of the departures of forecast and truth from a climatology.

    mean(f' t') / sqrt(mean(f'^2) mean(t'^2)), with f' = forecast - climatology.

    Args:
        forecast: Any shape [units of the variable].
        truth: Broadcasts against the forecast; equal coordinates.
        climatology: On some of the dimensions of the forecast; a seasonal one must be selected at
            the forecast's dates first.
        over: Dimensions to reduce; None is all.
        weights: Not negative; None weighs all alike.
        centred: If true, also remove the mean of the anomalies over the reduced dimensions, which
            makes it Pearson's correlation of the anomalies and blind to a bias.

    Returns:
        The remaining dimensions [1], from -1 to 1; NaN where either has no anomaly.

    Reference:
        Wilks (2011), Statistical Methods in the Atmospheric Sciences, section 8.6.4.
    """

    def measure(forecast, truth, climatology, dims):
        _check_climatology(forecast, climatology)
        weight = choose(weights, forecast.name)
        anomalies = [forecast - climatology, truth - climatology]
        if centred:
            anomalies = [a - weighted_mean(a, weight, _own(dims, a)) for a in anomalies]
        first, second = xr.broadcast(*anomalies)
        power = weighted_mean(first**2, weight, dims) * weighted_mean(second**2, weight, dims)
        covariance = weighted_mean(first * second, weight, dims)
        correlation = covariance / np.sqrt(power.where(power != 0.0))
        return describe(correlation, "anomaly correlation", "1")

    return per_variable(measure, over, forecast=forecast, truth=truth, climatology=climatology)


def r_squared(
    prediction: Frame, truth: Frame, *, over: Dims = None, weights: Frame | None = None
) -> Frame:
    """Share of the truth's variance that is explained: 1 - mean((p - t)^2) / var(t).

    It is 1 for a perfect prediction, 0 for the mean of the truth, negative for worse. It is not
    the squared correlation, which forgives a bias and a wrong amplitude.

    Args:
        prediction: Any shape [units of the variable].
        truth: Has every dimension of `over`; equal coordinates.
        over: Dimensions along which errors and variance are taken; None is all.
        weights: Not negative; None weighs all alike.

    Returns:
        The remaining dimensions [1]. NaN, not minus infinity, where the truth has no variance:
        where var(t) <= 1e-12 mean(t^2).
    """

    def measure(prediction, truth, dims):
        weight = choose(weights, prediction.name)
        prediction, truth = xr.broadcast(prediction, truth)
        anomaly = truth - weighted_mean(truth, weight, dims)
        variance = weighted_mean(anomaly**2, weight, dims)
        constant = variance <= NO_VARIANCE * weighted_mean(truth**2, weight, dims)
        error = weighted_mean((prediction - truth) ** 2, weight, dims)
        explained = 1.0 - error / variance.where(~constant)
        return describe(explained, "share of variance explained", "1")

    return per_variable(measure, over, prediction=prediction, truth=truth)


def _own(dims, array):
    return tuple(dim for dim in dims if dim in array.dims)


def _check_climatology(forecast, climatology):
    foreign = [dim for dim in climatology.dims if dim not in forecast.dims]
    if foreign:
        raise ValueError(
            f"climatology of {forecast.name!r} varies along {foreign}, the forecast only along "
            f"{list(forecast.dims)}. Select it at the forecast's dates first: "
            "climatology.sel(dayofyear=forecast.time.dt.dayofyear)."
        )
