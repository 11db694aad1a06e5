"""An ensemble as vectors: its fields laid out, its statistics, and its dead members replaced."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from closura.core.batch import any_in_batch
from closura.core.model import AbstractModel, Snapshot

Unravel = Callable[[Array], Any]


def one_member(fields: Any) -> Any:
    """Return the first member of fields that hold members on the last axis."""
    return jax.tree.map(lambda leaf: leaf[..., 0], fields)


def ravel_members(fields: Any) -> Float[Array, "state member"]:
    """Return fields with members on the last axis as one vector a member."""
    return jax.vmap(lambda member: ravel_pytree(member)[0], in_axes=-1, out_axes=-1)(fields)


def vectors_of(model: AbstractModel, snapshot: Snapshot) -> Float[Array, "state member"]:
    """Return the fields of a snapshot as one vector a member."""
    return ravel_members(model.fields(snapshot.state))


def unraveller(model: AbstractModel, snapshot: Snapshot) -> Unravel:
    """Return what turns one vector into the fields of one member."""
    return ravel_pytree(one_member(model.fields(snapshot.state)))[1]


def add_vectors(
    model: AbstractModel,
    snapshot: Snapshot,
    unravel: Unravel,
    increments: Float[Array, "state member"],
) -> Snapshot:
    """Return the snapshot with increments of the fields added, member by member."""

    def add(state: Any, increment: Array) -> Any:
        fields = unravel(increment)
        named = fields if isinstance(fields, dict) else fields._asdict()
        return model.add(state, named)

    state = jax.vmap(add, in_axes=-1, out_axes=-1)(snapshot.state, increments)
    return snapshot._replace(state=state)


def replace_members(
    model: AbstractModel,
    snapshot: Snapshot,
    unravel: Unravel,
    alive: Bool[Array, "member"],
    key: Array,
) -> Snapshot:
    """Return the snapshot with dead members drawn anew from the normal distribution of the others.

    The memory of a new member is that of a living one. Where all are alive, or fewer than two,
    nothing changes.
    """

    def renew(snapshot: Snapshot) -> Snapshot:
        order = jnp.argsort(~alive)
        source = order[jnp.arange(alive.size) % jnp.maximum(alive.sum(), 1)]
        source = jnp.where(alive, jnp.arange(alive.size), source)
        state, memory = jax.tree.map(
            lambda leaf: leaf[..., source], (snapshot.state, snapshot.memory)
        )
        copied = snapshot._replace(state=state, memory=memory)
        vectors = vectors_of(model, snapshot)
        renewed = draw_dead(vectors, alive, key)
        wanted = jnp.where(alive, 0.0, renewed - vectors[:, source])
        return add_vectors(model, copied, unravel, wanted)

    return lax.cond(any_in_batch(some_dead(alive)), renew, lambda snapshot: snapshot, snapshot)


def draw_dead(
    values: Float[Array, "number member"], alive: Bool[Array, "member"], key: Array
) -> Float[Array, "number member"]:
    """Return values with dead members drawn from the normal distribution of the living ones."""
    count = alive.sum()
    mean = jnp.where(alive, values, 0.0).sum(axis=-1, keepdims=True) / jnp.maximum(count, 1)
    anomalies = jnp.where(alive, values - mean, 0.0)
    normal = jax.random.normal(key, (alive.size, alive.size), values.dtype)
    drawn = mean + anomalies @ normal / jnp.sqrt(jnp.maximum(count - 1, 1))
    return jnp.where(alive, values, drawn)


def some_dead(alive: Bool[Array, "member"]) -> Bool[Array, ""]:
    """Return whether there are dead members, and two living ones or more to draw them from."""
    return ~alive.all() & (alive.sum() >= 2)


def count_dead(alive: Bool[Array, "member"]) -> Int[Array, ""]:
    """Return the number of dead members: all of them where fewer than two of several live.

    One survivor has no spread to draw the others from; they would be its copies for ever.
    """
    living = alive.sum()
    return jnp.where(living < min(2, alive.size), alive.size, alive.size - living)


def living(snapshot: Snapshot) -> Bool[Array, "member"]:
    """Return which members are finite in state and memory."""
    return finite_members(snapshot.state) & finite_members(snapshot.memory)


def finite_members(tree: Any) -> Bool[Array, "member"] | Bool[Array, ""]:
    """Return which members are finite in every array."""
    finite = [
        jnp.isfinite(leaf).all(axis=tuple(range(leaf.ndim - 1)))
        for leaf in jax.tree.leaves(tree)
        if jnp.issubdtype(leaf.dtype, jnp.inexact)
    ]
    return jnp.stack(finite).all(axis=0) if finite else jnp.asarray(True)


def mean_of(
    ensemble: Float[Array, "*shape member"], weights: Array | None = None
) -> Float[Array, "*shape"]:
    """Return the mean of the members, each with its weight."""
    return ensemble.mean(axis=-1) if weights is None else ensemble @ weights


def spread_of(
    ensemble: Float[Array, "*shape member"], weights: Array | None = None
) -> Float[Array, "*shape"]:
    """Return the standard deviation of the members, without bias; 0 for a single one."""
    if ensemble.shape[-1] == 1:
        return jnp.zeros(ensemble.shape[:-1], ensemble.dtype)
    if weights is None:
        return ensemble.std(axis=-1, ddof=1)
    mean = ensemble @ weights
    freedom = jnp.maximum(1 - (weights**2).sum(), jnp.finfo(ensemble.dtype).eps)
    return jnp.sqrt((ensemble - mean[..., None]) ** 2 @ weights / freedom)
