"""The operations that a `.closura` file is made of, and what each one computes.

A closure in a file is a list of operations on a panel of columns: `Select` fills the panel from
the inputs, others change it, `Add` adds it to the outputs. `runtime/closura.F90` does the same.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from closura.export.support import SupportNovelty, respond
from closura.export.words import GridOperation


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
class TreeRounds(Trees):
    """Trees in rounds, in each of which one tree stands for each output.

    Args:
        each: Number of trees in a round: the number of outputs. Leaves have one value.
    """

    code: ClassVar[int] = 18
    each: int = 1

    def width(self) -> tuple[int, int]:
        return self.inputs, self.each


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
class Clip:
    """Each row of the panel is kept within limits; finite ones, so at most the largest real."""

    code: ClassVar[int] = 19
    lower: np.ndarray
    upper: np.ndarray

    def width(self) -> tuple[int, int]:
        return len(self.lower), len(self.lower)


@dataclass(frozen=True)
class Finite:
    """Each value of the panel that is not finite becomes zero."""

    code: ClassVar[int] = 21
    rows: int

    def width(self) -> tuple[int, int]:
        return self.rows, self.rows


@dataclass(frozen=True)
class Novelty:
    """The panel is multiplied by a weight that falls with how new a column's inputs are.

    Args:
        inputs: Inputs of the file that are looked at, counted from 0.
        first: Smallest values in training; for a distance the mean.
        second: Largest values in training; for a distance the whitening (input, axis), flat.
        offset: Of a distance; 0 for a range.
        response: 0 mask, 1 ramp, 2 decay.
        numbers: Cutoff, end of a ramp, rate of a decay.
    """

    code: ClassVar[int] = 20
    inputs: np.ndarray
    first: np.ndarray
    second: np.ndarray
    offset: float
    response: int
    numbers: tuple[float, float, float]
    distance: bool = False

    def width(self) -> tuple[int, int]:
        return len(self.inputs), 1

    def weights(self, columns: np.ndarray) -> np.ndarray:
        """Return the weight of each column (column, input)."""
        seen = columns[:, self.inputs].astype(float)
        if self.distance:
            axes = (seen - self.first) @ self.second.reshape(len(self.inputs), -1)
            score = np.sqrt(np.mean(axes**2, axis=1)) - self.offset
        else:
            wide = np.where(self.second > self.first, self.second - self.first, 1.0)
            within = (seen - self.first) / wide
            above = np.where(self.second > self.first, within - 1, within)
            score = np.maximum(0, above.max(axis=1)) + np.maximum(0, -within.min(axis=1))
        return respond(score, self.response, self.numbers)


@dataclass(frozen=True)
class Sphere:
    """A network that sees all columns of a sphere at once; a file holds it as ONNX, or unfolded.

    Args:
        network: What is computed, (sphere, *place, input) to (sphere, *place, output).
        place: Shape of the grid of columns, the last dimension fastest.
        inputs: Number of inputs of a column.
        outputs: Number of outputs of a column.
    """

    code: ClassVar[int] = 0
    network: Any
    place: tuple[int, ...]
    inputs: int
    outputs: int

    def width(self) -> tuple[int, int]:
        return self.inputs, self.outputs


@dataclass(frozen=True)
class OnnxGraph:
    """Tendencies of all outputs from all inputs, by a graph that ONNX Runtime computes.

    Args:
        inputs: Number of inputs of the file.
        outputs: Number of its outputs.
        content: An ONNX model with the input `columns` and the output `tendencies`.
        precise: Whether the graph takes and gives float64 rather than float32.
        together: Number of columns that only make sense together: those of a sphere.
    """

    code: ClassVar[int] = 30
    inputs: int
    outputs: int
    content: bytes
    precise: bool = False
    together: int = 1

    def width(self) -> tuple[int, int]:
        return 1, 1  # it needs no panel


Operation = (
    Select
    | Standardise
    | Restore
    | Dense
    | Polynomial
    | Trees
    | TreeRounds
    | Add
    | Noise
    | Clip
    | Novelty
    | SupportNovelty
    | Finite
    | Sphere
    | OnnxGraph
    | GridOperation
)
