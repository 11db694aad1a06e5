"""Pairs as a Zarr folder and back, bit for bit; the model is not stored."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from dask.array import from_array
from numcodecs import blosc

from closura.core.lazy import LazyArray, is_lazy
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.core.variable import Variable
from closura.data.border import TENDENCY
from closura.data.chunks import Chunks
from closura.data.store import PLAIN, READ_OFTEN, open_run, write_store

FORMAT = "closura pairs 1"
WEIGHTS = "mass of levels"
CHUNK = (
    2**23
)  # bytes of a stored chunk: several variables, lanes and buffers of them are held at once
WORTH = 0.8  # share of the bytes that may be left for packing to pay for unpacking in every epoch
SAMPLE = 2**20  # bytes that are packed to see
COORDINATE, STATIC = "coordinate ", "static "  # before the names of what samples share


def save_pairs(path: str | Path, pairs: Pairs) -> Path:
    """Write pairs as a Zarr folder, under a temporary name that is renamed when it is whole.

    Targets that share an input's name are stored as ``"<name>_tendency"``. The model that they
    were measured for is not stored; its class is named in the passport.

    Args:
        path: Folder to write, e.g. ``"pairs.zarr"``; one that is there is replaced.
        pairs: What to store.

    Returns:
        The path.
    """
    path = Path(path)
    targets = _stored_names(pairs)
    sizes: dict[str, int] = {}
    variables, codecs = _apart(pairs), {}
    for side, arrays in (("input", pairs.inputs), ("target", pairs.targets)):
        for name, values in arrays.items():
            stored = targets[name] if side == "target" else name
            about = pairs.variables.get(stored, pairs.variables.get(name))
            described = {"role": side}
            if about is not None:
                described |= {"units": about.units, "long_name": about.long_name}
            dims = _dims(about, np.shape(values), sizes)
            variables[stored] = xr.Variable(dims, in_chunks(values), described)
            codecs[stored] = READ_OFTEN if _packs_well(values) else PLAIN
    if pairs.weights is not None:
        dims = ("series", "time", "weighed_level")[-np.ndim(pairs.weights) :]
        variables[WEIGHTS] = xr.Variable(dims, pairs.weights, {"units": "kg m-2"})
    attributes = {
        "format": FORMAT,
        "passport": json.dumps(pairs.passport.as_dict()),
        "warnings": list(pairs.warnings),
        "variables": json.dumps([[k, asdict(v)] for k, v in pairs.variables.items()]),
        "levels": json.dumps([[k, list(v), units] for k, (v, units) in pairs.levels.items()]),
        "inputs": list(pairs.inputs),
        "targets": [[name, stored] for name, stored in targets.items()],
        "coordinates": list(pairs.coordinates),
        "static": list(pairs.static),
        "given": [[name, list(parts)] for name, parts in pairs.given.items()],
    }
    variables["time"] = xr.Variable("time", np.asarray(pairs.time))
    write_store(path, xr.Dataset(variables, attrs=attributes), codecs=codecs)
    return path


def load_pairs(path: str | Path, *, lazy: bool = False) -> Pairs:
    """Return the pairs that `save_pairs` wrote, with `model` None.

    Args:
        path: The folder.
        lazy: Whether inputs and targets stay in the folder and are read part by part, when a
            learner or a score wants them; for pairs that are larger than memory.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It holds something else.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; wanted pairs written by save_pairs.")
    if not holds_pairs(path):
        raise ValueError(
            f"{path} holds no stored pairs; to read other files say which variables are "
            "inputs= and which targets=."
        )
    file = open_run(path)
    large = {*file.attrs["inputs"], *(stored for _, stored in file.attrs["targets"])}
    array = partial(_stored, path) if lazy else lambda name: file[name].values
    file = file.drop_vars(large).load() if lazy else file.load()
    described = {
        key: Variable(**{**about, "dims": tuple(about["dims"])})
        for key, about in json.loads(file.attrs["variables"])
    }
    return Pairs(
        inputs={name: array(name) for name in file.attrs["inputs"]},
        targets={name: array(stored) for name, stored in file.attrs["targets"]},
        time=file["time"].values,
        passport=Passport.from_dict(json.loads(file.attrs["passport"])),
        variables=described,
        warnings=tuple(file.attrs["warnings"]),
        weights=file[WEIGHTS].values if WEIGHTS in file else None,
        levels={
            key: (np.asarray(values, float), units)
            for key, values, units in json.loads(file.attrs["levels"])
        },
        coordinates={n: file[COORDINATE + n].values for n in file.attrs.get("coordinates", ())},
        static={n: file[STATIC + n].values for n in file.attrs.get("static", ())},
        given={
            name: {part: file[_given(name, part)].values for part in parts}
            for name, parts in file.attrs.get("given", ())
        },
    )


