"""Trees of a forest or of boosting, without what only fills up their table."""

from typing import Any

import numpy as np

from closura.export.operations import TreeRounds, Trees
from closura.nets.boosted import TreeSum

MOST_TREES = 2048  # in one operation: the leaves that a few columns reach lie on the stack


def rounds_of_trees(predictor: TreeSum) -> list[Trees]:
    """Return a sum of trees, in operations whose results are to be added."""
    trees, width = len(predictor.left), predictor.value.shape[2]
    each = predictor.outputs // width
    step = max(1, MOST_TREES // each) * each
    found = []
    for first in range(0, trees, step):
        table = table_of_trees(predictor, slice(first, first + step), divisor=1.0)
        found.append(table if each == 1 else TreeRounds(**vars(table), each=each))
    return found


def table_of_trees(predictor: Any, chosen: slice, *, divisor: float) -> Trees:
    """Return trees one after the other, without the leaves that only fill up the table.

    Args:
        predictor: Holds feature, threshold, left and value, (tree, node) each.
        chosen: Which trees.
        divisor: Of the sum of their leaves.
    """
    left = np.asarray(predictor.left, np.int64)[chosen]
    feature = np.asarray(predictor.feature, np.int64)[chosen]
    threshold, value = (np.asarray(a)[chosen] for a in (predictor.threshold, predictor.value))
    nodes = np.arange(left.shape[1])
    roots: list[int] = []
    parts: list[tuple[np.ndarray, ...]] = []
    rows: list[np.ndarray] = []
    first = 0
    for tree in range(len(left)):
        leaf = left[tree] == nodes
        used = int(max(left[tree][~leaf], default=-1)) + 2  # the right child of the last one
        leaf, here = leaf[:used], left[tree][:used] + first
        number = len(rows) + np.cumsum(leaf) - 1
        named = np.where(leaf, number, feature[tree][:used])
        parts.append((named, here, np.where(leaf, np.float32(0), threshold[tree][:used])))
        rows += list(value[tree][:used][leaf])
        roots.append(first)
        first += used
    number, here, split = (np.concatenate(column) for column in zip(*parts, strict=True))
    inputs = 1 + int(feature.max())
    return Trees(inputs, np.array(roots), number, here, split, np.array(rows), divisor)
