"""Chunks that are unpacked where they are wanted hold what zarr finds in them."""

import numpy as np
import pytest
import zarr

from closura.data.chunks import Chunks
from closura.data.store import CHECKED, PLAIN, READ_OFTEN

VALUES = np.random.default_rng(0).normal(size=(7, 11, 3))


def stored(path, *, codecs=READ_OFTEN, values=VALUES, chunks=(4, 3, 3)) -> Chunks:
    made = zarr.create_array(path, shape=values.shape, chunks=chunks, dtype=values.dtype,
                             compressors=codecs)  # fmt: skip
    made[...] = values
    return Chunks(path, zarr.open_array(path, mode="r"))


@pytest.mark.parametrize(
    ("series", "times"),
    [
        (slice(0, 4), slice(3, 6)),  # one chunk
        (slice(0, 7), slice(6, 11)),  # several, those at the ends cut off
        (slice(4, 7), slice(9, 11)),  # a corner
        (slice(1, 3), slice(3, 6)),  # a part of one
        (slice(0, 4), slice(2, 8)),
    ],
)
@pytest.mark.parametrize("codecs", [READ_OFTEN, PLAIN, CHECKED])
def test_any_stretch_is_read(series, times, codecs, tmp_path):
    chunks = stored(tmp_path / "a", codecs=codecs)
    np.testing.assert_array_equal(chunks(series, times), VALUES[series, times])
    place = np.zeros((9, 20, 3))[: series.stop - series.start, 5 : 5 + times.stop - times.start]
    chunks.into(series, times, place)
    np.testing.assert_array_equal(place, VALUES[series, times])


@pytest.mark.parametrize("kind", ["f4", ">f8", "i2"])
@pytest.mark.parametrize("codecs", [READ_OFTEN, PLAIN])
def test_numbers_of_any_type_are_read(kind, codecs, tmp_path):
    values = (100 * VALUES).astype(kind)
    chunks = stored(tmp_path / "a", codecs=codecs, values=values)
    np.testing.assert_array_equal(chunks(slice(0, 7), slice(0, 11)), values)


def test_chunks_that_cut_levels_are_read(tmp_path):
    chunks = stored(tmp_path / "a", chunks=(4, 3, 2))
    np.testing.assert_array_equal(chunks(slice(0, 7), slice(3, 9)), VALUES[:, 3:9])


@pytest.mark.parametrize("codecs", [READ_OFTEN, PLAIN])
def test_whole_chunks_are_not_read_by_zarr(codecs, tmp_path, monkeypatch):
    chunks = stored(tmp_path / "a", codecs=codecs)
    monkeypatch.setattr(zarr.Array, "__getitem__", None)
    np.testing.assert_array_equal(chunks(slice(0, 7), slice(0, 11)), VALUES)


def test_a_large_chunk_is_read_in_parts(tmp_path):
    values = np.random.default_rng(1).normal(size=(2, 3, 30_011))
    chunks = stored(tmp_path / "a", codecs=PLAIN, values=values, chunks=(2, 2, 30_011))
    np.testing.assert_array_equal(chunks(slice(0, 2), slice(0, 3)), values)


@pytest.mark.parametrize("codecs", [READ_OFTEN, PLAIN])
def test_a_damaged_and_a_missing_chunk_are_errors(codecs, tmp_path):
    chunks = stored(tmp_path / "a", codecs=codecs)
    file = tmp_path / "a" / "c" / "0" / "1" / "0"
    right = file.read_bytes()
    flipped = bytearray(right)
    flipped[30] ^= 1
    for wrong in (bytes(flipped), right[:-1], right + b"0", right[:9], b"", b"\0", b"\0\0\0\0"):
        file.write_bytes(wrong)
        with pytest.raises(ValueError, match="chunk c/0/1/0 does not agree with its checksum"):
            chunks(slice(0, 4), slice(3, 6))
    file.unlink()
    with pytest.raises(FileNotFoundError):
        chunks(slice(0, 4), slice(3, 6))
