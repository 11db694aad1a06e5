"""Checks of posteriors over many cases: ranks, coverage, and what is left of the prior's spread.

A case is a truth drawn from the prior, a measurement simulated from it, and draws from the
posterior of that measurement. Posteriors that are right pass all these checks; one that returns
the prior passes too, so look at `remaining_spread` beside them.

Draws are arrays (number, draw, case) and truths (number, case); or Datasets, one variable a
parameter, with the dimensions `draw` and `case`.
"""

from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from closura.metrics.pairing import Frame, check_dim, describe, per_variable

SHARE_OF_CHANCE = 0.95  # of right posteriors that a band is to hold


def calibration_ranks(draws: Any, truth: Any) -> Frame:
    """Return the number of draws below the truth, for simulation-based calibration.

    Args:
        draws: Of the posterior of each case (see the module).
        truth: What the measurement of each case was simulated from.

    Returns:
        (number, case), from 0 to the number of draws. All are equally likely if the posterior is
        right. A heap in the middle: too wide; at both ends: too narrow; at one end: biased.
        Autocorrelated draws (MCMC) must be thinned first, or they look too narrow.

    Raises:
        ValueError: Dimensions do not match, or a draw is NaN.

    Reference:
        Talts et al. (2018), arXiv:1804.06788.
    """

    def measure(draws, truth, dims):
        _check(draws, truth)
        return describe((draws < truth).sum("draw"), "rank of the truth", "1")

    return per_variable(measure, None, draws=_frame(draws), truth=_frame(truth))


