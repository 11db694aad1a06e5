r"""The file format `.closura`: little-endian, self-describing, with a checksum.

The file is a row of 32-bit words: 8 words of head, sections, 2 words of tail.

=========  ==================================================================================
head       magic ``CLOSURA\x1a`` (2 words), version, mark 0x01020304, bytes of the file (2),
           number of sections, 0
section    kind, 0, words that follow (2), and these words
tail       0x454E4F44 (``DONE``), CRC-32 (that of zlib) of all bytes before it
=========  ==================================================================================

Kinds: 1 inputs and 2 outputs (number, then name and units of each); 3 range (number, smallest
values, largest values; number 0 if unknown); 4 guards (what happens to columns that are not
finite: 0 report, 1 zero, 2 pass on; 1 if all is to be computed in 64 bits, else 0; then a number of
further words, 0 today); 5 about (JSON); 10 and above are operations, see `operations`. Text is its
number of bytes, then UTF-8 filled up with blanks to whole words. Numbers of two words have the low
word first. Whole numbers have 32 bits, reals 64, except where an operation says 4 bytes.
"""

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from closura.data.store import write_atomically
from closura.export.activations import ACTIVATION_CODES
from closura.export.compute import compute
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
from closura.export.words import GridOperation

MAGIC, VERSION, MARK, DONE = b"CLOSURA\x1a", 3, 0x01020304, 0x454E4F44
LONGEST_TEXT = 120  # of a name or a unit, in bytes; the runtime's strings are as long
WIDEST = 8192  # values of a column between two operations: the runtime's panels lie on the stack
ON_MISSING = {"report": 0, "zero": 1, "pass": 2}


@dataclass(frozen=True)
class Column:
    """Name and unit of one input or output of a column."""

    name: str
    units: str


@dataclass(frozen=True)
class Container:
    """A closure as a `.closura` file holds it.

    Args:
        inputs: What the host hands over, in this order.
        outputs: What it gets back, in this order: tendencies to add.
        operations: What is computed.
        lower: Smallest value of each input in training, if known.
        upper: Largest value of each input in training, if known.
        missing: What happens to a column with a value that is not finite: ``"report"`` (its
            tendencies are NaN and the status says so), ``"zero"`` or ``"pass"`` (NaN, status 0).
        precise: Whether to compute in double precision, also for columns in single precision.
        about: What a reader should know: passport, version, how columns are gathered.
    """

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    operations: tuple[Operation, ...]
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None
    missing: str = "report"
    precise: bool = False
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for column in (*self.inputs, *self.outputs):
            for text in (column.name, column.units):
                if len(text.encode()) > LONGEST_TEXT:
                    raise ValueError(
                        f"{text!r} has {len(text.encode())} bytes; a .closura file holds names "
                        f"and units of up to {LONGEST_TEXT}; shorten it."
                    )
        widest = max((max(operation.width()) for operation in self.operations), default=0)
        if self.precise:  # columns in single precision are widened in blocks on the stack
            widest = max(widest, len(self.inputs), len(self.outputs))
        if widest > WIDEST:
            raise ValueError(
                f"a column of {widest} values is wider than the Fortran runtime's {WIDEST}; "
                "learn with fewer inputs or a Stencil."
            )

    @property
    def memory(self) -> int:
        """Number of values that the host remembers for each column."""
        return sum(len(one.outputs) for one in self.operations if isinstance(one, Noise))

    def predict(self, columns: np.ndarray, memory: np.ndarray | None = None) -> np.ndarray:
        """Return tendencies (column, output) for inputs (column, input), in float64."""
        if memory is None:
            memory = np.zeros((len(columns), self.memory))
        return compute(self.operations, columns, len(self.outputs), memory)


def write_container(path: str | Path, container: Container) -> None:
    """Write a `.closura` file."""
    with write_atomically(path) as temporary:
        temporary.write_bytes(to_bytes(container))


def to_bytes(container: Container) -> bytes:
    """Return the content of a `.closura` file."""
    known = container.lower is not None and container.upper is not None
    bounds = [_reals(container.lower), _reals(container.upper)] if known else []
    sections = [
        _section(1, [_names(container.inputs)]),
        _section(2, [_names(container.outputs)]),
        _section(3, [_whole(len(container.inputs) if known else 0), *bounds]),
        _section(4, [_whole(ON_MISSING[container.missing], int(container.precise), 0)]),
        _section(5, [_text(json.dumps(container.about, ensure_ascii=False))]),
        *(_section(one.code, _packed(one)) for one in container.operations),
    ]
    body = b"".join(sections)
    size = 32 + len(body) + 8
    head = MAGIC + _whole(VERSION, MARK) + _long(size) + _whole(len(sections), 0)
    return with_checksum(head + body + _whole(DONE) + bytes(4))