def in_chunks(values: Any) -> Any:
    """Return large or unread values as a Dask array of chunks of bounded size, others as they are.

    A chunk holds all series for some times, so that one after the other can be read in any order;
    only where one time of all series is too large, it holds some of them.
    """
    if not is_lazy(values):
        values = np.asarray(values)
        if values.nbytes <= CHUNK:
            return values
    shape = (*_stretch(values, CHUNK), *values.shape[2:])
    return from_array(values, chunks=shape, name=False)


def _stretch(values: Any, most: int) -> tuple[int, int]:
    """Return how many series, and how many times of these, take so many bytes at most."""
    series, times, *field = values.shape
    each = max(1, int(np.prod(field)) * values.dtype.itemsize)
    rows = max(1, min(series, most // each))
    return rows, max(1, min(times, most // (each * rows)))


def _packs_well(values: Any) -> bool:
    """Return whether packing makes values so much smaller that unpacking is worth its time.

    Winds and tendencies lose a tenth of their bytes, which is less than a read saves; smooth
    fields, and those that are zero in places, lose more. Told from the middle of the record.
    """
    rows, instants = _stretch(values, SAMPLE)
    some, then = (values.shape[0] - rows) // 2, (values.shape[1] - instants) // 2
    sample = np.ascontiguousarray(values[some : some + rows, then : then + instants]).reshape(-1)
    sample = sample[: SAMPLE // sample.dtype.itemsize]
    packed = blosc.compress(sample, b"lz4", 5, blosc.SHUFFLE)
    return len(packed) <= WORTH * sample.nbytes


def _stored(path: Path, name: str) -> LazyArray:
    """Return one array of a store, unread."""
    array = zarr.open_array(path / name, mode="r")
    read, lengths = Chunks(path / name, array), (array.chunks[0], array.chunks[1])
    return LazyArray(read, array.shape, array.dtype, chunks=lengths, read_into=read.into)


def holds_pairs(path: Path) -> bool:
    """Return whether a path is a folder that `save_pairs` wrote."""
    if not (path / "zarr.json").is_file():
        return False
    attributes = json.loads((path / "zarr.json").read_text()).get("attributes", {})
    return str(attributes.get("format", "")).startswith("closura pairs")


def _apart(pairs: Pairs) -> dict[str, xr.Variable]:
    """Return what all samples or all series share, under dimensions of its own."""
    found = {}
    for kind, arrays in ((COORDINATE, pairs.coordinates), (STATIC, pairs.static)):
        for name, values in arrays.items():
            own = tuple(f"{kind}{name} {axis}" for axis in range(np.ndim(values)))
            found[kind + name] = xr.Variable(own, np.asarray(values))
    for name, parts in pairs.given.items():
        for part, values in parts.items():
            key = _given(name, part)
            own = tuple(f"{key} {axis}" for axis in range(1, np.ndim(values)))
            found[key] = xr.Variable(("time", *own), np.asarray(values))
    return found


def _given(name: str, part: str) -> str:
    return f"given {name} {part}"


def _stored_names(pairs: Pairs) -> dict[str, str]:
    """Return the name in the file of each target, different from those of all inputs."""
    names: dict[str, str] = {}
    for name in pairs.targets:
        stored = name
        while stored in pairs.inputs or stored in names.values():
            stored += TENDENCY
        names[name] = stored
    return names


def _dims(about: Variable | None, shape: tuple[int, ...], sizes: dict[str, int]) -> tuple[str, ...]:
    """Return dimension names: the variable's own, with the length where another has theirs."""
    own = about.dims if about is not None else ()
    if len(own) != len(shape) - 2:
        own = tuple(f"axis_{index}" for index in range(len(shape) - 2))
    dims = ["series", "time"]
    for dim, size in zip(own, shape[2:], strict=True):
        free = sizes.get(dim, size) == size and dim not in dims
        dims.append(dim if free else f"{dim}_{size}_{len(dims)}")
        sizes[dims[-1]] = size
    return tuple(dims)
