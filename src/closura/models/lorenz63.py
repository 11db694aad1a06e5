"""Lorenz's three-variable convection model, the smallest chaotic test of a method."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from closura.core.model import AbstractODE, check_positive
from closura.core.steppers import RK4, AbstractStepper, as_stepper
from closura.core.variable import Variable


class Lorenz63State(NamedTuple):
    """Convective intensity x, horizontal temperature contrast y, stratification z."""

    x: Float[Array, ""]
    y: Float[Array, ""]
    z: Float[Array, ""]


class Lorenz63(AbstractODE):
    """dx/dt = sigma (y - x), dy/dt = rho x - y - x z, dz/dt = x y - beta z.

    Args:
        sigma: Prandtl number.
        rho: Rayleigh number over its critical value.
        beta: Aspect ratio of the rolls.
        dt: Time step [model time unit].
        stepper: Time stepper, or its name.

    Reference:
        Lorenz (1963), J. Atmos. Sci. 20, 130-141, doi:10.1175/1520-0469(1963)020<0130:DNF>2.0.CO;2.
    """

    sigma: float | Array = eqx.field(default=10.0)
    rho: float | Array = eqx.field(default=28.0)
    beta: float | Array = eqx.field(default=8.0 / 3.0)
    dt: float = eqx.field(static=True, default=0.01)
    stepper: AbstractStepper = eqx.field(converter=as_stepper, default=RK4())

    def __check_init__(self):
        check_positive("Lorenz63", dt=self.dt)

    @property
    def time_units(self) -> str:
        return "1"

    @property
    def variables(self) -> tuple[Variable, ...]:
        return (
            Variable("x", "1", (), "convective intensity"),
            Variable("y", "1", (), "horizontal temperature contrast"),
            Variable("z", "1", (), "departure of the temperature profile from linear"),
        )

    def initial_state(self, key: Array) -> Lorenz63State:
        """Return a point near one wing of the attractor, displaced by a unit normal."""
        start = jnp.array([1.509, -1.531, 25.46])
        return Lorenz63State(*(start + jax.random.normal(key, (3,))))

    def tendency(self, state: Lorenz63State, inputs: Any = None) -> Lorenz63State:
        x, y, z = state
        return Lorenz63State(self.sigma * (y - x), self.rho * x - y - x * z, x * y - self.beta * z)
