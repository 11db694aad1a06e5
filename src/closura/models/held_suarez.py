"""The forcing of Held and Suarez: friction near the ground, relaxation toward an equilibrium."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from closura.core.durations import duration
from closura.grids.sphere import KAPPA

Number = float | Array
Column = Float[Array, "level #lon #lat"]
DAY = 86400.0  # [s]


class HeldSuarez(NamedTuple):
    """Settings of the forcing, named as in the paper.

    Attributes:
        kf: Rate of friction at the ground [s-1].
        ka: Rate of relaxation of temperature aloft [s-1].
        ks: Rate of relaxation of temperature at the ground at the equator [s-1].
        sigma_b: Top of the boundary layer, as a share of surface pressure.
        minT: Lowest equilibrium temperature, that of the stratosphere [K].
        maxT: Equilibrium temperature at the ground at the equator [K].
        dTy: Its difference between equator and pole [K].
        dThz: How much potential temperature rises per e-fold of pressure at the equator [K].

    Reference:
        Held and Suarez (1994), Bull. Amer. Meteor. Soc. 75, 1825-1830,
        doi:10.1175/1520-0477(1994)075<1825:APFTIO>2.0.CO;2.
    """

    kf: Number = 1 / DAY
    ka: Number = 1 / (40 * DAY)
    ks: Number = 1 / (4 * DAY)
    sigma_b: Number = 0.7
    minT: Number = 200.0
    maxT: Number = 315.0
    dTy: Number = 60.0
    dThz: Number = 10.0

    def boundary_layer(self, sigma: Column) -> Column:
        """Return 1 at the ground, falling linearly to 0 at the top of the boundary layer."""
        return jnp.maximum(0.0, (sigma - self.sigma_b) / (1 - self.sigma_b))

    def friction(self, sigma: Column) -> Column:
        """Return the rate at which wind decays [s-1]."""
        return self.kf * self.boundary_layer(sigma)

    def equilibrium(self, pressure: Column, sine: Array) -> Column:
        """Return the temperature toward which the air relaxes [K].

        Args:
            pressure: [Pa].
            sine: Sine of latitude.
        """
        relative = pressure / 1e5  # p0 of the paper
        cosine_squared = 1 - sine**2
        ground = self.maxT - self.dTy * sine**2 - self.dThz * jnp.log(relative) * cosine_squared
        return jnp.maximum(self.minT, ground * relative**KAPPA)

    def heating(self, temperature: Column, pressure: Column, sigma: Column, sine: Array) -> Column:
        """Return the tendency of temperature [K s-1].

        Args:
            temperature: [K].
            pressure: [Pa].
            sigma: Pressure over surface pressure.
            sine: Sine of latitude.
        """
        near = self.boundary_layer(sigma) * (1 - sine**2) ** 2
        rate = self.ka + (self.ks - self.ka) * near
        return -rate * (temperature - self.equilibrium(pressure, sine))


def as_rate(value: Any, name: str) -> Number:
    """Return a rate [s-1]; ``"1 / 4 days"`` and ``"0.25 / day"`` are 2.89e-06.

    Args:
        value: Number or array [s-1], or text: a number, a stroke and a length of time.
        name: What the rate is of; begins the complaint.

    Raises:
        ValueError: It is neither, or negative.
    """
    if isinstance(value, str):
        given = value
        above, stroke, below = value.partition("/")
        below = below.strip() if below.strip()[:1].isdigit() else f"1 {below.strip()}"
        try:
            value = float(above) / duration(below, name=name) if stroke else float("nan")
        except (ValueError, ZeroDivisionError):
            value = float("nan")
        if not value >= 0:
            raise ValueError(
                f"{name} is {given!r}, no rate; write a number [s-1], or a number and a length of "
                "time, e.g. '1 / 4 days' or '0.25 / day'."
            )
    if isinstance(value, int | float) and not 0 <= value < float("inf"):
        raise ValueError(f"{name} is {value} s-1; a rate is 0 or positive, and finite.")
    return value
