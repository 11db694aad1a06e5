"""Neighbours on a plane that closes on itself in both directions."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Shaped


def with_border(values: Shaped[Array, "y x"], width: int) -> Shaped[Array, "yh xh"]:
    """Return the plane with `width` rows and columns of its other side around it.

    The barrier keeps XLA from making the border again inside every slice of it.
    """
    rows, columns = values.shape
    tall = jnp.concatenate([values[rows - width :], values, values[:width]])
    wide = jnp.concatenate([tall[:, columns - width :], tall, tall[:, :width]], axis=1)
    return lax.optimization_barrier(wide)


def patches(values: Shaped[Array, "y x"], radius: int) -> Shaped[Array, "y x m"]:
    """Return, for each point, the square of values from `radius` before it to `radius` after it.

    The last axis, of length (2 radius + 1)^2, has x fastest. A radius that reaches around the
    plane repeats points, which is refused.
    """
    across = 2 * radius + 1
    if across > min(values.shape):
        raise ValueError(
            f"a patch of radius {radius} is {across} points across and the plane has "
            f"{values.shape[0]} x {values.shape[1]}; use a radius of at most "
            f"{(min(values.shape) - 1) // 2}."
        )
    rows, columns = values.shape
    padded = with_border(values, radius)
    shifts = range(across)
    shifted = [padded[j : j + rows, i : i + columns] for j in shifts for i in shifts]
    return jnp.stack(shifted, axis=-1)
