"""What operations make of columns, in float64: the reference for what is shipped."""

import numpy as np

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
    for operation in operations:
        match operation:
            case Select(inputs):
                panel = columns[:, inputs].astype(np.float64)
            case Standardise(centre, scale):
                panel = (panel - centre) / scale
            case Restore(centre, scale):
                panel = panel * scale + centre
            case Dense(weights, offset, activation):
                panel = _bend(activation, panel @ weights.astype(float) + offset.astype(float))
            case Polynomial(exponents, coefficients):
                terms = np.prod(panel[:, None, :] ** exponents, axis=2)
                panel = terms @ coefficients
            case TreeRounds(each=each):
                found = operation.values.astype(float)[reached_leaves(operation, panel), 0]
                panel = found.reshape(len(found), -1, each).sum(axis=1) / operation.divisor
            case Trees():
                leaves = reached_leaves(operation, panel)
                panel = operation.values.astype(float)[leaves].sum(axis=1) / operation.divisor
            case Clip(lower, upper):
                panel = np.clip(panel, lower, upper)
            case Finite():
                panel = np.where(np.isfinite(panel), panel, 0.0)
            case Novelty() | SupportNovelty():
                panel = panel * operation.weights(columns)[:, None]
            case Sphere():
                panel = _over_spheres(operation, panel)
            case Add(indices):
                total[:, indices] += panel
            case Noise(indices):
                total[:, indices] += memory[:, row : row + len(indices)]
                row += len(indices)
            case OnnxGraph():
                raise ValueError("holds an ONNX graph; run the .onnx file beside it instead.")
    return total


def _over_spheres(one: Sphere, panel: np.ndarray) -> np.ndarray:
    shape = (int(np.prod(one.place)),) if hasattr(one.network, "mesh") else one.place
    spheres = panel.reshape(-1, *shape, panel.shape[1])
    return np.asarray(one.network(spheres), float).reshape(len(panel), -1)


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


def _bend(activation: str, values: np.ndarray) -> np.ndarray:
    half = 0.5 * (1 + np.tanh(0.5 * values))  # the logistic function, without overflow
    cubic = values + 0.044715 * values**3  # constant of jax.nn.gelu(approximate=True)
    match activation:
        case "relu":
            return np.maximum(values, 0)
        case "leaky_relu":
            return np.where(values >= 0, values, 0.01 * values)
        case "elu":
            return np.where(values > 0, values, np.expm1(np.minimum(values, 0)))
        case "gelu":
            return 0.5 * values * (1 + np.tanh(np.sqrt(2 / np.pi) * cubic))
        case "silu":
            return values * half
        case "softplus":
            return np.logaddexp(values, 0)
        case "sigmoid":
            return half
        case "tanh":
            return np.tanh(values)
    return values
