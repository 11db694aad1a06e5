"""What is observed, and the contract of a solver that makes a forecast agree with it."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.core.members import mean_of, spread_of


class Observations(eqx.Module):
    """Values with times, an operator and error variances: all that a solver needs of a network.

    Args:
        values: (time, observation); NaN where a value is missing.
        variance: Error variance, (observation,) or (time, observation), in squared units of the
            values; errors are independent of each other. Infinity says nothing is known.
        time: When they are valid, (time,), after the start of the run and increasing, evenly or
            not [time units of the model].
        operator: Fields of one instant to (observation,); an `eqx.Module`, may be nonlinear.
        positions: Where they lie, (observation, coordinate), as the model's `places`; needed for
            localisation where the operator does not say.

    Raises:
        ValueError: Shapes do not match, a variance is not positive, times do not increase.
    """

    values: np.ndarray
    variance: np.ndarray
    time: np.ndarray
    operator: Callable[[Any], Array]
    positions: np.ndarray | None = None

    def __init__(self, values, variance, time, operator, positions=None):
        self.values = np.asarray(values, float)
        self.variance = np.asarray(variance, float)
        self.time = np.asarray(time, float)
        self.operator = operator
        self.positions = None if positions is None else np.asarray(positions, float)

    def __check_init__(self):
        self._check_shapes()
        self._check_numbers()

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of times, and of observations at a time."""
        return self.values.shape[0], self.values.shape[1]

    def steps(self, dt: float) -> np.ndarray:
        """Return the number of time steps from the start of the run to each time.

        Raises:
            ValueError: A time is no multiple of dt.
        """
        steps = np.rint(self.time / dt).astype(int)
        off = ~np.isclose(steps * dt, self.time, rtol=1e-9, atol=1e-6 * dt)
        if off.any() or steps[0] < 1:
            first = int(np.argmax(off))
            raise ValueError(
                f"time {self.time[first]:g} of the observations is no positive multiple of the "
                f"model's dt = {dt:g}; round the times to steps, or choose dt so that it divides "
                "every interval."
            )
        return steps

    def between(self, first: float, last: float) -> "Observations":
        """Return the observations with first < time <= last."""
        kept = (self.time > first) & (self.time <= last)
        variance = self.variance[kept] if self.variance.ndim == 2 else self.variance
        return Observations(
            self.values[kept], variance, self.time[kept], self.operator, self.positions
        )

    def _check_shapes(self) -> None:
        shape = self.values.shape
        if self.values.ndim != 2 or 0 in shape:
            raise ValueError(
                f"values has shape {shape}; observations want (time, observation), one or more "
                "of each. For a single time write values[None]."
            )
        if self.time.shape != shape[:1]:
            raise ValueError(
                f"time has shape {self.time.shape} for values of shape {shape}; give one time "
                "per row of values."
            )
        if self.variance.shape not in (shape[1:], shape):
            raise ValueError(
                f"variance has shape {self.variance.shape}; wanted is {shape[1:]} or {shape}, as "
                "the values. For one number everywhere write np.full(count, number)."
            )
        if self.positions is not None and (
            self.positions.ndim != 2 or self.positions.shape[0] != shape[1]
        ):
            raise ValueError(
                f"positions has shape {self.positions.shape}; wanted is ({shape[1]}, coordinate), "
                "one row per observation. On a line write positions[:, None]."
            )

    def _check_numbers(self) -> None:
        bad = ~(self.variance > 0)
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"variance is {self.variance[where]:g} at {where}; an error variance must be "
                "positive. A perfect observation is one with a small variance, e.g. 1e-8; a "
                "missing one has the value NaN."
            )
        if np.isinf(self.values).any():
            raise ValueError("values holds infinities; mark missing observations with NaN.")
        if not (np.isfinite(self.time).all() and (np.diff(self.time) > 0).all()):
            place = int(np.argmax(~(np.diff(self.time) > 0)))
            raise ValueError(
                f"time does not increase after {self.time[place]:g}; sort the observations and "
                "put those of one time into one row."
            )
        if self.time[0] <= 0:
            raise ValueError(
                f"time begins at {self.time[0]:g}; a run starts at 0 and the first observation "
                "comes after it. Drop earlier ones with observations.between(0, last)."
            )

    def __repr__(self) -> str:
        times, count = self.sizes
        missing = np.isnan(self.values).mean()
        return (
            f"Observations: {count} at each of {times} times, {self.time[0]:g} to "
            f"{self.time[-1]:g}, {missing:.0%} missing, operator {type(self.operator).__name__}"
        )


