"""Parameters from what was measured: the problem, and the contract of its calibrators."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from closura.core.posterior import AbstractPosterior
from closura.core.prior import Prior

Simulator = Callable[[dict[str, Array], Array], Array]


class AbstractSimulator(eqx.Module):
    """Statistics of a run with given parameters, as an experiment can name them.

    To write one: write `__call__`. In code any function of the same signature does as well.
    One that JAX cannot see into sets `on_host` and writes `simulate_members` instead: see `OnHost`.
    """

    on_host: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, parameters: dict[str, Array], key: Array) -> Float[Array, "statistic"]:
        """Return the statistics that parameters lead to; NaN where the run failed."""


class Measurement(eqx.Module):
    """Measured statistics and what is known of their error.

    Args:
        values: (statistic,); NaN where one is missing (then the covariance must be a vector).
        covariance: Of the difference between measured and simulated statistics under the true
            parameters, (statistic, statistic), or its diagonal, (statistic,), in squared units of
            the values. It holds all that makes them differ: instruments, finite averaging times of
            both (for two runs alike: twice the covariance of one), what the model cannot do.

    Raises:
        ValueError: Shapes do not match, all values are missing, or the covariance is not positive
            definite.
    """

    values: Float[Array, "statistic"]
    root: Array  # Cholesky factor, or one over the standard deviation: 0 where missing

    def __init__(self, values, covariance):
        values, covariance = np.asarray(values, float), np.asarray(covariance, float)
        _check_measured(values, covariance)
        missing = np.isnan(values)
        if covariance.ndim == 1:
            root = np.where(missing, 0.0, 1 / np.sqrt(covariance))
        else:
            root = _cholesky(covariance)
        self.values = jnp.asarray(np.where(missing, 0.0, values))
        self.root = jnp.asarray(root)

    @property
    def size(self) -> int:
        """Number of statistics."""
        return self.values.shape[0]

    @property
    def seen(self) -> Array:
        """Number of statistics that are not missing."""
        return (self.root > 0).sum() if self.root.ndim == 1 else jnp.asarray(self.size)

    def whiten(self, departures: Float[Array, "statistic *member"]) -> Array:
        """Return departures in units of the error: independent, of variance one."""
        if self.root.ndim == 1:
            return (self.root * departures.T).T
        return jax.scipy.linalg.solve_triangular(self.root, departures, lower=True)

    def departure(self, predicted: Float[Array, "statistic *member"]) -> Array:
        """Return measured minus predicted, in units of the error."""
        return self.whiten((self.values - predicted.T).T)

    def noise(self, count: int, *, key: Array) -> Float[Array, "statistic member"]:
        """Return errors drawn from their distribution, one a member; 0 for what is missing."""
        normal = jax.random.normal(key, (self.size, count), self.values.dtype)
        if self.root.ndim == 2:
            return self.root @ normal
        scale = jnp.where(self.root > 0, 1 / jnp.where(self.root > 0, self.root, 1.0), 0.0)
        return scale[:, None] * normal


class Problem(eqx.Module):
    """What is unknown, what it leads to, and what was measured of that.

    Args:
        prior: What is known of the parameters before.
        simulator: ``(parameters, key) -> statistics (statistic,)``, one member; parameters by name.
            NaN says that the simulation failed.
        measurement: What was measured.
        batch: Members that are simulated at once.
    """

    prior: Prior
    simulator: Simulator
    measurement: Measurement
    batch: int = eqx.field(static=True, default=128)

    def predict_one(self, position: Float[Array, "number"], key: Array) -> Float[Array, "stat"]:
        """Return the statistics that one position leads to; differentiable if the simulator is."""
        return self.simulator(self.prior.parameters(position), key)

    def predict(
        self, positions: Float[Array, "number member"], key: Array
    ) -> Float[Array, "stat member"]:
        """Return the statistics of every member, each with randomness of its own."""
        simulator: Any = self.simulator
        if getattr(simulator, "on_host", False):
            return simulator.simulate_members(self.prior.spread_out(positions), key)
        return _predict(self, positions, key)

    def log_likelihood(self, predicted: Float[Array, "stat *member"]) -> Array:
        """Return the log likelihood of what was measured, less its constant, one a member."""
        return -0.5 * (self.measurement.departure(predicted) ** 2).sum(axis=0)


@eqx.filter_jit
def _predict(problem: Problem, positions: Array, key: Array) -> Array:
    keys = jax.random.split(key, positions.shape[-1])

    def one(member: tuple[Array, Array]) -> Array:
        return problem.predict_one(*member)

    found = lax.map(one, (positions.T, keys), batch_size=min(problem.batch, len(keys)))
    return found.T


class AbstractCalibrator(eqx.Module):
    """How parameters are found from what was measured.

    To write one: write `solve`, which draws all randomness from its key. Calibrators know no model:
    they move positions among standard normals (see `Prior`) and ask the problem what these predict.
    A member whose prediction is not finite has failed; the others must go on without it.
    """

    @abstractmethod
    def solve(self, problem: Problem, *, key: Array) -> AbstractPosterior:
        """Return what is known of the parameters after."""


def calibrate(
    simulator: Simulator,
    prior: Prior,
    measured: Measurement,
    calibrator: AbstractCalibrator,
    *,
    key: Array,
    batch: int = 128,
) -> Any:
    """Return what a measurement says about the parameters of a simulator.

    Args:
        simulator: ``(parameters, key) -> statistics``, in JAX; see `Problem`.
        prior: What is known of the parameters before.
        measured: What was measured, with its error.
        calibrator: How to find them, e.g. `EKI`.
        key: Randomness of simulator and calibrator.
        batch: Members that are simulated at once: less is slower, and needs less memory.

    Raises:
        ValueError: The simulator returns another shape than what was measured.
        TypeError: `prior`, `measured` or `calibrator` is of another type.
    """
    _check_types(prior, measured, calibrator)
    problem = Problem(prior, simulator, measured, batch)
    _check_simulator(problem)
    return calibrator.solve(problem, key=key)


def _check_types(prior: Any, measured: Any, calibrator: Any) -> None:
    wanted = {
        "prior": (prior, Prior, "Prior(F=Normal(8.0, 2.0))"),
        "measured": (measured, Measurement, "Measurement(values, covariance)"),
        "calibrator": (calibrator, AbstractCalibrator, "EKI(members=100)"),
    }
    for name, (found, kind, example) in wanted.items():
        if not isinstance(found, kind):
            known = isinstance(found, type)
            said = f"the class {found.__name__}" if known else f"of type {type(found).__name__}"
            wants = kind.__name__.removeprefix("Abstract")
            raise TypeError(f"calibrate: {name} is {said}; it must be a {wants} such as {example}.")


def _check_simulator(problem: Problem) -> None:
    if getattr(problem.simulator, "on_host", False):
        return  # it checks what the function returns
    shape = eqx.filter_eval_shape(
        problem.predict_one, jnp.zeros(problem.prior.size), jax.random.key(0)
    ).shape
    if shape != problem.measurement.values.shape:
        raise ValueError(
            f"the simulator returns statistics of shape {shape} and {problem.measurement.size} "
            f"were measured; it must return ({problem.measurement.size},)."
        )


def _check_measured(values: np.ndarray, covariance: np.ndarray) -> None:
    count = values.shape[0] if values.ndim == 1 else 0
    if count == 0:
        raise ValueError(
            f"values has shape {values.shape}; give one number a statistic, (statistic,)."
        )
    if covariance.shape not in ((count,), (count, count)):
        raise ValueError(
            f"covariance has shape {covariance.shape}; {count} statistics want ({count},) for "
            f"independent errors, or ({count}, {count})."
        )
    if np.isnan(values).all():
        raise ValueError(
            f"values holds nothing but NaN, so that all {count} statistics are missing; give one "
            "that was measured."
        )
    if np.isinf(values).any():
        raise ValueError("values holds infinities; mark what is missing with NaN.")
    if covariance.ndim == 2 and np.isnan(values).any():
        raise ValueError(
            "values holds NaN beside a full covariance; leave these statistics out, with their "
            "rows and columns."
        )
    if covariance.ndim == 1 and not (covariance > 0).all():
        place = int(np.argmin(covariance > 0))
        raise ValueError(
            f"covariance is {covariance[place]:g} for statistic {place}; an error variance must be "
            "positive."
        )


def _cholesky(covariance: np.ndarray) -> np.ndarray:
    scale = np.sqrt(np.abs(np.outer(np.diag(covariance), np.diag(covariance))))
    alike = bool((np.abs(covariance - covariance.T) <= 1e-8 * scale).all())
    try:
        root = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        root = None
    if root is None or not alike or not np.isfinite(root).all():
        raise ValueError(
            "covariance is singular or not symmetric; add the variance of what the model cannot do "
            "to its diagonal, or measure it over more periods than there are statistics."
        )
    return root
