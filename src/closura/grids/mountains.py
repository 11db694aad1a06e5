"""Idealised mountains: heights of the ground that the literature's experiments stand on."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from closura.core.choice import choose
from closura.grids.sphere import GRAVITY, RADIUS, ROTATION


def flat(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return zero everywhere."""
    return 0 * latitude * longitude


def bell(
    latitude: np.ndarray,
    longitude: np.ndarray,
    *,
    height: float = 2000.0,
    at_latitude: float = 45.0,
    at_longitude: float = 90.0,
    width: float = 15.0,
) -> np.ndarray:
    """Return one round mountain, height exp(-(distance / width)**2).

    Args:
        latitude: [degrees].
        longitude: [degrees].
        height: Of the summit [m].
        at_latitude: Of the summit [degrees].
        at_longitude: Of the summit [degrees].
        width: Great-circle distance at which the height is 1/e [degrees].
    """
    north, south = np.radians(latitude), np.radians(at_latitude)
    apart = np.radians(longitude - at_longitude)
    cosine = np.sin(north) * np.sin(south) + np.cos(north) * np.cos(south) * np.cos(apart)
    distance = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return np.asarray(height * np.exp(-((distance / width) ** 2)))


def waves(
    latitude: np.ndarray,
    longitude: np.ndarray,
    *,
    height: float = 3000.0,
    number: int = 2,
    south: float = 25.0,
    north: float = 65.0,
) -> np.ndarray:
    """Return height sin(pi (lat - south) / (north - south))**2 cos(number lon), flat elsewhere.

    Args:
        latitude: [degrees].
        longitude: [degrees].
        height: Amplitude [m]; valleys lie as far below zero.
        number: Crests around the globe.
        south: Where it begins [degrees].
        north: Where it ends [degrees].

    Reference:
        Gerber and Polvani (2009), J. Climate 22, 1920-1933, doi:10.1175/2008JCLI2548.1.
    """
    inside = (latitude > south) & (latitude < north)
    profile = np.sin(np.pi * (latitude - south) / (north - south)) ** 2
    return np.asarray(
        height * np.where(inside, profile, 0.0) * np.cos(np.radians(number * longitude))
    )


def jablonowski_williamson(
    latitude: np.ndarray, longitude: np.ndarray, *, speed: float = 35.0
) -> np.ndarray:
    """Return the height of the ground that balances the jets of the test case; see its state.

    Args:
        latitude: [degrees].
        longitude: [degrees].
        speed: Of the jets [m s-1].

    Reference:
        Jablonowski and Williamson (2006), Q. J. R. Meteorol. Soc. 132, 2943-2975, eq. 7,
        doi:10.1256/qj.06.12.
    """
    strength = speed * np.cos((1.0 - 0.252) * np.pi / 2) ** 1.5
    return strength * balance(latitude, strength) / GRAVITY + 0 * longitude


def balance(latitude: np.ndarray, speed: Any) -> np.ndarray:
    """Return the geopotential over the speed of jets that are balanced by it [m s-1].

    The speed is that of u = speed sin(2 latitude)**2.
    """
    sine, cosine = np.sin(np.radians(latitude)), np.cos(np.radians(latitude))
    wind = -2 * sine**6 * (cosine**2 + 1 / 3) + 10 / 63
    turning = 8 / 5 * cosine**3 * (sine**2 + 2 / 3) - np.pi / 4
    return np.asarray(wind * speed + turning * RADIUS * ROTATION)


MOUNTAINS = {
    "none": flat,
    "bell": bell,
    "waves": waves,
    "jablonowski_williamson": jablonowski_williamson,
}


def height_of_ground(wanted: Any, latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return the height of the ground on a grid, (lat, lon) [m].

    Args:
        wanted: Name of a mountain, ``{name: {setting: value}}``, or heights (lat, lon) [m].
        latitude: (lat,) [degrees_north].
        longitude: (lon,) [degrees_east].

    Raises:
        ValueError: There is no such mountain or setting, or heights have another shape.
    """
    if isinstance(wanted, str | Mapping):
        chosen = choose("orography", wanted, MOUNTAINS)
        return np.asarray(chosen(MOUNTAINS, latitude[:, None], longitude[None, :]), float)
    heights = np.asarray(wanted, float)
    shape = (latitude.size, longitude.size)
    if heights.shape != shape:
        raise ValueError(
            f"orography has shape {heights.shape}; this grid has (lat, lon) = {shape}. Put it on "
            "the grid first, e.g. with closura.data.atmosphere.read_orography."
        )
    if not np.isfinite(heights).all():
        raise ValueError("orography holds NaN or infinity; every point needs a height [m].")
    return heights
