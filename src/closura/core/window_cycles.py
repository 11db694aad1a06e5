"""Window after window: revise the beginning, carry it through, move on; as one scan."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from closura.core.cycles import Cycles
from closura.core.journey import Journey, launch
from closura.core.members import add_vectors, mean_of, spread_of, unraveller, vectors_of
from closura.core.model import AbstractModel, Snapshot
from closura.core.problem import Observations
from closura.core.windows import AbstractWindowSolver, Window

ANALYSIS = 2**31 - 3  # folded into the key of a run for what the solver draws
RENEWAL = 2**31 - 4  # and for members that take the place of dead ones


class _Rows(NamedTuple):
    """What each window sees: (window, time, observation), and steps between times."""

    values: Array
    weight: Array
    newest: Array
    gaps: Array


class _Carry(NamedTuple):
    """What goes from window to window: its beginning, and the forecast through it."""

    snapshot: Snapshot
    forecast: Array
    errors: Array | None
    memory: Any
    dead: Array


def run_windows(
    model: AbstractModel,
    snapshot: Snapshot,
    observations: Observations,
    solver: AbstractWindowSolver,
    inputs: Any,
    keys: Array,
    key: Array,
    keep: bool,
) -> tuple[Cycles, Snapshot]:
    """Assimilate observations into an ensemble, window by window; see `run_cycles`.

    A window begins at a time of observation (the first ones: at the start of the run) and holds
    the next `window` of them. The forecast of a time is that of the window before; the analysis
    that of the first window that saw it; the smoothed state that of the last window that revised
    it. A member that is not finite at some time of a window is dead.
    """
    _check_window(solver, observations)
    steps = observations.steps(model.dt)
    dtype = jax.tree.leaves(model.fields(snapshot.state))[0].dtype
    gaps = np.diff(steps, prepend=0)
    rows = _lay_out(solver, observations, gaps, dtype)
    journey = Journey(model, inputs, keys, int(gaps.max()), bool((gaps == gaps[0]).all()))
    cycles, last = _run(journey, solver, observations.operator, snapshot, rows, key, keep)
    return _in_order(solver, cycles, observations.sizes[0]), last


def _check_window(solver: AbstractWindowSolver, observations: Observations) -> None:
    if solver.window > observations.sizes[0]:
        raise ValueError(
            f"{type(solver).__name__}: window is {solver.window} and there are observations at "
            f"{observations.sizes[0]} times; the window must hold no more. Give a longer series."
        )


def _empty_places(solver: AbstractWindowSolver, times: int) -> int:
    """Return how many places before the first time the first window has."""
    return solver.window - solver.shift + (-times) % solver.shift


def _lay_out(
    solver: AbstractWindowSolver, observations: Observations, gaps: np.ndarray, dtype: Any
) -> _Rows:
    """Return what each window sees; places before the start and after the end are empty.

    In a sweep the values and their variances are traced; when they were seen is always known.
    """
    window, shift, times = solver.window, solver.shift, observations.sizes[0]
    empty = _empty_places(solver, times)
    begins = shift * np.arange(-(-times // shift))[:, None]
    missing = jnp.full((empty, observations.sizes[1]), jnp.nan, dtype)
    values = jnp.concatenate([missing, jnp.asarray(observations.values, dtype)])
    variance = jnp.broadcast_to(jnp.asarray(observations.variance, dtype), observations.sizes)
    weight = jnp.concatenate([jnp.zeros_like(missing), 1 / jnp.sqrt(variance)])
    weight = jnp.where(jnp.isnan(values), 0.0, weight)
    used = window if solver.multiple else shift
    place = np.arange(window - used, window)
    seen = begins + place
    # A time is seen once in each window that holds it: at places a shift apart.
    share = 1 / np.array([len(range(p % shift, window, shift)) for p in place])
    share = share if solver.multiple else np.ones_like(share)
    padded = np.concatenate([np.zeros(empty, int), gaps, np.zeros(shift, int)])
    return _Rows(
        values=jnp.nan_to_num(values)[seen],
        weight=weight[seen] * jnp.asarray(np.sqrt(share)[:, None], dtype),
        newest=values[begins + np.arange(window - shift, window)],
        gaps=jnp.asarray(padded[begins + np.arange(window + shift)], jnp.int32),
    )


@eqx.filter_jit
def _run(journey: Journey, solver, operator, snapshot, rows: _Rows, key, keep: bool):
    model, window, shift = journey.model, solver.window, solver.shift
    unravel = unraveller(model, snapshot)

    def observe(vector: Array) -> Array:
        return operator(unravel(vector))

    def cycle(carry: _Carry, row: _Rows) -> tuple[_Carry, Cycles]:
        begin, now = carry.snapshot, _key_of(key, carry.snapshot, row.gaps[:window])
        view = _view(journey, begin, carry, row, observe, window)
        ensemble = vectors_of(model, begin)
        revised = solver.revise(ensemble, view, carry.memory, jax.random.fold_in(now, ANALYSIS))
        begin = add_vectors(model, begin, unravel, revised.ensemble - ensemble)
        errors = _longer(revised.errors, shift)
        begin, later, states, dead = launch(
            journey, begin, row.gaps, errors, shift, jax.random.fold_in(now, RENEWAL)
        )
        newest = slice(window - shift, window)
        record = _record(
            solver, carry, revised.memory, carry.forecast[newest], states[newest],
            row.newest, observe, keep,
        )._replace(**_final(model, begin, states, errors, shift))  # fmt: skip
        kept = None if errors is None else errors[shift:]
        return _Carry(later, states[shift:], kept, revised.memory, dead), record

    first = rows.gaps[0, :window]
    ensemble = vectors_of(model, snapshot)
    errors = _no_errors(solver, ensemble)
    now = jax.random.fold_in(_key_of(key, snapshot, first), RENEWAL)
    start, _, states, dead = launch(journey, snapshot, first, errors, 0, now)
    carry = _Carry(start, states, errors, solver.init(vectors_of(model, start)), dead)
    last, cycles = lax.scan(cycle, carry, rows)
    tail = jnp.concatenate([vectors_of(model, last.snapshot)[None], last.forecast])
    return _with_tail(solver, cycles, last, tail[: window - shift + 1]), last.snapshot


def _key_of(key: Array, snapshot: Snapshot, gaps: Array) -> Array:
    """Return the key of a window, named after its newest time: several may begin at once."""
    return jax.random.fold_in(key, snapshot.step + gaps.sum())


def _no_errors(solver: AbstractWindowSolver, ensemble: Array) -> Array | None:
    if not solver.estimates_model_error:
        return None
    return jnp.zeros((solver.window, *ensemble.shape), ensemble.dtype)


def _longer(errors: Array | None, shift: int) -> Array | None:
    """Return the errors with nothing for the times that are not yet in the window."""
    if errors is None:
        return None
    return jnp.concatenate([errors, jnp.zeros_like(errors, shape=(shift, *errors.shape[1:]))])


def _view(journey: Journey, begin: Snapshot, carry: _Carry, row: _Rows, observe, window) -> Window:
    """Return the window as the solver sees it."""
    model, unravel = journey.model, unraveller(journey.model, begin)
    ensemble, gaps = vectors_of(model, begin), row.gaps[:window]

    def carried(vectors: Array, errors: Array | None = None) -> Array:
        moved = add_vectors(model, begin, unravel, vectors - ensemble)
        return journey.through(moved, gaps, errors, 0)[1]

    lengths = gaps * jnp.asarray(model.dt, ensemble.dtype)
    return Window(row.values, row.weight, observe, carried, carry.forecast, lengths, carry.errors)


def _record(
    solver, carry: _Carry, memory: Any, forecast: Array, analysis: Array, values: Array,
    observe: Any, keep: bool,
) -> Cycles:  # fmt: skip
    """Return what happened at the newest times, whose values these are."""
    before, after = solver.weights(carry.memory), solver.weights(memory)
    seen = jax.vmap(jax.vmap(observe, in_axes=-1, out_axes=-1))(forecast)
    return Cycles(
        mean_of(forecast, before),
        mean_of(analysis, after),
        spread_of(forecast, before),
        spread_of(analysis, after),
        spread_of(seen, before),
        values - mean_of(seen, before),
        jnp.zeros(len(values), carry.dead.dtype).at[0].set(carry.dead),
        (forecast, analysis) if keep else None,
    )


def _final(model, begin: Snapshot, states: Array, errors: Array | None, shift: int) -> dict:
    """Return what no later window revises: the beginning and what lies before the next one."""
    final = jnp.concatenate([vectors_of(model, begin)[None], states[: shift - 1]])
    return {
        "smoothed": (mean_of(final), spread_of(final)),
        "model_error": None if errors is None else mean_of(errors[:shift]),
    }


def _with_tail(solver, cycles: Cycles, last: _Carry, tail: Array) -> Cycles:
    """Return the record, flat in time, with what the last window leaves behind."""
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), cycles)
    assert flat.smoothed is not None
    mean, spread = flat.smoothed
    smoothed = (
        jnp.concatenate([mean, mean_of(tail)]),
        jnp.concatenate([spread, spread_of(tail)]),
    )
    replaced = flat.replaced.at[-1].set(
        _join_losses(flat.replaced[-1], last.dead, last.forecast.shape[-1])
    )
    flat = flat._replace(smoothed=smoothed, replaced=replaced)
    if last.errors is None:
        return flat
    left = mean_of(last.errors[: solver.window - solver.shift])
    return flat._replace(model_error=jnp.concatenate([flat.model_error, left]))


def _join_losses(first: Array, second: Array, members: int) -> Array:
    """Return the members lost on two ways; all of them only if all died on one."""
    most = jnp.where(jnp.maximum(first, second) < members, members - 1, members)
    return jnp.minimum(first + second, most)


def _in_order(solver: AbstractWindowSolver, cycles: Cycles, times: int) -> Cycles:
    """Return the record without the places before the first time; what died there counts at it."""
    smoothed, model_error = cycles.smoothed, cycles.model_error
    tail = jax.tree.map(lambda leaf: leaf[-times:], (smoothed, model_error))
    plain = cycles._replace(smoothed=None, model_error=None)
    early = plain.replaced[:-times].sum()
    plain = jax.tree.map(lambda leaf: leaf[-times:], plain)
    plain = plain._replace(replaced=plain.replaced.at[0].add(early))
    return plain._replace(smoothed=tail[0], model_error=tail[1])
