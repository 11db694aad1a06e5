"""Samples of pairs that are larger than memory: read ahead in a thread, shuffled in a buffer."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from math import gcd
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from closura.closures.features import AbstractFeatures
from closura.closures.learned import Scaling
from closura.core.learner import Pairs
from closura.core.pieces import Block, Room, bytes_of_instant, cut, read_piece
from closura.learners.processes import my_share
from closura.learners.samples import Finish, Held, Samples, as_it_is
from closura.learners.staging import Staging
from closura.learners.tables import Table, bytes_of_table, samples_at_once, standardise, tabulate

LANES = 4  # parts of a record that are read side by side: up to so many processes share the work
LIVE = 8  # buffers that may be alive at once: read, joined, being tabulated, being trained on

Item = TypeVar("Item")


def samples_of(
    owner: str,
    features: AbstractFeatures,
    pairs: Pairs,
    scaling: Scaling,
    *,
    memory: float,
    batch: int,
) -> Samples:
    """Return the standardised samples of the pairs: in memory if they fit there, else a stream.

    Args:
        owner: Name of the learner, for errors.
        features: Bound features.
        pairs: What is learned from, in memory or not.
        scaling: Means and deviations.
        memory: Bytes that samples may take.
        batch: Samples a mini-batch.

    Raises:
        ValueError: The processes that run together cannot share the record.
    """
    if len(pairs) * bytes_of_table(features, pairs, number=4) <= memory:
        return Held(jax.tree.map(jnp.asarray, standardise(features, pairs, scaling)))
    return Stream(owner, features, pairs, scaling, memory, batch)


@dataclass(frozen=True)
class Stream:
    """Samples that are read from pairs in pieces, while the update of the last ones runs.

    The pieces of the record are dealt to lanes. In each epoch every lane goes through its pieces
    in another order, a buffer is filled from all lanes, and its samples are shuffled. A batch has
    as many samples of one lane as of another; so a process that owns some lanes reads these alone,
    and the batches are the same for one process and for several. All randomness is drawn by who
    trains, none depends on when a piece arrives. What is left at the end of a lane or a buffer and
    fills no batch is left out: other samples in each epoch.

    Reading happens in a thread, everything compiled in the thread of the caller: two compiled
    calls at once may wait for each other for ever.

    Args:
        owner: Name of the learner, for errors.
        features: Bound features.
        pairs: What is learned from.
        scaling: Means and deviations.
        memory: Bytes that the buffers may take together.
        batch: Samples a mini-batch.
    """

    owner: str
    features: AbstractFeatures
    pairs: Pairs
    scaling: Scaling
    memory: float
    batch: int

    def __post_init__(self):
        count = jax.process_count()
        if self.lanes % count:
            raise ValueError(
                f"{self.owner}: {count} processes cannot share a record of "
                f"{len(self.blocks)} pieces and batches of {self.batch} samples; store it in more "
                f"chunks, take a batch that {_lanes_wanted()} divides, or fewer processes."
            )

    @cached_property
    def blocks(self) -> list[Block]:
        """The pieces of the record."""
        return cut(self.pairs, size=self.memory / LIVE / LANES)

    @cached_property
    def lanes(self) -> int:
        """Number of lanes: at most as many as there are pieces, and a divisor of the batch."""
        most = min(_lanes_wanted(), len(self.blocks))
        common = gcd(_lanes_wanted(), self.batch)
        return max(lanes for lanes in range(1, most + 1) if common % lanes == 0)

    @cached_property
    def rows(self) -> int:
        """Samples of one instant."""
        return samples_at_once(self.features, self.pairs)

    @cached_property
    def sizes(self) -> list[int]:
        """Instants that each lane gives to each buffer of an epoch."""
        shortest = min(sum(b.instants for b in self.blocks[n :: self.lanes])
                       for n in range(self.lanes))  # fmt: skip
        bytes_each = max(
            bytes_of_instant(self.pairs), bytes_of_table(self.features, self.pairs, number=4)
        )
        share = self.batch // self.lanes  # samples of a lane in a batch
        least = share // gcd(share, self.rows)  # instants that fill whole batches
        most = max(1, int(self.memory / LIVE / bytes_each / self.lanes))
        size = min(shortest, max(least, most // least * least))
        last = shortest % size
        return [size] * (shortest // size) + ([last] if last * self.rows >= share else [])

    @property
    def count(self) -> int:
        """Number of samples in an epoch."""
        return sum(map(self._updates, self.sizes)) * self.batch

    @property
    def finish(self) -> Finish:
        """Tabulate a batch: where an instant is a sample, no sooner than it is used."""
        return self._preparation if self.rows == 1 else as_it_is

    @cached_property
    def _preparation(self) -> "Preparation":
        return Preparation(self.features, self.scaling)

    def _updates(self, size: int) -> int:
        return size * self.rows // (self.batch // self.lanes)

    def parts(
        self, shuffle: np.random.Generator, updates: int, batch: int
    ) -> Iterator[tuple[Any, np.ndarray]]:
        """Yield buffers of standardised samples, and the rows of each update."""
        own = range(self.lanes)[my_share(self.lanes)]
        orders = [shuffle.permutation(len(self.blocks[n :: self.lanes])) for n in range(self.lanes)]
        lanes = [self._lane(n, orders[n]) for n in own]
        seeds = shuffle.spawn(1)[0]
        sizes = [s for n, s in enumerate(self.sizes) if self._before(n) < updates]
        staging = Staging(max(self.sizes) * len(lanes))
        reading = (
            staging.filled(s * len(lanes), (part for lane in lanes for part in lane.take(s)))
            for s in sizes
        )
        for number, (size, read) in enumerate(zip(sizes, ahead(reading), strict=True)):
            wanted = min(self._updates(size), updates - self._before(number))
            if self.rows > 1:
                read = jax.block_until_ready(_prepared(self._preparation, read))
            yield read, self._rows(seeds, size, wanted, own)

    def _before(self, number: int) -> int:
        """Return how many updates come before a buffer."""
        return sum(map(self._updates, self.sizes[:number]))

    def _rows(
        self, draw: np.random.Generator, size: int, updates: int, own: Sequence[int]
    ) -> np.ndarray:
        """Return the rows of this process's buffer that each update takes (update, share)."""
        share, rows = self.batch // self.lanes, size * self.rows
        orders = [draw.permutation(rows)[: updates * share] for _ in range(self.lanes)]
        mine = [orders[n].reshape(updates, share) + place * rows for place, n in enumerate(own)]
        return np.concatenate(mine, axis=1)

    def _lane(self, number: int, order: np.ndarray) -> "_Lane":
        blocks = self.blocks[number :: self.lanes]
        wanted = {name: self.pairs.inputs[name] for name, _ in self.features.read}
        pairs = replace(self.pairs, inputs=wanted)
        room = Room()  # a lane asks for a piece when the last one is copied
        return _Lane(_in_memory(pairs, blocks[n], room) for n in order)


