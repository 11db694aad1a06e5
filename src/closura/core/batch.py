"""Many trees of arrays that differ in some numbers, side by side in one compiled call."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool


class Stack(eqx.Module):
    """Trees of one structure: what all share is held once, the rest along a first axis.

    Attributes:
        shared: The tree with None where the trees differ.
        varying: The tree with stacked arrays there, None elsewhere.
    """

    shared: Any
    varying: Any

    def __getitem__(self, number: int | Array) -> Any:
        chosen = jax.tree.map(lambda leaf: leaf[number], self.varying)
        return eqx.combine(self.shared, chosen)


def stack(trees: Sequence[Any], dtype: Any = None) -> Stack:
    """Return trees of one structure as a stack; arrays of unequal length are filled up with 0.

    A number that is the same in all stays a number, known when compiling; one that is not becomes
    an array of `dtype`.

    Raises:
        ValueError: The trees differ in more than numbers and arrays.
    """
    columns = [jax.tree.flatten(tree) for tree in trees]
    structure = columns[0][1]
    if len({other for _, other in columns}) > 1:
        raise ValueError("the trees differ in structure or in static settings; stack equals alone.")
    shared, varying = [], []
    for leaves in zip(*(leaves for leaves, _ in columns), strict=True):
        same = _equal(leaves)
        shared.append(leaves[0] if same else None)
        varying.append(None if same else _stacked(leaves, dtype))
    return Stack(jax.tree.unflatten(structure, shared), jax.tree.unflatten(structure, varying))


def _equal(leaves: Sequence[Any]) -> bool:
    first = leaves[0]
    if all(leaf is first for leaf in leaves[1:]):
        return True
    if not isinstance(first, float | np.ndarray | jax.Array):
        if any(leaf != first for leaf in leaves[1:]):
            raise ValueError(f"{first!r} is not the same in all trees, and no number or array.")
        return True
    if _is_key(first):
        return False
    return all(
        leaf is first or (np.shape(leaf) == np.shape(first) and np.array_equal(leaf, first))
        for leaf in leaves[1:]
    )


def _stacked(leaves: Sequence[Any], dtype: Any) -> Array:
    if isinstance(leaves[0], float):
        return jnp.asarray(leaves, dtype)
    arrays = [jnp.asarray(leaf) for leaf in leaves]
    if len({array.shape for array in arrays}) > 1:
        largest = np.max([array.shape for array in arrays], axis=0)
        arrays = [
            jnp.pad(a, [(0, int(room)) for room in largest - np.array(a.shape)]) for a in arrays
        ]
    return jnp.stack(arrays)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


@jax.custom_batching.custom_vmap
def any_in_batch(flag: Bool[Array, ""]) -> Bool[Array, ""]:
    """Return the flag; in a batch, whether any is set, so that a rare branch is not always taken.

    `lax.cond` of a flag that differs within a batch computes both branches for all.
    """
    return flag


@any_in_batch.def_vmap
def _any_of_batch(axis_size: int, in_batched: list, flags: Array) -> tuple[Array, bool]:
    return flags.any(), False
