"""Distances between points, on lines and on rings, and the points that lie near."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.spatial import cKDTree


def distance(first: np.ndarray, second: np.ndarray, periods: Sequence[float] = ()) -> np.ndarray:
    """Return Euclidean distances between points (..., coordinate), the shorter way round.

    Args:
        first: Points, broadcast against `second`.
        second: Points.
        periods: Length of each coordinate that closes on itself; 0, or none given, for a line.
    """
    apart = np.abs(np.asarray(first, float) - np.asarray(second, float))
    for axis, period in enumerate(periods):
        if period > 0:
            apart[..., axis] %= period
            apart[..., axis] = np.minimum(apart[..., axis], period - apart[..., axis])
    return np.asarray(np.sqrt((apart**2).sum(axis=-1)))


def nearby(
    points: np.ndarray, others: np.ndarray, reach: float, periods: Sequence[float] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each point, which others lie closer than `reach`, and how far they are.

    Found with a k-d tree: cost and memory grow with the number of pairs that are near, never with
    that of all pairs.

    Args:
        points: (point, coordinate).
        others: (other, coordinate).
        reach: Distance from which others no longer count.
        periods: As for `distance`.

    Returns:
        Numbers of the others and their distances, (point, most). Shorter lists are filled up
        with number 0 at distance infinity.
    """
    points, others = np.asarray(points, float), np.asarray(others, float)
    box = np.zeros(points.shape[1])
    box[: len(periods)] = periods
    tree = cKDTree(_wrapped(others, box), boxsize=box)
    near = tree.query_ball_point(_wrapped(points, box), reach, return_sorted=True)
    counts = np.array([len(numbers) for numbers in near])
    rows = np.repeat(np.arange(len(points)), counts)
    columns = np.concatenate([np.arange(count) for count in counts]).astype(int)
    index = np.zeros((len(points), max(1, counts.max())), np.int32)
    apart = np.full(index.shape, np.inf)
    index[rows, columns] = np.concatenate([np.asarray(n, np.int32) for n in near])
    apart[rows, columns] = distance(points[rows], others[index[rows, columns]], periods)
    return index, apart


def gaspari_cohn(apart: Float[Array, "..."], half_width: float) -> Float[Array, "..."]:
    """Return a taper that falls smoothly from 1 to 0 at twice the half-width.

    Reference:
        Gaspari and Cohn (1999), Q. J. R. Meteorol. Soc. 125, 723-757, eq. 4.10.
    """
    z = jnp.minimum(jnp.asarray(apart) / half_width, 2.0)
    near = 1 + z**2 * (-5 / 3 + z * (5 / 8 + z * (1 / 2 - z / 4)))
    safe = jnp.maximum(z, 1.0)
    far = 4 - 5 * z + z**2 * (5 / 3 + z * (5 / 8 + z * (-1 / 2 + z / 12))) - 2 / (3 * safe)
    return jnp.where(z < 1, near, jnp.where(z < 2, far, 0.0))


def _wrapped(points: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return points with closed coordinates moved into [0, period)."""
    return np.where(box > 0, np.mod(points, np.where(box > 0, box, 1.0)), points)
