"""How much air a level holds, from what model files say about their vertical grid."""

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

import numpy as np
import xarray as xr

STANDARD_GRAVITY = 9.80665  # [m s-2] 3rd CGPM (1901); its value cancels in normalised weights


def pressure_thickness(
    file: xr.Dataset,
    *,
    interfaces: str | None = None,
    a: str | None = None,
    b: str | None = None,
    surface_pressure: str | None = None,
    reference_pressure: str | float = 1.0,
    midpoints: str | None = None,
    level: str = "lev",
) -> xr.DataArray:
    """Return the pressure between the lower and the upper interface of each level.

    One of three ways, by the names of variables in the file:

    - ``interfaces``: pressure at the interfaces, one more than levels.
    - ``a``, ``b`` and ``surface_pressure``: hybrid coefficients at the interfaces, where
      p = a * reference_pressure + b * surface_pressure (`reference_pressure` is 1 where `a` is
      already a pressure).
    - ``midpoints`` and ``surface_pressure``: interfaces halfway between midpoints, the lowest at
      the surface, the highest as far above the highest midpoint as the next one is below it but
      not above the vacuum.

    Args:
        file: What holds the variables.
        interfaces: Name of the pressure at interfaces [Pa].
        a: Name of the first hybrid coefficient at interfaces.
        b: Name of the second [1].
        surface_pressure: Name of the surface pressure [Pa].
        reference_pressure: Name or value of what `a` is multiplied with [Pa].
        midpoints: Name of the pressure at midpoints [Pa].
        level: Name of the dimension of the levels.

    Returns:
        Thickness [Pa], positive, dimensions of the pressures with `level`.

    Raises:
        ValueError: The names give none of the three ways, or the result is not positive.
    """
    if interfaces is not None:
        edges = _get(file, interfaces)
    elif a is not None and b is not None and surface_pressure is not None:
        reference = (
            _get(file, reference_pressure)
            if isinstance(reference_pressure, str)
            else xr.DataArray(reference_pressure)
        )
        edges = _get(file, a) * reference + _get(file, b) * _get(file, surface_pressure)
    elif midpoints is not None and surface_pressure is not None:
        edges = _halfway(_get(file, midpoints), _get(file, surface_pressure), level)
    else:
        raise ValueError(
            "the mass of a level needs 'interfaces', or 'a', 'b' and 'surface_pressure', or "
            "'midpoints' and 'surface_pressure'; name the file's variables for one of the three."
        )
    return _thickness(edges, file, level)


def select_levels(array: xr.DataArray, chosen: Any, dims: Collection[str]) -> xr.DataArray:
    """Return the chosen levels of an array; all of them for None.

    Args:
        array: Has one of `dims`.
        chosen: Two numbers, the range of the level coordinate to keep, both included; or a list
            of true and false, one a level; or a slice of positions; or None.
        dims: Names of dimensions that are levels.

    Raises:
        ValueError: There is no level to choose from, or none is left.
    """
    if chosen is None:
        return array
    dim = next((dim for dim in array.dims if dim in dims), None)
    if dim is None:
        raise ValueError(
            f"{array.name!r} has dimensions {list(array.dims)} and no level to select "
            "from; leave out 'levels', or name the dimension with level=."
        )
    if isinstance(chosen, slice):
        return array.isel({dim: chosen})
    wanted = np.asarray(chosen)
    if wanted.dtype == bool and wanted.shape == (array.sizes[dim],):
        return array.isel({dim: np.flatnonzero(wanted)})
    if wanted.dtype == bool or wanted.shape != (2,) or dim not in array.coords:
        raise ValueError(
            f"levels of {array.name!r} is {chosen!r}; wanted are two numbers, the "
            f"range of {dim!r} to keep, or {array.sizes[dim]} times true or false."
        )
    inside = (array[dim].values >= wanted.min()) & (array[dim].values <= wanted.max())
    if not inside.any():
        raise ValueError(
            f"no level of {array.name!r} lies in {chosen!r}; {dim!r} goes from "
            f"{array[dim].values.min():g} to {array[dim].values.max():g}."
        )
    return array.isel({dim: np.flatnonzero(inside)})


def _thickness(edges: xr.DataArray, file: xr.Dataset, level: str) -> xr.DataArray:
    """Return the differences of interface pressures, on the levels of the file."""
    count = file.sizes.get(level)
    along = [dim for dim in edges.dims if edges.sizes[dim] == (count or 0) + 1]
    if count is None or len(along) != 1:
        raise ValueError(
            f"the interfaces have dimensions {dict(edges.sizes)} and the levels are {level!r} of "
            f"length {count}; wanted is one dimension of length levels + 1."
        )
    thickness = abs(edges.diff(along[0])).drop_vars([along[0]], errors="ignore")
    thickness = thickness.rename({along[0]: level})
    if level in file.coords:
        thickness = thickness.assign_coords({level: file[level].values})
    if not bool((thickness > 0).all()):
        raise ValueError(
            f"the thinnest level has {float(thickness.min()):g} Pa between its interfaces; "
            "pressure must change from each interface to the next. Check the names given."
        )
    return thickness.assign_attrs(units="Pa", long_name="pressure thickness")


def _halfway(midpoints: xr.DataArray, surface: xr.DataArray, level: str) -> xr.DataArray:
    """Return interfaces halfway between midpoints, from the surface to the top."""
    profile = xr.broadcast(midpoints, surface)[0].transpose(..., level)
    values = profile.values
    ground = surface.broadcast_like(profile.isel({level: 0}, drop=True))
    bottom = ground.transpose(*profile.dims[:-1]).values[..., None]
    downward = bool(values[..., 0].mean() < values[..., -1].mean())
    values = values if downward else values[..., ::-1]
    inner = (values[..., 1:] + values[..., :-1]) / 2
    top = np.maximum(values[..., :1] - (inner[..., :1] - values[..., :1]), 0.0)
    edges = np.concatenate([top, inner, bottom], axis=-1)
    edges = edges if downward else edges[..., ::-1]
    dims: Any = (*profile.dims[:-1], "interface")
    coords = {d: profile[d] for d in profile.dims[:-1] if d in profile.coords}
    return xr.DataArray(edges, coords, dims)


def _get(file: xr.Dataset, name: str) -> xr.DataArray:
    if name not in file.variables:
        nearest = get_close_matches(name, map(str, file.variables), n=1)
        guess = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise ValueError(
            f"the file holds no {name!r}; {guess}It holds {', '.join(map(str, file.variables))}."
        )
    return file[name].astype("float64")
