"""Whole chunks of a stored array, each unpacked where it is wanted."""

import os
import threading
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numcodecs import blosc

CHECKSUM = 4  # bytes at the end of a chunk
# What chunks went through that are read here.
PACKED = ("bytes", "blosc", "crc32c")
PLAIN = ("bytes", "crc32c")
AT_ONCE = 2**18  # bytes that are still in the cache when their checksum is made


class Chunks:
    """Reads stretches (series, time) of a stored array; those of whole chunks with fewer copies.

    A stream reads a record anew in each epoch, beside an update that takes both cores. zarr hands
    a chunk through two threads and three copies, which takes longer than to unpack it. Stretches
    that cut a chunk, and arrays that were packed otherwise, are left to zarr.

    Args:
        path: Folder of the array, on a disk.
        array: The array.
    """

    def __init__(self, path: Path, array: zarr.Array):
        self._path, self._array, self._own = path, array, threading.local()
        said: Any = array.metadata.to_dict()
        names = tuple(codec["name"] for codec in said["codecs"])
        self._plain = names == PLAIN
        self._known = (
            names in (PACKED, PLAIN)
            and array.dtype.str[0] in "<|"
            and said["chunk_key_encoding"]["name"] == "default"
            and said["chunk_key_encoding"]["configuration"]["separator"] == "/"
            and array.chunks[2:] == array.shape[2:]
        )

    def __call__(self, series: slice, times: slice) -> np.ndarray:
        """Return the values there; see `into`."""
        shape = (series.stop - series.start, times.stop - times.start, *self._array.shape[2:])
        found = np.empty(shape, self._array.dtype)
        self.into(series, times, found)
        return found

    def into(self, series: slice, times: slice, place: np.ndarray) -> None:
        """Write the values of two stretches to a place.

        Raises:
            OSError: A chunk is missing.
            ValueError: It is damaged.
        """
        if not (self._known and self._is_whole(series, 0) and self._is_whole(times, 1)):
            place[...] = self._array[series, times]
            return
        rows, columns = self._array.chunks[:2]
        for row in range(series.start // rows, -(-series.stop // rows)):
            for column in range(times.start // columns, -(-times.stop // columns)):
                above, before = row * rows - series.start, column * columns - times.start
                here = place[above : above + rows, before : before + columns]
                self._unpack((row, column), here)

    def _is_whole(self, part: slice, axis: int) -> bool:
        length, end = self._array.chunks[axis], self._array.shape[axis]
        return part.start % length == 0 and (part.stop % length == 0 or part.stop == end)

    def _unpack(self, numbers: tuple[int, int], place: np.ndarray) -> None:
        """Write one chunk to its place; at the end of an axis a chunk is larger than that."""
        whole = place.shape == self._array.chunks and place.flags.c_contiguous
        into = place if whole else np.empty(self._array.chunks, place.dtype)
        key = Path("c", *map(str, (*numbers, *(0 for _ in place.shape[2:]))))
        read = _read_plain if self._plain else self._read_packed
        if not read(self._path / key, into.reshape(-1).view(np.uint8)):
            raise ValueError(f"chunk {key} does not agree with its checksum.")
        if not whole:
            place[...] = into[: place.shape[0], : place.shape[1]]

    def _read_packed(self, file: Path, place: np.ndarray) -> bool:
        """Unpack a chunk, in memory that is this thread's, if its checksum agrees; say whether."""
        with open(file, "rb", buffering=0) as opened:
            size = os.fstat(opened.fileno()).st_size
            if size > len(getattr(self._own, "room", ())):
                self._own.room = np.empty(size, np.uint8)
            if size <= CHECKSUM or _fill(opened, self._own.room[:size]) < size:
                return False
        packed, told = np.split(self._own.room[:size], [size - CHECKSUM])
        if google_crc32c.value(packed) != int.from_bytes(told.tobytes(), "little"):
            return False
        blosc.decompress(packed, place)
        return True


def _read_plain(file: Path, place: np.ndarray) -> bool:
    """Read a chunk that was stored as it is, and return whether its checksum agrees."""
    found = 0
    with open(file, "rb", buffering=0) as opened:
        for start in range(0, place.size, AT_ONCE):
            part = place[start : start + AT_ONCE]
            if _fill(opened, part) < part.size:
                return False
            found = google_crc32c.extend(found, part)
        return opened.read(CHECKSUM + 1) == found.to_bytes(CHECKSUM, "little")


def _fill(opened: Any, place: np.ndarray) -> int:
    """Read until a place is full, or the file ends, and return how many bytes there were."""
    done = 0
    while done < place.size and (more := opened.readinto(place[done:])):
        done += more
    return done
