"""The grid and the levels that LMDZ's guide file stands on, checked, and its fields turned."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from closura.data.plausible import without_fill

LOWEST = 2000.0  # [Pa] the lowest level of an atmosphere in Pa is above it, in hPa below
U_DIMS, V_DIMS = ("TIME", "LEVEL", "LATU", "LONU"), ("TIME", "LEVEL", "LATV", "LONV")
SCALAR_DIMS = ("TIME", "LEVEL", "LATU", "LONV")
WANTED = {"u": U_DIMS, "ua": U_DIMS, "ucov": U_DIMS, "v": V_DIMS, "va": V_DIMS, "vcov": V_DIMS,
          "SP": SCALAR_DIMS}  # fmt: skip


@dataclass(frozen=True)
class Grid:
    """How fields of one guide file are turned: where its rows, meridians and levels lie.

    Args:
        latitude: Of the centres, in the file's order [degrees_north].
        longitude: The same [degrees_east].
        level: `presnivs` in the file's order [Pa].
        cu: (LATU, LONU) [m].
        cv: (LATV, LONV) [m].
    """

    latitude: np.ndarray
    longitude: np.ndarray
    level: np.ndarray
    cu: np.ndarray
    cv: np.ndarray

    def arrange(self, centred: np.ndarray) -> np.ndarray:
        """Return (time, level, lat, lon): top first, from south to north, eastward from 0."""
        rows, lines = np.argsort(self.latitude), _eastward(self.longitude)
        turned = centred[..., np.argsort(self.level), :, :] if centred.ndim == 4 else centred
        return turned[..., rows, :][..., lines]

    def coordinates(self) -> dict[str, xr.Variable]:
        """Return level, lat and lon in that order."""
        lines = _eastward(self.longitude)
        return {
            "level": xr.Variable("level", np.sort(self.level), {"units": "Pa"}),
            "lat": xr.Variable("lat", np.sort(self.latitude), {"units": "degrees_north"}),
            "lon": xr.Variable("lon", _from_zero(self.longitude)[lines], {"units": "degrees_east"}),
        }


def read_grid(file: xr.Dataset, name: str) -> Grid:
    """Return the grid of a guide file, after a look at all that can be wrong with it.

    Raises:
        ValueError: It is no guide file, or its grid, levels or units are not LMDZ's.
    """
    _check_dims(file, name)
    axes = {dim: file[dim].values.astype(float) for dim in ("LATU", "LATV", "LONV", "LEVEL")}
    _check_rows(axes["LATU"], axes["LATV"], name)
    around = axes["LONV"][-1] - axes["LONV"][0]
    if not np.isclose(abs(around), 360, atol=0.01):
        raise ValueError(
            f"{name}: LONV goes around {around:g} degrees; LMDZ repeats the first meridian at the "
            "end, 360 degrees on. Give the file as LMDZ wrote it."
        )
    _check_levels(file, axes["LEVEL"], name)
    lengths = [read_values(file[length]) for length in ("cu", "cv")]
    return Grid(axes["LATU"][1:-1], axes["LONV"][:-1], axes["LEVEL"], *lengths)


def read_values(variable: xr.DataArray) -> np.ndarray:
    """Return a variable as float64, NaN where it holds a fill value, declared or not.

    Records that LMDZ has not filled hold 9.97e36, netCDF's own fill value; scripts put 1e20 there.
    """
    return without_fill(variable.values.astype(np.float64))


def _check_dims(file: xr.Dataset, name: str) -> None:
    absent = [d for d in ("TIME", "LEVEL", "LATU", "LATV", "LONU", "LONV") if d not in file.dims]
    if absent:
        held = ", ".join(f"{d} ({n})" for d, n in file.sizes.items())
        centres = "its winds stand at the centres already" if "u" in file or "vitu" in file else ""
        raise ValueError(
            f"{name} has no dimension {absent[0]!r}, so it is no guide_ins.nc of LMDZ; it has "
            f"{held}. {f'If {centres}, l' if centres else 'L'}eave `layout` out and name its "
            "dimensions with sample and level."
        )
    for variable, dims in WANTED.items():
        if variable in file and file[variable].dims != dims:
            raise ValueError(
                f"{name}: {variable!r} stands on {', '.join(map(str, file[variable].dims))}; LMDZ "
                f"writes it on {', '.join(dims)}. A wind that was moved to another grid cannot be "
                "divided by cu or cv; give the file as LMDZ wrote it."
            )
    for variable in ("u", "v", "ucov", "vcov", "cu", "cv"):
        if variable not in file:
            raise ValueError(
                f"{name} has no {variable!r}; LMDZ writes it with guide_sav=y, guide_u=y and "
                f"guide_v=y. It has {', '.join(map(str, file.data_vars))}."
            )


def _check_rows(scalar: np.ndarray, wind: np.ndarray, name: str) -> None:
    between = wind.size == scalar.size - 1 and np.all(
        (wind - scalar[:-1]) * (wind - scalar[1:]) < 0
    )
    if not between:
        raise ValueError(
            f"{name}: LATV ({wind.size} rows, {wind[0]:g} ... {wind[-1]:g}) does not lie between "
            f"the rows of LATU ({scalar.size}, {scalar[0]:g} ... {scalar[-1]:g}); one of them is "
            "flipped or of another grid."
        )
    if not np.isclose(np.abs(scalar[[0, -1]]), 90, atol=0.01).all():
        raise ValueError(
            f"{name}: LATU goes from {scalar[0]:g} to {scalar[-1]:g}; LMDZ's rows begin and end at "
            "the poles. Give the whole globe."
        )


def _check_levels(file: xr.Dataset, level: np.ndarray, name: str) -> None:
    steps = np.diff(level)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        raise ValueError(
            f"{name}: LEVEL neither falls nor rises throughout; it holds the pressure of each "
            "level (presnivs), from the surface up."
        )
    if level.max() < LOWEST:
        raise ValueError(
            f"{name}: LEVEL reaches {level.max():g}, which are millibars; LMDZ writes Pa. Multiply "
            "it by 100."
        )
    if "SP" in file:
        pressure = read_values(file["SP"].isel(TIME=slice(0, 1)))
        column = np.nanmean(pressure, axis=(0, 2, 3))
        if np.any(np.diff(column) * steps <= 0):
            raise ValueError(
                f"{name}: LEVEL runs from {level[0]:g} to {level[-1]:g} Pa and the pressure SP "
                f"from {column[0]:g} to {column[-1]:g} Pa; levels of one of them are flipped or "
                "missing."
            )


def _from_zero(longitude: np.ndarray) -> np.ndarray:
    return np.round(longitude, 4) % 360


def _eastward(longitude: np.ndarray) -> np.ndarray:
    return np.argsort(_from_zero(longitude))
