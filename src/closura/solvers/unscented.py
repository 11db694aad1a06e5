"""Unscented Kalman inversion: a mean and a covariance, moved by the simulations of a few points."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from closura.core.calibrate import AbstractCalibrator, Measurement, Problem
from closura.core.posterior import Gaussian
from closura.solvers.inversion import MOVE, check_alive, check_counts

WIDENING = 2.0  # of the covariance before each analysis, and of the error variance in it


class UKI(AbstractCalibrator):
    """Unscented Kalman inversion: a normal posterior from 2 d + 1 simulations an iteration.

    The mean and two points on each principal axis are simulated. Every iteration widens the
    covariance twofold and then takes prior and measurement into account with twice their error:
    where it stays as it is, it is the posterior of the straight lines through the points. Draws no
    random numbers of its own; a noisy simulator makes it waver. What a failed point predicts is
    read off the line through its mirror image; a failed mean stands for the mean of the others.

    History, iterations first: ``mean``, ``covariance`` before the iteration, ``positions``,
    ``predictions``, ``misfit`` (of every point), ``failed``.

    Args:
        iterations: Number of iterations; each halves, about, what is left to go.

    Reference:
        Huang, Huang, Reich and Stuart (2022), Inverse Problems 38, 125006,
        doi:10.1088/1361-6420/ac99fa.
    """

    iterations: int = eqx.field(static=True, default=15)

    def __check_init__(self):
        check_counts(self, iterations=1)

    def solve(self, problem: Problem, *, key: Array) -> Gaussian:
        size = problem.prior.size
        mean, covariance = jnp.zeros(size), jnp.eye(size)
        notes = []
        for iteration in range(self.iterations):
            now = jax.random.fold_in(jax.random.fold_in(key, MOVE), iteration)
            positions = _place(mean, covariance)
            raw = problem.predict(positions, now)
            after, note = _move(problem.measurement, covariance, positions, raw)
            check_alive(type(self).__name__, note["failed"], 2 * size + 1, iteration)
            notes.append(note | {"mean": mean, "covariance": covariance})
            mean, covariance = after
        history = {name: jnp.stack([row[name] for row in notes]) for name in notes[0]}
        return Gaussian(prior=problem.prior, mean=mean, covariance=covariance, history=history)


def _reach(numbers: int) -> float:
    """Return how far from the mean points lie [standard deviations]; less where they are few."""
    return min(2.0, numbers**0.5)


@eqx.filter_jit
def _place(mean: Array, covariance: Array) -> Float[Array, "number point"]:
    """Return the mean, then a point either way along each column of the covariance's root."""
    axes = _reach(mean.size) * jnp.linalg.cholesky(WIDENING * covariance)
    return mean[:, None] + jnp.concatenate([jnp.zeros_like(axes[:, :1]), axes, -axes], axis=1)


@eqx.filter_jit
def _move(measurement: Measurement, covariance: Array, positions: Array, raw: Array):
    failed = ~jnp.isfinite(raw).all(axis=0)
    predictions = _repair(raw, failed)
    departures = measurement.departure(predictions)
    note = {
        "positions": positions,
        "predictions": predictions,
        "misfit": (departures**2).sum(axis=0) / 2,
        "failed": failed.sum(),
    }
    departures = jnp.concatenate([departures, -positions]) / WIDENING**0.5
    return _analyse(positions, departures, _reach(len(positions)), WIDENING * covariance), note


def _analyse(
    positions: Float[Array, "number point"],
    departures: Float[Array, "seen point"],
    reach: float,
    forecast: Float[Array, "number number"],
) -> tuple[Array, Array]:
    """Return mean and covariance after an analysis; departures are in units of their error."""
    mean, spread = positions[:, 0], (positions[:, 1:] - positions[:, :1]) / reach
    seen = (departures[:, :1] - departures[:, 1:]) / reach
    cross = spread @ seen.T / 2
    total = seen @ seen.T / 2 + jnp.eye(len(seen), dtype=seen.dtype)
    gain = jax.scipy.linalg.solve(total, cross.T, assume_a="pos").T
    covariance = forecast - gain @ cross.T
    return mean + gain @ departures[:, 0], (covariance + covariance.T) / 2


def _repair(predictions: Float[Array, "statistic point"], failed: Array) -> Array:
    """Return predictions with those of failed points put on the line through the others."""
    alive = jnp.where(failed, 0.0, predictions)
    average = alive.sum(axis=1) / jnp.maximum((~failed).sum(), 1)
    middle = jnp.where(failed[0], average, alive[:, 0])[:, None]
    above, below = jnp.split(alive[:, 1:], 2, axis=1)
    up, down = jnp.split(failed[1:], 2)
    mended_above = jnp.where(up, jnp.where(down, middle, 2 * middle - below), above)
    mended_below = jnp.where(down, jnp.where(up, middle, 2 * middle - above), below)
    return jnp.concatenate([middle, mended_above, mended_below], axis=1)
