"""What an epoch of training goes through: samples in memory, or read while others are used."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from closura.learners.processes import my_share

Finish = Callable[[Any], Any]  # samples as they were read -> as the loss wants them


def as_it_is(batch: Any) -> Any:
    """Return a batch that needs no finish."""
    return batch


@runtime_checkable
class Samples(Protocol):
    """Samples that an epoch goes through, in memory or not."""

    @property
    def count(self) -> int:
        """How many there are in an epoch."""

    @property
    def finish(self) -> Finish:
        """What makes a batch of picked samples, inside the compiled update."""

    def parts(
        self, shuffle: np.random.Generator, updates: int, batch: int
    ) -> Iterator[tuple[Any, np.ndarray]]:
        """Yield samples in memory and their rows (update, batch): so many updates in all.

        Samples have the same shapes in every epoch, so that nothing is traced again. Of several
        processes each gets samples of its own and its share of the rows of every batch. Samples may
        be overwritten as soon as the next ones are asked for.
        """


@dataclass(frozen=True)
class Held:
    """Samples in memory, the first axis of every array; of several processes each holds all."""

    arrays: Any

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(jax.tree.leaves(self.arrays)[0])

    @property
    def finish(self) -> Finish:
        """Nothing is left to do."""
        return as_it_is

    def parts(
        self, shuffle: np.random.Generator, updates: int, batch: int
    ) -> Iterator[tuple[Any, np.ndarray]]:
        """Yield all samples, and rows in random order."""
        order = shuffle.permutation(self.count)[: updates * batch].reshape(-1, batch)
        yield self.arrays, order[:, my_share(batch)]
