"""Distances between points on lines, rings, planes, boxes and spheres; what lies near."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree


def distance(
    first: np.ndarray, second: np.ndarray, periods: Sequence[float] = (), sphere: float = 0.0
) -> np.ndarray:
    """Return distances between points (..., coordinate): Euclidean, the shorter way round.

    Args:
        first: Points, broadcast against `second`.
        second: Points.
        periods: Length of each coordinate that closes on itself; 0, or none given, for a line.
        sphere: Radius of the sphere on which the first two coordinates are longitude and latitude
            [degrees]; 0 for none. Their part of the distance is then along a great circle, in the
            unit of the radius, as any further coordinate must be.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if sphere > 0:
        along = great_circle(first[..., :2], second[..., :2], sphere)
        above = distance(first[..., 2:], second[..., 2:], tuple(periods)[2:])
        return np.asarray(np.hypot(along, above))
    apart = np.abs(first - second)
    for axis, period in enumerate(periods):
        if period > 0:
            apart[..., axis] %= period
            apart[..., axis] = np.minimum(apart[..., axis], period - apart[..., axis])
    return np.asarray(np.sqrt((apart**2).sum(axis=-1)))


def great_circle(first: np.ndarray, second: np.ndarray, radius: float) -> np.ndarray:
    """Return distances along the sphere between longitudes and latitudes [degrees].

    Found from the chord through the sphere, which is exact to rounding for near points.
    """
    chord = np.linalg.norm(_on_unit_sphere(first) - _on_unit_sphere(second), axis=-1)
    return np.asarray(2 * radius * np.arcsin(np.minimum(chord / 2, 1.0)))


def nearby(
    points: np.ndarray,
    others: np.ndarray,
    reach: float,
    periods: Sequence[float] = (),
    sphere: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each point, which others lie closer than `reach`, and how far they are.

    Found with a k-d tree: cost and memory grow with the number of pairs that are near, never with
    that of all pairs. On a sphere the tree measures chords, which are shorter than great circles.

    Args:
        points: (point, coordinate).
        others: (other, coordinate).
        reach: Distance from which others no longer count.
        periods: As for `distance`.
        sphere: As for `distance`.

    Returns:
        Numbers of the others and their distances, (point, most). Shorter lists are filled up
        with number 0 at distance infinity.
    """
    points, others = np.asarray(points, float), np.asarray(others, float)
    (here, box), (there, _) = (_for_the_tree(p, periods, sphere) for p in (points, others))
    near = cKDTree(there, boxsize=box).query_ball_point(here, reach, return_sorted=True)
    rows = np.repeat(np.arange(len(points)), [len(numbers) for numbers in near])
    found = np.concatenate([np.asarray(n, np.int32) for n in near])
    far = distance(points[rows], others[found], periods, sphere)
    rows, found, far = (array[far <= reach] for array in (rows, found, far))
    counts = np.bincount(rows, minlength=len(points))
    columns = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    index = np.zeros((len(points), max(1, counts.max())), np.int32)
    apart = np.full(index.shape, np.inf)
    index[rows, columns], apart[rows, columns] = found, far
    return index, apart


def gaspari_cohn(apart: Float[np.ndarray, "..."], half_width: float) -> Float[np.ndarray, "..."]:
    """Return a taper that falls smoothly from 1 to 0 at twice the half-width.

    Reference:
        Gaspari and Cohn (1999), Q. J. R. Meteorol. Soc. 125, 723-757, eq. 4.10.
    """
    z = np.minimum(apart / half_width, 2.0)
    near = 1 + z**2 * (-5 / 3 + z * (5 / 8 + z * (1 / 2 - z / 4)))
    safe = np.maximum(z, 1.0)
    far = 4 - 5 * z + z**2 * (5 / 3 + z * (5 / 8 + z * (-1 / 2 + z / 12))) - 2 / (3 * safe)
    return np.where(z < 1, near, np.where(z < 2, far, 0.0))


def _for_the_tree(
    points: np.ndarray, periods: Sequence[float], sphere: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return points and the box that they live in, whose plain distances are never too long."""
    box = np.zeros(points.shape[1])
    box[: len(periods)] = periods
    if sphere > 0:
        ball = sphere * _on_unit_sphere(points[:, :2])
        points, box = np.concatenate([ball, points[:, 2:]], axis=1), np.append(0.0, box)
        box[:3] = 0.0
    inside = np.where(box > 0, np.mod(points, np.where(box > 0, box, 1.0)), points)
    return np.where((box > 0) & (inside >= box), 0.0, inside), box  # rounding of -1e-17


def _on_unit_sphere(degrees: np.ndarray) -> np.ndarray:
    """Return Cartesian coordinates (..., 3) of longitudes and latitudes (..., 2)."""
    longitude, latitude = np.moveaxis(np.deg2rad(degrees), -1, 0)
    level = np.cos(latitude)
    return np.stack(
        [level * np.cos(longitude), level * np.sin(longitude), np.sin(latitude)], axis=-1
    )
