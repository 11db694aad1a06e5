"""Scores of an ensemble against the truth: accuracy, spread and reliability.

The forecast has the dimension named by `member`, which is always reduced and which the truth must
not have; `over` names the others to reduce (None is all). A NaN anywhere gives NaN.
"""

import numpy as np
import xarray as xr

from closura.metrics.pairing import (
    Dims,
    Frame,
    check_dim,
    choose,
    describe,
    per_variable,
    weighted_mean,
    without,
)


def crps(
    forecast: Frame,
    truth: Frame,
    *,
    member: str = "member",
    fair: bool = False,
    over: Dims = None,
    weights: Frame | None = None,
) -> Frame:
    """Continuous ranked probability score of an ensemble: mean|x - y| - mean|x - x'| / 2.

    Costs O(n log n) in the number of members, by sorting.

    Args:
        forecast: Has the member dimension [units of the variable].
        truth: Without the member dimension; equal coordinates.
        member: Name of the member dimension.
        fair: If true, the mean of |x - x'| is over pairs of different members: then the expected
            score does not depend on the size of the ensemble. The standard score takes the
            members for the whole distribution.
        over: Dimensions to reduce besides `member`; None is all.
        weights: Not negative; None weighs all alike.

    Returns:
        The remaining dimensions [units of the variable]; 0 is perfect. The fair score of a good
        forecast can be negative.

    Raises:
        ValueError: If the member dimension is wrong, or `fair` meets fewer than 2 members.

    Reference:
        Gneiting and Raftery (2007), doi:10.1198/016214506000001437, section 4.2;
        fair score: Ferro (2014), doi:10.1002/qj.2270.
    """

    def measure(forecast, truth, dims):
        _check_members(forecast, truth, member, least=2 if fair else 1)
        score = xr.apply_ufunc(
            _crps,
            forecast,
            truth,
            input_core_dims=[[member], []],
            kwargs={"fair": fair},
            dask="parallelized",
            dask_gufunc_kwargs={"allow_rechunk": True},
            output_dtypes=[float],
        ).rename(forecast.name)
        mean = weighted_mean(score, choose(weights, forecast.name), without(dims, member))
        name = "fair continuous ranked probability score" if fair else _CRPS_NAME
        return describe(mean, name, forecast.attrs.get("units"))

    return per_variable(measure, over, forecast=forecast, truth=truth)


def spread(
    forecast: Frame, *, member: str = "member", over: Dims = None, weights: Frame | None = None
) -> Frame:
    """Square root of the mean unbiased ensemble variance.

    Args:
        forecast: Has at least 2 members [units of the variable].
        member: Name of the member dimension.
        over: Dimensions to average the variance over, besides `member`; None is all.
        weights: Not negative; None weighs all alike.

    Returns:
        The remaining dimensions [units of the variable].

    Raises:
        ValueError: If there are fewer than 2 members.
    """

    def measure(forecast, dims):
        _check_members(forecast, None, member, least=2)
        variance = forecast.var(member, ddof=1, skipna=False)
        mean = weighted_mean(variance, choose(weights, forecast.name), without(dims, member))
        return describe(mean**0.5, "ensemble spread", forecast.attrs.get("units"))

    return per_variable(measure, over, forecast=forecast)


def spread_skill_ratio(
    forecast: Frame,
    truth: Frame,
    *,
    member: str = "member",
    over: Dims = None,
    weights: Frame | None = None,
) -> Frame:
    """Spread over the error of the ensemble mean; 1 for a reliable ensemble of any size.

    sqrt((n + 1) / n) * spread / rmse(ensemble mean): the mean of n members errs by its own
    sampling noise too.

    Args:
        forecast: Has at least 2 members [units of the variable].
        truth: Without the member dimension; equal coordinates.
        member: Name of the member dimension.
        over: Dimensions to reduce besides `member`; None is all.
        weights: Not negative; None weighs all alike.

    Returns:
        The remaining dimensions [1]; below 1 the ensemble is too sure of itself. NaN where the
        error is zero.

    Reference:
        Fortin et al. (2014), doi:10.1175/JHM-D-14-0008.1.
    """

    def measure(forecast, truth, dims):
        _check_members(forecast, truth, member, least=2)
        size = forecast.sizes[member]
        weight, dims = choose(weights, forecast.name), without(dims, member)
        variance = weighted_mean(forecast.var(member, ddof=1, skipna=False), weight, dims)
        error = weighted_mean((forecast.mean(member, skipna=False) - truth) ** 2, weight, dims)
        ratio = ((size + 1) / size * variance / error.where(error != 0.0)) ** 0.5
        return describe(ratio, "spread-skill ratio", "1")

    return per_variable(measure, over, forecast=forecast, truth=truth)


