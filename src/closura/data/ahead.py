"""Inputs of a run stretch by stretch: the next is read in a thread while the model runs."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp

from closura.core.inputs import AbstractInputs


class Ahead:
    """Gives the inputs of one stretch of a run after the other; never more than two are held.

    Args:
        inputs: Inputs of the whole run, or None.
        spans: First and last step of each stretch, in order.
    """

    def __init__(self, inputs: Any, spans: Sequence[tuple[int, int]]):
        self.inputs, self.spans = inputs, list(spans)
        self._lazy = isinstance(inputs, AbstractInputs) and inputs.longest is not None
        self._pool = ThreadPoolExecutor(1, "inputs") if self._lazy else None
        self._next: tuple[int, Future] | None = None
        self._double = jnp.zeros(()).dtype.itemsize == 8

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def stretch(self, index: int) -> Any:
        """Return the inputs of a stretch, and begin to read those of the one after."""
        if self._pool is None:
            return self.inputs
        waiting = self._next
        ready = waiting is not None and waiting[0] == index
        found = waiting[1].result() if ready and waiting is not None else self._read(index)
        self._next = None
        if index + 1 < len(self.spans):
            self._next = (index + 1, self._pool.submit(self._read, index + 1))
        return found

    def _read(self, index: int) -> Any:
        with jax.enable_x64(self._double):  # the setting belongs to the calling thread alone
            return self.inputs.between(*self.spans[index])
