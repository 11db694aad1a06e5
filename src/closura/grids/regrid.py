"""From one grid of latitudes and longitudes to another, across the poles and the date line."""

import numpy as np
from scipy.interpolate import RegularGridInterpolator

BESIDE = 2  # columns repeated on either side


def regrid(
    values: np.ndarray,
    latitude: np.ndarray,
    longitude: np.ndarray,
    new_latitude: np.ndarray,
    new_longitude: np.ndarray,
    *,
    vector: bool = False,
) -> np.ndarray:
    """Return values on another grid of latitudes and longitudes, bilinear.

    Beyond the last latitude stands what lies across the pole, half a turn on; a component of a
    vector points the other way there.

    Args:
        values: (..., lat, lon), without NaN.
        latitude: Increasing, from near one pole to near the other [degrees].
        longitude: Increasing and even, once around [degrees].
        new_latitude: [degrees].
        new_longitude: [degrees].
        vector: Whether values are a horizontal component of a vector.
    """
    if np.array_equal(latitude, new_latitude) and np.array_equal(longitude, new_longitude):
        return values
    count, sign = longitude.size, -1.0 if vector else 1.0
    half = count // 2
    rows = [latitude]
    if latitude[0] > -90:
        rows.insert(0, -180 - latitude[:1])
        values = np.concatenate([sign * np.roll(values[..., :1, :], half, -1), values], axis=-2)
    if latitude[-1] < 90:
        rows.append(180 - latitude[-1:])
        values = np.concatenate([values, sign * np.roll(values[..., -1:, :], half, -1)], axis=-2)
    around = np.concatenate([longitude[-BESIDE:] - 360, longitude, longitude[:BESIDE] + 360])
    values = np.concatenate([values[..., -BESIDE:], values, values[..., :BESIDE]], axis=-1)
    axes = (np.concatenate(rows), around)
    wanted = np.stack(
        np.meshgrid(new_latitude, np.mod(new_longitude, 360.0), indexing="ij"), axis=-1
    )
    flat = values.reshape(-1, *values.shape[-2:])
    found = [RegularGridInterpolator(axes, layer)(wanted) for layer in flat]
    return np.stack(found).reshape(*values.shape[:-2], *wanted.shape[:2])
