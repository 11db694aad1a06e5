"""Files and stores appear whole or not at all, and say in one line what is wrong with them."""

import errno
import json
import shutil
import subprocess
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import closura as cl
from closura.data.store import (
    StoreWriter,
    explain_full_disk,
    load_snapshot,
    open_run,
    partial_folder,
    read_json,
    save_snapshot,
    write_atomically,
    write_json,
    write_store,
)


class Kept(NamedTuple):
    one: object
    other: object


def small(times: int = 7) -> xr.Dataset:
    numbers = np.random.default_rng(0).normal(size=(2, times, 5))
    return xr.Dataset(
        {"X": (("member", "time", "k"), numbers, {"units": "1"})},
        {"time": ("time", 0.5 * np.arange(times), {"units": "s"}), "k": np.arange(5)},
        {"run": "abc"},
    )


def test_file_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "deep" / "a.txt"
    with write_atomically(file) as temporary:
        temporary.write_text("first")
        assert not file.exists()
    with pytest.raises(RuntimeError), write_atomically(file) as temporary:
        temporary.write_text("second, half")
        raise RuntimeError
    assert file.read_text() == "first"
    assert [f.name for f in file.parent.iterdir()] == ["a.txt"]


def test_json_takes_numbers_of_numpy_and_reads_back(tmp_path):
    value = {"a": np.float64(1 / 3), "b": np.arange(3), "c": [None, "é"], "d": tmp_path}
    write_json(tmp_path / "a.json", value)
    found = read_json(tmp_path / "a.json")
    assert found == {"a": 1 / 3, "b": [0, 1, 2], "c": [None, "é"], "d": str(tmp_path)}


