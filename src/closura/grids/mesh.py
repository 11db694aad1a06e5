"""Points of a sphere and their neighbours, seen from each point's own east and north."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree


class Neighbours(NamedTuple):
    """The neighbours of every point.

    Attributes:
        which: Which points they are, (point, neighbour).
        there: 1, and 0 where a point lies on the one it would be a neighbour of.
        step: Where they lie, along the east, north and up of the point, in units of the mean
            distance of neighbours, (point, neighbour, 3).
        turn: Cosine and sine of the angle by which a neighbour's wind turns when it is carried
            along the great circle to the point, (point, neighbour, 2).
    """

    which: np.ndarray
    there: np.ndarray
    step: np.ndarray
    turn: np.ndarray


def around_grid(rows: int, lines: int, poles: tuple[bool, bool] = (False, False)) -> np.ndarray:
    """Return the eight points around each point of a latitude-longitude grid, (point, 8).

    Longitude closes on itself; beyond a pole follow the points half-way round.

    Args:
        rows: Number of latitudes.
        lines: Number of longitudes.
        poles: Whether the first and the last row are poles themselves.
    """
    row, line = np.divmod(np.arange(rows * lines), lines)
    found = []
    for north in (-1, 0, 1):
        for east in (-1, 0, 1):
            if (north, east) == (0, 0):
                continue
            to, over = row + north, np.zeros(len(row), int)
            over = np.where((to < 0) | (to >= rows), lines // 2, over)
            to = np.where(to < 0, int(poles[0]), to)
            to = np.where(to >= rows, rows - 1 - int(poles[1]), to)
            found.append(to * lines + (line + east + over) % lines)
    return np.stack(found, axis=1)


def nearest_points(latitude: np.ndarray, longitude: np.ndarray, count: int) -> np.ndarray:
    """Return the nearest other points of each point, (point, count), by a k-d tree of chords.

    Raises:
        ValueError: There are not so many points.
    """
    if count >= len(latitude):
        raise ValueError(
            f"{count} nearest points were asked for and there are {len(latitude)} in all; "
            f"use at most {len(latitude) - 1}."
        )
    place = _frames(latitude, longitude)[2]
    found = cKDTree(place).query(place, k=count + 1)[1]
    own = found == np.arange(len(place))[:, None]
    own[~own.any(axis=1), -1] = True  # a point that lies on others may come after them
    return found[~own].reshape(len(place), count)


def look_around(latitude: np.ndarray, longitude: np.ndarray, index: np.ndarray) -> Neighbours:
    """Return where given neighbours lie and how winds turn on the way from them.

    Args:
        latitude: Of each point [degrees_north].
        longitude: Of each point [degrees_east].
        index: Neighbours of each point, (point, neighbour).
    """
    east, north, up = _frames(latitude, longitude)
    chord = up[index] - up[:, None]
    length = np.linalg.norm(chord, axis=-1)
    there = length > 1e-9
    mine = np.stack([east, north, up], axis=1)  # (point, direction, xyz)
    step = np.einsum("pnx,pdx->pnd", chord, mine) / length[there].mean()
    # Bearings of one and the same great circle at both of its ends, towards the point.
    arriving = -np.einsum("pnx,pdx->pnd", chord, mine[:, :2])
    leaving = -np.einsum("pnx,pndx->pnd", chord, mine[index][:, :, :2])
    angle = np.arctan2(arriving[..., 1], arriving[..., 0]) - np.arctan2(
        leaving[..., 1], leaving[..., 0]
    )
    angle = np.where(there, angle, 0.0)
    turn = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return Neighbours(index, there.astype(float), step, turn)


def _frames(latitude: np.ndarray, longitude: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return unit vectors to the east, to the north and up of each point, (point, 3)."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    zero = np.zeros_like(phi)
    east = np.stack([-np.sin(lam), np.cos(lam), zero], axis=-1)
    north = np.stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)], axis=-1)
    up = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)
    return east, north, up
