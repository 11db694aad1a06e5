"""The operations that a `.closura` file is made of, and what each one computes.

A closure in a file is a list of operations on a panel of columns: `Select` fills the panel from
the inputs, others change it, `Add` adds it to the outputs. `runtime/closura.F90` does the same.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

# Numbers that stand in the file; never use one again for something else.
ACTIVATION_CODES = {
    "none": 0, "relu": 1, "leaky_relu": 2, "elu": 3, "gelu": 4, "silu": 5, "softplus": 6,
    "sigmoid": 7, "tanh": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Select:
    """Begin a term: the panel holds these inputs, counted from 0."""

    code: ClassVar[int] = 10
    inputs: np.ndarray

    def width(self) -> tuple[int, int]:
        return len(self.inputs), len(self.inputs)


@dataclass(frozen=True)
class Standardise:
    """(value - centre) / scale of each row of the panel."""

    code: ClassVar[int] = 11
    centre: np.ndarray
    scale: np.ndarray

    def width(self) -> tuple[int, int]:
        return len(self.centre), len(self.centre)


@dataclass(frozen=True)
class Restore:
    """Value * scale + centre of each row of the panel: undoes `Standardise`."""

    code: ClassVar[int] = 12
    centre: np.ndarray
    scale: np.ndarray

    def width(self) -> tuple[int, int]:
        return len(self.centre), len(self.centre)


@dataclass(frozen=True)
class Dense:
    """activation(values @ weights + offset), with weights (inputs, outputs)."""

    code: ClassVar[int] = 13
    weights: np.ndarray
    offset: np.ndarray
    activation: str = "none"

    def width(self) -> tuple[int, int]:
        return self.weights.shape


@dataclass(frozen=True)
class Polynomial:
    """Monomials (term, input) @ coefficients (term, output)."""

    code: ClassVar[int] = 14
    exponents: np.ndarray
    coefficients: np.ndarray

    def width(self) -> tuple[int, int]:
        return self.exponents.shape[1], self.coefficients.shape[1]


@dataclass(frozen=True)
class Trees:
    """Sum of the leaves that a column reaches, over a divisor.

    A column goes to node ``left + 1`` where its feature, rounded to float32, exceeds the
    threshold, and to ``left`` otherwise. A leaf is its own `left`; its `feature` is its row of
    `values`. Children come after their parent.
    """

    code: ClassVar[int] = 15
    inputs: int
    roots: np.ndarray
    feature: np.ndarray
    left: np.ndarray
    threshold: np.ndarray
    values: np.ndarray
    divisor: float

    def width(self) -> tuple[int, int]:
        return self.inputs, self.values.shape[1]


@dataclass(frozen=True)
class Add:
    """End a term: the panel is added to these outputs, counted from 0."""

    code: ClassVar[int] = 16
    outputs: np.ndarray

    def width(self) -> tuple[int, int]:
        return len(self.outputs), len(self.outputs)


@dataclass(frozen=True)
class Noise:
    """Each row of the host's memory is added to an output; it advances once a time step.

    memory' = phi memory + sigma sqrt(1 - phi^2) z, with z ~ N(0, 1), from N(0, sigma^2).
    """

    code: ClassVar[int] = 17
    outputs: np.ndarray
    phi: np.ndarray
    sigma: np.ndarray

    def width(self) -> tuple[int, int]:
        return len(self.outputs), len(self.outputs)


@dataclass(frozen=True)
class OnnxGraph:
    """Tendencies of all outputs from all inputs, by a graph that ONNX Runtime computes.

    Args:
        inputs: Number of inputs of the file.
        outputs: Number of its outputs.
        content: An ONNX model with the input `columns` and the output `tendencies`.
        precise: Whether the graph takes and gives float64 rather than float32.
    """

    code: ClassVar[int] = 30
    inputs: int
    outputs: int
    content: bytes
    precise: bool = False

    def width(self) -> tuple[int, int]:
        return 1, 1  # it needs no panel


Operation = Select | Standardise | Restore | Dense | Polynomial | Trees | Add | Noise | OnnxGraph


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
            case Trees():
                leaves = reached_leaves(operation, panel)
                panel = operation.values.astype(float)[leaves].sum(axis=1) / operation.divisor
            case Add(indices):
                total[:, indices] += panel
            case Noise(indices):
                total[:, indices] += memory[:, row : row + len(indices)]
                row += len(indices)
            case OnnxGraph():
                raise ValueError("holds an ONNX graph; run the .onnx file beside it instead.")
    return total


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
