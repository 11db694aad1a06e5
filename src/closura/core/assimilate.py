"""Forecast and analysis in turn, from one time of observation to the next, as one scan."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from closura.core.closure import fold
from closura.core.model import AbstractModel, Snapshot
from closura.core.problem import AbstractSolver, Observations, Observed
from closura.core.rollout import step_members

ANALYSIS = 2**31 - 3  # folded into the key of a run for what the solver draws
RENEWAL = 2**31 - 4  # and for members that take the place of dead ones


class Cycles(NamedTuple):
    """What happened at each time of observation; fields are vectors here, time comes first.

    Attributes:
        forecast: Mean before the analysis.
        analysis: Mean after it.
        forecast_spread: Standard deviation of the members before it.
        analysis_spread: The same after it.
        innovation: Observation minus prediction of the forecast's mean; NaN where missing.
        replaced: Number of members that were not finite and were drawn anew.
        report: What the solver says of each analysis, by name.
        members: Forecasts and analyses of all members, on the last axis; None unless kept.
    """

    forecast: Float[Array, "time state"]
    analysis: Float[Array, "time state"]
    forecast_spread: Float[Array, "time state"]
    analysis_spread: Float[Array, "time state"]
    innovation: Float[Array, "time observation"]
    replaced: Int[Array, "time"]
    report: dict[str, Array]
    members: tuple[Array, Array] | None


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
    """Assimilate observations into an ensemble, time by time.

    A member that is not finite is replaced before the analysis by a draw from the normal
    distribution of the others (their mean and covariance; the memory of one of them), and
    counted. Where none is left the run stays NaN and every member is counted.

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
        What happened, and the snapshot after the last analysis.
    """
    steps = observations.steps(model.dt)
    gaps = jnp.diff(jnp.asarray(steps, jnp.int32), prepend=0)
    regular = int(gaps[0]) if bool((gaps == gaps[0]).all()) else None
    if inputs is not None:
        inputs.check_covers(0, int(steps[-1]))
    dtype = jax.tree.leaves(model.fields(snapshot.state))[0].dtype
    variance = jnp.broadcast_to(observations.variance, observations.sizes)
    rows = (jnp.asarray(observations.values, dtype), jnp.asarray(variance, dtype), gaps)
    return _run(
        model, solver, observations.operator, snapshot, rows, inputs, keys, key, regular,
        keep_members,
    )  # fmt: skip


@eqx.filter_jit
def _run(
    model, solver, operator, snapshot, rows, inputs, keys, key, regular: int | None, keep: bool
):
    _, unravel = ravel_pytree(one_member(model.fields(snapshot.state)))

    def observe(vector: Array) -> Array:
        return operator(unravel(vector))

    def cycle(carry: tuple[Snapshot, Any], row: tuple[Array, Array, Array]) -> tuple[Any, Cycles]:
        (snapshot, memory), (values, variance, gap) = carry, row
        snapshot = _advance(model, solver, snapshot, inputs, keys, gap, regular)
        now = jax.random.fold_in(key, snapshot.step)
        snapshot, replaced = _replace_dead(model, snapshot, unravel, fold(now, RENEWAL))
        forecast = ravel_members(model.fields(snapshot.state))
        observed = Observed.at_one_time(values, variance, observe)
        before = solver.weights(memory)
        analysis, memory = solver(forecast, observed, memory, fold(now, ANALYSIS))
        after = solver.weights(memory)
        snapshot = _add(model, snapshot, unravel, analysis - forecast)
        return (snapshot, memory), Cycles(
            _mean(forecast, before),
            _mean(analysis, after),
            _spread(forecast, before),
            _spread(analysis, after),
            values - _mean(observed.predict(forecast), before),
            replaced,
            solver.report(memory),
            (forecast, analysis) if keep else None,
        )

    begin = solver.init(ravel_members(model.fields(snapshot.state)))
    (last, _), cycles = lax.scan(cycle, (snapshot, begin), rows)
    return cycles, last


def one_member(fields: Any) -> Any:
    """Return the first member of fields that hold members on the last axis."""
    return jax.tree.map(lambda leaf: leaf[..., 0], fields)


def ravel_members(fields: Any) -> Float[Array, "state member"]:
    """Return fields with members on the last axis as one vector a member."""
    return jax.vmap(lambda member: ravel_pytree(member)[0], in_axes=-1, out_axes=-1)(fields)


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


def _replace_dead(model, snapshot, unravel, key) -> tuple[Snapshot, Int[Array, ""]]:
    """Return the snapshot with members that are not finite drawn anew, and their number."""
    vectors = ravel_members(model.fields(snapshot.state))
    alive = _finite(snapshot.state) & _finite(snapshot.memory)
    dead = alive.size - alive.sum()

    def renew(snapshot: Snapshot) -> Snapshot:
        order = jnp.argsort(~alive)
        source = order[jnp.arange(alive.size) % jnp.maximum(alive.sum(), 1)]
        source = jnp.where(alive, jnp.arange(alive.size), source)
        state, memory = jax.tree.map(
            lambda leaf: leaf[..., source], (snapshot.state, snapshot.memory)
        )
        copied = snapshot._replace(state=state, memory=memory)
        drawn = _draw_like(jnp.where(alive, vectors, 0.0), alive, key)
        wanted = jnp.where(alive, 0.0, drawn - vectors[:, source])
        return _add(model, copied, unravel, wanted)

    some = (dead > 0) & (dead < alive.size)
    return lax.cond(some, renew, lambda snapshot: snapshot, snapshot), dead


def _draw_like(vectors: Array, alive: Bool[Array, "member"], key: Array) -> Array:
    """Return draws from the normal distribution of the living members, one a member."""
    count = alive.sum()
    mean = vectors.sum(axis=-1, keepdims=True) / jnp.maximum(count, 1)
    anomalies = jnp.where(alive, vectors - mean, 0.0)
    normal = jax.random.normal(key, (alive.size, alive.size), vectors.dtype)
    return mean + anomalies @ normal / jnp.sqrt(jnp.maximum(count - 1, 1))


def _finite(tree: Any) -> Bool[Array, "member"] | Bool[Array, ""]:
    """Return which members are finite in every array."""
    finite = [
        jnp.isfinite(leaf).all(axis=tuple(range(leaf.ndim - 1)))
        for leaf in jax.tree.leaves(tree)
        if jnp.issubdtype(leaf.dtype, jnp.inexact)
    ]
    return jnp.stack(finite).all(axis=0) if finite else jnp.asarray(True)


def _add(model, snapshot: Snapshot, unravel, increments: Float[Array, "state member"]) -> Snapshot:
    """Return the snapshot with increments of the fields added, member by member."""

    def add(state: Any, increment: Array) -> Any:
        fields = unravel(increment)
        named = fields if isinstance(fields, dict) else fields._asdict()
        return model.add(state, named)

    state = jax.vmap(add, in_axes=-1, out_axes=-1)(snapshot.state, increments)
    return snapshot._replace(state=state)


def _mean(ensemble: Array, weights: Array | None) -> Array:
    """Return the mean of the members, each with its weight."""
    return ensemble.mean(axis=-1) if weights is None else ensemble @ weights


def _spread(ensemble: Float[Array, "state member"], weights: Array | None) -> Float[Array, "state"]:
    """Return the standard deviation of the members, without bias; 0 for a single one."""
    if ensemble.shape[-1] == 1:
        return jnp.zeros(ensemble.shape[:1], ensemble.dtype)
    if weights is None:
        return ensemble.std(axis=-1, ddof=1)
    mean = ensemble @ weights
    freedom = jnp.maximum(1 - (weights**2).sum(), jnp.finfo(ensemble.dtype).eps)
    return jnp.sqrt((ensemble - mean[:, None]) ** 2 @ weights / freedom)
