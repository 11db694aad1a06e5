"""Which observations each point of the state may feel, and how much."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from closura.core.problem import Background
from closura.grids.distance import gaspari_cohn, nearby

# Half-width of the Gaspari-Cohn taper over the distance at which it has fallen to exp(-1/2), as
# DAPPER rounds it (dapper.tools.localization; Sakov and Bertino (2011) have 1.7386).
HALF_WIDTH_PER_RADIUS = 1.82
POINTS_AT_ONCE = 4096  # 20 members: 13 MB of transforms at once, whatever the size of the state


class Local(NamedTuple):
    """Lists of equal length of the observations near each point.

    Attributes:
        number: Number of the observation.
        root: Square root of its taper, 0 where the list is filled up.
        everywhere: Points that lie nowhere and feel every observation undamped; their lists above
            are empty.
    """

    number: Int[Array, "point near"]
    root: Float[Array, "point near"]
    everywhere: Int[Array, "unplaced"]


def half_width(radius: float, convention: str) -> float:
    """Return the half-width of the Gaspari-Cohn taper that a radius stands for.

    Args:
        radius: Distance in the units of the model's `places`.
        convention: ``"decay"``: the taper is about exp(-1/2) at the radius, as in DAPPER;
            ``"half-width"``: the radius is the half-width, the taper 5/24 there. Both are zero
            at twice the half-width.
    """
    return radius * HALF_WIDTH_PER_RADIUS if convention == "decay" else radius


def check_radius(owner: str, radius: float, convention: str, without: str) -> None:
    """Raise unless a radius and its convention can be (for `__check_init__`)."""
    if not radius > 0:
        raise ValueError(
            f"{owner}: radius is {radius}; it must be positive. Without localisation use {without}."
        )
    if convention not in ("decay", "half-width"):
        raise ValueError(
            f"{owner}: convention is {convention!r}; it must be 'decay' or 'half-width'."
        )


def find_local(background: Background, radius: float, convention: str, owner: str) -> Local:
    """Return the observations near each point of the state, with their tapers.

    Raises:
        ValueError: The model or the observations do not say where they lie, or not alike.
    """
    places, observed = check_places(background, owner)
    width = half_width(radius, convention)
    somewhere = placed(places)
    near, taper = find_near(places[somewhere], observed, width, background)
    check_felt(observed, np.isin(np.arange(len(observed)), near[taper > 0]), owner)
    number = np.zeros((len(places), near.shape[1]), np.int32)
    root = np.zeros(number.shape)
    number[somewhere], root[somewhere] = near, np.sqrt(taper)
    return Local(jnp.asarray(number), jnp.asarray(root), jnp.asarray(np.flatnonzero(~somewhere)))


def find_near(
    points: np.ndarray, others: np.ndarray, width: float, background: Background
) -> tuple[np.ndarray, np.ndarray]:
    """Return lists of the others near each point and their tapers, 0 where a list is filled up.

    What lies nowhere (NaN) is near everything, undamped.
    """
    here, there = placed(points), np.flatnonzero(placed(others))
    nowhere = np.flatnonzero(~placed(others))
    most, index, taper = 0, np.zeros((0, 0), int), np.zeros((0, 0))
    if here.any() and there.size:
        geometry = (background.periods, background.sphere)
        index, apart = nearby(points[here], others[there], 2 * width, *geometry)
        index, taper = there[index], np.maximum(gaspari_cohn(apart, width), 0.0)
        most = index.shape[1]
    length = len(others) if not here.all() else most + nowhere.size
    numbers = np.zeros((len(points), max(1, length)), np.int32)
    tapers = np.zeros(numbers.shape)
    if most:
        numbers[here, :most], tapers[here, :most] = index, taper
    numbers[here, most : most + nowhere.size] = nowhere
    tapers[here, most : most + nowhere.size] = 1.0
    if not here.all():
        numbers[~here], tapers[~here] = np.arange(len(others)), 1.0
    return numbers, tapers


def taper_matrix(
    points: np.ndarray, others: np.ndarray, width: float, background: Background
) -> Float[Array, "point other"]:
    """Return the taper between all points and all others; for small numbers of one of them."""
    numbers, tapers = find_near(points, others, width, background)
    matrix = np.zeros((len(points), len(others)))
    np.add.at(matrix, (np.arange(len(points))[:, None], numbers), tapers)
    return jnp.asarray(matrix)


def map_points(
    analyse: Callable[[Array, Array, Array], Array],
    local: Local,
    rows: Float[Array, "point member"],
    observations: int,
) -> Float[Array, "point member"]:
    """Return `analyse(numbers, roots, row)` at every point of the state.

    Args:
        analyse: Takes the numbers of the observations near, roots of their tapers, and the row.
        local: The lists.
        rows: One row a point.
        observations: How many there are in all, for the points that feel every one.
    """
    found = lax.map(
        lambda point: analyse(*point),
        (local.number, local.root.astype(rows.dtype), rows),
        batch_size=min(len(rows), POINTS_AT_ONCE),
    )
    if not local.everywhere.size:
        return found
    everything, undamped = jnp.arange(observations), jnp.ones(observations, rows.dtype)
    # What does not depend on the row is computed once for all of these points.
    free = jax.vmap(analyse, in_axes=(None, None, 0))(everything, undamped, rows[local.everywhere])
    return found.at[local.everywhere].set(free)


def check_places(background: Background, owner: str) -> tuple[np.ndarray, np.ndarray]:
    """Return where state and observations lie, or say what is missing.

    Raises:
        ValueError: One has no places, they count coordinates differently, or a latitude is none.
    """
    for what, places in (("state", background.places), ("observations", background.observed)):
        if places is None:
            raise ValueError(
                f"{owner}: the {what} has no places, and localisation needs distances. Give the "
                "model `places`, the observations `positions`, or use a solver without radius "
                "such as ETKF."
            )
    assert background.places is not None and background.observed is not None
    places, observed = np.asarray(background.places), np.asarray(background.observed)
    if places.shape[1] != observed.shape[1]:
        raise ValueError(
            f"{owner}: positions of the observations have {observed.shape[1]} coordinates and the "
            f"model's places {places.shape[1]}; give positions the same, in the same order."
        )
    if background.sphere > 0:
        for what, lie in (("places", places), ("positions", observed)):
            wrong = lie[np.abs(lie[:, 1]) > 90, 1]
            if wrong.size:
                raise ValueError(
                    f"{owner}: {what} hold the latitude {wrong[0]:g}; on a sphere the coordinates "
                    "are longitude, then latitude, in degrees. Swap or convert them."
                )
    return places, observed


def check_felt(observed: np.ndarray, felt: np.ndarray, owner: str) -> None:
    """Raise where an observation is so far from every point that it would be ignored.

    Args:
        observed: Where the observations lie, (observation, coordinate).
        felt: Whether a point of the state that has a place feels each of them, (observation,).
        owner: Name of the solver.

    Raises:
        ValueError: One that has a place is felt by none.
    """
    lost = ~felt & placed(observed)
    if lost.any():
        first = int(np.argmax(lost))
        where = ", ".join(f"{x:g}" for x in observed[first])
        raise ValueError(
            f"{owner}: observation {first} at ({where}) lies outside the domain, farther from "
            "every point of the state than the radius reaches, and would be ignored. Convert its "
            "position to the coordinates of the model's places, widen the radius, or drop it."
        )


def placed(places: np.ndarray) -> np.ndarray:
    """Return which rows lie somewhere, (row,)."""
    return np.asarray(np.isfinite(places).all(axis=1))
