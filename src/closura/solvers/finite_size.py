"""The finite-size ensemble Kalman filter, which finds its own inflation."""

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from closura.solvers.ensemble import AbstractEnsembleSolver
from closura.solvers.inflation import Inflation
from closura.solvers.transform import mean_and_anomalies, symmetric_transform

ITERATIONS = 40  # Newton steps with bisection as the net; it has met rounding after about 8
WIDEST = 5.0  # log of the largest and smallest prior inflation that is looked for


class EnKFN(AbstractEnsembleSolver):
    """The finite-size ensemble Kalman filter: an ETKF whose prior inflation is estimated.

    The inflation l of the forecast's anomalies minimises the dual cost
    sum_i d_i^2 / ((l s_i)^2 + N - 1) + e / l^2 + c log l^2, with s the singular values of the
    predicted anomalies and d the departure along them, in units of the error.

    Args:
        members: Size N of the ensemble.
        certainty: How sure the hyper-prior is of an inflation near 1 (xN in DAPPER).
        inflation: Further factor on the anomalies after each analysis, or `AdaptiveInflation`.
        rtpp: Relaxation to prior perturbations, 0 to 1.
        rtps: Relaxation to prior spread, 0 to 1.
        rotation: Whether a random rotation mixes the members after each analysis.

    Reference:
        Bocquet, Raanes and Hannart (2015), Nonlin. Processes Geophys. 22, 645-662.
    """

    members: int = eqx.field(static=True, default=24)
    certainty: float | Array = 1.0
    inflation: Inflation = 1.0
    rtpp: float | Array = 0.0
    rtps: float | Array = 0.0
    rotation: bool = eqx.field(static=True, default=False)

    def update(self, ensemble, observed, key):
        mean, anomalies = mean_and_anomalies(ensemble)
        predicted, departure = observed.whiten(ensemble)
        factor = prior_inflation(predicted, departure, self.certainty)
        return mean + factor * anomalies @ symmetric_transform(factor * predicted, departure)


def prior_inflation(
    predicted: Float[Array, "observation member"],
    departure: Float[Array, "observation"],
    certainty: float | Array,
) -> Float[Array, ""]:
    """Return the inflation of the forecast's anomalies that the departure calls for.

    Args:
        predicted: Predicted anomalies, in units of the error.
        departure: Departure of the observations from the predicted mean, likewise.
        certainty: See `EnKFN`.
    """
    degrees = predicted.shape[-1] - 1
    squares, energy = _spectrum(predicted, departure)
    mean_term, log_term = hyperprior(squares, predicted.shape[-1], certainty)

    def slope(u: Array) -> tuple[Array, Array]:
        """Return dJ/du and its derivative at inflation exp(u)."""
        grown = squares * jnp.exp(2 * u)
        total = grown + degrees
        data = energy * grown / total**2
        prior = mean_term * jnp.exp(-2 * u)
        first = -2 * data.sum() - 2 * prior + 2 * log_term
        second = -4 * (data * (degrees - grown) / total).sum() + 4 * prior
        return first, second

    def improve(_, carry):
        low, high, u = carry
        first, second = slope(u)
        low, high = jnp.where(first < 0, u, low), jnp.where(first < 0, high, u)
        newton = u - first / second
        inside = (newton > low) & (newton < high)
        return low, high, jnp.where(inside, newton, (low + high) / 2)

    zero = jnp.zeros((), predicted.dtype)
    return jnp.exp(lax.fori_loop(0, ITERATIONS, improve, (zero - WIDEST, zero + WIDEST, zero))[2])


def _spectrum(predicted: Array, departure: Array) -> tuple[Array, Array]:
    """Return squared singular values and squared departures along them, one a member.

    The part of the departure that no member can explain does not depend on the inflation.
    """
    values, vectors = jnp.linalg.eigh(predicted.T @ predicted)
    values = jnp.maximum(values, 0.0)
    projected = vectors.T @ (predicted.T @ departure)
    meant = values > values[-1] * 1e-12
    return values, jnp.where(meant, projected**2 / jnp.where(meant, values, 1.0), 0.0)


def hyperprior(squares: Array, members: int, certainty: float | Array) -> tuple[Array, Array]:
    """Return the weights of 1 / l^2 and of log l^2 in the dual cost.

    The mode of the prior inflation is moved toward 1 as far as observations do not constrain it:
    Bocquet, Raanes and Hannart (2015), eq. 36, as DAPPER approximates it.
    """
    degrees = members - 1
    mean_term = (members + 1) / members
    log_term = members / degrees
    unseen = jnp.mean(degrees / (squares + degrees))
    correction = jnp.sqrt((mean_term / log_term) ** unseen)
    return certainty * mean_term / correction, certainty * log_term * correction
