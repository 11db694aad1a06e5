"""Networks that see the whole sphere, as nodes of ONNX: a U-Net and a graph network."""

from typing import TYPE_CHECKING, Any

import numpy as np

from closura.export.grid import Around
from closura.export.operations import Sphere
from closura.nets.graph import GraphNetwork
from closura.nets.mlp import MLP
from closura.nets.unet import Convolution, UNet

if TYPE_CHECKING:
    from closura.export.onnx_graph import Graph


def around_columns(graph: "Graph", one: Around, columns: str, width: int) -> str:
    """Return (column, row) with the eight columns around each, from (column, input)."""
    rows, lines = one.place
    whole = graph.node("Reshape", columns, graph.number([-1, rows * lines, width], np.int64))
    own = graph.node("Gather", whole, graph.number(one.inputs, np.int64), axis=2)
    south, line = np.divmod(np.arange(rows * lines), lines)
    found = []
    for step, aside in np.ndindex(3, 3):
        first, second, beyond = _neighbours(one, south + step, (line + aside - 1) % lines)
        near = graph.node("Gather", own, graph.number(first, np.int64), axis=1)
        if np.any(first != second):
            other = graph.node("Gather", own, graph.number(second, np.int64), axis=1)
            near = graph.node("Mul", graph.node("Add", near, other), graph.number(0.5))
        if beyond.any() and np.any(one.signs < 0):
            turned = np.where(beyond[:, None], one.signs, 1)
            near = graph.node("Mul", near, graph.number(turned))
        found.append(near)
    if len(one.beside):
        found.append(graph.node("Gather", whole, graph.number(one.beside, np.int64), axis=2))
    together = graph.node("Concat", *found, axis=2)
    return graph.node("Reshape", together, graph.number([-1, one.width()[0]], np.int64))


