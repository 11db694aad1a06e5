"""What operations on whole grids make of columns, in float64: the reference for the runtime."""

from dataclasses import dataclass, field

import numpy as np

from closura.export.bend import bend
from closura.export.grid import (
    Around,
    Coarsen,
    Convolve,
    GridOperation,
    Hear,
    Image,
    Merge,
    Mesh,
    Refine,
    Tell,
)


@dataclass
class OnGrid:
    """The image of every sphere, or what the nodes of its mesh hold.

    Args:
        values: Image (sphere, lat, lon, channel) or nodes (sphere, node, channel).
        waiting: Images that wait for `Refine`.
        place: Latitudes and longitudes, without rows that fill an image up.
        mesh: The mesh.
        table: What the nodes have told.
    """

    values: np.ndarray = field(default_factory=lambda: np.zeros(0))
    waiting: list[np.ndarray] = field(default_factory=list)
    place: tuple[int, int] = (1, 1)
    mesh: Mesh | None = None
    table: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def apply(self, one: GridOperation, panel: np.ndarray) -> np.ndarray:
        """Return the panel (column, row) after an operation."""
        match one:
            case Image(place=place):
                image = panel.reshape(-1, *place, panel.shape[1])
                rows = _last(image, one.extra, one.poles[1])
                beyond = _cross_pole(rows, one.signs)
                self.values, self.place = np.concatenate([image, beyond], axis=1), place
            case Convolve():
                self.values = _convolve(one, self.values)
            case Coarsen():
                self.waiting.append(self.values)
                count, rows, lines, channels = self.values.shape
                each = (count, rows // 2, 2, lines // 2, 2, channels)
                self.values = self.values.reshape(each).mean(axis=(2, 4))
            case Refine():
                fine = self.values.repeat(2, axis=1).repeat(2, axis=2)
                self.values = np.concatenate([self.waiting.pop(), fine], axis=-1)
            case Mesh():
                self.mesh, self.values = one, panel.reshape(-1, len(one.index), panel.shape[1])
            case Hear():
                self.values = self._hear(one)
            case Tell():
                self.table = self.values @ one.weights.astype(float) + one.offset.astype(float)
            case Merge():
                values = self.values if self.mesh is not None else self.values[:, : self.place[0]]
                self.mesh = None
                there = values @ one.weights.astype(float) + one.offset.astype(float)
                panel = panel + there.reshape(len(panel), -1)
        return panel

    def _hear(self, one: Hear) -> np.ndarray:
        assert self.mesh is not None
        parts = np.split(self.table, 5 if one.turned else 3, axis=-1)
        geometry, index = self.mesh.geometry.astype(float), self.mesh.index
        share, step, turn = geometry[..., :1], geometry[..., 1:4], geometry[..., 4:]
        sent = parts[0][:, index]
        if one.turned:
            moved = (turn[..., n : n + 1] * parts[n + 1][:, index] for n in (0, 1))
            sent = sent + sum(moved)
        seen = sent * (1 + step @ one.gate.astype(float)) + step @ one.edge.astype(float)
        message = bend(one.activation, seen + parts[-2][:, :, None])
        heard = (share * message).sum(axis=2)
        taken = bend(one.activation, parts[-1] + heard @ one.weights.astype(float))
        return taken + self.values if one.stays else taken


def look_around(one: Around, columns: np.ndarray) -> np.ndarray:
    """Return the panel of columns with the eight around each."""
    image = columns[:, one.inputs].astype(float).reshape(-1, *one.place, len(one.inputs))
    rows, lines = one.place
    around = _surround(image, one.poles, one.signs)
    near = [
        around[:, south : south + rows, west : west + lines].reshape(len(columns), -1)
        for south in range(3)
        for west in range(3)
    ]
    return np.concatenate([*near, columns[:, one.beside].astype(float)], axis=1)


def _convolve(one: Convolve, image: np.ndarray) -> np.ndarray:
    count, rows, lines, _ = image.shape
    around, weights = _surround(image, one.poles, one.signs), one.weights.astype(float)
    found = np.broadcast_to(one.offset.astype(float), (count, rows, lines, len(one.offset)))
    for south in range(3):
        for west in range(3):
            seen = around[:, south : south + rows, west : west + lines]
            found = found + seen @ weights[south, west]
    return bend(one.activation, found)


def _surround(image: np.ndarray, poles: tuple[bool, bool], signs: np.ndarray) -> np.ndarray:
    """Return images with a border of one point."""
    first = int(poles[0])
    before = _cross_pole(image[:, first : first + 1], signs)
    after = _cross_pole(_last(image, 1, poles[1]), signs)
    tall = np.concatenate([before, image, after], axis=1)
    return np.concatenate([tall[:, :, -1:], tall, tall[:, :, :1]], axis=2)


def _last(image: np.ndarray, count: int, pole: bool) -> np.ndarray:
    """Return the last rows, from the pole on."""
    end = image.shape[1] - int(pole)
    return image[:, end - count : end][:, ::-1]


def _cross_pole(rows: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Return rows as they follow on the other side of a pole: half-way round."""
    lines = rows.shape[2]
    half = np.roll(rows, lines // 2, axis=2)
    if lines % 2:
        half = 0.5 * (half + np.roll(rows, lines // 2 + 1, axis=2))
    return half * signs if len(signs) else half
