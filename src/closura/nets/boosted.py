"""Trees whose answers are added up, each correcting those before it."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from closura.nets.forest import Tree, leaf_values, pack_trees


class TreeSum(eqx.Module):
    """The sum of many regression trees, each a table of nodes laid out as in `TreeTable`.

    Trees stand in rounds. In a round either one tree predicts all outputs, or one tree stands for
    each output, in their order. Made by `add_trees`.

    Args:
        feature: Which feature a node looks at.
        threshold: Largest value that goes left, in float32.
        left: Left child, counted within the tree; the right one follows it.
        value: What a leaf adds: to all outputs, or to the one output that the tree stands for.
        depth: Number of decisions on the longest way to a leaf.
        outputs: Number of outputs.
    """

    feature: Int[Array, "tree node"]
    threshold: Float[Array, "tree node"]
    left: Int[Array, "tree node"]
    value: Float[Array, "tree node width"]
    depth: int = eqx.field(static=True)
    outputs: int = eqx.field(static=True)

    def __call__(self, values: Float[Array, "sample feature"]) -> Float[Array, "sample output"]:
        found = leaf_values(self, values)
        each = self.outputs // found.shape[2]  # trees a round
        total = jnp.sum(found.reshape(-1, each, *found.shape[1:]), axis=0, dtype=float)
        return jnp.moveaxis(total, 0, 1).reshape(len(values), self.outputs)


def add_trees(trees: list[Tree], outputs: int) -> TreeSum:
    """Return trees as one table that predicts their sum.

    A sample goes left where its feature is **less than** the threshold, as in xgboost: that is the
    float32 next below it not being exceeded. Numbers below the smallest normal float32, 1.2e-38,
    count as zero, as they do in compiled code.

    Args:
        trees: In the order of rounds, with thresholds in float32; `value` is (node, width).
        outputs: Number of outputs: the width, or with width 1 the number of trees a round.
    """
    table = pack_trees([tree._replace(threshold=_next_below(tree.threshold)) for tree in trees])
    return TreeSum(table.feature, table.threshold, table.left, table.value, table.depth, outputs)


def _next_below(threshold: np.ndarray) -> np.ndarray:
    """Return the largest normal float32 below each threshold."""
    smallest = np.finfo(np.float32).tiny
    below = np.nextafter(np.float32(threshold), np.float32(-np.inf))
    normal = (np.abs(below) >= smallest) | (below == 0)
    return np.where(normal, below, np.where(below < 0, -smallest, np.float32(0)))
