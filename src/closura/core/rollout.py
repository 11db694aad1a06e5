"""Run a model forward in memory: one compiled loop, no Python between time steps."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import lax
from jaxtyping import Array

from closura.core.closure import fold
from closura.core.inputs import AbstractInputs
from closura.core.model import AbstractModel, Snapshot

INITIAL = 2**31 - 2  # folded into a member's key to draw its initial state

Observe = Callable[[AbstractModel, Snapshot, Any], Any]


def fields_of(model: AbstractModel, snapshot: Snapshot, inputs: Any) -> Any:
    """Return the fields of a snapshot: what `rollout` stacks unless told otherwise."""
    return model.fields(snapshot.state)


def rollout(
    model: AbstractModel,
    snapshot: Snapshot,
    steps: int,
    *,
    every: int = 1,
    inputs: Any = None,
    key: Array | None = None,
    members: bool = False,
    observe: Observe = fields_of,
) -> tuple[Any, Snapshot]:
    """Advance a snapshot by a number of steps and stack every n-th state.

    Args:
        model: Any model.
        snapshot: Where to start; the last snapshot of another rollout continues it bit for bit.
        steps: Number of time steps, a multiple of `every`.
        every: Number of steps between two states that are kept.
        inputs: What the model or its closures read (see `Series` and `Inputs`), or None.
        key: The run's key (one per member, along the first axis, if `members`). A run that is
            continued takes the key that it began with.
        members: The last axis of every array in the snapshot counts ensemble members.
        observe: ``(model, snapshot, inputs) -> pytree`` to stack; the fields by default.

    Returns:
        The stacked states (time first; after `every`, 2 `every`, ... steps), and the last Snapshot.

    Raises:
        ValueError: `steps` is not a multiple of `every`, or the inputs do not cover the run.
    """
    if every < 1 or steps < 0 or steps % every:
        raise ValueError(
            f"steps is {steps} and every is {every}; steps must be a multiple of every, "
            "and every at least 1."
        )
    if inputs is not None and not isinstance(snapshot.step, jax.core.Tracer):
        first = int(snapshot.step)
        inputs.check_covers(first, first + steps)
        if isinstance(inputs, AbstractInputs):
            inputs = inputs.between(first, first + steps)
    return _rollout(model, snapshot, inputs, key, steps // every, every, members, observe)


@eqx.filter_jit
def _rollout(model, snapshot, inputs, key, saves: int, every: int, members: bool, observe):
    def one_step(carry: Snapshot, _: None) -> tuple[Snapshot, None]:
        present = None if inputs is None else inputs.at(carry.step)
        return step_members(model, carry, present, key, members), None

    def one_save(carry: Snapshot, _: None) -> tuple[Snapshot, Any]:
        carry, _ = lax.scan(one_step, carry, None, length=every)
        present = None if inputs is None else inputs.at(carry.step)
        if not members:
            return carry, observe(model, carry, present)
        over = Snapshot(-1, None, -1)  # type: ignore[arg-type]
        look = jax.vmap(lambda s: observe(model, s, present), in_axes=(over,), out_axes=-1)
        return carry, look(carry)

    last, states = lax.scan(one_save, snapshot, None, length=saves)
    return states, last


def step_members(
    model: AbstractModel, snapshot: Snapshot, inputs: Any, key: Array | None, members: bool
) -> Snapshot:
    """Advance one snapshot, or one whose arrays hold members on the last axis, by one step."""
    if not members:
        return model.step(snapshot, inputs, key)
    axes = Snapshot(-1, None, -1)  # type: ignore[arg-type]
    keys = None if key is None else 0
    step = jax.vmap(lambda s, k: model.step(s, inputs, k), in_axes=(axes, keys), out_axes=axes)
    return step(snapshot, key)


def member_keys(key: Array, members: int, first: int = 0) -> Array:
    """Return one key per member; a member's key depends on its number alone."""
    return _keys(key, np.arange(first, first + members))


@jax.jit
def _keys(key: Array, numbers: Array | np.ndarray) -> Array:
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)


def start_members(
    model: AbstractModel, keys: Array, *, states: Any = None, inputs: Any = None
) -> Snapshot:
    """Return a snapshot with one member per key, on the last axis of every array.

    Args:
        model: Any model.
        keys: One key per member (see `member_keys`).
        states: States to start from, members last; drawn by `initial_state` if None.
        inputs: Inputs at step 0.
    """
    return _start_members(model, keys, states, inputs)


@eqx.filter_jit
def _start_members(model, keys, states, inputs):
    if states is None:
        drawn = jax.vmap(lambda k: model.initial_state(fold(k, INITIAL)), out_axes=-1)
        states = drawn(keys)
    axes = Snapshot(-1, None, -1)  # type: ignore[arg-type]
    begin = jax.vmap(lambda s, k: model.start(s, k, inputs), in_axes=(-1, 0), out_axes=axes)
    return begin(states, keys)
