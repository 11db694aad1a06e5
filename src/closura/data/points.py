"""Variables of a model at points: on its grid, or between grid points by linear interpolation."""

from collections.abc import Callable
from itertools import product
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.core.model import AbstractModel
from closura.data.border import as_dictionary


class Points(eqx.Module):
    """Variables at points, or between points by linear interpolation.

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
        periods = coordinate_periods(model)
        return np.concatenate([_between(flat[n], index, w, periods) for n, index, w in self.picks])


class Combined(eqx.Module):
    """A function of several variables at the same points, e.g. the speed of a wind.

    Args:
        function: Takes one array (observation,) a variable and returns one; an `eqx.Module` if it
            holds numbers of its own.
        points: The points of each variable, in the order of the function's arguments.
    """

    function: Callable[..., Array]
    points: tuple[Points, ...]

    def __call__(self, fields: Any) -> Float[Array, "observation"]:
        return self.function(*(points(fields) for points in self.points))

    def positions(self, model: AbstractModel) -> np.ndarray | None:
        """Return where the observations lie: where the first variable is taken."""
        return self.points[0].positions(model)


def interpolate(
    model: AbstractModel, variable: str, places: Float[np.ndarray, "observation coordinate"]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the grid points about each place and their weights, (observation, neighbour).

    Raises:
        ValueError: The variable has no such coordinates, or a place is outside the domain.
    """
    axes = _grid_axes(model, variable, places.shape[1])
    periods = coordinate_periods(model)
    shape = np.shape(model.places[variable])[:-1]
    sides = []
    for number, (axis, grid) in enumerate(axes):
        period = periods[number] if number < len(periods) else 0.0
        wraps = model.sphere_radius > 0 and number == 0
        sides.append((axis, *_beside(places[:, number], grid, period, wraps, variable)))
    index, weight = [], []
    for corner in product((0, 1), repeat=len(sides)):
        at = [np.zeros(len(places), int)] * len(shape)
        share = np.ones(len(places))
        for (axis, numbers, shares), side in zip(sides, corner, strict=True):
            at[axis], share = numbers[:, side], share * shares[:, side]
        index.append(np.ravel_multi_index(at, shape))
        weight.append(share)
    return np.stack(index, axis=1), np.stack(weight, axis=1)


def coordinate_periods(model: AbstractModel) -> tuple[float, ...]:
    """Return the period of each coordinate; longitudes on a sphere close after 360 degrees."""
    return (360.0, *model.periods[1:]) if model.sphere_radius > 0 else model.periods


def _grid_axes(model: AbstractModel, variable: str, count: int) -> list[tuple[int, np.ndarray]]:
    """Return, for each coordinate, the axis of the field that it runs along and its values."""
    places = model.places.get(variable)
    if places is None or np.shape(places)[-1] != count:
        has = "no places" if places is None else f"{np.shape(places)[-1]} coordinates"
        raise ValueError(
            f"{type(model).__name__}: {variable!r} has {has}, and the observations have {count}; "
            "name as many columns, names={'place': ...}, or build the Observations with an "
            "operator of your own."
        )
    places = np.asarray(places)
    axes = []
    for number in range(count):
        values = places[..., number]
        along = [axis for axis in range(values.ndim) if np.any(np.diff(values, axis=axis) != 0)]
        if len(along) != 1 or values.ndim != count:
            raise ValueError(
                f"{type(model).__name__}: the points of {variable!r} form no grid along its "
                "coordinates, so nothing can be interpolated; build the Observations with an "
                "operator of your own."
            )
        first = tuple(slice(None) if axis == along[0] else 0 for axis in range(values.ndim))
        axes.append((along[0], values[first]))
    return axes


def _beside(
    place: np.ndarray, grid: np.ndarray, period: float, wraps: bool, variable: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the two grid points beside each place along one coordinate, and their shares."""
    order = np.argsort(grid)
    grid = grid[order]
    ends = (grid[0], grid[0] + period) if period else (grid[0], grid[-1])
    if wraps:
        place = grid[0] + np.mod(place - grid[0], period)
    outside = ~((place >= ends[0]) & (place <= ends[1]))
    if outside.any():
        raise ValueError(
            f"place {place[outside][0]:g} lies outside the domain of {variable!r}, {ends[0]:g} to "
            f"{ends[1]:g}; drop these observations, or convert their places to the model's."
        )
    closed = np.append(grid, ends[1]) if period else grid
    left = np.clip(np.searchsorted(closed, place, side="right") - 1, 0, len(closed) - 2)
    share = (place - closed[left]) / (closed[left + 1] - closed[left])
    numbers = order[np.stack([left, (left + 1) % len(grid)], axis=1)]
    return numbers, np.stack([1 - share, share], axis=1)


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
