"""Files and Zarr stores that are never half-written: a temporary name first, then renamed."""

import errno
import json
import math
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from closura import __version__
from closura.data.description import describe, rebuild

# A damaged chunk is an error, not other numbers.
CHECKED = (ZstdCodec(checksum=True),)
READ_OFTEN = (BloscCodec(cname="lz4", shuffle="shuffle"), Crc32cCodec())  # half the time to read
PLAIN = (Crc32cCodec(),)  # half of that again
MARK = "closura"  # attribute of every store: the version that wrote it


def read_dataset(path: str | Path) -> xr.Dataset:
    """Return a small netCDF file, read whole and closed again; its time stays a number."""
    with xr.open_dataset(path, engine="netcdf4", decode_times=False) as found:
        return found.load()


@contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; what is written there appears whole, or not at all.

    with write_atomically("scores.nc") as temporary:
        scores.to_netcdf(temporary)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.partial-{os.getpid()}{path.suffix}")
    try:
        with explain_full_disk(path):
            yield temporary
            _synchronise(temporary)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _synchronise(path.parent)


def write_json(path: str | Path, value: Any) -> None:
    """Write plain values (NumPy numbers and arrays too) as indented JSON, atomically."""
    text = json.dumps(value, indent=2, default=_plain, ensure_ascii=False) + "\n"
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It is not JSON.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged: it is not JSON ({error}). Delete it and make it again."
        ) from None


