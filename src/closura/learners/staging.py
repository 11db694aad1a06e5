"""Buffers that are filled again and again, so that a stream takes no new memory."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

ALIGNMENT = 64  # bytes: compiled code reads NumPy arrays that begin there where they lie


class Staging:
    """Two buffers in turn: while one is used the other is filled.

    What `filled` returns is overwritten by the next but one call.

    Args:
        most: Instants that a buffer holds at most.
    """

    def __init__(self, most: int):
        self._most = most
        self._buffers: list[Any] = [None, None]

    def filled(self, count: int, parts: Iterator[Any]) -> Any:
        """Return so many instants, part after part, in one array for each of a part's arrays.

        Args:
            count: Instants of all parts together.
            parts: Trees of arrays (instant, *field), each wanted when the last one is copied.
        """
        self._buffers.reverse()
        start = 0
        for part in parts:
            if self._buffers[0] is None:
                self._buffers[0] = jax.tree.map(self._like, part)
            length = len(jax.tree.leaves(part)[0])
            jax.tree.map(
                lambda whole, a, here=slice(start, start + length): np.copyto(whole[here], a),
                self._buffers[0], part,
            )  # fmt: skip
            start += length
        return jax.tree.map(lambda whole: whole[:count], self._buffers[0])

    def _like(self, array: np.ndarray) -> np.ndarray:
        return aligned((self._most, *array.shape[1:]), array.dtype)


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an array, of any values, that begins where compiled code can read it."""
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    first = -raw.ctypes.data % ALIGNMENT
    return raw[first : first + size].view(dtype).reshape(shape)
