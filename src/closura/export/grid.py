"""Operations of a `.closura` file on the columns of a whole grid: neighbours, images, meshes.

Beside the panel of columns stands one image of the grid, or what the nodes of a mesh hold.
`Image` or `Mesh` copies the panel there, and the panel goes on; `Merge` adds what became of it.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from closura.export.activations import ACTIVATION_CODES, ACTIVATION_NAMES
from closura.export.words import REALS, GridOperation, bytes_of, reals, whole, wholes

WINDOW = 9  # points of a convolution


@dataclass(frozen=True)
class Around(GridOperation):
    """Begin a term: the panel holds the 3 x 3 columns around each, then what it alone knows.

    Beyond a pole the neighbour is half-way round; between two columns it is their mean.

    Args:
        place: Number of latitudes and longitudes.
        poles: Whether the first and the last latitude are poles.
        inputs: Inputs of the file that are read of all nine columns, counted from 0.
        signs: One each: -1 where it turns over across a pole.
        beside: Inputs that are read of the middle column alone.
    """

    code: ClassVar[int] = 40
    place: tuple[int, int]
    poles: tuple[bool, bool]
    inputs: np.ndarray
    signs: np.ndarray
    beside: np.ndarray

    def parts(self) -> list[np.ndarray]:
        head = whole(*self.place, *self.poles, len(self.inputs), len(self.beside))
        return [head, wholes(self.inputs), wholes(self.beside), wholes(self.signs)]

    @classmethod
    def read(cls, words: Any) -> "Around":
        rows, lines, first, last, inputs, beside = words.sizes(6)
        chosen, alone, signs = (words.wholes(count) for count in (inputs, beside, inputs))
        return cls((rows, lines), (bool(first), bool(last)), chosen, signs, alone)

    def width(self) -> tuple[int, int]:
        count = WINDOW * len(self.inputs) + len(self.beside)
        return count, count


@dataclass(frozen=True)
class Image(GridOperation):
    """Copy the panel to an image (lat, lon, channel), with rows beyond the last one.

    Args:
        place: Number of latitudes and longitudes.
        poles: Whether the first and the last latitude are poles.
        extra: Rows beyond the last one, as the sphere goes on there.
        signs: One a channel: -1 where it turns over across a pole.
    """

    code: ClassVar[int] = 41
    place: tuple[int, int]
    poles: tuple[bool, bool]
    extra: int
    signs: np.ndarray

    def parts(self) -> list[np.ndarray]:
        return [whole(*self.place, *self.poles, self.extra, len(self.signs)), wholes(self.signs)]

    @classmethod
    def read(cls, words: Any) -> "Image":
        rows, lines, first, last, extra, channels = words.sizes(6)
        signs = words.wholes(channels)
        return cls((rows, lines), (bool(first), bool(last)), extra, signs)

    def width(self) -> tuple[int, int]:
        return len(self.signs), len(self.signs)


@dataclass(frozen=True)
class Convolve(GridOperation):
    """activation(windows of 3 x 3 points @ weights + offset): the image has other channels.

    Args:
        weights: (row, column, input, output).
        offset: (output,).
        activation: Name of the activation.
        poles: Whether the first and the last row of the image are poles.
        signs: One an input: -1 where it turns over across a pole; none where nothing does.
    """

    code: ClassVar[int] = 42
    weights: np.ndarray
    offset: np.ndarray
    activation: str
    poles: tuple[bool, bool]
    signs: np.ndarray

    def parts(self) -> list[np.ndarray]:
        size = bytes_of(self.weights, self.offset)
        bend = ACTIVATION_CODES[self.activation]
        head = whole(*self.weights.shape[2:], bend, size, *self.poles, len(self.signs))
        return [head, wholes(self.signs), reals(self.weights, size), reals(self.offset, size)]

    @classmethod
    def read(cls, words: Any) -> "Convolve":
        inputs, outputs, bend, size, first, last, signed = words.sizes(7)
        signs = words.wholes(signed)
        weights = words.reals(WINDOW * inputs * outputs, REALS[size])
        shaped, offset = weights.reshape(3, 3, inputs, outputs), words.reals(outputs, REALS[size])
        return cls(shaped, offset, ACTIVATION_NAMES[bend], (bool(first), bool(last)), signs)

    def width(self) -> tuple[int, int]:
        return 3 * self.weights.shape[2], self.weights.shape[3]  # a row of the window at once


@dataclass(frozen=True)
class Coarsen(GridOperation):
    """The image becomes the means of 2 x 2 points; what it was waits for `Refine`."""

    code: ClassVar[int] = 43

    def parts(self) -> list[np.ndarray]:
        return []

    @classmethod
    def read(cls, words: Any) -> "Coarsen":
        return cls()

    def width(self) -> tuple[int, int]:
        return 1, 1


@dataclass(frozen=True)
class Refine(GridOperation):
    """Beside the channels of the image that waited last stands each point, four times."""

    code: ClassVar[int] = 44

    def parts(self) -> list[np.ndarray]:
        return []

    @classmethod
    def read(cls, words: Any) -> "Refine":
        return cls()

    def width(self) -> tuple[int, int]:
        return 1, 1


@dataclass(frozen=True)
class Merge(GridOperation):
    """values @ weights + offset of the image, or of the nodes, is added to the panel."""

    code: ClassVar[int] = 45
    weights: np.ndarray
    offset: np.ndarray

    def parts(self) -> list[np.ndarray]:
        size = bytes_of(self.weights, self.offset)
        head = whole(*self.weights.shape, size)
        return [head, reals(self.weights, size), reals(self.offset, size)]

    @classmethod
    def read(cls, words: Any) -> "Merge":
        inputs, outputs, size = words.sizes(3)
        weights = words.reals(inputs * outputs, REALS[size]).reshape(inputs, outputs)
        return cls(weights, words.reals(outputs, REALS[size]))

    def width(self) -> tuple[int, int]:
        return self.weights.shape


@dataclass(frozen=True)
class Tell(Merge):
    """values @ weights + offset of the nodes: what `Hear` reads of every node, part by part."""

    code: ClassVar[int] = 47


@dataclass(frozen=True)
class Mesh(GridOperation):
    """Copy the panel to the nodes of a mesh, one a column, each with as many neighbours.

    Args:
        place: Number of latitudes and longitudes; 1 and all of them where there are no rows.
        channels: Values of a node.
        index: Numbers of the neighbours (node, neighbour), counted from 0.
        geometry: Share in the mean, steps to the east, north and up, cosine and sine of the turn
            of winds (node, neighbour, 6).
    """

    code: ClassVar[int] = 46
    place: tuple[int, int]
    channels: int
    index: np.ndarray
    geometry: np.ndarray

    def parts(self) -> list[np.ndarray]:
        size = bytes_of(self.geometry)
        head = whole(*self.place, 0, 0, self.channels, self.index.shape[1], size)
        return [head, wholes(self.index), reals(self.geometry, size)]

    @classmethod
    def read(cls, words: Any) -> "Mesh":
        rows, lines, _, _, channels, near, size = words.sizes(7)
        index = words.wholes(rows * lines * near).reshape(rows * lines, near)
        geometry = words.reals(6 * index.size, REALS[size]).reshape(*index.shape, 6)
        return cls((rows, lines), channels, index, geometry)

    def width(self) -> tuple[int, int]:
        return self.channels, self.channels


@dataclass(frozen=True)
class Hear(GridOperation):
    """Every node takes in the mean message of its neighbours.

    With m = activation(sent (1 + step @ gate) + received + step @ edge), a node becomes
    activation(own + mean(m) @ weights), and what it was is added to that if it stays.

    Args:
        weights: (width, width).
        gate: (3, width).
        edge: (3, width).
        activation: Name of the activation.
        turned: Whether parts are sent, along, across, received, own, and not sent, received, own:
            what is sent then is sent + cosine along + sine across.
        stays: Whether what the node was is added.
    """

    code: ClassVar[int] = 48
    weights: np.ndarray
    gate: np.ndarray
    edge: np.ndarray
    activation: str
    turned: bool
    stays: bool

    def parts(self) -> list[np.ndarray]:
        size = bytes_of(self.weights, self.gate, self.edge)
        bend = ACTIVATION_CODES[self.activation]
        head = whole(len(self.weights), bend, self.turned, self.stays, size)
        nothing = np.zeros(len(self.weights))
        each = (self.gate, self.edge, self.weights, nothing)
        return [head, *(reals(numbers, size) for numbers in each)]

    @classmethod
    def read(cls, words: Any) -> "Hear":
        width, bend, turned, stays, size = words.sizes(5)
        gate, edge = (words.reals(3 * width, REALS[size]).reshape(3, width) for _ in range(2))
        weights = words.reals(width * width, REALS[size]).reshape(width, width)
        words.reals(width, REALS[size])
        return cls(weights, gate, edge, ACTIVATION_NAMES[bend], bool(turned), bool(stays))

    def width(self) -> tuple[int, int]:
        return self.weights.shape


ON_GRID: dict[int, type[GridOperation]] = {
    one.code: one for one in (Around, Image, Convolve, Coarsen, Refine, Merge, Mesh, Tell, Hear)
}
