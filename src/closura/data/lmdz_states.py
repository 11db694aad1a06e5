"""Fields of LMDZ's physics output at the instants, centres and levels of its guide file."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from closura.data.files import open_merged

SAMPLES = ("time_counter", "time", "TIME", "Time")
TOLERANCE = 1e-3  # relative, between coordinates of one grid written in single precision
HYBRID = (("ap", "bp"), ("Ahyb", "Bhyb"), ("aps", "bps"))


def read_states(
    paths: Sequence[Path], wanted: Collection[str], guide: xr.Dataset, *, lazy: bool = False
) -> xr.Dataset:
    """Return variables of the physics output on the coordinates of the guide's records.

    The output is regular in longitude and latitude, with or without the poles; which dimension is
    which follows from the coordinates, and so do flipped rows and levels.

    Args:
        paths: Files such as histins.nc; several in time, or with different variables.
        wanted: Names of variables in them.
        guide: On the dimensions time, level, lat, lon.
        lazy: Leave them unread.

    Raises:
        ValueError: A variable, an instant, a level or a row is missing.
    """
    sample = _sample(paths[0])
    file = open_merged(paths, sorted(wanted), sample, lazy=lazy)
    file = file.isel({sample: _instants(file, sample, guide)})
    found = {}
    for name in sorted(wanted):
        found[name] = _placed(file[name], sample, guide)
    return xr.Dataset(found, guide.coords)


def hybrid_coefficients(paths: Sequence[Path], levels: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return a [Pa] and b at the middle of the levels, the top first; None where no file has them.

    Args:
        paths: Files that may hold `ap` and `bp` (or Ahyb, Bhyb), at interfaces or in the middle.
        levels: Number of levels.
    """
    for path in paths:
        with xr.open_dataset(path, decode_times=False) as file:
            for first, second in HYBRID:
                if first in file.variables and second in file.variables:
                    a, b = (file[n].values.astype(float) for n in (first, second))
                    if a.size == levels + 1:
                        a, b = (a[1:] + a[:-1]) / 2, (b[1:] + b[:-1]) / 2
                    if a.size == levels:
                        order = np.argsort(a + b * 1e5)
                        return a[order], b[order]
    return None


def _sample(path: Path) -> str:
    with xr.open_dataset(path, decode_times=False) as file:
        known = [name for name in SAMPLES if name in file.dims]
        if not known:
            raise ValueError(
                f"{path.name} has no dimension of time; wanted one of {', '.join(SAMPLES)}, it has "
                f"{', '.join(map(str, file.dims))}."
            )
    return known[0]


def _instants(file: xr.Dataset, sample: str, guide: xr.Dataset) -> np.ndarray:
    """Return which samples of the file are at the guide's times."""
    wanted = guide["time"].values
    if sample not in file.coords or wanted.dtype.kind == "f":
        if file.sizes[sample] != wanted.size:
            raise ValueError(
                f"the states hold {file.sizes[sample]} instants and guide_ins.nc {wanted.size}, "
                "and no dates tell which belong together; give start, the date of the first record."
            )
        return np.arange(wanted.size)
    held = [_stamp(value) for value in file[sample].values]
    places = {stamp: index for index, stamp in enumerate(held)}
    absent = [value for value in wanted if _stamp(value) not in places]
    if absent:
        raise ValueError(
            f"the states hold no {_stamp(absent[0])} ({len(absent)} of {wanted.size} instants are "
            f"missing); they go from {held[0]} to {held[-1]}. Is there a gap, or are start, "
            "every or calendar others?"
        )
    return np.array([places[_stamp(value)] for value in wanted])


def _stamp(value) -> str:
    """Return a date as text to the second, whatever calendar it is of."""
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return text[:19].replace("T", " ")


def _placed(array: xr.DataArray, sample: str, guide: xr.Dataset) -> xr.Variable:
    """Return a variable on (time, [level,] lat, lon) of the guide."""
    rest = [dim for dim in array.dims if dim != sample]
    if len(rest) not in (2, 3):
        raise ValueError(
            f"{array.name!r} has dimensions {dict(array.sizes)}; wanted are time, perhaps levels, "
            "latitude and longitude, in this order."
        )
    own = dict(
        zip(("lat", "lon") if len(rest) == 2 else ("level", "lat", "lon"), rest, strict=True)
    )
    moving = [sample] if sample in array.dims else []
    array = array.transpose(*moving, *rest)
    for name, dim in own.items():
        array = array.isel({dim: _match(array, str(dim), guide[name].values, name)})
    dims = (*(["time"] if moving else []), *own)
    return xr.Variable(dims, array.data, array.attrs)


def _match(array: xr.DataArray, dim: str, wanted: np.ndarray, name: str) -> np.ndarray:
    """Return the index along a dimension of each wanted coordinate."""
    if dim not in array.coords:
        raise ValueError(
            f"{array.name!r} has no coordinate {dim!r}, so which of its {name}s is which is not "
            "known; give the file as the physics wrote it."
        )
    held = array[dim].values.astype(float)
    scale = np.abs(wanted) if name == "level" else 360.0
    apart = np.abs(_around(held[None, :] - wanted[:, None], name))
    nearest = apart.argmin(axis=1)
    far = apart.min(axis=1) > TOLERANCE * scale
    if far.any():
        lost = wanted[int(np.argmax(far))]
        hint = (
            " Its numbers look like millibars: multiply them by 100."
            if name == "level" and held.max() < 2000
            else " Winds and states must be of one grid with all its levels."
        )
        raise ValueError(
            f"{array.name!r} has no {name} {lost:g} ({far.sum()} of {wanted.size} are missing); "
            f"its {dim!r} holds {held.size} from {held[0]:g} to {held[-1]:g}.{hint}"
        )
    return nearest


def _around(degrees: np.ndarray, name: str) -> np.ndarray:
    """Return differences the short way round where they are of longitudes."""
    return (degrees + 180) % 360 - 180 if name == "lon" else degrees
