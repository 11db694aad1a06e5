"""A `.closura` file read back, every number of it checked: the reference for other readers."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from closura.export.activations import ACTIVATION_NAMES
from closura.export.container import DONE, MAGIC, MARK, ON_MISSING, VERSION, Column, Container
from closura.export.grid import ON_GRID
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
    Standardise,
    TreeRounds,
    Trees,
)
from closura.export.support import SupportNovelty
from closura.export.words import REALS

HEAD, TAIL = 32, 8  # bytes
OLDEST = 1  # format that is still read
CONTRADICTORY = "is damaged: its sections contradict each other; export it again."


def read_container(path: str | Path) -> Container:
    """Return what a `.closura` file holds.

    Raises:
        ValueError: The file is truncated, foreign, newer or damaged; one line says which.
    """
    path = Path(path)
    try:
        return from_bytes(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error


def from_bytes(content: bytes) -> Container:
    """Return what the bytes of a `.closura` file hold."""
    count = _check(content)
    try:
        return _parse(content, count)
    except (KeyError, UnicodeDecodeError, json.JSONDecodeError) as error:  # a code or text is none
        raise ValueError(CONTRADICTORY) from error


def _parse(content: bytes, count: int) -> Container:
    words = _Words(content[HEAD:-TAIL])
    sections = [words.section() for _ in range(count)]
    if words.left or [kind for kind, _ in sections[:5]] != [1, 2, 3, 4, 5]:
        raise ValueError(CONTRADICTORY)
    names, outputs, bounds, guards, about, *rest = (section for _, section in sections)
    inputs = names.columns()
    known = bounds.whole()
    missing = {number: name for name, number in ON_MISSING.items()}[guards.whole()]
    return Container(
        inputs=inputs,
        outputs=outputs.columns(),
        operations=tuple(
            _operation(kind, section) for (kind, _), section in zip(sections[5:], rest, strict=True)
        ),
        lower=bounds.reals(known) if known else None,
        upper=bounds.reals(known) if known else None,
        missing=missing,
        precise=bool(guards.whole()),
        about=json.loads(about.text()),
    )


def _check(content: bytes) -> int:
    """Return the number of sections of a file that is whole."""
    if content[:8] != MAGIC:
        raise ValueError("is no .closura file; give the one that `closura export` wrote.")
    if len(content) < HEAD + TAIL:
        raise ValueError(f"is cut off after {len(content)} bytes; copy it again.")
    version, mark = (int(number) for number in np.frombuffer(content[8:16], "<i4"))
    if not OLDEST <= version <= VERSION:
        age, remedy = ("newer", "install a newer closura") if version > VERSION else (
            "older", "export it again"
        )  # fmt: skip
        raise ValueError(
            f"is of format {version}, {age} than the formats {OLDEST} to {VERSION} that this "
            f"closura reads; {remedy}."
        )
    size = int(np.frombuffer(content[16:24], "<i8")[0])
    if size != len(content):
        raise ValueError(f"has {len(content)} bytes, wanted {size}; copy it again.")
    tail = np.frombuffer(content[-8:], "<u4")
    if mark != MARK or tail[0] != DONE or tail[1] != zlib.crc32(content[:-4]):
        raise ValueError("is damaged: its checksum is wrong; copy it again.")
    return int(np.frombuffer(content[24:28], "<i4")[0])


class _Words:
    """A cursor over the words of a file, or of one section."""

    def __init__(self, content: bytes):
        self.content, self.at = content, 0

    @property
    def left(self) -> int:
        return len(self.content) - self.at

    def take(self, count: int, kind: str) -> np.ndarray:
        size = count * np.dtype(kind).itemsize
        if not 0 <= size <= self.left:
            raise ValueError("is damaged: a section is too short; export it again.")
        found = np.frombuffer(self.content, kind, count, self.at)
        self.at += size
        return found

    def whole(self) -> int:
        return int(self.take(1, "<i4")[0])

    def sizes(self, count: int) -> list[int]:
        """Return whole numbers that say how many there are of something, or which."""
        found = self.wholes(count).tolist()
        if min(found) < 0:
            raise ValueError(CONTRADICTORY)
        return found

    def wholes(self, count: int) -> np.ndarray:
        return self.take(count, "<i4").astype(np.int64)

    def reals(self, count: int, kind: str = "<f8") -> np.ndarray:
        return self.take(count, kind)

    def text(self) -> str:
        count = self.whole()
        return self.take(count + -count % 4, "u1").tobytes()[:count].decode()

    def columns(self) -> tuple[Column, ...]:
        return tuple(Column(self.text(), self.text()) for _ in range(self.whole()))

    def section(self) -> "tuple[int, _Words]":
        kind, _ = self.whole(), self.whole()
        count = int(self.take(1, "<i8")[0])
        return kind, _Words(self.take(4 * count, "u1").tobytes())


def _operation(kind: int, words: _Words) -> Operation:
    if kind == Dense.code:
        return _dense(words)
    if kind in (Trees.code, TreeRounds.code):
        return _trees(words, kind)
    if kind == OnnxGraph.code:
        inputs, outputs, size, sphere, count = words.sizes(5)
        content = words.take(count + -count % 4, "u1").tobytes()[:count]
        return OnnxGraph(inputs, outputs, content, size == 8, sphere)
    if kind == Polynomial.code:
        inputs, outputs, terms = words.sizes(3)
        exponents = words.wholes(terms * inputs).reshape(terms, inputs)
        return Polynomial(exponents, words.reals(terms * outputs).reshape(terms, outputs))
    if kind in ON_GRID:
        return ON_GRID[kind].read(words)
    if kind == Novelty.code:
        return _novelty(words)
    if kind == SupportNovelty.code:
        return _support(words)
    count = words.whole()
    readers: dict[int, Any] = {
        Select.code: lambda: Select(words.wholes(count)),
        Add.code: lambda: Add(words.wholes(count)),
        Finite.code: lambda: Finite(count),
        Clip.code: lambda: Clip(words.reals(count), words.reals(count)),
        Standardise.code: lambda: Standardise(words.reals(count), words.reals(count)),
        Restore.code: lambda: Restore(words.reals(count), words.reals(count)),
        Noise.code: lambda: Noise(words.wholes(count), words.reals(count), words.reals(count)),
    }
    if kind not in readers:
        raise ValueError(f"holds the operation {kind}, which this closura does not know.")
    return readers[kind]()


def _dense(words: _Words) -> Dense:
    inputs, outputs, activation, size = words.sizes(4)
    kind = REALS[size]
    weights = words.reals(inputs * outputs, kind).reshape(inputs, outputs)
    return Dense(weights, words.reals(outputs, kind), ACTIVATION_NAMES[activation])


def _novelty(words: _Words) -> Novelty:
    inputs, axes, response = words.sizes(3)
    indices, numbers = words.wholes(inputs), words.reals(4).tolist()
    first, second = words.reals(inputs), words.reals(inputs * (axes or 1))
    told = (numbers[0], response, (numbers[1], numbers[2], numbers[3]), axes > 0)
    return Novelty(indices, first, second, *told)


def _support(words: _Words) -> SupportNovelty:
    inputs, vectors, response = words.sizes(3)
    indices, numbers = words.wholes(inputs), words.reals(5).tolist()
    centre, scale, heights = (words.reals(count) for count in (inputs, inputs, vectors))
    places = words.reals(inputs * vectors).reshape(inputs, vectors).T
    told = (numbers[4], numbers[0], response, (numbers[1], numbers[2], numbers[3]))
    return SupportNovelty(indices, centre, scale, places, heights, *told)


def _trees(words: _Words, kind: int) -> Trees:
    inputs, outputs, trees, nodes, leaves = words.sizes(5)
    each = words.whole() if kind == TreeRounds.code else 0
    divisor = float(words.reals(1)[0])
    roots, feature, left = (words.wholes(count) for count in (trees, nodes, nodes))
    threshold = words.reals(nodes, "<f4")
    values = words.reals(leaves * outputs, "<f4").reshape(leaves, outputs)
    told = (inputs, roots, feature, left, threshold, values, divisor)
    return TreeRounds(*told, each) if each else Trees(*told)
