"""What calibrators with an ensemble share: the loop, members that failed, what is noted."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from closura.core.calibrate import AbstractCalibrator, Measurement, Problem
from closura.core.members import draw_dead
from closura.core.posterior import Ensemble

RENEWAL = (
    2**31 - 5
)  # folded into the key of an iteration for members that take a failed one's place
MOVE = 2**31 - 6  # and for what the update draws
NOTED = ("positions", "predictions", "misfit", "failed")


class Simulated(NamedTuple):
    """Members and what they predict, those that failed replaced.

    Attributes:
        positions: (number, member).
        predictions: Statistics, (statistic, member).
        misfit: Half the squared departure from what was measured, in units of the error; (member,).
        failed: Number of members that were replaced.
    """

    positions: Float[Array, "number member"]
    predictions: Float[Array, "statistic member"]
    misfit: Float[Array, "member"]
    failed: Int[Array, ""]


class AbstractEnsembleCalibrator(AbstractCalibrator):
    """A calibrator that moves an ensemble drawn from the prior, iteration by iteration.

    To write one: (1) declare `members` and `iterations`; (2) write `move`; (3) if it may stop
    early, write `finished`. A member whose statistics are not finite is replaced, together with
    its statistics, by a draw from the normal distribution of the others, and counted.

    History, iterations first: ``positions`` (iteration, number, member) that were simulated and
    their ``predictions`` (iteration, statistic, member), ``misfit`` (iteration, member), ``step``
    and ``failed`` (iteration,). The last positions, after the last update, are the `Ensemble`.
    """

    members: eqx.AbstractVar[int]
    iterations: eqx.AbstractVar[int]

    def __check_init__(self):
        check_counts(self, members=2, iterations=1)

    @abstractmethod
    def move(
        self,
        measurement: Measurement,
        simulated: Simulated,
        total: Float[Array, ""],
        key: Array,
    ) -> tuple[Float[Array, "number member"], Float[Array, ""]]:
        """Return the next positions and the length of the step, given the length of all before."""

    def finished(self, total: float) -> bool:
        """Return whether no further iteration is wanted after steps of this total length."""
        return False

    def solve(self, problem: Problem, *, key: Array) -> Ensemble:
        begin, key = jax.random.split(key)
        positions = problem.prior.draw(self.members, key=begin)
        total, notes = 0.0, []
        for iteration in range(self.iterations):
            now = jax.random.fold_in(key, iteration)
            simulated = simulate_members(problem, positions, now)
            check_alive(type(self).__name__, simulated.failed, self.members, iteration)
            positions, step = _move(self, problem.measurement, simulated, jnp.asarray(total), now)
            notes.append({name: getattr(simulated, name) for name in NOTED} | {"step": step})
            total += float(step)
            if self.finished(total):
                break
        history = {name: jnp.stack([row[name] for row in notes]) for name in notes[0]}
        return Ensemble(prior=problem.prior, members=positions, history=history)


def simulate_members(problem: Problem, positions: Array, key: Array) -> Simulated:
    """Return the members with their statistics; those that are not finite are drawn anew."""
    return _complete(problem.measurement, positions, problem.predict(positions, key), key)


@eqx.filter_jit
def _complete(measurement: Measurement, positions: Array, predictions: Array, key: Array):
    alive = jnp.isfinite(predictions).all(axis=0)
    both = jnp.concatenate([positions, predictions])
    key = jax.random.fold_in(key, RENEWAL)
    renewed = jax.lax.cond(alive.all(), lambda *_: both, draw_dead, both, alive, key)
    positions, predictions = jnp.split(renewed, [len(positions)])
    misfit = (measurement.departure(predictions) ** 2).sum(axis=0) / 2
    return Simulated(positions, predictions, misfit, alive.size - alive.sum())


@eqx.filter_jit
def _move(calibrator, measurement, simulated, total, key):
    key = jax.random.fold_in(key, MOVE)
    return calibrator.move(measurement, simulated, total, key)


def check_alive(owner: str, failed: Array, members: int, iteration: int) -> None:
    """Raise unless two members or more gave finite statistics."""
    alive = members - int(failed)
    if alive < 2:
        raise ValueError(
            f"{owner}: {alive} of {members} simulations of iteration {iteration + 1} gave finite "
            "statistics, and 2 are needed; narrow the prior, or shorten the model's time step."
        )


def check_counts(owner: eqx.Module, **least: int) -> None:
    """Raise unless every named setting is a whole number, large enough (for `__check_init__`)."""
    for name, lowest in least.items():
        value = getattr(owner, name)
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise ValueError(
                f"{type(owner).__name__}: {name} is {value!r}; it must be a whole number, {lowest} "
                "or more."
            )
        if value < lowest:
            raise ValueError(
                f"{type(owner).__name__}: {name} is {value}; it must be {lowest} or more."
            )


def check_derivative(
    owner: str, derivative: Callable[[Array], Any], problem: Problem, remedy: str
) -> None:
    """Raise unless a derivative by the position can be traced through the simulator."""
    try:
        eqx.filter_eval_shape(derivative, jnp.zeros(problem.prior.size))
    except (ValueError, TypeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{owner}: the simulator cannot be differentiated; {remedy}. JAX says: {reason}"
        ) from error


def standardise(
    measurement: Measurement, simulated: Simulated
) -> tuple[Float[Array, "statistic member"], Float[Array, "statistic member"]]:
    """Return departures (measured minus predicted) and anomalies of the predictions.

    Both are in units of the error.
    """
    departures = measurement.departure(simulated.predictions)
    return departures, departures.mean(axis=-1, keepdims=True) - departures
