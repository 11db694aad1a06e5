"""Pairs that stay in their files are those that would be in memory, and fit the same."""

import jax
import numpy as np
import pytest
import xarray as xr
import zarr

import closura as cl
from closura.core.lazy import is_lazy
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.core.pieces import in_memory
from closura.data.stored_pairs import in_chunks

TIMES, COLUMNS, LEVELS = 23, 6, 4
NAMES = {"inputs": {"u": "U", "T": "TEMP"},
         "targets": {"T": {"variable": "DTDT", "units": "K/s"}}}  # fmt: skip


def record(times: slice = slice(None)) -> xr.Dataset:
    draw = np.random.default_rng(3)
    dims, shape = ("time", "lev", "col"), (TIMES, LEVELS, COLUMNS)
    file = xr.Dataset(
        {"U": (dims, draw.normal(size=shape).astype("f4"), {"units": "m s-1"}),
         "TEMP": (dims, 280 + draw.normal(size=shape).astype("f4"), {"units": "K"}),
         "DTDT": (dims, draw.normal(size=shape).astype("f4"), {"units": "K/day"})},
        {"time": ("time", np.arange(float(TIMES)), {"units": "hours since 2001-01-01"})},
    )  # fmt: skip
    return file.isel(time=times)


def both(files, **changes) -> tuple[Pairs, Pairs]:
    settings = NAMES | {"level": "lev", "series": "col"} | changes
    return tuple(cl.read_pairs(files, **settings, lazy=lazy) for lazy in (False, True))


def assert_same(held: Pairs, stored: Pairs) -> None:
    for side in ("inputs", "targets"):
        for name, values in getattr(held, side).items():
            assert is_lazy(getattr(stored, side)[name])
            np.testing.assert_array_equal(getattr(stored, side)[name], values, strict=True)
    np.testing.assert_array_equal(stored.time, held.time)
    assert (stored.variables, stored.passport) == (held.variables, held.passport)


@pytest.fixture
def halves(tmp_path):
    record(slice(0, 11)).to_netcdf(tmp_path / "a.nc", encoding={"U": {"chunksizes": (4, 4, 6)}})
    record(slice(11, None)).to_netcdf(tmp_path / "b.nc")
    return str(tmp_path / "*.nc")


@pytest.mark.parametrize("changes", [{}, {"skip": 3}, {"series": ("lev", "col"), "level": None}])
def test_several_netcdf_files_read_later_are_the_same(halves, changes):
    assert_same(*both(halves, **changes))


def test_a_zarr_read_later_is_the_same(tmp_path):
    record().chunk(time=5).to_zarr(tmp_path / "record.zarr", consolidated=False)
    held, stored = both(tmp_path / "record.zarr")
    assert_same(held, stored)
    assert stored.inputs["u"].edges[1].tolist() == [0, 5, 10, 15, 20, 23]
    for one, other in zip(held.split(gap=1), stored.split(gap=1), strict=True):
        assert_same(one, other)


def test_missing_values_are_found_in_what_is_read_later(tmp_path):
    broken = record().chunk(time=5)
    broken["U"] = broken["U"].where(broken["time"] != broken["time"][17])
    broken.to_zarr(tmp_path / "record.zarr", consolidated=False)
    message = r"'U' is missing .* in 24 of 552 values, first at time 17, lev 0"
    for lazy in (False, True):
        with pytest.raises(ValueError, match=message):
            cl.read_pairs(tmp_path / "record.zarr", **NAMES, level="lev", series="col", lazy=lazy)
    held, stored = both(tmp_path / "record.zarr", on_missing="drop")
    assert_same(held, stored)
    assert len(stored.time) == TIMES - 1 and stored.warnings == held.warnings


def test_pairs_are_stored_without_being_held(halves, tmp_path, monkeypatch):
    monkeypatch.setattr("closura.data.stored_pairs.CHUNK", COLUMNS * LEVELS * 8 * 5)  # 5 times
    held, stored = both(halves)
    cl.save_pairs(tmp_path / "pairs.zarr", stored)
    back = cl.load_pairs(tmp_path / "pairs.zarr", lazy=True)
    assert_same(held, back)
    assert back.inputs["T"].edges[1].tolist() == [0, 5, 10, 15, 20, 23]
    # One time of all series is 192 bytes: where a chunk may hold 64, it holds two series.
    monkeypatch.setattr("closura.data.stored_pairs.CHUNK", 64)
    assert in_chunks(held.inputs["T"]).chunks == ((2, 2, 2), (1,) * TIMES, (LEVELS,))


def test_a_fit_of_what_is_read_later_is_bit_for_bit_the_same(halves):
    held, stored = both(halves)
    learners = [cl.Linear(features=cl.Whole()), cl.Forest(trees=3, features=cl.Whole()),
                cl.Network(features=cl.Whole(), epochs=2, batch=16)]  # fmt: skip
    for learner in learners:
        one, other = (learner.fit(pairs, key=jax.random.key(0)) for pairs in (held, stored))
        for first, second in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_array_equal(first, second)


def test_a_store_with_missing_values_is_refused_by_a_fit(tmp_path):
    values = np.zeros((2, 8, 3))
    values[1, 5] = np.nan
    pairs = Pairs({"u": values}, {"v": np.ones((2, 8))}, np.arange(8.0), Passport("file"))
    cl.save_pairs(tmp_path / "pairs.zarr", pairs)
    stored = cl.load_pairs(tmp_path / "pairs.zarr", lazy=True)
    with pytest.raises(ValueError, match="input 'u' of the pairs holds 3 values that are not fin"):
        cl.Linear(features=cl.Whole()).fit(stored)


def test_a_damaged_chunk_is_named(tmp_path):
    values = np.random.default_rng(0).normal(size=(2, 8, 3))
    pairs = Pairs({"u": values}, {"v": values}, np.arange(8.0), Passport("file"))
    cl.save_pairs(tmp_path / "pairs.zarr", pairs)
    stored = cl.load_pairs(tmp_path / "pairs.zarr", lazy=True)
    (chunk,) = [p for p in (tmp_path / "pairs.zarr" / "u" / "c").rglob("*") if p.is_file()]
    chunk.write_bytes(chunk.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"input 'u' cannot be read at times 0 to 7 .* is damaged"):
        in_memory(stored)


def test_only_what_packs_well_is_packed(tmp_path):
    noise = np.random.default_rng(0).normal(size=(2, 8, 500)).astype("f4")
    smooth = np.broadcast_to(np.linspace(0, 1, 500, dtype="f4"), noise.shape).copy()
    pairs = Pairs({"u": noise, "q": smooth}, {"u": noise}, np.arange(8.0), Passport("file"))
    folder = cl.save_pairs(tmp_path / "pairs.zarr", pairs)
    arrays = {name: zarr.open_array(folder / name, mode="r") for name in ("u", "q", "u_tendency")}
    packed = {
        name: any(codec["name"] == "blosc" for codec in array.metadata.to_dict()["codecs"])
        for name, array in arrays.items()
    }
    assert packed == {"u": False, "q": True, "u_tendency": False}
    stored = sum(array.nbytes_stored() for array in arrays.values())
    assert stored < 0.8 * sum(array.nbytes for array in arrays.values())
    assert_same(pairs, cl.load_pairs(folder, lazy=True))
