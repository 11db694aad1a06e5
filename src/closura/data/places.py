"""Where the points of a user's files lie: coordinates by the names that features know."""

from collections.abc import Collection

import numpy as np
import xarray as xr

KNOWN = {
    "lat": ("degrees_north", "degree_north", "degrees_n", "degree_n", "latitude"),
    "lon": ("degrees_east", "degree_east", "degrees_e", "degree_e", "longitude"),
}
DOWNWARD = {"pa", "hpa", "mb", "mbar", "millibar", "millibars"}  # grow towards the ground


def place_name(variable: xr.DataArray | xr.Variable) -> str | None:
    """Return "lat" or "lon" where the attributes of a variable say that it is one, else None."""
    said = {str(variable.attrs.get(key, "")).lower() for key in ("units", "standard_name")}
    return next((name for name, words in KNOWN.items() if said & set(words)), None)


def house_names(file: xr.Dataset, within: Collection[str]) -> dict[str, str]:
    """Return what the dimensions of one sample are called here, by their names in the files.

    Where the file knows latitudes and longitudes these are "lat" and "lon", and the one dimension
    that has neither is "level". Without places every dimension keeps its name.
    """
    named = {str(name): place_name(one) for name, one in file.coords.items()}
    along = {str(d): name for name in named for d in file[name].dims if named[name]}
    if not along:
        return {dim: dim for dim in within}
    found = {dim: named.get(dim) or dim for dim in within}
    vertical = [dim for dim in within if dim not in along]
    return found | ({vertical[0]: "level"} if len(vertical) == 1 else {})


def places_of(file: xr.Dataset, within: Collection[str]) -> dict[str, np.ndarray]:
    """Return the coordinates of the dimensions that belong to one sample, by `house_names`.

    Columns without rows have one latitude and one longitude each.

    Args:
        file: What was read.
        within: The dimensions.
    """
    names, found = house_names(file, within), {}
    for name, along in file.coords.items():
        inside = bool(along.dims) and set(within).issuperset(map(str, along.dims))
        if inside and along.dtype.kind in "fiu":
            found[place_name(along) or names.get(str(name), str(name))] = along.values
    return found


def turned_around(file: xr.Dataset, within: Collection[str]) -> tuple[str, ...]:
    """Return a warning for rows that run southward and for levels that begin at the ground.

    Features take either, but they count levels from the first, and a closure meets a model whose
    levels run from the top down and whose rows run northward.
    """
    lines = []
    for name in within:
        if name not in file.coords or file.sizes[name] < 2:
            continue
        first, last = (float(file[name].values[end]) for end in (0, -1))
        if place_name(file[name]) == "lat" and first > last:
            lines.append(
                f"{name} runs from {first:g} to {last:g}, southward; models here run northward: "
                f"turn the files (dataset.sortby({name!r})) if the closure shall run in one."
            )
        if str(file[name].attrs.get("units", "")).lower() in DOWNWARD and first > last:
            lines.append(
                f"{name} begins at the ground ({first:g} ... {last:g}); levels count from the "
                f"first, elsewhere from the top: turn the files (dataset.sortby({name!r}))."
            )
    return tuple(lines)
