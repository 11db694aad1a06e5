"""The laws of calibrators; `closura.testing` shows them beside the others."""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from closura.core.calibrate import AbstractCalibrator, Measurement, Problem
from closura.core.prior import Normal, Prior

SLOPES = np.array([[1.0, 0.5], [0.0, 2.0], [1.0, -1.0]])


def check_calibrator(
    calibrator: AbstractCalibrator,
    *,
    key: jax.Array | None = None,
    tolerance: float = 0.5,
    forgives: bool = True,
) -> None:
    """Try the laws of a calibrator on straight lines of two parameters.

    The same key gives the same posterior; a measurement that says nothing leaves the prior; one
    without error leads to the parameters it was made with; members that fail do no harm.

    Args:
        calibrator: The calibrator to try.
        key: Randomness; `jax.random.key(0)` if None.
        tolerance: Largest error of mean and deviation, in deviations of the prior.
        forgives: Whether it must survive simulations that fail at random; it cannot if it wants a
            simulator that repeats itself.

    Raises:
        AssertionError: A law is broken; the message says which.
    """
    key = jax.random.key(0) if key is None else key

    def draw(variance: float, failing: float = 0.0) -> jax.Array:
        problem = _straight_lines(variance, failing)
        positions = calibrator.solve(problem, key=key).draw(400, key=key)
        _require(bool(jnp.isfinite(positions).all()), "the posterior is not finite.")
        return positions

    blind, sharp = draw(1e12), draw(1e-3)
    _require(
        bool((sharp == draw(1e-3)).all()),
        "the same problem with the same key gives another posterior.",
    )
    truth = jnp.array([0.5, -1.0])[:, None]
    for positions, wanted, what in (
        (blind, 0.0, "a measurement that says nothing moves the prior's mean"),
        (blind.std(axis=1) - 1, 0.0, "a measurement that says nothing changes the prior's spread"),
        (sharp, truth, "a measurement without error is missed"),
    ):
        worst = float(jnp.abs(positions.mean(axis=-1, keepdims=True) - wanted).max())
        _require(worst < tolerance, f"{what}: by {worst:.3g}, allowed are {tolerance:.3g}.")
    if forgives:
        worst = float(jnp.abs(draw(1e-3, 0.1).mean(axis=1) - truth[:, 0]).max())
        _require(worst < tolerance, f"with members that fail the truth is missed by {worst:.3g}.")


def _straight_lines(variance: float, failing: float) -> Problem:
    """Return a problem whose truth lies at the positions (0.5, -1)."""
    prior = Prior(b=Normal(1.0, 1.0), a=Normal(0.0, 1.0))
    measured = SLOPES @ np.array([0.5, -1.0])
    return Problem(prior, _simulator(failing), Measurement(measured, np.full(3, variance)))


@cache
def _simulator(failing: float) -> Callable[[dict[str, jax.Array], jax.Array], jax.Array]:
    """Return the one simulator that fails so often: what is compiled for it serves every law."""

    def simulate(parameters: dict[str, jax.Array], key: jax.Array) -> jax.Array:
        found = jnp.asarray(SLOPES) @ jnp.stack([parameters["b"] - 1.0, parameters["a"]])
        return jnp.where(jax.random.uniform(key) < failing, jnp.nan, found)

    return simulate


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
