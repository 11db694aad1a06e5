"""Real states of the atmosphere on a model's grid and levels, and a model's runs on pressure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from closura.core.model import AbstractModel, AbstractWrapper
from closura.data.pressure_levels import read_pressure_levels
from closura.grids.columns import (
    LAPSE_RATE,
    fill_below,
    height_at_pressure,
    interpolate_columns,
    pressure_at_height,
)
from closura.grids.levels import Levels
from closura.grids.regrid import regrid
from closura.grids.sphere import GAS_CONSTANT, GRAVITY

VECTORS = ("u", "v")
HERE = ("u", "v", "temperature", "surface_pressure")


def analysis_state(
    model: AbstractModel,
    file: str | Path | xr.Dataset,
    *,
    names: Mapping[str, str] | None = None,
    time: int = 0,
) -> Any:
    """Return the State of a model that is nearest to an analysis on pressure levels.

    The analysis is interpolated to the model's grid (bilinear), its surface pressure is where the
    heights of its levels meet the model's ground (that of the file, if it has no heights), and
    wind and temperature are then interpolated to the model's levels, linear in the logarithm of
    pressure. Beyond its levels wind is constant; below them temperature rises by 6.5 K a kilometre.
    Then it is truncated to what the model resolves. It is not balanced: expect gravity waves in
    the first days.

    Args:
        model: A model with levels and a grid, e.g. `PrimitiveEquations`, coupled or not.
        file: Path, name of a public file (``"era5_tl31_19590102T00.nc"``), or a Dataset.
        names: What the file calls a variable (u, v, temperature, height, geopotential,
            surface_pressure, specific_humidity), where that is none of the usual names.
        time: Which instant of the file, by position.

    Raises:
        ValueError: Something is missing in the file, or has a wrong unit.
        FileNotFoundError: There is no such file.
        TypeError: The model has no levels.
    """
    inner = _with_levels(model)
    return inner.state(_interpolated(inner, file, names, time))


def reference_fields(
    model: AbstractModel,
    file: str | Path | xr.Dataset,
    *,
    names: Mapping[str, str] | None = None,
    time: int = 0,
) -> Any:
    """Return an analysis or a climatology as fields on the model's grid: see `analysis_state`.

    It is what the model itself would show of that state: what a run is nudged to and judged by.
    """
    state = analysis_state(model, file, names=names, time=time)
    return jax.tree.map(np.asarray, eqx.filter_jit(_with_levels(model).fields)(state))


def read_orography(
    model: AbstractModel,
    file: str | Path | xr.Dataset,
    *,
    names: Mapping[str, str] | None = None,
    time: int = 0,
) -> np.ndarray:
    """Return the height of the ground in an analysis, on the model's grid, (lat, lon) [m].

    It is where its surface pressure lies among the heights of its pressure levels. The model
    truncates it to what it resolves.

    Raises:
        ValueError: The file has no surface pressure or no heights.
    """
    inner = _with_levels(model)
    wanted = ("temperature", "height", "surface_pressure")
    analysis = read_pressure_levels(file, names=names, time=time, wanted=wanted, optional=())
    arrays = _on_grid(analysis, inner.grid.latitude, inner.grid.longitude)
    return height_at_pressure(
        arrays["surface_pressure"],
        arrays["height"],
        analysis["level"].values,
        arrays["temperature"],
    )


def to_pressure_levels(
    dataset: xr.Dataset, levels: Sequence[float], *, model_levels: Levels | None = None
) -> xr.Dataset:
    """Return the fields of a run on pressure levels instead of the model's.

    Linear in the logarithm of pressure; from the lowest level to the ground as on the lowest
    level. NaN below the ground and above the highest level.

    Args:
        dataset: A run, with a dimension "level" and `surface_pressure`.
        levels: Pressures wanted [Pa], e.g. ``[25000.0, 50000.0, 85000.0]``.
        model_levels: The model's levels (`model.levels`); sigma levels by their coordinate if None.

    Returns:
        The variables that have a level, with the dimension ``"pressure"`` [Pa] instead of it, and
        all others as they are.

    Raises:
        ValueError: There is no level or surface pressure, or a pressure is not one in Pa.
    """
    wanted = _checked_pressures(dataset, levels)
    surface = dataset["surface_pressure"]
    if model_levels is None:
        old = _column(dataset["level"].values, surface.ndim) * surface.values
    else:
        old = model_levels.pressure(surface.values)
    place = _column(wanted, surface.ndim)
    within = np.clip(place, None, np.maximum(old[-1], 1.0))  # below it as on the lowest level
    dims = ("level", *surface.dims)
    found: dict[str, xr.DataArray] = {}
    for name in map(str, dataset.data_vars):
        array = dataset[name]
        if "level" in array.dims:
            values = array.transpose(*dims).values
            moved = interpolate_columns(values, np.log(old), np.log(within), outside="missing")
            moved = np.where(place <= surface.values, moved, np.nan)
            placed = xr.DataArray(moved, dims=("pressure", *dims[1:]), attrs=array.attrs)
            array = placed.transpose(*("pressure" if d == "level" else d for d in array.dims))
        found[name] = array
    coords = {n: c for n, c in dataset.coords.items() if "level" not in c.dims}
    pressure = ("pressure", wanted, {"units": "Pa", "long_name": "pressure"})
    return xr.Dataset(found, {**coords, "pressure": pressure}, dataset.attrs)


def _checked_pressures(dataset: xr.Dataset, levels: Sequence[float]) -> np.ndarray:
    for name in ("level", "surface_pressure"):
        if name not in dataset.variables:
            raise ValueError(
                f"the dataset has no {name!r}; pressure levels need both 'level' and "
                "'surface_pressure' among the saved variables."
            )
    wanted = np.atleast_1d(np.asarray(levels, float))
    if (wanted < 1.0).any() or (wanted > 1.2e5).any():
        raise ValueError(f"levels are {wanted}; give pressures in Pa, e.g. 50000.0 for 500 hPa.")
    return wanted


def _column(values: np.ndarray, dimensions: int) -> np.ndarray:
    """Return values along a new first axis before so many others."""
    return values.reshape(-1, *(1,) * dimensions)


def _interpolated(
    inner: Any, file: str | Path | xr.Dataset, names: Mapping[str, str] | None, time: int
) -> dict[str, jax.Array]:
    """Return an analysis on the grid and the levels of a model."""
    carried = tuple(v.name for v in inner.variables if v.name not in HERE)
    wanted = ("u", "v", "temperature", *carried)
    analysis = read_pressure_levels(file, names=names, time=time, wanted=wanted)
    arrays = _on_grid(analysis, inner.grid.latitude, inner.grid.longitude)
    pressures = analysis["level"].values
    surface = _surface_pressure(arrays, pressures, np.asarray(inner.orography, float))
    log_level = _column(np.log(pressures), 2)
    log_wanted = np.log(inner.levels.pressure(surface))
    fields = {name: interpolate_columns(arrays[name], log_level, log_wanted) for name in wanted}
    below = np.maximum(log_wanted - log_level[-1], 0.0)
    fields["temperature"] *= np.exp(below * GAS_CONSTANT * LAPSE_RATE / GRAVITY)
    fields["surface_pressure"] = surface
    return {name: jnp.asarray(values) for name, values in fields.items()}


def _with_levels(model: AbstractModel) -> Any:
    """Return the model inside all wrappers, if it has a grid and levels."""
    while isinstance(model, AbstractWrapper):
        model = model.model
    if not hasattr(model, "levels") or not hasattr(model, "grid"):
        raise TypeError(
            f"{type(model).__name__} has no levels and no grid on a sphere; give a model that "
            "has both, e.g. PrimitiveEquations."
        )
    return model


def _on_grid(
    analysis: xr.Dataset, latitude: np.ndarray, longitude: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the arrays of an analysis on a grid, with gaps filled from the levels above."""
    found = {}
    for name in map(str, analysis.data_vars):
        array = analysis[name]
        values = fill_below(array.values) if "level" in array.dims else array.values
        if np.isnan(values).any():
            raise ValueError(f"{name} is missing at some points of the file; fill it first.")
        found[name] = regrid(
            values, array["lat"].values, array["lon"].values, latitude, longitude,
            vector=name in VECTORS,
        )  # fmt: skip
    return found


def _surface_pressure(
    arrays: Mapping[str, np.ndarray], pressures: np.ndarray, ground: np.ndarray
) -> np.ndarray:
    if "height" in arrays:
        return pressure_at_height(ground, arrays["height"], pressures, arrays["temperature"])
    if "surface_pressure" in arrays:
        return arrays["surface_pressure"]
    raise ValueError(
        "the file has neither heights (geopotential) nor surface pressure; one of the two must "
        "say where the ground is."
    )
