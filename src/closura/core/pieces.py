"""Pairs walked in pieces of bounded size: the one way in which recorded instants are read."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from closura.core.lazy import is_lazy
from closura.core.learner import Pairs

PIECE = 2**25  # bytes of a piece: small beside any memory, large beside the cost of a call
LARGEST_PIECE = 2**29  # bytes up to which what is stored in one piece is read in one


class Block(NamedTuple):
    """A stretch of series and a stretch of times."""

    series: slice
    times: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Number of series and of times."""
        return self.series.stop - self.series.start, self.times.stop - self.times.start

    @property
    def instants(self) -> int:
        """Number of series times number of times."""
        return self.shape[0] * self.shape[1]


class Piece(NamedTuple):
    """Recorded instants in memory, series after series: every array (instant, *field).

    `given` is None where nothing was given from outside, as `inputs` of a closure are.
    """

    block: Block
    fields: dict[str, np.ndarray]
    targets: dict[str, np.ndarray]
    given: Any


def pieces(pairs: Pairs, *, instant: int = 0) -> Iterator[Piece]:
    """Yield the pairs piece by piece; a piece is read when its turn comes.

    Args:
        pairs: In memory or not.
        instant: Bytes that are made of one instant, beside what the pairs themselves hold of it.

    Raises:
        ValueError: A file cannot be read; the message says which variable, and where.
    """
    for block in cut(pairs, instant=instant):
        yield read_piece(pairs, block)


def cut(pairs: Pairs, *, instant: int = 0, size: float | None = None) -> list[Block]:
    """Return the blocks that pairs are walked in.

    Blocks of pairs in memory follow one another as (series, time) do: several whole series, or a
    stretch of one. Those of stored pairs follow what is stored in one piece, which is then read
    once. Their size is a matter of bytes, not of instants.

    Args:
        pairs: In memory or not.
        instant: Bytes that are made of one instant, beside what the pairs themselves hold of it.
        size: Bytes of a block; `PIECE` by default.
    """
    arrays = [*pairs.inputs.values(), *pairs.targets.values()]
    bytes_each = instant + bytes_of_instant(pairs)
    count, times = pairs.series, len(pairs.time)
    most = max(1, int(PIECE if size is None else size) // max(1, bytes_each))
    stored = [array.edges for array in arrays if is_lazy(array)]
    if stored:
        series, along = (_common(edges) for edges in zip(*stored, strict=True))
        return _stored_blocks(series, along, most, max(1, LARGEST_PIECE // bytes_each))
    if times <= most:
        return [Block(s, slice(0, times)) for s in _stretches(count, most // max(1, times))]
    every = range(count)
    return [Block(slice(s, s + 1), t) for s in every for t in _stretches(times, most)]


def bytes_of_instant(pairs: Pairs) -> int:
    """Return the bytes that inputs and targets of one instant of one series take."""
    arrays = [*pairs.inputs.values(), *pairs.targets.values()]
    return sum(int(np.prod(np.shape(a)[2:])) * a.dtype.itemsize for a in arrays)


class Room:
    """Memory that pieces are read into one after the other: each overwrites the one before it."""

    def __init__(self):
        self._held: dict[str, np.ndarray] = {}

    def read(self, name: str, array: Any) -> np.ndarray:
        """Return the values of an array, in memory that belongs to its name."""
        if not is_lazy(array):
            return np.asarray(array)
        if name not in self._held or self._held[name].nbytes < array.nbytes:
            self._held[name] = np.empty(array.nbytes, np.uint8)
        place = self._held[name][: array.nbytes].view(array.dtype).reshape(array.shape)
        array.fill(place)
        return place


def read_piece(pairs: Pairs, block: Block, room: Room | None = None) -> Piece:
    """Return a block of the pairs in memory; in new memory if no room is given.

    Raises:
        ValueError: It cannot be read.
    """
    length = block.instants

    def given(values: Any) -> np.ndarray:
        values = np.asarray(values[block.times])
        shape = (block.shape[0], *values.shape)
        return np.broadcast_to(values, shape).reshape(length, *values.shape[1:])

    shared = {name: {part: given(v) for part, v in parts.items()}
              for name, parts in pairs.given.items()}  # fmt: skip
    return Piece(
        block, _read("input", pairs.inputs, block, room),
        _read("target", pairs.targets, block, room), shared or None,
    )  # fmt: skip


def in_memory(pairs: Pairs, most: int | float = np.inf) -> Pairs:
    """Return pairs with every array in memory if they take at most so many bytes, else as they are.

    Raises:
        ValueError: A file cannot be read.
    """
    arrays = [*pairs.inputs.values(), *pairs.targets.values()]
    if not any(map(is_lazy, arrays)) or len(pairs) * bytes_of_instant(pairs) > most:
        return pairs
    whole = Block(slice(0, pairs.series), slice(0, len(pairs.time)))
    inputs, targets = (
        {
            name: a.reshape(*whole.shape, *a.shape[1:])
            for name, a in _read(kind, arrays, whole).items()
        }
        for kind, arrays in (("input", pairs.inputs), ("target", pairs.targets))
    )
    return replace(pairs, inputs=inputs, targets=targets)


def _read(
    kind: str, arrays: Mapping[str, Any], block: Block, room: Room | None = None
) -> dict[str, np.ndarray]:
    found = {}
    for name, array in arrays.items():
        try:
            part = array[block.series, block.times]
            values = np.asarray(part) if room is None else room.read(f"{kind} {name}", part)
        except Exception as error:  # whatever the readers of files raise for a damaged chunk
            if not is_lazy(array):
                raise
            line = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(
                f"{kind} {name!r} cannot be read at times {block.times.start} to "
                f"{block.times.stop - 1} (counted from 0): {line} The file is damaged there: copy "
                "it again, make it again, or leave those times out."
            ) from error
        found[name] = values.reshape(block.instants, *values.shape[2:])
    return found


def _stretches(length: int, most: int) -> list[slice]:
    return [slice(start, min(start + most, length)) for start in range(0, length, most)]


def _common(edges: Any) -> np.ndarray:
    """Return the edges that all arrays share, or those of one if they share only the ends."""
    shared = set(edges[0].tolist()).intersection(*(set(e.tolist()) for e in edges[1:]))
    return np.array(sorted(shared)) if len(shared) > 2 else min(edges, key=len)


def _stored_blocks(series: np.ndarray, times: np.ndarray, most: int, largest: int) -> list[Block]:
    """Return blocks of whole stored pieces; a stored piece that is too large is cut, in time."""
    every, longest = int(series[-1]), int(np.diff(times).max())
    rows = every if every * longest <= largest else most // longest
    found = []
    for column in _grouped(series, rows):
        wide = column.stop - column.start
        for stretch in _grouped(times, most // wide):
            found += _no_larger(Block(column, stretch), largest)
    return found


def _no_larger(block: Block, largest: int) -> list[Block]:
    wide, long = block.shape
    if block.instants <= largest:
        return [block]
    first, begin = block.series.start, block.times.start
    return [
        Block(slice(first + s.start, first + s.stop), slice(begin + t.start, begin + t.stop))
        for s in _stretches(wide, min(wide, largest))
        for t in _stretches(long, max(1, largest // wide))
    ]


def _grouped(edges: np.ndarray, most: int) -> list[slice]:
    """Return stretches of whole pieces, of at most so much each; longer pieces stay whole."""
    found, start = [], int(edges[0])
    for before, after in pairwise(edges.tolist()):
        if after - start > most and before > start:
            found.append(slice(start, before))
            start = before
    found.append(slice(start, int(edges[-1])))
    return found
