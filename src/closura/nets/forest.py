"""Decision trees as arrays: they run inside compiled code, and leave it as tables."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int


class TreeTable(eqx.Module):
    """The mean of several regression trees, each a table of nodes.

    A sample goes to the right child where its feature exceeds the node's threshold, and to the
    left one otherwise. The right child is always the node after the left one; a leaf is its own
    left child and its threshold is infinite, so going on from a leaf stays there. Shorter tables
    are filled up with unreachable leaves. Node 0 is the root. Made by `pack_trees`.

    Args:
        feature: Which feature a node looks at.
        threshold: Largest value that goes left, in float32.
        left: Left child, counted within the tree.
        value: What a leaf predicts.
        depth: Number of decisions on the longest way to a leaf.
    """

    feature: Int[Array, "tree node"]
    threshold: Float[Array, "tree node"]
    left: Int[Array, "tree node"]
    value: Float[Array, "tree node output"]
    depth: int = eqx.field(static=True)

    @property
    def leaf(self) -> Array:
        """Whether each node is a leaf, (tree, node)."""
        return self.left == jnp.arange(self.left.shape[1])

    @property
    def right(self) -> Array:
        """The right child of each node, (tree, node); a leaf is its own."""
        return self.left + ~self.leaf

    def __call__(self, values: Float[Array, "sample feature"]) -> Float[Array, "sample output"]:
        found = leaf_values(self, values)
        return jnp.mean(found, axis=0, dtype=float)  # many small numbers: as exact as JAX may be


def leaf_values(table: Any, values: Float[Array, "sample feature"]) -> Array:
    """Return what every tree says of every sample, (tree, sample, output).

    Args:
        table: Holds feature, threshold, left, value and depth, as `TreeTable` does.
        values: Samples.
    """
    trees, nodes = table.left.shape
    samples, features = values.shape
    first = (nodes * jnp.arange(trees, dtype=jnp.int32))[:, None]
    feature, threshold, left = (
        jnp.ravel(a) for a in (table.feature, table.threshold, table.left + first)
    )
    # One tree after the other over all samples: a tree's table then stays in the fastest cache.
    start = jnp.broadcast_to(first, (trees, samples))
    columns, which = jnp.ravel(values.T), jnp.arange(samples, dtype=jnp.int32)

    def descend(_: Any, node: Array) -> Array:
        if features == 1:
            value = values[:, 0]
        else:
            value = _pick(columns, samples * _pick(feature, node) + which)
        return _pick(left, node) + (value > _pick(threshold, node))

    node = lax.fori_loop(0, table.depth, descend, start)
    flat = table.value.reshape(trees * nodes, -1)
    return flat.at[node].get(mode="promise_in_bounds")


def _pick(table: Array, index: Array) -> Array:
    """Return entries of a vector by indices that are known to lie inside it."""
    return table.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


class Tree(NamedTuple):
    """Nodes of one tree in any order, -1 for the children of a leaf; `value` is (node, output)."""

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray


def pack_trees(trees: Sequence[Tree]) -> TreeTable:
    """Return trees as one table that predicts their mean.

    Thresholds are rounded down to float32. For features in float32 the branch taken is then the
    one that a comparison with the threshold in float64 takes, without exception.

    Args:
        trees: Each with arrays over its nodes; `value` is (node, output).
    """
    ordered, depths = zip(*(_breadth_first(tree) for tree in trees), strict=True)
    nodes = max(len(tree.feature) for tree in ordered)
    filled = [_fill(tree, nodes) for tree in ordered]
    stacked = Tree(*(np.stack(arrays) for arrays in zip(*filled, strict=True)))
    return TreeTable(
        feature=jnp.asarray(stacked.feature, jnp.int32),
        threshold=jnp.asarray(_round_down(stacked.threshold)),
        left=jnp.asarray(stacked.left, jnp.int32),
        value=jnp.asarray(stacked.value, jnp.float32),
        depth=max(depths),
    )


def _breadth_first(tree: Tree) -> tuple[Tree, int]:
    """Return the tree with siblings side by side and leaves that lead to themselves; its depth."""
    order, level, depth = [0], [0], 0
    left = np.arange(len(tree.feature))
    while level:
        below: list[int] = []
        for node in level:
            if tree.left[node] >= 0:
                left[node] = len(order)
                order += [tree.left[node], tree.right[node]]
                below += [tree.left[node], tree.right[node]]
        depth, level = depth + bool(below), below
    inner = tree.left >= 0
    threshold = np.where(inner, tree.threshold, np.inf)
    feature = np.where(inner, tree.feature, 0)
    position = np.empty(len(order), int)
    position[order] = np.arange(len(order))
    left = np.where(inner, left, position)
    return Tree(*(a[order] for a in (feature, threshold, left, left, tree.value))), depth


def _fill(tree: Tree, nodes: int) -> Tree:
    """Return the tree with unreachable leaves added up to a number of nodes."""
    missing = nodes - len(tree.feature)
    own = np.arange(len(tree.feature), nodes)
    return Tree(
        np.pad(tree.feature, (0, missing)),
        np.pad(tree.threshold, (0, missing), constant_values=np.inf),
        np.concatenate([tree.left, own]),
        np.concatenate([tree.right, own]),
        np.pad(tree.value, ((0, missing), (0, 0))),
    )


def _round_down(values: np.ndarray) -> np.ndarray:
    """Return the largest float32 that does not exceed each value."""
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)
