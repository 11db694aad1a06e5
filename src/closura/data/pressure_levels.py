"""Analyses and climatologies on pressure levels, whatever their names, units, order and gaps."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import xarray as xr

from closura.data.files import find_files
from closura.data.units import convert_units, same_unit
from closura.grids.sphere import GRAVITY

# What files call a variable, in the order in which they are looked for; and the unit wanted.
NAMES: dict[str, tuple[tuple[str, ...], str]] = {
    "u": (("u", "u_component_of_wind", "U", "ua", "uwnd", "UGRD", "UWND"), "m/s"),
    "v": (("v", "v_component_of_wind", "V", "va", "vwnd", "VGRD", "VWND"), "m/s"),
    "temperature": (("temperature", "t", "T", "ta", "air", "TMP", "AIR"), "K"),
    "height": (("height", "Z3", "zg", "hgt", "HGT", "geopotential_height"), "m"),
    "geopotential": (("geopotential", "z", "Z", "phi"), "m2 s-2"),
    "surface_pressure": (("surface_pressure", "sp", "PS", "ps", "pres", "SP"), "Pa"),
    "specific_humidity": (("specific_humidity", "q", "Q", "hus", "shum", "SHUM"), "kg/kg"),
}
LEVEL = ("level", "lev", "plev", "pressure", "pressure_level", "isobaric", "presnivs")
LATITUDE = ("lat", "latitude", "y")
LONGITUDE = ("lon", "longitude", "x")
GEOPOTENTIAL = ("m2 s-2", "m**2 s**-2", "m^2 s^-2", "m2/s2", "m**2/s**2", "J/kg", "J kg-1")
HIGHEST_hPa = 1100.0  # without a unit, levels up to this are hPa
TOO_LARGE = 1e30  # beyond what any variable may be: a fill value that the file does not declare


def read_pressure_levels(
    file: str | Path | xr.Dataset,
    *,
    names: Mapping[str, str] | None = None,
    time: int = 0,
    wanted: tuple[str, ...] = ("u", "v", "temperature"),
    optional: tuple[str, ...] = ("height", "surface_pressure"),
) -> xr.Dataset:
    """Return an analysis in one form: SI units, levels from the top, latitude from the south.

    Dimensions come in any order; levels, latitudes and longitudes in either; levels in hPa,
    millibars or Pa. Every fill value becomes NaN. Geopotential is turned into height.

    Args:
        file: Path, name of a public file, or a Dataset (opened with ``mask_and_scale=False``
            where it declares two fill values).
        names: What the file calls a variable, where that is none of the usual names.
        time: Which instant, by position.
        wanted: Variables that must be there, among u, v, temperature, height, surface_pressure,
            specific_humidity.
        optional: Variables that are read if they are there.

    Returns:
        Dataset with dimensions (level, lat, lon), level [Pa], lat and lon [degrees].

    Raises:
        ValueError: A variable, dimension, unit or level is missing, or not known.
        FileNotFoundError: There is no such file.
    """
    if not isinstance(file, xr.Dataset):
        path = find_files(file)[0]
        with xr.open_dataset(path, decode_times=False, mask_and_scale=False) as opened:
            file = opened.load()
    found = {name: _find(file, name, names or {}, name in wanted) for name in (*wanted, *optional)}
    arrays = {name: _one(array, time) for name, array in found.items() if array is not None}
    first = next(array for array in arrays.values() if array.ndim == 3)
    arrays = {n: a for n, a in arrays.items() if n in wanted or set(a.dims) <= set(first.dims)}
    return xr.Dataset({name: _in_order(name, array) for name, array in arrays.items()})


def _find(
    file: xr.Dataset, name: str, names: Mapping[str, str], needed: bool
) -> xr.DataArray | None:
    """Return a variable in SI units, with NaN where it is missing; None if it need not be there."""
    usual, unit = NAMES[name]
    candidates = (names[name],) if name in names else usual
    for candidate in candidates:
        if candidate in file.data_vars:
            return _in_units(_masked(file[candidate]), unit)
    if name == "height":
        potential = _find(file, "geopotential", names, False)
        if potential is not None:
            return potential / GRAVITY
    if not needed:
        return None
    held = [str(held) for held in file.data_vars]
    close = get_close_matches(candidates[0], held, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else "."
    raise ValueError(
        f"there is no {name!r} in the file (looked for {', '.join(candidates)}){guess} It holds "
        f"{', '.join(held)}. Say which it is: names={{{name!r}: ...}}."
    )


def _masked(array: xr.DataArray) -> xr.DataArray:
    """Return the array in double precision with every fill value replaced by NaN."""
    values = array.values.astype(float)
    for key in ("_FillValue", "missing_value"):
        for fill in np.atleast_1d(array.attrs.get(key, array.encoding.get(key, np.nan))):
            values[np.isclose(values, float(fill), rtol=1e-6)] = np.nan
    values[np.abs(values) > TOO_LARGE] = np.nan
    scale, offset = array.attrs.get("scale_factor", 1.0), array.attrs.get("add_offset", 0.0)
    return array.copy(data=values * float(scale) + float(offset))


def _in_units(array: xr.DataArray, unit: str) -> xr.DataArray:
    found = array.attrs.get("units")
    if found is None:
        raise ValueError(
            f"{array.name!r} has no units; say so in the file: "
            f"dataset[{array.name!r}].attrs['units'] = {unit!r}."
        )
    if unit in GEOPOTENTIAL:
        if found not in GEOPOTENTIAL:
            raise ValueError(f"{array.name!r} has units {found!r}; wanted is {unit!r}.")
        return array
    if same_unit(found, unit):
        return array
    return array.copy(data=np.asarray(convert_units(array.values, found, unit)))


def _one(array: xr.DataArray, time: int) -> xr.DataArray:
    """Return one instant, with the dimensions renamed to level, lat and lon."""
    known = {"level": LEVEL, "lat": LATITUDE, "lon": LONGITUDE}
    names = {}
    for dim in map(str, array.dims):
        plain = dim.lower().rstrip("0123456789")
        called = next((new for new, usual in known.items() if plain in usual), None)
        if called is not None:
            names[dim] = called
        elif not -array.sizes[dim] <= time < array.sizes[dim]:
            raise ValueError(
                f"time is {time} and {array.name!r} has {array.sizes[dim]} along {dim!r}; "
                f"positions go from 0 to {array.sizes[dim] - 1}."
            )
    others = {dim: time for dim in array.dims if str(dim) not in names}
    for dim in ("lat", "lon"):
        if dim not in names.values():
            raise ValueError(
                f"{array.name!r} has dimensions ({', '.join(map(str, array.dims))}) and none is "
                f"{dim}; rename it with dataset.rename."
            )
    return array.isel(others, drop=True).rename(names).reset_coords(drop=True)


def _in_order(name: str, array: xr.DataArray) -> xr.DataArray:
    """Return the array as (level, lat, lon), from the top, from the south, from 0 east."""
    for dim in array.dims:
        if dim not in array.coords:
            raise ValueError(
                f"{array.name!r} has no coordinate for {dim!r}; the file must hold it."
            )
    if "level" in array.dims:
        array = array.assign_coords(level=_pascal(array["level"]))
    array = array.assign_coords(lon=np.mod(array["lon"].values.astype(float), 360.0))
    array = array.assign_coords(lat=array["lat"].values.astype(float))
    for dim in array.dims:
        values = array[dim].values
        if len(np.unique(values)) < len(values):
            raise ValueError(f"{array.name!r} has a value of {dim!r} twice; each may come once.")
        array = array.sortby(dim)
    array = array.transpose(*(dim for dim in ("level", "lat", "lon") if dim in array.dims))
    _check_levels(name, array)
    return array.drop_attrs()


def _pascal(level: xr.DataArray) -> np.ndarray:
    """Return the pressure of the levels [Pa]."""
    values = level.values.astype(float)
    unit = level.attrs.get("units")
    if unit is None:
        unit = "hPa" if np.nanmax(values) <= HIGHEST_hPa else "Pa"
    return np.asarray(convert_units(values, unit, "Pa"))


def _check_levels(name: str, array: xr.DataArray) -> None:
    if "level" not in array.dims:
        return
    empty = np.isnan(array.values).all(axis=(1, 2))
    if empty.any():
        where = ", ".join(f"{p / 100:g}" for p in array["level"].values[empty])
        raise ValueError(
            f"{name} is missing on the whole level {where} hPa; leave that level out of the file "
            "(dataset.sel), or fill it."
        )