@contextmanager
def explain_full_disk(path: str | Path, kept: str = "nothing earlier is changed") -> Iterator[None]:
    """Turn "no space left" into a line that says where, how much is free and what is kept."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        folder = next(p for p in Path(path).absolute().parents if p.is_dir())
        free = shutil.disk_usage(folder).free / 1e6
        raise OSError(
            error.errno,
            f"no space left to write {path}: {folder} has {free:.1f} MB free; {kept}. "
            "Free some space, or choose another folder, and try again",
        ) from error


def save_snapshot(path: str | Path, snapshot: Any) -> None:
    """Write a snapshot (or any pytree of arrays, records and modules) to one file, bit for bit."""
    description, arrays = describe(snapshot, strict=False)
    text = np.frombuffer(json.dumps(description).encode(), np.uint8)
    numbered = {f"array_{index}": array for index, array in enumerate(arrays)}
    with write_atomically(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **(numbered | {"description": text}))  # type: ignore[arg-type]


def load_snapshot(path: str | Path) -> Any:
    """Return what `save_snapshot` wrote: the same structure, types and bits.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It is damaged, or holds classes that cannot be imported.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no snapshot {path}.")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
            arrays = [held[f"array_{index}"] for index in range(len(held.files) - 1)]
            description = json.loads(held["description"].tobytes())
    except (ValueError, KeyError, OSError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged ({error}). Delete it and start again.") from error
    try:
        return rebuild(description, arrays)
    except ValueError as error:
        raise ValueError(f"{path} does not load: {error}.") from error


def partial_folder(path: str | Path) -> Path:
    """Return where a store is built before it gets its name."""
    path = Path(path)
    return path.with_name(f".{path.name}.partial")


def write_store(
    path: str | Path, dataset: xr.Dataset, *, codecs: Mapping[str, Any] | None = None
) -> None:
    """Write a whole Dataset (lazy ones piece by piece) as a Zarr store, replacing an older one.

    Args:
        path: Folder to write.
        dataset: What is written.
        codecs: By variable, what compresses each chunk and tells whether it was damaged; `CHECKED`
            for those left out.
    """
    path = Path(path)
    partial = partial_folder(path)
    shutil.rmtree(partial, ignore_errors=True)
    marked = dataset.drop_encoding().assign_attrs({MARK: __version__})
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        with explain_full_disk(path), zarr.config.set({"array.write_empty_chunks": True}):
            chosen = dict.fromkeys(marked.variables, CHECKED) | dict(codecs or {})
            encoding = {name: {"compressors": found} for name, found in chosen.items()}
            marked.to_zarr(partial, mode="w", zarr_format=3, consolidated=False, encoding=encoding)
        _rename(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class StoreWriter:
    """Writes a Dataset chunk by chunk along time; it gets its name only when it is whole.

    Until then all lives in `.<name>.partial`: the data, and whatever else is put beside it.

    Args:
        path: The final name, e.g. ``"truth.zarr"``.
        length: Number of times that the whole will have.
        chunk: Number of times in a chunk: each `write` should begin on a multiple of it.
    """

    def __init__(self, path: str | Path, *, length: int, chunk: int):
        self.path, self.folder = Path(path), partial_folder(path)
        self.length, self.chunk = length, chunk
        self._data = self.folder / "data"

    @property
    def begun(self) -> bool:
        """Whether any time was written."""
        return (self._data / "zarr.json").is_file()

    def write(self, start: int, dataset: xr.Dataset) -> None:
        """Write the times from number `start` on; those from 0 fix names, sizes and types."""
        with (
            explain_full_disk(self.path, f"what is done so far is kept in {self.folder}"),
            zarr.config.set({"array.write_empty_chunks": True}),
        ):
            if start == 0:
                self._create(dataset)
            group = zarr.open_group(self._data, mode="r+")
            stop = start + dataset.sizes["time"]
            for name, variable in dataset.variables.items():
                if "time" in variable.dims:
                    where = tuple(
                        slice(start, stop) if dim == "time" else slice(None)
                        for dim in variable.dims
                    )
                    group[str(name)][where] = np.asarray(variable.values)  # type: ignore[index]

    def finish(self, attrs: dict[str, Any]) -> None:
        """Set the attributes and give the store its name."""
        with explain_full_disk(self.path, f"what is done so far is kept in {self.folder}"):
            group = zarr.open_group(self._data, mode="r+")
            group.attrs.update(json.loads(json.dumps(attrs | {MARK: __version__}, default=_plain)))
        _rename(self._data, self.path)
        shutil.rmtree(self.folder)

    def _create(self, dataset: xr.Dataset) -> None:
        still = dataset.drop_dims("time").drop_encoding()
        still.to_zarr(self._data, mode="w", zarr_format=3, consolidated=False)
        group = zarr.open_group(self._data, mode="r+")
        for name, variable in dataset.variables.items():
            if "time" not in variable.dims:
                continue
            sizes = dict(zip(variable.dims, variable.shape, strict=True))
            group.create_array(
                str(name),
                shape=tuple((sizes | {"time": self.length}).values()),
                chunks=tuple((sizes | {"time": self.chunk}).values()),
                dtype=variable.dtype,
                fill_value=math.nan if variable.dtype.kind == "f" else 0,
                compressors=CHECKED,
                dimension_names=tuple(map(str, variable.dims)),
                attributes=dict(variable.attrs),
            )


def open_run(path: str | Path) -> xr.Dataset:
    """Return a stored run or other Zarr store as a lazy Dataset, after a look at its wholeness.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is no Zarr store, or it is damaged.
    """
    path = Path(path)
    if not path.is_dir():
        partial = partial_folder(path).is_dir()
        hint = (
            f"an interrupted run is in {partial_folder(path)}: call simulate again with the same "
            "arguments to finish it"
            if partial
            else "check the name, or make it with simulate(..., path=...)"
        )
        raise FileNotFoundError(f"there is no run {path}; {hint}.")
    try:
        dataset = xr.open_zarr(path, consolidated=False, decode_timedelta=False)
        incomplete = _incomplete(path) if MARK in dataset.attrs else None
    except Exception as error:  # zarr and xarray raise whatever their parsers do
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{path} is not a whole Zarr store ({line}). Delete it and make it again."
        ) from error
    if incomplete is not None:
        raise ValueError(
            f"{path} is damaged: {incomplete}. Delete it and make it again, or copy it again."
        )
    return dataset


def _incomplete(path: Path) -> str | None:
    """Return which array lacks chunks (Zarr would read them as NaN), or None."""
    for name, array in zarr.open_group(path, mode="r").arrays():
        written, wanted = array.nchunks_initialized, array.nchunks
        if written < wanted:
            return f"{name!r} has {written} of {wanted} chunks"
    return None


def _rename(partial: Path, path: Path) -> None:
    """Give a finished folder its name, setting an older one of that name aside first."""
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        os.rename(path, old)
    os.rename(partial, path)
    shutil.rmtree(old, ignore_errors=True)


def _synchronise(path: Path) -> None:
    """Make the operating system write a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray) or hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON; make it a plain value.")
