"""Observations made of a run (a twin), or read from a user's file."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from closura.core.model import AbstractModel
from closura.core.problem import Observations
from closura.data.border import as_dictionary

COLUMNS = ("time", "place", "value", "error")


class Points(eqx.Module):
    """Variables at points, or between two points by linear interpolation.

    Args:
        picks: For each variable, ``(name, index, weight)`` with arrays (observation, neighbour):
            positions in the flattened field, and what each counts for.
    """

    picks: tuple[tuple[str, np.ndarray, np.ndarray], ...]

    def __call__(self, fields: Any) -> Float[Array, "observation"]:
        named = as_dictionary(fields)
        seen = [
            (jnp.ravel(named[name])[index] * weight).sum(axis=-1)
            for name, index, weight in self.picks
        ]
        return jnp.concatenate(seen)

    def positions(self, model: AbstractModel) -> np.ndarray | None:
        """Return where the observations lie, (observation, coordinate); None if nowhere."""
        places = model.places
        if any(name not in places for name, _, _ in self.picks):
            return None
        flat = {n: np.reshape(places[n], (-1, np.shape(places[n])[-1])) for n, _, _ in self.picks}
        found = [_between(flat[n], index, w, model.periods) for n, index, w in self.picks]
        return np.concatenate(found)


@dataclass(frozen=True)
class Observe:
    """How a run is observed: which variables, when, where, and how badly.

    Args:
        variables: Names of the observed variables; all their points, thinned by `stride`.
        every: Time between two observations [time units of the run]; the first comes after one.
        stride: Take every n-th point of each variable, from the first on.
        noise: Standard deviation of the independent normal errors [units of the variable].
    """

    variables: tuple[str, ...]
    every: float
    stride: int = 1
    noise: float = 1.0

    def __post_init__(self):
        if not self.variables or isinstance(self.variables, str):
            raise ValueError(f"variables is {self.variables!r}; give one name or more: ('X',).")
        if not self.noise > 0:
            raise ValueError(
                f"noise is {self.noise}; the error of an observation must be positive, e.g. 1e-4 "
                "for a nearly perfect one."
            )
        if self.stride < 1 or not self.every > 0:
            raise ValueError(
                f"every is {self.every} and stride is {self.stride}; the interval must be "
                "positive, the stride 1 or more."
            )


def observe(run: xr.Dataset, network: Observe, *, key: Array) -> Observations:
    """Return what a network of observations would have seen of a run.

    Args:
        run: A run of one member, dimensions (time, *dims), see `simulate`; its time counts from
            the start of the assimilation.
        network: Variables, interval, stride, noise.
        key: Randomness of the errors.

    Raises:
        ValueError: The run has several members, lacks a variable, or is not saved at the times.
    """
    run = single(run)
    steps = _times_to_keep(run["time"].values, network.every)
    picks, values = [], []
    for name in network.variables:
        if name not in run:
            raise ValueError(
                f"variables names {name!r}; the run holds {', '.join(map(str, run.data_vars))}."
            )
        array = run[name].transpose("time", ...).isel(time=steps).values
        index = np.arange(0, int(np.prod(array.shape[1:])), network.stride)[:, None]
        picks.append((name, index, np.ones(index.shape)))
        values.append(array.reshape(len(steps), -1)[:, index[:, 0]])
    exact = np.concatenate(values, axis=1)
    noise = np.asarray(jax.random.normal(key, exact.shape))
    variance = np.full(exact.shape[1], float(network.noise) ** 2)
    time = run["time"].values[steps]
    return Observations(exact + network.noise * noise, variance, time, Points(tuple(picks)))


def read_observations(
    path: str | Path,
    *,
    model: AbstractModel,
    variable: str,
    names: Mapping[str, str] | None = None,
) -> Observations:
    """Return observations of one variable from a CSV or netCDF file, one value a row.

    Each row has a time [time units of the model, from the start of the run], a place along the
    model's only coordinate, a value and an error (standard deviation). Between points the model
    is interpolated linearly. Rows may come in any order; times need not be regular.

    Args:
        path: ``.csv`` with a header, or netCDF or Zarr with four variables along one dimension.
        model: Whose variable is observed.
        variable: Name of that variable.
        names: Names in the file, by ``"time"``, ``"place"``, ``"value"``, ``"error"``, where they
            are called otherwise.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A column is missing, an error not positive, a place outside the domain.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; wanted a CSV, netCDF or Zarr file.")
    wanted = {column: (names or {}).get(column, column) for column in COLUMNS}
    rows = _read_csv(path, wanted) if path.suffix == ".csv" else _read_netcdf(path, wanted)
    place, column = np.unique(rows["place"], return_inverse=True)
    time, row = np.unique(rows["time"], return_inverse=True)
    twice = np.flatnonzero(np.bincount(row * len(place) + column) > 1)
    if twice.size:
        raise ValueError(
            f"{path.name} has several values at time {time[twice[0] // len(place)]:g} and place "
            f"{place[twice[0] % len(place)]:g}; average them first."
        )
    values = np.full((len(time), len(place)), np.nan)
    variance = np.ones(values.shape)
    values[row, column], variance[row, column] = rows["value"], _squared(path, rows["error"])
    index, weight = _interpolation(model, variable, place)
    operator = Points(((variable, index, weight),))
    return Observations(values, variance, time, operator, place[:, None])


