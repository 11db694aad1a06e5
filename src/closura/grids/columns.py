"""Columns of air: interpolation between levels, heights of pressures, pressure of a height."""

import numpy as np

from closura.grids.sphere import GAS_CONSTANT, GRAVITY

LAPSE_RATE = 0.0065  # [K m-1] ICAO standard atmosphere: how air is continued below the ground


def interpolate_columns(
    values: np.ndarray, old: np.ndarray, new: np.ndarray, *, outside: str = "nearest"
) -> np.ndarray:
    """Return values at new places of each column, linear between the old ones.

    Args:
        values: (level, ...).
        old: Places of the values, increasing with level, broadcast against them.
        new: Places wanted, (level, ...).
        outside: Beyond the ends: ``"nearest"`` value, or ``"missing"`` (NaN).
    """
    old = np.broadcast_to(old, values.shape)
    new = np.broadcast_to(new, (new.shape[0], *values.shape[1:]))
    found = np.empty(new.shape, np.result_type(values, new, float))
    for index, wanted in enumerate(new):
        above = np.clip((old <= wanted).sum(axis=0) - 1, 0, len(old) - 2)[None]
        first, second = (np.take_along_axis(old, above + k, axis=0)[0] for k in (0, 1))
        upper, lower = (np.take_along_axis(values, above + k, axis=0)[0] for k in (0, 1))
        share = (wanted - first) / (second - first)
        inside = np.clip(share, 0.0, 1.0)
        found[index] = upper + inside * (lower - upper)
        if outside == "missing":
            found[index][share != inside] = np.nan
    return found


def fill_below(values: np.ndarray) -> np.ndarray:
    """Return values (level, ...) with NaN replaced by the nearest level above, or else below."""
    filled = values.copy()
    for order in (range(1, len(values)), range(len(values) - 2, -1, -1)):
        for index in order:
            before = index - 1 if order.step > 0 else index + 1
            missing = np.isnan(filled[index])
            filled[index][missing] = filled[before][missing]
    return filled


def pressure_at_height(
    height: np.ndarray, heights: np.ndarray, pressures: np.ndarray, temperature: np.ndarray
) -> np.ndarray:
    """Return the pressure at a height of each column [Pa].

    Linear in the logarithm of pressure between levels; below the lowest one the air gets warmer by
    6.5 K a kilometre.

    Args:
        height: (...) [m].
        heights: Of the levels, falling from the top down, (level, ...) [m].
        pressures: Of the levels, (level,) [Pa].
        temperature: (level, ...) [K]; that of the lowest level is read.
    """
    logarithm = np.broadcast_to(_column(np.log(pressures), heights.ndim), heights.shape)
    between = interpolate_columns(logarithm, -heights, -height[None])[0]
    depth = heights[-1] - height  # below the lowest level
    warmed = 1 + LAPSE_RATE * np.maximum(depth, 0.0) / temperature[-1]
    return np.asarray(np.exp(between) * warmed ** (GRAVITY / (GAS_CONSTANT * LAPSE_RATE)))


def height_at_pressure(
    pressure: np.ndarray, heights: np.ndarray, pressures: np.ndarray, temperature: np.ndarray
) -> np.ndarray:
    """Return the height at a pressure of each column [m]: the inverse of `pressure_at_height`."""
    logarithm = _column(np.log(pressures), heights.ndim)
    between = interpolate_columns(heights, logarithm, np.log(pressure)[None])[0]
    ratio = np.maximum(pressure / pressures[-1], 1.0)
    exponent = GAS_CONSTANT * LAPSE_RATE / GRAVITY
    return np.asarray(between - temperature[-1] / LAPSE_RATE * (ratio**exponent - 1))


def _column(values: np.ndarray, dimensions: int) -> np.ndarray:
    return values.reshape(-1, *(1,) * (dimensions - 1))
