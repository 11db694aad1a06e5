"""The most probable parameters, found through derivatives, and a normal posterior about them."""

import warnings
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from closura.core.calibrate import AbstractCalibrator, Problem
from closura.core.couple import ClosuraWarning
from closura.core.posterior import Gaussian
from closura.solvers.inversion import check_counts, check_derivative

STILL = 1e-4  # largest gradient, in prior deviations, at which a search has arrived


class Search(NamedTuple):
    """Where a search stands: position, half the sum of squares there, and its damping."""

    position: Float[Array, "number"]
    misfit: Float[Array, ""]
    damping: Float[Array, ""]


class MAP(AbstractCalibrator):
    """The most probable parameters, with a normal posterior about them (Laplace).

    Damped Gauss-Newton from several starts, derivatives taken forward through the simulator: for
    runs short enough to be smooth in their parameters. In the positions of the prior the objective
    is the misfit plus half the squared position, so the maximum is that of the density of
    positions; its parameters are a median rather than the mode of their own density.

    History: ``misfit`` (iteration, start), the objective; ``gradient`` (start,), its largest slope
    at the end; ``positions`` (number, start) found; ``start``, the number of the best.

    Args:
        starts: Number of searches: the first from the prior's median, the others from its draws.
        iterations: Steps of every search.

    Reference:
        Nocedal and Wright (2006), Numerical Optimization, chapter 10,
        doi:10.1007/978-0-387-40065-5.
    """

    starts: int = eqx.field(static=True, default=4)
    iterations: int = eqx.field(static=True, default=50)

    def __check_init__(self):
        check_counts(self, starts=1, iterations=1)

    def solve(self, problem: Problem, *, key: Array) -> Gaussian:
        """Return the normal posterior about the most probable parameters.

        Raises:
            ValueError: The simulator draws random numbers or has no derivative, or no search finds
                a finite objective.
        """
        draw, run = jax.random.split(key)
        _check_repeats(problem, run)
        starts = problem.prior.draw(self.starts, key=draw).at[:, 0].set(0.0)
        check_derivative(
            "MAP",
            jax.jacfwd(lambda position: problem.predict_one(position, run)),
            problem,
            "use EKI, UKI or ALDI, which need no derivative",
        )
        search, covariance, history = _search_all(problem, starts, run, self.iterations)
        best = int(jnp.nanargmin(jnp.where(jnp.isfinite(search.misfit), search.misfit, jnp.inf)))
        _check_found(history, search, best)
        return Gaussian(
            prior=problem.prior,
            mean=search.position[best],
            covariance=covariance[best],
            history=history | {"positions": search.position.T, "start": jnp.asarray(best)},
        )


@eqx.filter_jit
def _search_all(problem: Problem, starts: Array, key: Array, iterations: int):
    def residual(position: Array) -> Array:
        departure = problem.measurement.departure(problem.predict_one(position, key))
        return jnp.concatenate([departure, position])

    def search(start: Array) -> tuple[Search, Array, dict[str, Array]]:
        begin = Search(start, _half_square(residual(start)), jnp.asarray(1e-3, start.dtype))
        end, misfit = lax.scan(lambda s, _: _step(residual, s), begin, None, length=iterations)
        slope = jax.jacfwd(residual)(end.position)
        gradient = jnp.abs(slope.T @ residual(end.position)).max()
        covariance = jnp.linalg.inv(slope.T @ slope)
        return end, (covariance + covariance.T) / 2, {"misfit": misfit, "gradient": gradient}

    end, covariance, history = jax.vmap(search)(starts.T)
    return end, covariance, history | {"misfit": history["misfit"].T}


def _step(residual, search: Search) -> tuple[Search, Array]:
    """Return a search after one step, taken only if it leads downhill (Levenberg-Marquardt)."""
    missed, slope = residual(search.position), jax.jacfwd(residual)(search.position)
    curvature = slope.T @ slope
    damped = curvature + search.damping * jnp.diag(jnp.diagonal(curvature))
    position = search.position - jnp.linalg.solve(damped, slope.T @ missed)
    misfit = _half_square(residual(position))
    better = misfit < search.misfit  # false for NaN
    damping = jnp.where(better, search.damping / 5, search.damping * 4)
    moved = Search(
        jnp.where(better, position, search.position),
        jnp.where(better, misfit, search.misfit),
        jnp.clip(damping, 1e-8, 1e8),
    )
    return moved, moved.misfit


def _half_square(values: Array) -> Array:
    return (values**2).sum() / 2


def _check_repeats(problem: Problem, key: Array) -> None:
    """Raise if two keys lead to two results at the prior's median."""
    keys = jax.random.split(key, 2)
    middle = jnp.zeros(problem.prior.size)
    first, second = eqx.filter_vmap(problem.predict_one, in_axes=(None, 0))(middle, keys)
    alike: Bool[Array, "..."] = jnp.isclose(first, second, rtol=1e-5, equal_nan=True)
    if not bool(alike.all()):
        worst = float(jnp.abs(first - second).max())
        raise ValueError(
            f"MAP: two keys give statistics that differ by {worst:.3g}; a search needs a simulator "
            "that draws no random numbers. Use EKI or ALDI, or fix its key: "
            "lambda parameters, _: simulator(parameters, key)."
        )


def _check_found(history: dict[str, Array], search: Search, best: int) -> None:
    if not bool(jnp.isfinite(search.misfit[best])):
        raise ValueError(
            f"MAP: none of {len(search.misfit)} starts has a finite objective; narrow the prior, "
            "or take more starts."
        )
    if not float(history["gradient"][best]) < STILL * max(1.0, float(search.misfit[best])):
        warnings.warn(
            f"MAP has not arrived: a slope of {float(history['gradient'][best]):.2g} is left after "
            f"{len(history['misfit'])} iterations. Give it more iterations or starts, or use a "
            "calibrator that needs no derivative.",
            ClosuraWarning,
            stacklevel=4,
        )