def single(run: xr.Dataset) -> xr.Dataset:
    """Return a run of one member without the dimension of members."""
    if "member" not in run.dims:
        return run
    if run.sizes["member"] > 1:
        raise ValueError(
            f"the run has {run.sizes['member']} members and one is wanted; choose it with "
            "run.isel(member=0)."
        )
    return run.isel(member=0, drop=True)


def _times_to_keep(time: np.ndarray, every: float) -> np.ndarray:
    """Return positions of the instants at `every`, 2 `every`, ..."""
    wanted = every * np.arange(1, int(time[-1] / every * (1 + 1e-9)) + 1)
    position = np.minimum(np.searchsorted(time, wanted - 1e-6 * every), len(time) - 1)
    if not len(wanted) or not np.allclose(time[position], wanted, atol=1e-6 * every):
        raise ValueError(
            f"every is {every:g} and the run is saved at {time[0]:g}, {time[1]:g}, ... "
            f"{time[-1]:g}; choose a multiple of the interval between saved instants."
        )
    return position


def _read_csv(path: Path, wanted: Mapping[str, str]) -> dict[str, np.ndarray]:
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, skipinitialspace=True))
    _check_columns(path, wanted, list(rows[0]) if rows else [])
    found: dict[str, np.ndarray] = {}
    for column, name in wanted.items():
        for number, row in enumerate(rows, 2):
            try:
                float(row[name])
            except (TypeError, ValueError):
                raise ValueError(
                    f"{path.name}, line {number}: {name} is {row[name]!r}; wanted is a number."
                ) from None
        found[column] = np.array([float(row[name]) for row in rows])
    return found


def _read_netcdf(path: Path, wanted: Mapping[str, str]) -> dict[str, np.ndarray]:
    opened = xr.open_zarr(path) if path.is_dir() else xr.open_dataset(path, decode_times=False)
    with opened as file:
        _check_columns(path, wanted, [str(name) for name in file.variables])
        return {column: np.ravel(file[name].values) for column, name in wanted.items()}


def _check_columns(path: Path, wanted: Mapping[str, str], held: list[str]) -> None:
    for column, name in wanted.items():
        if name not in held:
            raise ValueError(
                f"{path.name} has no {name!r}; it has {', '.join(held) or 'no rows'}. Say what "
                f"it is called: names={{{column!r}: ...}}."
            )


def _squared(path: Path, error: np.ndarray) -> np.ndarray:
    if not (error > 0).all():
        first = int(np.argmax(~(error > 0)))
        raise ValueError(
            f"{path.name}: error is {error[first]:g} in row {first + 1} of the data; a standard "
            "deviation must be positive."
        )
    return error**2


def _interpolation(
    model: AbstractModel, variable: str, place: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the two points beside each place and their weights, (observation, 2)."""
    if variable not in model.places or np.shape(model.places[variable])[-1] != 1:
        raise ValueError(
            f"{type(model).__name__} does not say where {variable!r} lies along one coordinate; "
            "build the Observations with an operator of your own."
        )
    grid = np.ravel(model.places[variable])
    period = model.periods[0] if model.periods else 0.0
    ends = (grid[0], grid[0] + period) if period else (grid[0], grid[-1])
    outside = (place < ends[0]) | (place > ends[1])
    if outside.any():
        raise ValueError(
            f"place {place[outside][0]:g} lies outside the domain of {variable!r}, {ends[0]:g} to "
            f"{ends[1]:g}; drop these observations, or convert their places to the model's."
        )
    closed = np.append(grid, ends[1]) if period else grid
    left = np.clip(np.searchsorted(closed, place, side="right") - 1, 0, len(closed) - 2)
    share = (place - closed[left]) / (closed[left + 1] - closed[left])
    index = np.stack([left, (left + 1) % len(grid)], axis=1)
    return index, np.stack([1 - share, share], axis=1)


def _between(
    places: np.ndarray, index: np.ndarray, weight: np.ndarray, periods: tuple[float, ...]
) -> np.ndarray:
    """Return the weighted mean of neighbouring places, the shorter way round."""
    first = places[index[:, :1]]
    apart = places[index] - first
    for axis, period in enumerate(periods):
        if period > 0:
            apart[..., axis] = (apart[..., axis] + period / 2) % period - period / 2
    return first[:, 0] + (apart * weight[..., None]).sum(axis=1)
