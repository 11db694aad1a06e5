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
from closura.export.translate import Layout
from closura.nets.forest import TreeTable

WANTED = 1000  # real states that an export is held to
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
    """Return at least `WANTED` cases, or all there are, evenly spread over the pairs.

    The closure is called as a model calls it, on whole fields. Call it with JAX's 64 bits on.

    Args:
        closure: As it was trained, or `in_double` of it.
        layout: How columns are gathered.
        pairs: Where states are taken from: the first ones, then the next where they do not do.
        single: Round the inputs and the memory to float32 first.
    """
    fields = _states(layout, pairs)
    count = len(next(iter(fields.values())))
    rounded = (lambda a: a.astype(np.float32).astype(float)) if single else (lambda a: a)
    fields = {name: jnp.asarray(rounded(array)) for name, array in fields.items()}
    keys = jax.random.split(jax.random.key(0), (2, count))
    memory = jax.vmap(lambda one, key: closure.init(one, key))(fields, keys[0])
    memory = jax.tree.map(lambda a: jnp.asarray(rounded(np.asarray(a))), memory)
    found, after, normal = _call(closure, fields, memory, keys[1])
    inputs, tendencies = _gather(layout, fields), _collect(layout, found)
    memory, normal, after = (_rows(closure, tree, len(inputs)) for tree in (memory, normal, after))
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


def _states(layout: Layout, pairs: Sequence[Pairs]) -> dict[str, np.ndarray]:
    """Return fields (instant, *field) that give enough columns."""
    each = 1 if layout.whole else int(np.prod(layout.fields[0][1]))
    wanted, pieces = -(-WANTED // each), []
    for source in pairs:
        if wanted > 0:
            count = min(wanted, len(source))
            pieces.append(_spread(layout, source, count))
            wanted -= count
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _spread(layout: Layout, pairs: Pairs, count: int) -> dict[str, np.ndarray]:
    chosen = np.linspace(0, len(pairs) - 1, count).round().astype(int)
    series, time = np.divmod(chosen, len(pairs.time))
    found = {name: np.asarray(a)[series, time].astype(float) for name, a in pairs.inputs.items()}
    for name, shape in layout.fields:  # noise looks at the shape of the field that it acts on
        found.setdefault(name, np.zeros((count, *shape)))
    return found


@eqx.filter_jit
def _call(closure: AbstractClosure, fields: Any, memory: Any, keys: Any) -> Any:
    """Return tendencies, the memory afterwards, and the normal numbers that it was advanced by."""
    plain = Sum(tuple(_unit(term) for term in terms(closure)))
    whole = closure if isinstance(closure, Sum) else None

    def one(fields: Any, memory: Any, key: Any) -> Any:
        tendency, after = closure(fields, None, memory, key)
        several = memory if whole is not None else (memory,)
        if whole is not None:
            _, normal = plain(fields, None, several, key)
        else:
            normal = plain.terms[0](fields, None, memory, key)[1]
        return tendency, after, normal

    return jax.vmap(one)(fields, memory, keys)


def _unit(term: AbstractClosure) -> AbstractClosure:
    """Return noise that remembers nothing but its last draw of N(0, 1); other terms as they are."""
    if not isinstance(term, AR1Noise):
        return term
    zero, one = (dict.fromkeys(term.phi, jnp.asarray(value)) for value in (0.0, 1.0))
    return AR1Noise(zero, one)


def _rows(closure: AbstractClosure, memory: Any, columns: int) -> np.ndarray:
    """Return a memory as (column, row), in the order of the file."""
    several = memory if isinstance(closure, Sum) else (memory,)
    found = [
        np.asarray(held[name]).reshape(columns, -1)
        for term, held in zip(terms(closure), several, strict=True)
        if isinstance(term, AR1Noise)
        for name in sorted(term.phi)
    ]
    return np.concatenate([np.zeros((columns, 0)), *found], axis=1)


def _gather(layout: Layout, fields: Any) -> np.ndarray:
    """Return the inputs of every column, (column, input), as the host must gather them."""
    count = len(next(iter(fields.values())))
    points = 1 if layout.whole else int(np.prod(layout.fields[0][1]))
    if not layout.inputs:
        return np.zeros((count * points, 0))
    columns = []
    for name, index in layout.inputs:
        values = np.asarray(fields[name])
        if layout.whole:
            place: tuple[Any, ...] = (slice(None), *(number - 1 for number in index))
            columns.append(values[place])
        else:
            back = tuple(-shift for shift in index)
            columns.append(np.roll(values, back, axis=tuple(range(1, values.ndim))).ravel())
    return np.stack(columns, axis=1)


def _collect(layout: Layout, tendencies: Any) -> np.ndarray:
    """Return the outputs of every column, (column, output)."""
    found = [np.asarray(tendencies[name]) for name, _ in layout.fields]
    if layout.whole:
        return np.concatenate([values.reshape(len(values), -1) for values in found], axis=1)
    return np.stack([values.ravel() for values in found], axis=1)