class Preparation(eqx.Module):
    """Makes a standardised table in single precision of instants as they were read."""

    features: AbstractFeatures
    scaling: Scaling

    def __call__(self, read: tuple[Any, Any, Any]) -> Table:
        table = tabulate(self.features, *read)
        scaling = self.scaling
        unit = jnp.where(scaling.output_deviation > 0, scaling.output_deviation, 1.0)
        inputs = (table.inputs - scaling.mean) / scaling.deviation
        outputs = (table.outputs - scaling.output_mean) / unit
        return jax.tree.map(lambda a: a.astype(jnp.float32), Table(inputs, outputs))


class _Lane:
    """Instants from one piece after another, any number at a time."""

    def __init__(self, arrays: Iterator[Any]):
        self._arrays, self._rest = arrays, None

    def take(self, count: int) -> Iterator[Any]:
        """Yield arrays that hold the next so many instants."""
        while count:
            here = self._rest if self._rest is not None else next(self._arrays)
            length = len(jax.tree.leaves(here)[0])
            yield jax.tree.map(lambda a, n=count: a[:n], here)
            self._rest = jax.tree.map(lambda a, n=count: a[n:], here) if length > count else None
            count -= min(count, length)


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items of an iterator, the next one being made in a thread meanwhile."""
    end: Any = object()
    with ThreadPoolExecutor(1, thread_name_prefix="closura-read") as thread:
        waiting = thread.submit(next, items, end)
        while (item := waiting.result()) is not end:
            waiting = thread.submit(next, items, end)
            yield item


def _lanes_wanted() -> int:
    count = jax.process_count()
    return LANES if LANES % count == 0 else count


def _in_memory(pairs: Pairs, block: Block, room: Room) -> tuple[Any, Any, Any]:
    piece = read_piece(pairs, block, room)
    return piece.fields, piece.given, piece.targets


_prepared = eqx.filter_jit(lambda preparation, read: preparation(read))