def test_damaged_and_missing_json_are_one_line(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1')
    with pytest.raises(ValueError, match=r"a\.json is damaged: it is not JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*b\.json"):
        read_json(tmp_path / "b.json")


def test_snapshot_comes_back_bit_for_bit(tmp_path):
    memory = {"X": jnp.asarray([1 / 3, np.nan, -0.0, np.inf]), "names": ("a", None, 3, 0.1)}
    state = Kept(jnp.arange(6, dtype=jnp.float32).reshape(2, 3), np.int8(3))
    save_snapshot(tmp_path / "s.npz", cl.Snapshot(state, jnp.asarray(7, jnp.int32), memory))
    found = load_snapshot(tmp_path / "s.npz")
    assert type(found) is cl.Snapshot
    assert type(found.state) is Kept
    assert found.memory["names"] == ("a", None, 3, 0.1)
    assert found.step.dtype == jnp.int32
    assert type(found.state.other) is np.int8
    assert np.asarray(found.memory["X"]).tobytes() == np.asarray(memory["X"]).tobytes()
    assert found.state.one.dtype == jnp.float32


def test_random_key_in_a_snapshot_comes_back(tmp_path):
    key = jax.random.key(5, impl="rbg")
    save_snapshot(tmp_path / "s.npz", {"key": key})
    found = load_snapshot(tmp_path / "s.npz")["key"]
    assert jax.random.normal(found) == jax.random.normal(key)


def test_damaged_snapshot_is_one_line(tmp_path):
    file = tmp_path / "s.npz"
    save_snapshot(file, jnp.arange(1000.0))
    content = file.read_bytes()
    middle = len(content) // 2
    for broken in (content[:middle], b"", content[:middle] + b"\x00\x01" + content[middle + 2 :]):
        file.write_bytes(broken)
        with pytest.raises(ValueError, match=r"s\.npz is damaged"):
            load_snapshot(file)
    with pytest.raises(FileNotFoundError, match="there is no snapshot"):
        load_snapshot(tmp_path / "none.npz")


def test_store_is_the_dataset(tmp_path):
    write_store(tmp_path / "a.zarr", small())
    write_store(tmp_path / "a.zarr", small(9))  # replaces
    found = open_run(tmp_path / "a.zarr")
    xr.testing.assert_equal(found.load(), small(9))
    assert found["time"].attrs == {"units": "s"}
    assert [f.name for f in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("times", [6, 7])
def test_store_grows_by_chunks_and_then_gets_its_name(tmp_path, times):
    whole, path = small(times), tmp_path / "a.zarr"
    writer = StoreWriter(path, length=times, chunk=3)
    for first in range(0, times, 3):
        writer.write(first, whole.isel(time=slice(first, first + 3)))
        assert not path.exists()
    writer.finish({"run": "abc", "list": [np.int64(1)]})
    found = open_run(path)
    xr.testing.assert_equal(found.load(), whole)
    assert found.attrs["list"] == [1]
    assert found["X"].attrs == {"units": "1"}
    assert not partial_folder(path).exists()


def test_missing_store_says_where_an_interrupted_one_is(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no run .*check the name"):
        open_run(tmp_path / "a.zarr")
    StoreWriter(tmp_path / "a.zarr", length=7, chunk=3).write(0, small(3))
    with pytest.raises(FileNotFoundError, match="call simulate again with the same arguments"):
        open_run(tmp_path / "a.zarr")


def test_damaged_store_is_one_line(tmp_path):
    path = tmp_path / "a.zarr"

    def refused(message: str) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            open_run(path)
        assert "\n" not in str(caught.value)
        shutil.rmtree(path)
        write_store(path, small())

    write_store(path, small())
    (path / "X" / "c" / "0" / "0" / "0").unlink()
    refused(r"is damaged: 'X' has 0 of 1 chunks\. Delete it")
    (path / "zarr.json").write_text("{")
    refused("is not a whole Zarr store")
    (path / "zarr.json").unlink()
    refused("is not a whole Zarr store")
    metadata = path / "X" / "zarr.json"
    metadata.write_text(metadata.read_text().replace("float64", "float99"))
    refused("is not a whole Zarr store")
    shutil.rmtree(path)
    path.mkdir()
    refused("is not a whole Zarr store")


def test_full_disk_is_explained_and_earlier_data_stay(tmp_path, monkeypatch):
    write_store(tmp_path / "a.zarr", small())
    write_json(tmp_path / "a.json", {"a": 1})

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"no space left to write .*a\.json: .* MB free; nothing"):
        write_json(tmp_path / "a.json", {"a": 2})
    monkeypatch.setattr(xr.Dataset, "to_zarr", full)
    with pytest.raises(OSError, match=r"no space left to write .*a\.zarr"):
        write_store(tmp_path / "a.zarr", small(9))
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
    assert open_run(tmp_path / "a.zarr").sizes["time"] == 7
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.json", "a.zarr"]


def test_other_errors_of_the_disk_pass_through(tmp_path):
    with pytest.raises(OSError, match="other"), explain_full_disk(tmp_path / "a"):
        raise OSError(errno.EIO, "other")


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of two megabytes, where one may be mounted."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no right to mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_simulation_goes_on_after_a_disk_was_really_full(tiny_disk, key):
    filler = tiny_disk / "filler"
    filler.write_bytes(b"\0" * 1_500_000)

    def run(path):
        model = cl.Lorenz96(K=40, dt=0.01)
        return cl.simulate(model, duration=30.0, key=key, path=path, chunk=500)

    with pytest.raises(OSError, match=r"no space left to write .*a\.zarr.*is kept in .*partial"):
        run(tiny_disk / "a.zarr")
    assert not (tiny_disk / "a.zarr").exists()
    filler.unlink()
    xr.testing.assert_identical(run(tiny_disk / "a.zarr").load(), run(None))


def test_a_flipped_byte_in_a_chunk_is_an_error(tmp_path):
    # Random numbers do not compress: a flipped byte would otherwise be read as another number.
    values = np.random.default_rng(0).normal(size=(3, 500))
    write_store(tmp_path / "a.zarr", xr.Dataset({"X": (("member", "time"), values)}))
    chunk = max((tmp_path / "a.zarr" / "X").rglob("c/**/*"), key=lambda p: p.stat().st_size)
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 0xFF
    chunk.write_bytes(bytes(data))
    with pytest.raises(Exception, match=r"(?i)checksum|corrupt|error"):
        open_run(tmp_path / "a.zarr").load()
