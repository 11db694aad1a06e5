"""Forecast and analysis in turn, from one time of observation to the next, as one scan."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from closura.core.cycles import Cycles
from closura.core.members import (
    add_vectors,
    count_dead,
    living,
    mean_of,
    replace_members,
    spread_of,
    unraveller,
    vectors_of,
)
from closura.core.model import AbstractModel, Snapshot
from closura.core.problem import AbstractSolver, Observations, Observed
from closura.core.rollout import step_members
from closura.core.window_cycles import ANALYSIS, RENEWAL, run_windows
from closura.core.windows import AbstractSmoother, AbstractWindowSolver


def run_cycles(
    model: AbstractModel,
    snapshot: Snapshot,
    observations: Observations,
    solver: AbstractSolver,
    *,
    keys: Array,
    key: Array,
    inputs: Any = None,
    keep_members: bool = False,
) -> tuple[Cycles, Snapshot]:
    """Assimilate observations into an ensemble, time by time or window by window.

    A member that is not finite is replaced by a draw from the normal distribution of the others
    (the memory of one of them), and counted. Where fewer than two are left all count as dead.

    Args:
        model: Any model, a coupled one too; increments reach its state through `model.add`.
        snapshot: The ensemble at step 0, members on the last axis.
        observations: Their times are multiples of `model.dt`; irregular ones are no trouble.
        solver: Prepared, with as many members as the snapshot.
        keys: A key per member, for what the model draws.
        key: For what the solver draws, and for members that are replaced.
        inputs: `Series` that the model reads.
        keep_members: Whether to keep every member's forecasts and analyses.

    Returns:
        What happened, and the last snapshot; of windows the one where the next would begin.

    Raises:
        ValueError: A time is no multiple of dt, or the solver looks back further than they reach.
    """
    if inputs is not None:
        inputs.check_covers(0, int(observations.steps(model.dt)[-1]))
    if isinstance(solver, AbstractSmoother):
        _check_lag(solver, observations)
    rest = inputs, keys, key, keep_members
    if isinstance(solver, AbstractWindowSolver):
        return run_windows(model, snapshot, observations, solver, *rest)
    return _run_times(model, snapshot, observations, solver, *rest)


def _run_times(
    model, snapshot, observations: Observations, solver, inputs, keys, key, keep: bool
) -> tuple[Cycles, Snapshot]:
    """Assimilate observations time by time."""
    steps = observations.steps(model.dt)
    gaps = np.diff(steps, prepend=0).astype(np.int32)
    regular = int(gaps[0]) if bool((gaps == gaps[0]).all()) else None
    dtype = jax.tree.leaves(model.fields(snapshot.state))[0].dtype
    variance = jnp.broadcast_to(observations.variance, observations.sizes)
    rows = (
        jnp.asarray(observations.values, dtype),
        jnp.asarray(variance, dtype),
        jnp.asarray(gaps),
    )
    return _run(
        model, solver, observations.operator, snapshot, rows, inputs, keys, key, regular, keep
    )


@eqx.filter_jit
def _run(
    model, solver, operator, snapshot, rows, inputs, keys, key, regular: int | None, keep: bool
):
    unravel = unraveller(model, snapshot)

    def observe(vector: Array) -> Array:
        return operator(unravel(vector))

    def cycle(carry: tuple[Snapshot, Any], row: tuple[Array, Array, Array]) -> tuple[Any, Cycles]:
        (snapshot, memory), (values, variance, gap) = carry, row
        snapshot = _advance(model, solver, snapshot, inputs, keys, gap, regular)
        now = jax.random.fold_in(key, snapshot.step)
        alive = living(snapshot)
        snapshot = replace_members(
            model, snapshot, unravel, alive, jax.random.fold_in(now, RENEWAL)
        )
        forecast = vectors_of(model, snapshot)
        observed = Observed.at_one_time(values, variance, observe)
        before, predicted = solver.weights(memory), observed.predict(forecast)
        analysis, memory = solver(forecast, observed, memory, jax.random.fold_in(now, ANALYSIS))
        mean, spread = solver.moments(analysis, memory)
        snapshot = add_vectors(model, snapshot, unravel, analysis - forecast)
        return (snapshot, memory), Cycles(
            mean_of(forecast, before),
            mean,
            spread_of(forecast, before),
            spread,
            spread_of(predicted, before),
            values - mean_of(predicted, before),
            count_dead(alive),
            (forecast, analysis) if keep else None,
            _leaving(solver, memory),
            report=solver.report(memory),
        )

    begin = solver.init(vectors_of(model, snapshot))
    (last, memory), cycles = lax.scan(cycle, (snapshot, begin), rows)
    return cycles._replace(smoothed=_joined(solver, cycles.smoothed, memory)), last


def _advance(model, solver, snapshot, inputs, keys, gap, regular: int | None) -> Snapshot:
    """Return the forecast at the next time of observation."""
    if not solver.propagates:
        return snapshot._replace(step=snapshot.step + gap)

    def one_step(snapshot: Snapshot) -> Snapshot:
        present = None if inputs is None else inputs.at(snapshot.step)
        return step_members(model, snapshot, present, keys, True)

    if regular is not None:
        return lax.scan(lambda s, _: (one_step(s), None), snapshot, None, length=regular)[0]
    return lax.fori_loop(0, gap, lambda _, s: one_step(s), snapshot)


def _leaving(solver: AbstractSolver, memory: Any) -> tuple[Array, Array] | None:
    """Return mean and spread of the oldest ensemble that a smoother holds: it is final."""
    if not isinstance(solver, AbstractSmoother):
        return None
    oldest = solver.past(memory)[-1]
    return mean_of(oldest), spread_of(oldest)


def _joined(solver: AbstractSolver, left: Any, memory: Any) -> tuple[Array, Array] | None:
    """Return what left the memory, and what it holds at the end, in the order of time."""
    if not isinstance(solver, AbstractSmoother):
        return None
    held = solver.past(memory)[:-1][::-1]
    mean, spread = left
    return (
        jnp.concatenate([mean[solver.lag :], mean_of(held)]),
        jnp.concatenate([spread[solver.lag :], spread_of(held)]),
    )


def _check_lag(solver: AbstractSmoother, observations: Observations) -> None:
    if solver.lag >= observations.sizes[0]:
        raise ValueError(
            f"{type(solver).__name__}: lag is {solver.lag} and there are observations at "
            f"{observations.sizes[0]} times; the lag must be smaller. Give a longer series."
        )
