"""The iterative ensemble Kalman smoother: Gauss-Newton over a window, in ensemble space."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from closura.core.windows import AbstractWindowSolver, Revised, Window
from closura.solvers.finite_size import hyperprior
from closura.solvers.transform import mean_and_anomalies, random_rotation


class _Iterate(NamedTuple):
    """Where Gauss-Newton stands: members are mean + anomalies (weights 1' + transform)."""

    weights: Float[Array, "member"]
    transform: Float[Array, "member member"]
    inverse: Float[Array, "member member"]
    states: Float[Array, "time state member"]
    done: Array


class IEnKS(AbstractWindowSolver):
    """The iterative ensemble Kalman smoother, which looks for the mode over a window.

    Each iteration runs the ensemble through the window, regresses what is observed on the
    ensemble at its beginning, and takes a Gauss-Newton step. A window of one time is the
    iterative ensemble Kalman filter. It knows no model noise.

    Args:
        members: Size N of the ensemble.
        window: Times of observation in a window (Lag in DAPPER).
        shift: Times by which the window moves on.
        multiple: Whether an observation counts, in parts, in every window that holds it.
        iterations: Largest number of iterations.
        tolerance: Iterations end where the mean square of a step's weights is smaller.
        inflation: Factor on the anomalies at the window's beginning after each analysis.
        rotation: Whether a random rotation mixes the members after each analysis.
        certainty: Of the hyper-prior of an inflation that is found anew in each window, see
            `EnKFN`; None inflates by `inflation` alone.

    Reference:
        Bocquet and Sakov (2014), doi:10.1002/qj.2236; Sakov, Oliver and Bertino (2012),
        doi:10.1175/MWR-D-11-00176.1.
    """

    members: int = eqx.field(static=True, default=20)
    window: int = eqx.field(static=True, default=1)
    shift: int = eqx.field(static=True, default=1)
    multiple: bool = eqx.field(static=True, default=False)
    iterations: int = eqx.field(static=True, default=10)
    tolerance: float = 1e-5
    inflation: float | Array = 1.0
    rotation: bool = eqx.field(static=True, default=False)
    certainty: float | Array | None = None

    def __check_init__(self):
        if self.members < 2:
            raise ValueError(
                f"IEnKS: members is {self.members}; an ensemble needs 2 or more to have a spread. "
                "For a single state use FourDVar."
            )
        if self.iterations < 1:
            raise ValueError(f"IEnKS: iterations is {self.iterations}; it must be 1 or more.")
        for name in ("inflation", "certainty"):
            value = getattr(self, name)
            if isinstance(value, int | float) and not value > 0:
                raise ValueError(f"IEnKS: {name} is {value}; it must be positive.")

    @property
    def keeps_members(self) -> bool:
        return not self.rotation

    def revise(self, ensemble, window, memory, key):
        mean, anomalies = mean_and_anomalies(ensemble)

        def iterate(number, at: _Iterate) -> _Iterate:
            def run(at: _Iterate) -> Array:
                return window.carry(mean + anomalies @ (at.weights[:, None] + at.transform))

            rerun = (number > 0) & ~at.done
            states = lax.cond(rerun, run, lambda at: at.states, at)
            return self._step(window, at._replace(states=states))

        identity = jnp.eye(self.members, dtype=ensemble.dtype)
        start = _Iterate(
            jnp.zeros_like(identity[0]), identity, identity, window.forecast, jnp.array(False)
        )
        found, _ = lax.scan(
            lambda at, number: (iterate(number, at), None), start, jnp.arange(self.iterations)
        )
        turned = self.inflation * found.transform
        if self.rotation:
            turned = turned @ random_rotation(key, self.members)
        return Revised(mean + anomalies @ (found.weights[:, None] + turned), memory)

    def _step(self, window: Window, at: _Iterate) -> _Iterate:
        """Return the next iterate; the same one if this was the last, or leads nowhere."""
        predicted, departure = window.whiten(at.states)
        predicted = predicted @ at.inverse
        values, vectors = jnp.linalg.eigh(predicted.T @ predicted)
        values = jnp.maximum(values, 0.0)
        size = self._effective_size(values, at.weights)
        total = values + size
        slope = vectors.T @ (predicted.T @ departure - size * at.weights)
        move = vectors @ (slope / total)
        degrees = self.members - 1
        root = jnp.sqrt(degrees / total)
        next_ = _Iterate(
            at.weights + move,
            (vectors * root) @ vectors.T,
            (vectors / root) @ vectors.T,
            at.states,
            at.done | (jnp.mean(move**2) < self.tolerance),
        )
        lost = ~jnp.isfinite(move).all()
        stop = at.done | lost
        kept = jax.tree.map(lambda old, new: jnp.where(stop, old, new), at, next_)
        return kept._replace(done=next_.done | lost)

    def _effective_size(self, squares: Array, weights: Array) -> Array | int:
        """Return N - 1 over the square of the prior inflation that the weights call for."""
        degrees = self.members - 1
        if self.certainty is None:
            return degrees
        mean_term, log_term = hyperprior(squares, self.members, self.certainty)
        return degrees * log_term / (mean_term + weights @ weights)
