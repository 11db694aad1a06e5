"""Trees as nodes of ONNX, which take the branches that they took in training."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from closura.export.operations import TreeRounds, Trees

if TYPE_CHECKING:
    from closura.export.onnx_graph import Graph

ROUNDS_AT_ONCE = 8  # ONNX Runtime sums the leaves of a node in float32


def add_trees(graph: "Graph", trees: Trees, panel: str) -> str:
    """Return what trees make of a panel, (column, output).

    Args:
        graph: The graph that nodes are appended to.
        trees: A column goes left where its feature, in float32, does not exceed the threshold.
        panel: Name of the values.
    """
    narrow = panel if graph.kind == np.float32 else graph.cast(panel, np.float32)
    if isinstance(trees, TreeRounds):
        found = _rounds(graph, trees, narrow)
    else:
        found = _leaves(graph, trees, narrow)
    while len(found) > 1:  # in pairs, so that rounding grows with the logarithm of their number
        pairs = [graph.node("Add", *found[n : n + 2]) for n in range(0, len(found) - 1, 2)]
        found = pairs + found[2 * len(pairs) :]
    return graph.node("Div", found[0], graph.number(trees.divisor))


def _leaves(graph: "Graph", trees: Trees, panel: str) -> list[str]:
    """Return the leaf of each tree: one node says which, and its values are looked up."""
    leaf, owner = _owners(trees)
    local = np.concatenate([np.arange(np.sum(owner == tree)) for tree in range(len(trees.roots))])
    numbers = _ensemble(graph, trees, panel, lambda tree: tree, local, len(trees.roots))
    chosen = graph.cast(numbers, np.int64)
    found = []
    for tree in range(len(trees.roots)):
        rows = trees.feature[leaf][owner == tree]
        one = graph.node("Gather", chosen, graph.number(tree, np.int64), axis=1)
        found.append(graph.node("Gather", graph.number(trees.values[rows]), one, axis=0))
    return found


def _rounds(graph: "Graph", trees: TreeRounds, panel: str) -> list[str]:
    """Return the sums of a few rounds each, in which every tree has its output."""
    ends = [*trees.roots, len(trees.left)]
    step = trees.each * (ROUNDS_AT_ONCE if graph.kind == np.float32 else 1)
    found = []
    for first in range(0, len(trees.roots), step):
        last = min(first + step, len(trees.roots))
        nodes = slice(ends[first], ends[last])
        roots, left = trees.roots[first:last] - ends[first], trees.left[nodes] - ends[first]
        told = (trees.feature[nodes], left, trees.threshold[nodes], trees.values)
        part = Trees(trees.inputs, roots, *told, 1.0)
        leaf, _ = _owners(part)
        values = trees.values[part.feature[leaf], 0]
        total = _ensemble(graph, part, panel, lambda tree: tree % trees.each, values, trees.each)
        found.append(total if graph.kind == np.float32 else graph.cast(total, graph.kind))
    return found


def _owners(trees: Trees) -> tuple[np.ndarray, np.ndarray]:
    """Return which nodes are leaves, and the tree of each leaf."""
    leaf = np.flatnonzero(trees.left == np.arange(len(trees.left)))
    return leaf, np.searchsorted(trees.roots, leaf, side="right") - 1


def _ensemble(
    graph: "Graph", trees: Trees, panel: str, target: Callable[[Any], Any], values: np.ndarray,
    targets: int,
) -> str:  # fmt: skip
    """Return (column, target): the sum of what the leaves say.

    Args:
        graph: The graph that the node is appended to.
        trees: Where columns go.
        panel: Name of the values, in float32.
        target: Trees to the output that each adds to.
        values: What each leaf says, in their order.
        targets: Number of outputs.
    """
    node = np.arange(len(trees.left))
    tree = np.searchsorted(trees.roots, node, side="right") - 1
    leaf = trees.left == node
    own, below = node - trees.roots[tree], trees.left - trees.roots[tree]
    return graph.node(
        "TreeEnsembleRegressor",
        panel,
        domain="ai.onnx.ml",
        n_targets=targets,
        nodes_treeids=tree.tolist(),
        nodes_nodeids=own.tolist(),
        nodes_featureids=np.where(leaf, 0, trees.feature).tolist(),
        nodes_values=np.where(leaf, 0, trees.threshold).astype(np.float32).tolist(),
        nodes_modes=["LEAF" if one else "BRANCH_LEQ" for one in leaf],
        nodes_truenodeids=np.where(leaf, 0, below).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, below + 1).tolist(),
        target_treeids=tree[leaf].tolist(),
        target_nodeids=own[leaf].tolist(),
        target_ids=target(tree[leaf]).tolist(),
        target_weights=values.astype(np.float32).tolist(),
    )
