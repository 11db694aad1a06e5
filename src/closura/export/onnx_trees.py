"""Trees as one node of ONNX that says which leaf of each tree a column reaches."""

from typing import TYPE_CHECKING

import numpy as np

from closura.export.operations import Trees

if TYPE_CHECKING:
    from closura.export.onnx_graph import Graph


def tree_leaves(graph: "Graph", trees: Trees, panel: str) -> str:
    """Return (column, tree): the number of the leaf within its tree, counted from 0, as a real.

    Args:
        graph: The graph that the node is appended to.
        trees: A column goes left where its feature does not exceed the threshold.
        panel: Name of the values, in float32: they decide as in training.
    """
    node = np.arange(len(trees.left))
    tree = np.searchsorted(trees.roots, node, side="right") - 1
    leaf = trees.left == node
    own = node - trees.roots[tree]
    below = trees.left - trees.roots[tree]
    number = np.concatenate([np.arange(np.sum(leaf & (tree == one))) for one in np.unique(tree)])
    return graph.node(
        "TreeEnsembleRegressor",
        panel,
        domain="ai.onnx.ml",
        n_targets=len(trees.roots),
        nodes_treeids=tree.tolist(),
        nodes_nodeids=own.tolist(),
        nodes_featureids=np.where(leaf, 0, trees.feature).tolist(),
        nodes_values=np.where(leaf, 0, trees.threshold).astype(np.float32).tolist(),
        nodes_modes=["LEAF" if one else "BRANCH_LEQ" for one in leaf],
        nodes_truenodeids=np.where(leaf, 0, below).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, below + 1).tolist(),
        target_treeids=tree[leaf].tolist(),
        target_nodeids=own[leaf].tolist(),
        target_ids=tree[leaf].tolist(),
        target_weights=number.astype(np.float32).tolist(),
    )
