"""An array that lies in a file and is read part by part."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

# (stretch of series, stretch of times) -> values there, (series, time, *field)
Read = Callable[[slice, slice], np.ndarray]
# The same, and where to write them.
ReadInto = Callable[[slice, slice, np.ndarray], None]


class LazyArray:
    """Values ``(series, time, *field)`` that are read when a part of them is wanted.

    It stands in `Pairs` where an array does. Stretches and picks of series and times are again
    unread; a number in their place, an index of the field, or whatever asks for an array, reads.

    Args:
        read: Returns the values of a stretch of series and a stretch of times.
        shape: Shape of the whole, (series, time, *field).
        dtype: Type of the numbers.
        chunks: Length in series and in times of what is stored in one piece; reading a part of
            such a piece costs as much as reading all of it.
        series: Which series of the whole this one holds; all by default.
        times: Which times, likewise.
        read_into: Writes the values of two stretches where it is told; made of `read` if None.
    """

    def __init__(
        self,
        read: Read,
        shape: Sequence[int],
        dtype: Any,
        *,
        chunks: tuple[int, int] = (1, 1),
        series: np.ndarray | None = None,
        times: np.ndarray | None = None,
        read_into: ReadInto | None = None,
    ):
        self._read_into = read_into
        self._read, self._whole, self._chunks = read, tuple(shape), chunks
        self._series = np.arange(shape[0]) if series is None else series
        self._times = np.arange(shape[1]) if times is None else times
        self.dtype = np.dtype(dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what is held here."""
        return (len(self._series), len(self._times), *self._whole[2:])

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._whole)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        """Bytes that the values take in memory [bytes]."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._series)

    @property
    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the stored pieces begin, in series and in times, and the end of all."""
        return _edges(self._series // self._chunks[0]), _edges(self._times // self._chunks[1])

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        if any(one is Ellipsis for one in keys):
            return np.asarray(self)[key]
        first, second, *rest = (*keys, *(slice(None),) * (2 - len(keys)))
        series, times = self._series[first], self._times[second]
        part = LazyArray(
            self._read, self._whole, self.dtype, chunks=self._chunks,
            series=np.atleast_1d(series), times=np.atleast_1d(times), read_into=self._read_into,
        )  # fmt: skip
        if np.ndim(series) == np.ndim(times) == 1 and not rest:
            return part
        picked = (0 if np.ndim(index) == 0 else slice(None) for index in (series, times))
        return np.asarray(part)[(*picked, *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        parts = [(s, t) for s in _stretches(self._series) for t in _stretches(self._times)]
        if len(parts) == 1:  # the usual way of reading: nothing is copied
            (_, series), (_, times) = parts[0]
            return np.asarray(self._read(series, times), dtype)
        found = np.empty(self.shape, self.dtype)
        self.fill(found)
        return np.asarray(found, dtype)

    def fill(self, place: np.ndarray) -> None:
        """Read all values into an array of the same shape and type."""
        for here, series in _stretches(self._series):
            for then, times in _stretches(self._times):
                if self._read_into is None:
                    place[here, then] = self._read(series, times)
                else:
                    self._read_into(series, times, place[here, then])

    def __repr__(self) -> str:
        return f"LazyArray({'x'.join(map(str, self.shape))}, {self.dtype}, unread)"


def is_lazy(array: Any) -> bool:
    """Return whether an array is read when it is used, and not held in memory."""
    return isinstance(array, LazyArray)


def times_at_once(array: Any, most: int = 2**28) -> list[int]:
    """Return where to cut an array (series, time, *field) in time, to look at it part by part.

    Args:
        array: In memory or not.
        most: Bytes of a part; what is stored in one piece stays whole.
    """
    times = array.shape[1]
    span = max(1, most * times // max(1, array.nbytes))
    if not is_lazy(array):
        return [*range(0, times, span), times]
    kept = [0]
    for before, after in pairwise(array.edges[1].tolist()):
        if after - kept[-1] > span and before > kept[-1]:
            kept.append(before)
    return [*kept, times]


def _edges(piece: np.ndarray) -> np.ndarray:
    """Return the places where the number of the stored piece changes, with both ends."""
    return np.concatenate([[0], np.flatnonzero(np.diff(piece)) + 1, [len(piece)]])


def _stretches(index: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Yield the unbroken stretches of an index: where they lie here, and what they pick."""
    breaks = np.flatnonzero(np.diff(index) != 1) + 1
    for start, stop in pairwise([0, *breaks.tolist(), len(index)]):
        if stop > start:
            yield slice(start, stop), slice(int(index[start]), int(index[stop - 1]) + 1)
