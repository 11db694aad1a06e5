"""Recorded cases: real states through the closure itself, for the shipped thing to repeat."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from closura.closures.stochastic import AR1Noise
from closura.core.closure import AbstractClosure, Sum, terms
from closura.core.learner import Pairs
from closura.export.layout import Layout, channels, collect, gather, rows_of
from closura.export.states import spread_states
from closura.nets.forest import TreeTable

MAGIC, VERSION = b"CLOSCASE", 1


class Cases(NamedTuple):
    """Columns, and what the closure made of them, all (column, row) in float64.

    Args:
        inputs: What the host hands over.
        memory: What it remembers; no rows if there is no noise.
        normal: Random numbers from N(0, 1) that the memory advances by.
        tendencies: What the closure returns.
        after: The memory one time step later.
    """

    inputs: np.ndarray
    memory: np.ndarray
    normal: np.ndarray
    tendencies: np.ndarray
    after: np.ndarray


def record(
    closure: AbstractClosure, layout: Layout, pairs: Sequence[Pairs], *, single: bool = False
) -> Cases:
    """Return at least 1000 cases, evenly spread over the pairs (see `spread_states`).

    The closure is called as a model calls it, on whole fields. Call it with JAX's 64 bits on.

    Args:
        closure: As it was trained, or `in_double` of it.
        layout: How columns are gathered.
        pairs: Where states are taken from: the first ones, then the next where they do not do.
        single: Round the inputs and the memory to float32 first.
    """
    fields, given = spread_states(layout.fields, pairs, columns=layout.points)
    count = len(next(iter(fields.values())))
    rounded = (lambda a: a.astype(np.float32).astype(float)) if single else (lambda a: a)
    fields = {name: jnp.asarray(rounded(array)) for name, array in fields.items()}
    keys = jax.random.split(jax.random.key(0), (2, count))
    memory = jax.vmap(lambda one, key: closure.init(one, key))(fields, keys[0])
    memory = jax.tree.map(lambda a: jnp.asarray(rounded(np.asarray(a))), memory)
    found, after, normal, tables = _call(closure, layout.columns, fields, given, memory, keys[1])
    inputs, tendencies = gather(layout, fields, tables), collect(layout, found)
    if single and layout.columns:  # what the place and the calendar tell is rounded too
        inputs = rounded(inputs)
    memory, normal, after = (
        _rows(closure, layout, tree, len(inputs)) for tree in (memory, normal, after)
    )
    return Cases(inputs, memory, normal, tendencies, after)


def in_double(closure: AbstractClosure) -> AbstractClosure:
    """Return a closure whose numbers are all float64; trees stay: they branch in float32."""

    def cast(leaf: Any) -> Any:
        return leaf.astype(jnp.float64) if eqx.is_inexact_array(leaf) else leaf

    def whole(node: Any) -> bool:
        return isinstance(node, TreeTable)

    return jax.tree.map(lambda n: n if whole(n) else cast(n), closure, is_leaf=whole)


def write_cases(path: Path, double: Cases, single: Cases, tolerances: tuple[float, float]) -> None:
    """Write cases as the driver reads them: magic, sizes, tolerances, and two sets of arrays."""
    sizes = [VERSION, *(a.shape[1] for a in (double.inputs, double.tendencies, double.memory)),
             len(double.inputs), 0]  # fmt: skip
    parts = [MAGIC, np.array(sizes, "<i4").tobytes(), np.array(tolerances, "<f8").tobytes()]
    parts += [array.astype("<f8").tobytes() for cases in (double, single) for array in cases]
    path.write_bytes(b"".join(parts))


@eqx.filter_jit
def _call(
    closure: AbstractClosure, columns: Any, fields: Any, given: Any, memory: Any, keys: Any
) -> Any:
    """Return tendencies, the memory afterwards, the normal numbers in it, and gathered columns."""
    plain = Sum(tuple(_unit(term) for term in terms(closure)))
    whole = closure if isinstance(closure, Sum) else None

    def one(fields: Any, given: Any, memory: Any, key: Any) -> Any:
        tables = [channels(features, fields, given) for features in columns]
        tendency, after = closure(fields, given, memory, key)
        several = memory if whole is not None else (memory,)
        if whole is not None:
            _, normal = plain(fields, given, several, key)
        else:
            normal = plain.terms[0](fields, given, memory, key)[1]
        return tendency, after, normal, tables

    return jax.vmap(one)(fields, given, memory, keys)


def _unit(term: AbstractClosure) -> AbstractClosure:
    """Return noise that remembers nothing but its last draw of N(0, 1); other terms as they are."""
    if not isinstance(term, AR1Noise):
        return term
    zero, one = (dict.fromkeys(term.phi, jnp.asarray(value)) for value in (0.0, 1.0))
    return AR1Noise(zero, one)


def _rows(closure: AbstractClosure, layout: Layout, memory: Any, columns: int) -> np.ndarray:
    """Return a memory as (column, row), in the order of the file."""
    several = memory if isinstance(closure, Sum) else (memory,)
    found = [
        rows_of(layout, name, np.asarray(held[name]))
        for term, held in zip(terms(closure), several, strict=True)
        if isinstance(term, AR1Noise)
        for name in sorted(term.phi)
    ]
    return np.concatenate([np.zeros((columns, 0)), *found], axis=1)
