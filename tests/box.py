"""A small atmosphere that never moves by itself: 5 levels, 7 latitudes, 9 longitudes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import closura as cl

SIGMA = np.array([0.05, 0.3, 0.6, 0.85, 0.95])
INTERFACES = np.array([0.0, 0.1, 0.5, 0.7, 0.92, 1.0])
DIMS = ("level", "lat", "lon")


class BoxState(NamedTuple):
    """Fields of the box."""

    u: Float[Array, "level lat lon"]
    v: Float[Array, "level lat lon"]
    temperature: Float[Array, "level lat lon"]
    specific_humidity: Float[Array, "level lat lon"]
    surface_pressure: Float[Array, "lat lon"]


class Layers(NamedTuple):
    """Interfaces in sigma."""

    edges: tuple[float, ...]

    def thickness(self, surface_pressure):
        """Pressure between interfaces [Pa]."""
        return np.diff(self.edges)[:, None, None] * surface_pressure


class Box(cl.AbstractModel):
    """An atmosphere at rest that only what is coupled to it can move."""

    dt: float = 1800.0

    @property
    def levels(self):
        """Where pressure is kept."""
        return Layers(tuple(INTERFACES.tolist()))

    @property
    def variables(self):
        units = {"u": "m s-1", "v": "m s-1", "temperature": "K", "specific_humidity": "kg kg-1"}
        deep = tuple(cl.Variable(n, unit, DIMS, n.replace("_", " ")) for n, unit in units.items())
        return (*deep, cl.Variable("surface_pressure", "Pa", DIMS[1:], "surface pressure"))

    @property
    def coordinates(self):
        sines, _ = np.polynomial.legendre.leggauss(7)
        return {
            "level": SIGMA, "lat": np.degrees(np.arcsin(sines)), "lon": np.arange(9) * 40.0,
        }  # fmt: skip

    def initial_state(self, key):
        draw = jax.random.normal(key, (4, 5, 7, 9))
        return BoxState(
            10 * draw[0], 8 * draw[1], 250 + 20 * draw[2], 0.01 + 0.001 * draw[3],
            1e5 + 1e3 * draw[0, 0],
        )  # fmt: skip

    def start(self, state, key=None, inputs=None):
        return cl.Snapshot(state, jnp.asarray(0, jnp.int32), ())

    def step(self, snapshot, inputs=None, key=None):
        return snapshot._replace(step=snapshot.step + 1)
