"""Pairs are walked in pieces of bounded size, and read once where they lie in a file."""

import numpy as np
import pytest

from closura.core.lazy import LazyArray, is_lazy, times_at_once
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.core.pieces import Block, cut, in_memory, pieces

SERIES, TIMES = 5, 37
VALUES = np.random.default_rng(0).normal(size=(SERIES, TIMES, 3))


def lazy(values: np.ndarray, chunks: tuple[int, int], reads: list | None = None) -> LazyArray:
    def read(series: slice, times: slice) -> np.ndarray:
        if reads is not None:
            reads.append((series, times))
        return values[series, times]

    return LazyArray(read, values.shape, values.dtype, chunks=chunks)


def pairs_of(values, **others) -> Pairs:
    return Pairs({"x": values}, {"y": values}, np.arange(float(TIMES)), Passport("file"), **others)


@pytest.mark.parametrize(
    "key",
    [2, (2, slice(3, 9)), (1, 2), (slice(None), 4), (slice(None), slice(None), 1), (Ellipsis, 0),
     (slice(1, 3), np.array([1, 2, 7])), (slice(None), slice(None, None, 3)),
     (slice(None), slice(None, None, -1)), (np.array([4, 0]), slice(30, None))],
)  # fmt: skip
def test_a_part_of_a_lazy_array_is_what_numpy_says(key):
    np.testing.assert_array_equal(lazy(VALUES, (5, 10))[key], VALUES[key])


def test_stretches_stay_unread_and_are_read_in_unbroken_runs():
    reads = []
    part = lazy(VALUES, (5, 10), reads)[:, np.array([3, 4, 5, 20, 21])][1:]
    assert is_lazy(part) and not reads and part.shape == (4, 5, 3) and part.nbytes == 480
    np.testing.assert_array_equal(part, VALUES[1:, [3, 4, 5, 20, 21]])
    assert reads == [(slice(1, 5), slice(3, 6)), (slice(1, 5), slice(20, 22))]


def test_the_edges_of_a_pick_are_those_of_the_stored_pieces():
    picked = lazy(VALUES, (2, 10))[:, np.r_[8:12, 25:33]]  # times 8 9 | 10 11 | 25 ... 29 | 30 ...
    assert [edges.tolist() for edges in picked.edges] == [[0, 2, 4, 5], [0, 2, 4, 9, 12]]


def test_blocks_follow_the_order_of_series_and_time_in_memory(monkeypatch):
    # An instant takes 2 * 3 * 8 = 48 bytes: 2 series of 37 times fill 3552 bytes.
    monkeypatch.setattr("closura.core.pieces.PIECE", 3600)
    shapes = [block.shape for block in cut(pairs_of(VALUES))]
    assert shapes == [(2, 37), (2, 37), (1, 37)]
    monkeypatch.setattr("closura.core.pieces.PIECE", 48 * 15)
    assert [block.shape for block in cut(pairs_of(VALUES))][:4] == [
        (1, 15),
        (1, 15),
        (1, 7),
        (1, 15),
    ]
    # What is made of an instant counts too: 48 + 48 bytes leave room for 7.
    assert cut(pairs_of(VALUES), instant=48)[0].shape == (1, 7)


def test_blocks_of_stored_pairs_are_whole_chunks(monkeypatch):
    monkeypatch.setattr("closura.core.pieces.PIECE", 48 * 5 * 12)  # 12 times of 5 series
    stored = pairs_of(lazy(VALUES, (5, 4)))
    assert [b.times.stop for b in cut(stored)] == [12, 24, 36, 37]
    assert all(b.series == slice(0, 5) for b in cut(stored))
    monkeypatch.setattr("closura.core.pieces.PIECE", 48)  # a chunk is read whole all the same
    assert [b.shape for b in cut(stored)] == [(5, 4)] * 9 + [(5, 1)]
    monkeypatch.setattr("closura.core.pieces.LARGEST_PIECE", 48 * 3)  # unless it is too large
    assert all(b.instants <= 3 for b in cut(stored))
    assert sum(b.instants for b in cut(stored)) == SERIES * TIMES


@pytest.mark.parametrize("chunks", [(5, 4), (2, 37), (1, 1), (5, 37)])
def test_pieces_hold_every_instant_once(chunks, monkeypatch):
    monkeypatch.setattr("closura.core.pieces.PIECE", 48 * 7)
    given = {"calendar": {"day": np.arange(float(TIMES))}}
    found = np.full(VALUES.shape, np.nan)
    for piece in pieces(pairs_of(lazy(VALUES, chunks), given=given)):
        series, times = piece.block
        assert np.all(np.isnan(found[series, times]))
        found[series, times] = piece.fields["x"].reshape(*piece.block.shape, 3)
        days = np.tile(np.arange(TIMES)[times], piece.block.shape[0])
        np.testing.assert_array_equal(piece.given["calendar"]["day"], days)
    np.testing.assert_array_equal(found, VALUES)


def test_pairs_are_taken_into_memory_where_they_fit():
    stored = pairs_of(lazy(VALUES, (5, 4)))
    size = 2 * VALUES.nbytes
    assert in_memory(stored, size - 1) is stored
    held = in_memory(stored, size)
    assert isinstance(held.inputs["x"], np.ndarray)
    np.testing.assert_array_equal(held.targets["y"], VALUES)
    assert in_memory(held) is held


def test_what_cannot_be_read_is_told_in_one_line():
    def broken(series: slice, times: slice) -> np.ndarray:
        if times.stop > 20:
            raise RuntimeError("checksum is 7, wanted 9\nand more")
        return VALUES[series, times]

    stored = pairs_of(LazyArray(broken, VALUES.shape, VALUES.dtype, chunks=(5, 37)))
    with pytest.raises(ValueError) as caught:
        list(pieces(stored))
    assert str(caught.value) == (
        "input 'x' cannot be read at times 0 to 36 (counted from 0): checksum is 7, wanted 9 The "
        "file is damaged there: copy it again, make it again, or leave those times out."
    )


def test_a_record_is_looked_at_in_whole_chunks():
    array = lazy(VALUES, (5, 10))  # a time takes 5 * 3 * 8 = 120 bytes
    assert times_at_once(array, 2500) == [0, 20, 37]
    assert times_at_once(array, 10) == [0, 10, 20, 30, 37]
    assert times_at_once(VALUES, 2500) == [0, 20, 37]
    assert Block(slice(1, 4), slice(2, 9)).shape == (3, 7)