def rank_histogram(
    forecast: Frame, truth: Frame, *, seed: int, member: str = "member", over: Dims = None
) -> Frame:
    """Count how often the truth has each rank among the members.

    Args:
        forecast: Has the member dimension, n members.
        truth: Without the member dimension; equal coordinates.
        seed: Seed of the draw that breaks ties: among m equal members each of the m + 1 ranks is
            as likely.
        member: Name of the member dimension.
        over: Dimensions to count over, besides `member`; None is all.

    Returns:
        Counts, of dimensions (remaining, rank); `rank` runs from 0 (below all members) to n.
        All ranks are NaN where any counted value is NaN.

    Reference:
        Hamill (2001), doi:10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2.
    """
    generator = np.random.default_rng(seed)

    def measure(forecast, truth, dims):
        _check_members(forecast, truth, member, least=1)
        size = forecast.sizes[member]
        below = (forecast < truth).sum(member)
        ties = (forecast == truth).sum(member)
        ranks = below + generator.integers(0, ties.values + 1)
        broken = np.isnan(truth) | np.isnan(forecast).any(member)
        counted = list(without(dims, member))
        counts = xr.apply_ufunc(
            lambda rank: _counts(rank, size, axes=len(counted)),
            ranks.compute(),
            input_core_dims=[counted],
            output_core_dims=[["rank"]],
        ).where(~broken.any(counted))
        counts = counts.assign_coords(rank=np.arange(size + 1)).rename(forecast.name)
        return describe(counts, "number of cases", "1")

    return per_variable(measure, over, forecast=forecast, truth=truth)


def reliability_index(counts: Frame, *, rank: str = "rank") -> Frame:
    """Departure of a rank histogram from flat; about 1 where chance alone explains it.

    sum((s_i - M / (n + 1))^2) / (M n / (n + 1)) for M cases and n members. For M independent
    cases of a reliable ensemble its expected value is 1 (and n times it follows chi-square with
    n degrees of freedom). Cases close in time or space are not independent and raise it.

    Args:
        counts: What `rank_histogram` returned.
        rank: Name of the rank dimension.

    Returns:
        The remaining dimensions [1]; NaN where there are no cases.

    Reference:
        Candille and Talagrand (2005), doi:10.1256/qj.04.71, section 3.
    """

    def measure(counts, dims):
        check_dim(counts, rank, "rank")
        size = counts.sizes[rank] - 1
        cases = counts.sum(rank, skipna=False)
        departure = ((counts - cases / (size + 1)) ** 2).sum(rank, skipna=False)
        expected = cases * size / (size + 1)
        index = departure / expected.where(expected > 0.0)
        return describe(index, "departure of the rank histogram from flat", "1")

    return per_variable(measure, None, counts=counts)


_CRPS_NAME = "continuous ranked probability score"


def _crps(members: np.ndarray, truth: np.ndarray, *, fair: bool) -> np.ndarray | np.float64:
    # Departures from the truth keep the sum below free of cancellation. With x sorted, the sum of
    # |x_i - x_j| over pairs i < j is sum((2 i - n - 1) x_i), i = 1 ... n.
    departures = np.sort(members - truth[..., np.newaxis], axis=-1)
    size = departures.shape[-1]
    order = 2.0 * np.arange(1, size + 1) - size - 1.0
    pairs = size * (size - 1) if fair else size**2
    return np.abs(departures).mean(axis=-1) - departures @ order / pairs


def _counts(ranks: np.ndarray, size: int, *, axes: int) -> np.ndarray:
    kept = ranks.shape[: ranks.ndim - axes]
    flat = ranks.reshape(int(np.prod(kept)), -1)
    rows = np.arange(flat.shape[0])[:, np.newaxis] * (size + 1)
    counts = np.bincount((flat + rows).ravel(), minlength=flat.shape[0] * (size + 1))
    return counts.reshape(*kept, size + 1).astype(float)


def _check_members(forecast, truth, member, *, least):
    check_dim(forecast, member, "member")
    if truth is not None and member in truth.dims:
        raise ValueError(
            f"truth has the member dimension {member!r}; a score wants one truth. "
            f"Select it: truth.isel({member}=0)."
        )
    if forecast.sizes[member] < least:
        raise ValueError(
            f"{member!r} has size {forecast.sizes[member]}, but this score needs at least {least} "
            "members. Run a larger ensemble, or use mean_absolute_error for a single forecast."
        )