def _neighbours(one: Around, row: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return two columns whose mean a neighbour is, and where it lies beyond a pole.

    Rows count from 1; 0 and the one after the last are beyond.
    """
    rows, lines = one.place
    beyond = (row < 1) | (row > rows)
    row = np.where(row < 1, 1 + int(one.poles[0]), row)
    row = np.where(row > rows, rows - int(one.poles[1]), row)
    half = np.where(beyond, (line - lines // 2) % lines, line)
    other = np.where(beyond, (half - lines % 2) % lines, line)
    return (row - 1) * lines + half, (row - 1) * lines + other, beyond


Bend = Any  # (graph, name of an activation, value) -> value


def sphere_network(graph: "Graph", one: Sphere, panel: str, bend: Bend) -> str:
    """Return (column, output) from (column, input), whose columns are whole spheres in a row."""
    network = one.network
    kind = _UNetNodes if isinstance(network, UNet) else _GraphNodes
    there = kind(graph, bend).build(network, panel, one.place)
    flat = graph.node("Reshape", there, graph.number([-1, one.outputs], np.int64))
    return graph.node("Add", _column(graph, network.column, panel, bend), flat)


def _column(graph: "Graph", network: MLP, panel: str, bend: Bend) -> str:
    last = len(network.weights) - 1
    for number, (weights, offset) in enumerate(zip(network.weights, network.offsets, strict=True)):
        panel = graph.node("Gemm", panel, graph.number(weights), graph.number(offset))
        panel = bend(graph, network.activation if number < last else "none", panel)
    return panel


class _UNetNodes:
    """Images stand as (sphere, channel, lat, lon), of known size, so that edges are looked up."""

    def __init__(self, graph: "Graph", bend: Bend):
        self.graph, self.bend = graph, bend

    def build(self, network: UNet, panel: str, place: tuple[int, ...]) -> str:
        (rows, lines), depth = place, len(network.up)
        channels = len(network.signs)
        image = self._shaped(panel, (-1, rows, lines, channels))
        image = self.graph.node("Transpose", image, perm=[0, 3, 1, 2])
        extra = -rows % 2**depth
        if extra:
            chosen = self._last(rows, extra, network.poles[1])
            after = self._beyond(image, lines, chosen, network.signs)
            image = self.graph.node("Concat", image, after, axis=2)
        poles = (network.poles[0], network.poles[1] and not extra)
        size, kept = (rows + extra, lines), []
        for level, block in enumerate(network.down):
            signs = network.signs if level == 0 else None
            here = poles if level == 0 else (False, False)
            image = self._block(image, block, size, here, signs, network.activation)
            if level < depth:
                kept.append(image)
                image = self._halve(image, block[1].weights.shape[-1], size)
                size = (size[0] // 2, size[1] // 2)
        for level in reversed(range(depth)):
            wide = self._pick(self._pick(image, np.repeat(np.arange(size[0]), 2), 2),
                              np.repeat(np.arange(size[1]), 2), 3)  # fmt: skip
            size = (2 * size[0], 2 * size[1])
            image = self.graph.node("Concat", kept[level], wide, axis=1)
            here = poles if level == 0 else (False, False)
            image = self._block(image, network.up[level], size, here, None, network.activation)
        image = self._pick(image, np.arange(rows), 2) if extra else image
        image = self.graph.node("Transpose", image, perm=[0, 2, 3, 1])
        weights, offset = (self.graph.number(a) for a in network.last)
        return self.graph.node("Add", self.graph.node("MatMul", image, weights), offset)

    def _block(self, image: str, block: tuple[Convolution, ...], size: tuple[int, int],
               poles: tuple[bool, bool], signs: Any, activation: str) -> str:  # fmt: skip
        for one in block:
            padded = self._padded(image, size, poles, signs)
            weights = np.transpose(np.asarray(one.weights), (3, 2, 0, 1))
            numbers = self.graph.number(weights), self.graph.number(one.offset)
            image = self.bend(self.graph, activation, self.graph.node("Conv", padded, *numbers))
            signs = None
        return image

    def _padded(self, image: str, size: tuple[int, int], poles: Any, signs: Any) -> str:
        """Return the image with one row and one line more on each side."""
        rows, lines = size
        before = self._beyond(image, lines, np.array([int(poles[0])]), signs)
        after = self._beyond(image, lines, self._last(rows, 1, poles[1]), signs)
        tall = self.graph.node("Concat", before, image, after, axis=2)
        return self._pick(tall, np.arange(-1, lines + 1) % lines, 3)

    def _last(self, rows: int, count: int, pole: bool) -> np.ndarray:
        """Return the last rows, from the pole on."""
        return np.arange(rows - int(pole) - count, rows - int(pole))[::-1]

    def _beyond(self, image: str, lines: int, chosen: np.ndarray, signs: Any) -> str:
        """Return rows next to a pole as they follow on its other side, half-way round."""
        turned, line = self._pick(image, chosen, 2), np.arange(lines)
        half = self._pick(turned, (line - lines // 2) % lines, 3)
        if lines % 2:
            other = self._pick(turned, (line - lines // 2 - 1) % lines, 3)
            half = self.graph.node(
                "Mul", self.graph.node("Add", half, other), self.graph.number(0.5)
            )
        if signs is None:
            return half
        return self.graph.node("Mul", half, self.graph.number(np.reshape(signs, (1, -1, 1, 1))))

    def _halve(self, image: str, channels: int, size: tuple[int, int]) -> str:
        each = (-1, channels, size[0] // 2, 2, size[1] // 2, 2)
        return self.graph.node("ReduceMean", self._shaped(image, each), axes=[3, 5], keepdims=0)

    def _pick(self, image: str, index: np.ndarray, axis: int) -> str:
        return self.graph.node("Gather", image, self.graph.number(index, np.int64), axis=axis)

    def _shaped(self, value: str, shape: tuple[int, ...]) -> str:
        return self.graph.node("Reshape", value, self.graph.number(shape, np.int64))


class _GraphNodes:
    """States stand as (sphere, node, channel); what the mesh alone decides is computed before."""

    def __init__(self, graph: "Graph", bend: Bend):
        self.graph, self.bend = graph, bend

    def build(self, network: GraphNetwork, panel: str, place: tuple[int, ...]) -> str:
        mesh, nodes = network.mesh, int(np.prod(place))
        assert mesh is not None
        channels = network.layers[0].send.shape[0]
        shape = self.graph.number([-1, nodes, channels], np.int64)
        state = self.graph.node("Reshape", panel, shape)
        for number, layer in enumerate(network.layers):
            send = self._matrix(state, layer.send)
            winds = network.winds if number == 0 and network.winds[0] else None
            sent = (
                self._near(send, mesh) if winds is None else self._turned(state, layer, winds, mesh)
            )
            step = np.asarray(mesh.step, float)
            seen = self._with("Mul", sent, 1 + step @ np.asarray(layer.gate, float))
            received = self._with("Add", self._matrix(state, layer.receive), layer.message)
            axis = self.graph.number([2], np.int64)
            total = self.graph.node("Add", seen, self.graph.node("Unsqueeze", received, axis))
            total = self._with("Add", total, step @ np.asarray(layer.edge, float))
            message = self.bend(self.graph, network.activation, total)
            weighed = self._with("Mul", message, np.asarray(mesh.share)[..., None])
            heard = self.graph.node("ReduceSum", weighed, axis, keepdims=0)
            own = self.graph.node(
                "Add", self._matrix(state, layer.own), self._matrix(heard, layer.heard)
            )
            taken = self.bend(self.graph, network.activation, self._with("Add", own, layer.offset))
            state = taken if number == 0 else self.graph.node("Add", state, taken)
        return self._matrix(state, network.last)

    def _turned(self, state: str, layer: Any, winds: Any, mesh: Any) -> str:
        """Return what neighbours send, their winds turned on the way."""
        send, (east, north) = np.asarray(layer.send, float), (list(one) for one in winds)
        still, along, across = send.copy(), np.zeros_like(send), np.zeros_like(send)
        still[east + north] = 0
        along[east + north] = send[east + north]
        across[east], across[north] = send[north], -send[east]
        parts = [self._near(self._matrix(state, one), mesh) for one in (still, along, across)]
        turn = np.asarray(mesh.turn, float)
        moved = [self._with("Mul", parts[n + 1], turn[..., n : n + 1]) for n in (0, 1)]
        return self.graph.node("Add", self.graph.node("Add", parts[0], moved[0]), moved[1])

    def _near(self, state: str, mesh: Any) -> str:
        index = self.graph.number(np.asarray(mesh.index), np.int64)
        return self.graph.node("Gather", state, index, axis=1)

    def _matrix(self, state: str, matrix: Any) -> str:
        return self.graph.node("MatMul", state, self.graph.number(np.asarray(matrix)))

    def _with(self, operator: str, value: str, numbers: Any) -> str:
        return self.graph.node(operator, value, self.graph.number(np.asarray(numbers)))
