"""Whether a correction is one: time-mean errors, their noise floor, and a rule that judges gains.

**The rule.** A model with a closure has improved on the model without one, in one variable, if its
gain (error without minus error with) is larger than the uncertainty of the noise floor, *and* the
interval of the gain lies above zero. It is worse if the same holds of the loss. Anything else is a
difference that the length of the runs cannot resolve.

The uncertainty of the floor is half the width of its interval: the blocks of the two true runs are
dealt anew into two runs, many times, which shows how far two runs of one climate may be apart.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr

IMPROVED, UNRESOLVED, WORSE, BLEW_UP = "improvement", "not resolved", "worse", "blew up"
UNCOMPARED = "survived; no run to compare with"  # the run without a closure is what blew up
RULE = (
    "A gain counts as an improvement only if its interval lies above zero and if it is larger than "
    "the uncertainty of the noise floor (half the width of its interval)."
)
LEAST_BLOCKS = 8  # with 4 an interval of 90 % covers the error 79 times of 100, with 8 87 times


class Blocks(NamedTuple):
    """Block means of one run: values ``(block, point)`` and the weight of each point (sum 1)."""

    values: np.ndarray
    weights: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Time mean, (point)."""
        return self.values.mean(axis=0)


class Estimate(NamedTuple):
    """A number with the limits of its interval."""

    value: float
    lower: float
    upper: float

    @property
    def uncertainty(self) -> float:
        """Half the width of the interval."""
        return (self.upper - self.lower) / 2


def distance(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted root-mean-square difference of two means."""
    return float(np.sqrt(((one - other) ** 2 * weights).sum()))


def error(run: Blocks, truth: Blocks, *, samples: int, level: float, seed: int) -> Estimate:
    """Return the distance of two time means, with its interval by bootstrap over blocks."""
    value = distance(run.mean, truth.mean, run.weights)
    drawn = _drawn(run, truth, samples, seed)
    return _estimate(value, drawn, level)


def gain(
    without: Blocks, run: Blocks, truth: Blocks, *, samples: int, level: float, seed: int
) -> Estimate:
    """Return how much nearer to the truth a run is than the one without a closure.

    Both are held against the same draws of the truth.
    """
    value = distance(without.mean, truth.mean, run.weights)
    value -= distance(run.mean, truth.mean, run.weights)
    drawn = _drawn(without, truth, samples, seed) - _drawn(run, truth, samples, seed, stream=1)
    return _estimate(value, drawn, level)


def floor(
    truth: Blocks, other: Blocks | None, *, samples: int, level: float, seed: int
) -> Estimate:
    """Return how far apart the time means of two runs of one climate are, with its interval.

    Args:
        truth: The true run that errors are measured against.
        other: An independent true run. None where there is none (the truth is a climatology):
            then `truth` is a long run of a model, and the floor is the sampling error of its own
            mean, from the spread of its blocks.
        samples: Number of partitions.
        level: Probability that the interval is to cover.
        seed: Seed of the partitions.
    """
    generator = np.random.default_rng(seed)
    count = len(truth.values)
    if other is None:
        shares = _resampled(count, samples, generator)
        drawn = _lengths(shares, truth.values - truth.mean, truth.weights)
        return _estimate(float(np.sqrt((drawn**2).mean())), drawn, level)
    value = distance(truth.mean, other.mean, truth.weights)
    pooled = np.concatenate([truth.values, other.values]) - truth.mean
    signed = np.repeat([1 / count, -1 / len(other.values)], [count, len(other.values)])
    shares = generator.permuted(np.tile(signed, (samples, 1)), axis=1)
    return _estimate(value, _lengths(shares, pooled, truth.weights), level)


def judge(found: Estimate, floor_uncertainty: float, *, survived: bool = True) -> str:
    """Return the verdict on a gain, by the rule of this module.

    Args:
        found: The gain; NaN where there is no run without a closure to compare with.
        floor_uncertainty: Half the width of the interval of the noise floor.
        survived: Whether the run with the closure has finite means.
    """
    if not survived:
        return BLEW_UP
    if not np.isfinite(found.value):
        return UNCOMPARED
    if found.lower > 0 and found.value > floor_uncertainty:
        return IMPROVED
    if found.upper < 0 and -found.value > floor_uncertainty:
        return WORSE
    return UNRESOLVED


def blocks_of(fields: list[xr.DataArray], weights: list[xr.DataArray]) -> Blocks:
    """Return the block means of one field, or of several taken together, such as u and v.

    Their squares are averaged: the error of (u, v) is the root-mean-square over both components,
    that of the wind vector divided by the square root of 2.

    Args:
        fields: Block means, dimensions (block, *dims).
        weights: Weights of each field's cells (see `cell_weights`).
    """
    values, shares = [], []
    for field, weight in zip(fields, weights, strict=True):
        dims = [dim for dim in field.dims if dim != "block"]
        first = field.isel(block=0)
        share = weight.broadcast_like(first).transpose(*dims).values.ravel()
        values.append(field.transpose("block", *dims).values.reshape(field.sizes["block"], -1))
        shares.append(share / share.sum() / len(fields))
    return Blocks(np.concatenate(values, axis=1), np.concatenate(shares))


def _drawn(run: Blocks, truth: Blocks, samples: int, seed: int, stream: int = 0) -> np.ndarray:
    """Return distances of resampled means, centred on the distance that was found.

    A resampled mean carries the sampling noise a second time; what that adds to the mean square
    is taken off again.
    """
    shares = [
        _resampled(len(run.values), samples, np.random.default_rng([seed, stream])),
        -_resampled(len(truth.values), samples, np.random.default_rng([seed, 7])),
    ]
    both = np.concatenate([run.values, truth.values]) - truth.mean
    square = _lengths(np.concatenate(shares, axis=1), both, run.weights) ** 2
    found = distance(run.mean, truth.mean, run.weights) ** 2
    return np.sqrt(np.clip(square - (square.mean() - found), 0.0, None))


def _resampled(count: int, samples: int, generator: np.random.Generator) -> np.ndarray:
    """Return the share of each block in resampled means, (sample, block).

    Smooth shares (Dirichlet), because few blocks drawn with replacement would often be all of
    them. Means so weighted have the variance s2 / (n + 1), that of a mean is s2 / (n - 1): their
    departures are stretched to it. One block alone tells of no noise.
    """
    shares = generator.dirichlet(np.ones(count), samples)
    if count == 1:
        return shares
    return 1 / count + np.sqrt((count + 1) / (count - 1)) * (shares - 1 / count)


def _lengths(shares: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted root-mean-square of each combination of blocks, (sample).

    Through the inner products of the blocks: the fields themselves are never resampled.
    """
    products = (values * weights) @ values.T
    square = np.einsum("sb,bc,sc->s", shares, products, shares)
    return np.sqrt(np.clip(square, 0.0, None))


def _estimate(value: float, drawn: np.ndarray, level: float) -> Estimate:
    if not np.isfinite(value):
        return Estimate(float("nan"), float("nan"), float("nan"))
    tail = (1 - level) / 2
    lower, upper = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(value, float(lower), float(upper))
