"""Where the sun stands."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Real

TILT = 23.45  # [degrees] Cooper (1969): largest declination of the sun
COOPER_YEAR = 365.0  # [days] Cooper (1969): his formula repeats after it
YEAR = 365.25  # [days] mean length: a period, not a date
EQUINOX = 284.0  # [days] Cooper (1969): shift of the day of the year


def solar_zenith(
    latitude: Float[Array, "*place"],
    longitude: Float[Array, "*place"],
    day_of_year: Real[Array, ""],
    hour: Real[Array, ""],
) -> Float[Array, "*place"]:
    """Return the cosine of the sun's angle from the vertical, 0 where it is below the horizon.

    Args:
        latitude: [degrees_north]
        longitude: [degrees_east]
        day_of_year: Counted from 1, with fractions or without.
        hour: Universal time [hours].

    Reference:
        Cooper (1969), Solar Energy 12, 333-346, doi:10.1016/0038-092X(69)90047-4 (declination;
        the equation of time, up to a quarter of an hour, is left out).
    """
    declination = jnp.radians(TILT) * jnp.sin(2 * jnp.pi * (EQUINOX + day_of_year) / COOPER_YEAR)
    angle = jnp.radians(15 * (hour - 12) + longitude)
    north = jnp.radians(latitude)
    height = jnp.sin(north) * jnp.sin(declination) + (
        jnp.cos(north) * jnp.cos(declination) * jnp.cos(angle)
    )
    return jnp.maximum(height, 0.0)