class Observed(eqx.Module):
    """The observations of one time as a solver sees them: each weighs one over its deviation.

    Args:
        values: 0 where missing.
        weight: 1 / standard deviation of the error; 0 where missing.
        operator: State vector to (observation,).
    """

    values: Float[Array, "observation"]
    weight: Float[Array, "observation"]
    operator: Callable[[Array], Array]

    @classmethod
    def at_one_time(cls, values: Array, variance: Array, operator: Any) -> "Observed":
        """Return what a solver sees of one row of `Observations`."""
        missing = jnp.isnan(values)
        weight = jnp.where(missing, 0.0, 1 / jnp.sqrt(variance))
        return cls(jnp.where(missing, 0.0, values), weight, operator)

    def predict(self, ensemble: Float[Array, "state member"]) -> Float[Array, "observation member"]:
        """Return what each member says would be observed."""
        return jax.vmap(self.operator, in_axes=-1, out_axes=-1)(ensemble)

    def whiten(
        self, ensemble: Float[Array, "state member"]
    ) -> tuple[Float[Array, "observation member"], Float[Array, "observation"]]:
        """Return predicted anomalies and the mean's departure, in units of the error."""
        predicted = self.predict(ensemble)
        mean = predicted.mean(axis=-1)
        anomalies = self.weight[:, None] * (predicted - mean[:, None])
        return anomalies, self.weight * (self.values - mean)

    def linearise(self, state: Float[Array, "state"]) -> Float[Array, "observation state"]:
        """Return the derivatives of the predictions at a state, in units of the error."""
        _, pull = jax.vjp(self.operator, state)
        return jax.vmap(lambda row: pull(row)[0])(jnp.diag(self.weight))


class Background(NamedTuple):
    """What is known before the first observation, for a solver to prepare itself with.

    Attributes:
        sample: Independent states of the climate, (state, instant).
        places: Where each number of the state lies, (state, coordinate); a row of NaN lies
            nowhere (a global parameter); None if nothing has a place.
        observed: Where each observation lies, (observation, coordinate), likewise.
        periods: Length of each coordinate that closes on itself, 0 for one that does not.
        sphere: Radius of the sphere whose longitude and latitude [degrees] the first two
            coordinates are; 0 for none.
    """

    sample: np.ndarray
    places: np.ndarray | None = None
    observed: np.ndarray | None = None
    periods: tuple[float, ...] = ()
    sphere: float = 0.0


class AbstractSolver(eqx.Module):
    """How an ensemble of forecasts is made to agree with the observations of one time.

    To write one that remembers nothing, derive from `AbstractMemorylessSolver` instead. Otherwise:
    (1) give `members`; (2) write `init` and `__call__`, pure functions of arrays with members last,
    which draw all randomness from the key; (3) if members do not count alike, return what they
    weigh from `weights`; (4) if it needs a climate or distances, return from `prepare` a copy that
    holds what it found there, and name those fields in `filled`. Solvers know no model.
    """

    members: eqx.AbstractVar[int]
    # Static settings that `prepare` alone reads, so that prepared solvers may share one program
    # although these differ; its arrays may then be filled up with zeros.
    spent: ClassVar[tuple[str, ...]] = ()
    # Fields that `prepare` fills: no settings, although they can be given.
    filled: ClassVar[tuple[str, ...]] = ()

    @property
    def propagates(self) -> bool:
        """Whether the model carries the analysis on to the next time."""
        return True

    @property
    def keeps_members(self) -> bool:
        """Whether analysis i is that of forecast i: not where members are mixed or resampled."""
        return True

    def prepare(self, background: Background) -> "AbstractSolver":
        """Return the solver with what it needs of the background, found once, outside jit."""
        return self

    @abstractmethod
    def init(self, ensemble: Float[Array, "state member"]) -> Any:
        """Return the memory before the first analysis, any pytree of arrays."""

    @abstractmethod
    def __call__(
        self, ensemble: Float[Array, "state member"], observed: Observed, memory: Any, key: Array
    ) -> tuple[Float[Array, "state member"], Any]:
        """Return the ensemble of analyses, and the memory after it."""

    def weights(self, memory: Any) -> Float[Array, "member"] | None:
        """Return what each member counts for, adding up to 1; None where they count alike."""
        return None

    def moments(
        self, analysis: Float[Array, "state member"], memory: Any
    ) -> tuple[Float[Array, "state"], Float[Array, "state"]]:
        """Return mean and spread of an analysis; of its members with their weights, unless better.

        A solver that draws new members after it has weighed the old ones knows both without the
        noise of the draw; write this for it.
        """
        weights = self.weights(memory)
        return mean_of(analysis, weights), spread_of(analysis, weights)

    def report(self, memory: Any) -> dict[str, Array]:
        """Return numbers worth keeping of each analysis, by name, e.g. the inflation found."""
        return {}


class AbstractMemorylessSolver(AbstractSolver):
    """A solver that is a function of the forecast and the observations alone: write `analyse`."""

    @abstractmethod
    def analyse(
        self, ensemble: Float[Array, "state member"], observed: Observed, key: Array
    ) -> Float[Array, "state member"]:
        """Return the ensemble of analyses."""

    def init(self, ensemble: Float[Array, "state member"]) -> Any:
        return ()

    def __call__(self, ensemble, observed, memory, key):
        return self.analyse(ensemble, observed, key), memory