def with_checksum(content: bytes) -> bytes:
    """Return a file's content with the checksum that belongs to it."""
    return content[:-4] + zlib.crc32(content[:-4]).to_bytes(4, "little")


def _packed(operation: Operation) -> list[bytes]:
    match operation:
        case Select(indices) | Add(indices):
            return [_whole(len(indices)), _wholes(indices)]
        case Standardise(centre, scale) | Restore(centre, scale):
            return [_whole(len(centre)), _reals(centre), _reals(scale)]
        case Clip(lower, upper):
            return [_whole(len(lower)), _reals(lower), _reals(upper)]
        case Finite(rows):
            return [_whole(rows)]
        case Novelty():
            return _packed_novelty(operation)
        case SupportNovelty():
            return _packed_support(operation)
        case Noise(outputs, phi, sigma):
            return [_whole(len(outputs)), _wholes(outputs), _reals(phi), _reals(sigma)]
        case Polynomial(exponents, coefficients):
            sizes = _whole(exponents.shape[1], coefficients.shape[1], len(exponents))
            return [sizes, _wholes(exponents), _reals(coefficients)]
        case Dense(weights, offset, activation):
            single = weights.dtype == np.float32 and offset.dtype == np.float32
            kind = "<f4" if single else "<f8"
            head = _whole(*weights.shape, ACTIVATION_CODES[activation], 4 if single else 8)
            return [head, weights.astype(kind).tobytes(), offset.astype(kind).tobytes()]
        case Trees():
            return _packed_trees(operation)
        case Sphere():
            raise ValueError("a file holds no network of the whole sphere; unfold the container.")
        case GridOperation():
            return [part.tobytes() for part in operation.parts()]
        case OnnxGraph(inputs, outputs, content, precise, sphere):
            head = _whole(inputs, outputs, 8 if precise else 4, sphere, len(content))
            return [head, content + bytes(-len(content) % 4)]


def _packed_trees(trees: Trees) -> list[bytes]:
    leaves, outputs = trees.values.shape
    rounds = [_whole(trees.each)] if isinstance(trees, TreeRounds) else []
    return [
        _whole(trees.inputs, outputs, len(trees.roots), len(trees.feature), leaves),
        *rounds,
        _reals(np.array([trees.divisor])),
        _wholes(trees.roots),
        _wholes(trees.feature),
        _wholes(trees.left),
        trees.threshold.astype("<f4").tobytes(),
        trees.values.astype("<f4").tobytes(),
    ]


def _packed_novelty(one: Novelty) -> list[bytes]:
    axes = len(one.second) // max(1, len(one.inputs)) if one.distance else 0
    numbers = np.array([one.offset, *one.numbers])
    head = _whole(len(one.inputs), axes, one.response)
    return [head, _wholes(one.inputs), _reals(numbers), _reals(one.first), _reals(one.second)]


def _packed_support(one: SupportNovelty) -> list[bytes]:
    numbers = np.array([one.offset, *one.numbers, one.gamma])
    arrays = (numbers, one.centre, one.scale, one.heights, one.vectors.T)
    head = _whole(len(one.inputs), len(one.heights), one.response)
    return [head, _wholes(one.inputs), *map(_reals, arrays)]


def _section(kind: int, parts: list[bytes]) -> bytes:
    content = b"".join(parts)
    return _whole(kind, 0) + _long(len(content) // 4) + content


def _names(columns: tuple[Column, ...]) -> bytes:
    texts = [_text(text) for column in columns for text in (column.name, column.units)]
    return _whole(len(columns)) + b"".join(texts)


def _text(text: str) -> bytes:
    content = text.encode()
    return _whole(len(content)) + content + b" " * (-len(content) % 4)


def _whole(*numbers: int) -> bytes:
    return np.array(numbers, "<i4").tobytes()


def _long(number: int) -> bytes:
    return np.array(number, "<i8").tobytes()


def _wholes(numbers: np.ndarray) -> bytes:
    return np.asarray(numbers).astype("<i4").tobytes()


def _reals(numbers: Any) -> bytes:
    return np.asarray(numbers).astype("<f8").tobytes()
