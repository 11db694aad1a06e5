"""A closure at its place in a coupled model: when it acts, what it holds and what is recorded."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from closura.core.closure import AbstractClosure


class Term(eqx.Module):
    """A closure with the place and the cadence at which it acts.

    Args:
        closure: What gives the tendency.
        at: ``"tendency"`` or ``"step"``, see `couple`.
        every: Time steps between two calls.
        record: Whether what it saw and gave is remembered.
        apply: Whether its tendency is added.
    """

    closure: AbstractClosure
    at: str = eqx.field(static=True)
    every: int = eqx.field(static=True)
    record: bool = eqx.field(static=True, default=False)
    apply: bool = eqx.field(static=True, default=True)


class Held(NamedTuple):
    """Memory of a term that acts every n-th step: its own, and the tendency held between."""

    memory: Any
    tendency: dict[str, Array]


class Recorded(NamedTuple):
    """Memory of a recorded term: its own, and what it saw and gave when it last acted.

    Attributes:
        memory: The closure's own memory.
        before: All fields as they were before it acted.
        added: The tendency that it gave, by field; zero before the first step.
    """

    memory: Any
    before: Any
    added: dict[str, Array]


def start_term(term: Term, fields: Any, inputs: Any, key: Array | None) -> Any:
    """Return a term's memory before the first step."""
    memory = term.closure.init(fields, key)
    if term.every == 1 and not term.record:
        return memory
    shapes = eqx.filter_eval_shape(term.closure, fields, inputs, memory, key)[0]
    nothing = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    if term.record:
        memory = Recorded(memory, fields, nothing)
    return memory if term.every == 1 else Held(memory, nothing)


def watched_memory(term: Term, memory: Any, fields: Any) -> Any:
    """Return a term's memory as it is when the term is recorded."""
    if term.record:
        return memory
    if term.every == 1:
        return Recorded(memory, fields, {})
    return Held(Recorded(memory.memory, fields, memory.tendency), memory.tendency)


def advance_term(term, step, fields, inputs, memory, key):
    """Return a term's tendency now and its memory one step later, holding where it must."""
    if not term.apply:  # what the run computes must not be fused with what it does not need
        fields = jax.lax.optimization_barrier(fields)
    if term.every == 1:
        return _act(term, fields, inputs, memory, key)

    def fresh(held: Held) -> Held:
        tendency, after = _act(term, fields, inputs, held.memory, key)
        return Held(after, tendency)

    held = jax.lax.cond(step % term.every == 0, fresh, lambda held: held, memory)
    return held.tendency, held


def _act(term: Term, fields: Any, inputs: Any, memory: Any, key: Array | None):
    """Return a term's tendency and its memory one step later, with the record if one is kept."""
    own = memory.memory if term.record else memory
    tendency, after = term.closure(fields, inputs, own, key)
    return tendency, Recorded(after, fields, tendency) if term.record else after
