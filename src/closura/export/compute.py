"""What operations make of columns, in float64: the reference for what is shipped."""

import jax.numpy as jnp
import numpy as np

from closura.export.bend import bend
from closura.export.compute_grid import OnGrid, look_around
from closura.export.grid import Around, GridOperation
from closura.export.operations import (
    Add,
    Clip,
    Dense,
    Finite,
    Noise,
    Novelty,
    OnnxGraph,
    Operation,
    Polynomial,
    Restore,
    Select,
    Sphere,
    Standardise,
    TreeRounds,
    Trees,
)
from closura.export.support import SupportNovelty


def compute(
    operations: tuple[Operation, ...], columns: np.ndarray, outputs: int, memory: np.ndarray
) -> np.ndarray:
    """Return what operations make of columns, in float64.

    Args:
        operations: In the order of the file.
        columns: Inputs (column, input).
        outputs: Number of outputs.
        memory: The host's memory (column, row); (column, 0) where there is none.

    Returns:
        Tendencies (column, output).
    """
    panel, total, row = columns, np.zeros((len(columns), outputs)), 0
    grid = OnGrid()
    for operation in operations:
        match operation:
            case Select(inputs):
                panel = columns[:, inputs].astype(np.float64)
            case Standardise(centre, scale):
                panel = (panel - centre) / scale
            case Restore(centre, scale):
                panel = panel * scale + centre
            case Dense(weights, offset, activation):
                panel = bend(activation, panel @ weights.astype(float) + offset.astype(float))
            case Polynomial(exponents, coefficients):
                panel = np.prod(panel[:, None, :] ** exponents, axis=2) @ coefficients
            case Trees():
                panel = _sum_leaves(operation, panel)
            case Clip(lower, upper):
                panel = np.clip(panel, lower, upper)
            case Finite():
                panel = np.where(np.isfinite(panel), panel, 0.0)
            case Novelty() | SupportNovelty():
                panel = panel * operation.weights(columns)[:, None]
            case GridOperation() | Sphere():
                panel = _on_grid(grid, operation, columns, panel)
            case Add(indices):
                total[:, indices] += panel
            case Noise(indices):
                total[:, indices] += memory[:, row : row + len(indices)]
                row += len(indices)
            case OnnxGraph():
                raise ValueError("holds an ONNX graph; run the .onnx file beside it instead.")
    return total


def _sum_leaves(trees: Trees, panel: np.ndarray) -> np.ndarray:
    """Return the sum of the leaves that each column reaches, over the divisor."""
    found = trees.values.astype(float)[reached_leaves(trees, panel)]
    if isinstance(trees, TreeRounds):
        found = found[..., 0].reshape(len(found), -1, trees.each)
    return found.sum(axis=1) / trees.divisor


def _on_grid(
    grid: OnGrid, one: GridOperation | Sphere, columns: np.ndarray, panel: np.ndarray
) -> np.ndarray:
    """Return the panel after an operation that sees the whole grid."""
    if isinstance(one, Sphere):
        return _over_spheres(one, panel)
    return look_around(one, columns) if isinstance(one, Around) else grid.apply(one, panel)


def _over_spheres(one: Sphere, panel: np.ndarray) -> np.ndarray:
    shape = (int(np.prod(one.place)),) if hasattr(one.network, "mesh") else one.place
    spheres = panel.reshape(-1, *shape, panel.shape[1])
    return np.asarray(one.network(jnp.asarray(spheres)), float).reshape(len(panel), -1)


def reached_leaves(trees: Trees, panel: np.ndarray) -> np.ndarray:
    """Return the row of `values` that each column reaches in each tree, (column, tree)."""
    values = panel.astype(np.float32)
    node = np.tile(trees.roots, (len(panel), 1))
    rows = np.arange(len(panel))[:, None]
    while True:
        inner = trees.left[node] != node
        if not inner.any():
            return trees.feature[node]
        feature = np.where(inner, trees.feature[node], 0)
        right = values[rows, feature] > trees.threshold[node]
        node = np.where(inner, trees.left[node] + right, node)