def rank_uniformity(ranks: Any, *, draws: int, bins: int | None = None) -> Frame:
    """Return how far ranks are from being equally likely.

    Args:
        ranks: (number, case), from `calibration_ranks`.
        draws: Number of draws that the truths were ranked among.
        bins: Bins of the chi-square test; one for each 10 cases, at most 20, by default.

    Returns:
        Dimension `statistic`: ``"p_value"`` of the chi-square test, equally likely between 0 and 1
        for a right posterior (be alarmed below 0.01, or below 0.01 over the number of parameters
        for the least of several); ``"distance"``, the largest between the cumulative distributions
        of ranks and of chance; and ``"band"``, below which 95 % of right posteriors stay.

    Raises:
        ValueError: There are fewer than 20 cases, or ranks beyond the number of draws.
    """

    def measure(ranks, dims):
        check_dim(ranks, "case", "case")
        count = ranks.sizes["case"]
        if count < 20 or ranks.max() > draws:
            raise ValueError(
                f"ranks hold {count} cases and go up to {int(ranks.max())}; a test wants 20 cases "
                f"or more, and ranks up to draws={draws}."
            )
        number = min(bins or min(20, count // 10), draws + 1)
        found = xr.apply_ufunc(
            lambda row: np.stack(_uniformity(row, draws, number), axis=-1),
            ranks,
            input_core_dims=[["case"]],
            output_core_dims=[["statistic"]],
        )
        found = found.assign_coords(statistic=["p_value", "distance", "band"])
        return describe(found, "uniformity of ranks", "1")

    return per_variable(measure, None, ranks=_frame(ranks))


def expected_coverage(draws: Any, truth: Any, *, levels: tuple[float, ...] = (0.5, 0.9)) -> Frame:
    """Return how often central intervals of the posterior hold the truth.

    Args:
        draws: Of the posterior of each case (see the module); 100 or more for a level of 0.9.
        truth: What the measurement of each case was simulated from.
        levels: Probabilities that the intervals claim to hold.

    Returns:
        Dimensions `level` and `estimate`: ``"coverage"`` is found, and lies for 95 % of right
        posteriors between ``"lower"`` and ``"upper"``, the binomial range of so many cases (at 200
        cases 0.86 to 0.94 around 0.9). Below it the posterior is too sure of itself.

    Raises:
        ValueError: Dimensions do not match, a draw is NaN, or a level is not between 0 and 1.
    """
    if not levels or not all(0 < level < 1 for level in levels):
        raise ValueError(f"levels is {levels}; give shares between 0 and 1, e.g. (0.5, 0.9).")

    def measure(draws, truth, dims):
        _check(draws, truth)
        size, count = draws.sizes["draw"], draws.sizes["case"]
        share = ((draws < truth).sum("draw") + 0.5) / (size + 1)
        wanted = xr.DataArray(list(levels), dims="level", coords={"level": list(levels)})
        coverage = (abs(share - 0.5) < wanted / 2).mean("case")
        tail = (1 - SHARE_OF_CHANCE) / 2
        limits = [stats.binom.ppf(at, count, wanted.values) / count for at in (tail, 1 - tail)]
        pieces = [coverage, *(wanted.copy(data=limit) for limit in limits)]
        whole = xr.concat(xr.broadcast(*pieces), "estimate")
        whole = whole.assign_coords(estimate=["coverage", "lower", "upper"])
        return describe(whole, "expected coverage", "1")

    return per_variable(measure, None, draws=_frame(draws), truth=_frame(truth))


def tarp(draws: Any, truth: Any, *, seed: int, levels: int = 21) -> xr.DataArray:
    """Return the coverage of all parameters together, by distances from random points.

    For each case a point is drawn anywhere; the share of draws nearer to it than the truth is
    equally likely between 0 and 1 if the posterior is right in all its dimensions, correlations
    included, which coverage of single parameters does not see.

    Args:
        draws: Of the posterior of each case (see the module).
        truth: What the measurement of each case was simulated from.
        seed: Seed of the random points.
        levels: Number of levels from 0 to 1.

    Returns:
        (level,), the coverage: equal to the level for a right posterior, within about
        1.36 / sqrt(cases) everywhere (95 %).

    Reference:
        Lemos et al. (2023), arXiv:2302.03026.
    """
    draws, truth = as_numbers(draws, "number", "draw", "case"), as_numbers(truth, "number", "case")
    scale = truth.std(axis=1, keepdims=True)
    scale = np.where(scale > 0, scale, 1.0)
    scaled, true = draws / scale[..., None], truth / scale
    lower, upper = true.min(axis=1, keepdims=True), true.max(axis=1, keepdims=True)
    points = np.random.default_rng(seed).uniform(lower, upper, true.shape)
    near = ((scaled - points[:, None]) ** 2).sum(axis=0)
    share = (near < ((true - points) ** 2).sum(axis=0)).mean(axis=0)
    grid = np.linspace(0.0, 1.0, levels)
    found = xr.DataArray((share[:, None] <= grid).mean(axis=0), {"level": grid}, "level")
    return describe(found, "coverage of random regions", "1")


def remaining_spread(posterior: Any, prior: Any) -> Frame:
    """Return the standard deviation of the posterior over that of the prior, by parameter.

    1 says that the measurement tells nothing of a parameter on its own; the square of it is the
    share of the variance that remains. Correlated parameters may be known in combination only.

    Args:
        posterior: Draws, (number, draw), or a Dataset with the dimension `draw`.
        prior: Draws of the prior, as many or not.
    """

    def measure(posterior, prior, dims):
        ratio = posterior.std("draw", ddof=1) / prior.std("draw", ddof=1)
        return describe(ratio, "spread of the posterior over that of the prior", "1")

    frames = {"posterior": _frame(posterior, "draw"), "prior": _frame(prior, "draw")}
    return per_variable(measure, "draw", independent=True, **frames)


def predictive_check(predicted: Any, measured: Any) -> xr.DataArray:
    """Return where a measurement lies among what the posterior predicts for it.

    Args:
        predicted: (statistic, draw), simulated at draws of the posterior, errors of the measurement
            added.
        measured: (statistic,).

    Returns:
        (statistic + 1,): the share of draws below each statistic, and last, under ``"all"``, the
        share of draws at least as far from the centre as the measurement, in units of the
        predicted covariance. Near 0 or 1 (and for ``"all"`` near 0) the model with these
        parameters cannot produce what was measured. This is no test of calibration: the posterior
        has seen the measurement, so a right one shows values nearer to 0.5 than chance.

    Raises:
        ValueError: Shapes do not match, or there are no more draws than statistics.
    """
    predicted, measured = np.asarray(predicted, float), np.asarray(measured, float)
    if predicted.ndim != 2 or measured.shape != predicted.shape[:1]:
        raise ValueError(
            f"predicted has shape {predicted.shape} and measured {measured.shape}; they must be "
            "(statistic, draw) and (statistic,)."
        )
    size, count = predicted.shape
    if count < size + 2:
        raise ValueError(
            f"{count} draws cannot tell the covariance of {size} statistics; add some."
        )
    below = (predicted < measured[:, None]).mean(axis=1)
    anomalies = predicted - predicted.mean(axis=1, keepdims=True)
    precision = np.linalg.pinv(np.atleast_2d(np.cov(predicted)))
    apart = measured - predicted.mean(axis=1)
    distance = np.einsum("im,ij,jm->m", anomalies, precision, anomalies)
    together = (distance >= apart @ precision @ apart).mean()
    names = [*map(str, range(size)), "all"]
    found = xr.DataArray(np.append(below, together), {"statistic": names}, "statistic")
    return describe(found, "share of predictions below the measurement", "1")


def as_numbers(values: Any, *dims: str) -> np.ndarray:
    """Return an array with the named dimensions, the variables of a Dataset along the first.

    Raises:
        ValueError: The dimensions are others.
    """
    if isinstance(values, xr.Dataset):
        values = values.to_dataarray(dims[0])
    if isinstance(values, xr.DataArray):
        if set(values.dims) != set(dims):
            raise ValueError(f"found dimensions {values.dims}; wanted are {dims}.")
        values = values.transpose(*dims).values
    values = np.asarray(values, float)
    if values.ndim != len(dims):
        raise ValueError(f"found an array of shape {values.shape}; wanted is ({', '.join(dims)}).")
    return values


def _frame(values: Any, last: str = "case") -> Frame:
    """Return arrays as a DataArray: (number, draw, case), or without the draws."""
    if isinstance(values, xr.DataArray | xr.Dataset):
        return values
    values = np.asarray(values, float)
    dims = ("number", "draw", last) if values.ndim == 3 else ("number", last)
    if values.ndim != len(dims):
        raise ValueError(f"found an array of shape {values.shape}; wanted is ({', '.join(dims)}).")
    return xr.DataArray(values, dims=dims)


def _check(draws: xr.DataArray, truth: xr.DataArray) -> None:
    for dim in ("draw", "case"):
        check_dim(draws, dim, dim)
    check_dim(truth, "case", "case")
    if not (np.isfinite(draws).all() and np.isfinite(truth).all()):
        raise ValueError(
            f"{draws.name or 'draws'} or the truth holds values that are not finite; leave the "
            "cases out whose simulation failed."
        )


def _uniformity(ranks: np.ndarray, draws: int, bins: int) -> tuple[np.ndarray, ...]:
    """Return p-value, distance and band along the last axis."""
    count, values = ranks.shape[-1], np.arange(draws + 1)
    place = values * bins // (draws + 1)
    expected = count * np.bincount(place, minlength=bins) / (draws + 1)
    tally = np.stack([(ranks * bins // (draws + 1) == b).sum(axis=-1) for b in range(bins)], -1)
    p_value = stats.chi2.sf(((tally - expected) ** 2 / expected).sum(axis=-1), bins - 1)
    below = (ranks[..., None, :] <= values[:, None]).mean(axis=-1)
    distance = abs(below - (values + 1) / (draws + 1)).max(axis=-1)
    band = np.full(distance.shape, stats.kstwo.ppf(SHARE_OF_CHANCE, count))
    return p_value, distance, band
