"""Rows beyond the poles, columns beyond the date line: what lies around a grid of the sphere."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def on_pole(latitudes: np.ndarray) -> tuple[bool, bool]:
    """Return whether the first and the last row of latitudes [degrees] are the poles themselves."""
    first, last = (bool(np.isclose(abs(latitudes[row]), 90.0, atol=1e-6)) for row in (0, -1))
    return first, last


def pad_sphere(
    image: Float[Array, "*lead lat lon channel"],
    halo: int = 1,
    *,
    poles: tuple[bool, bool] = (False, False),
    signs: tuple[float, ...] | None = None,
) -> Float[Array, "*lead padded_lat padded_lon channel"]:
    """Return the image with `halo` more rows and columns on each side, as they are on a sphere.

    Longitude closes on itself. The row beyond a pole is the last one, seen half-way round, or the
    one before it where the last row is the pole; an odd number of longitudes has no point there,
    and the mean of the two nearest is taken. Beyond a pole east is west and north is south: the
    components of a vector change their sign.

    Args:
        image: Values with rows of latitude and columns of even longitude.
        halo: Number of rows and columns to add on each side.
        poles: Whether the first and the last row are poles (see `on_pole`).
        signs: One a channel: -1 for components of vectors, 1 for all else; None for no vectors.

    Raises:
        ValueError: There are fewer rows or columns than the halo needs.
    """
    rows, columns = image.shape[-3:-1]
    if halo + any(poles) > rows or halo > columns:
        raise ValueError(
            f"a halo of {halo} does not fit around a grid of {rows} latitudes and {columns} "
            "longitudes; use a finer grid, or fewer reductions of it."
        )
    south, north = (int(pole) for pole in poles)
    before = _beyond(image[..., south : south + halo, :, :], signs)
    after = _beyond(image[..., rows - north - halo : rows - north, :, :], signs)
    tall = jnp.concatenate([before, image, after], axis=-3)
    return jnp.concatenate([tall[..., columns - halo :, :], tall, tall[..., :halo, :]], axis=-2)


def _beyond(rows: Array, signs: tuple[float, ...] | None) -> Array:
    """Return rows next to a pole as they follow on its other side."""
    turned, count = rows[..., ::-1, :, :], rows.shape[-2]
    half = jnp.roll(turned, count // 2, axis=-2)
    if count % 2:
        half = 0.5 * (half + jnp.roll(turned, count // 2 + 1, axis=-2))
    return half if signs is None else half * jnp.asarray(signs, rows.dtype)
