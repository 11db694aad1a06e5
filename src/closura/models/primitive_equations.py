"""A dry atmosphere on the sphere: the primitive equations with the forcing of Held and Suarez."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.core.model import AbstractModel, Snapshot, check_positive
from closura.core.variable import Variable
from closura.grids.levels import Levels, even_levels
from closura.grids.sphere import RADIUS, TRUNCATIONS, gaussian_grid
from closura.models.held_suarez import DAY, HeldSuarez
from closura.models.spectral_core import REFERENCE_TEMPERATURE, SpectralCore, SpectralState

STEPS = {21: 1800.0, 31: 1200.0, 42: 600.0, 63: 450.0, 85: 300.0}  # [s] stable by wave number
MEAN_PRESSURE = 1e5  # [Pa] at sea level, at rest
NOISE = 0.5  # [K] standard deviation of the first temperature
DIMS = ("level", "lat", "lon")
WIND = (
    Variable("u", "m s-1", DIMS, "eastward wind"),
    Variable("v", "m s-1", DIMS, "northward wind"),
)
TEMPERATURE = Variable("temperature", "K", DIMS, "temperature")
PRESSURE = Variable("surface_pressure", "Pa", DIMS[1:], "surface pressure")


class AtmosphereFields(NamedTuple):
    """What closures, metrics and files see of the atmosphere, level 0 at the top.

    Attributes:
        u: Eastward wind [m s-1].
        v: Northward wind [m s-1].
        temperature: [K].
        surface_pressure: [Pa].
    """

    u: Float[Array, "level lat lon"]
    v: Float[Array, "level lat lon"]
    temperature: Float[Array, "level lat lon"]
    surface_pressure: Float[Array, "lat lon"]


class PrimitiveEquations(AbstractModel):
    """The dry primitive equations on the sphere, forced as Held and Suarez propose.

    A spectral dynamical core (`dinosaur`): vorticity, divergence, temperature and the logarithm of
    surface pressure as spherical harmonics, with implicit gravity waves. Closures see wind,
    temperature and surface pressure on the Gaussian grid. Adding zero to these changes no bit; wind
    that is added is first truncated to what the model resolves.

    Args:
        resolution: Truncation, e.g. ``"T21"`` (32 latitudes), ``"T31"`` (48), ``"T42"`` (64).
        levels: Number of sigma levels of the same thickness.
        dt: Time step [s]; 1800 s at T21, 1200 s at T31, 600 s at T42 if None.
        kf: Rate of friction at the ground [s-1].
        ka: Rate of relaxation of temperature aloft [s-1].
        ks: Rate of relaxation of temperature at the ground at the equator [s-1].
        sigma_b: Top of the boundary layer, as a share of surface pressure.
        minT: Lowest equilibrium temperature [K].
        maxT: Equilibrium temperature at the ground at the equator [K].
        dTy: Its difference between equator and pole [K].
        dThz: Rise of equilibrium potential temperature per e-fold of pressure at the equator [K].

    Reference:
        Held and Suarez (1994), Bull. Amer. Meteor. Soc. 75, 1825-1830.
    """

    core: SpectralCore = eqx.field(static=True)
    dt: float = eqx.field(static=True)
    kf: float | Array
    ka: float | Array
    ks: float | Array
    sigma_b: float | Array
    minT: float | Array
    maxT: float | Array
    dTy: float | Array
    dThz: float | Array
    orography: Float[Array, "lat lon"]

    def __init__(
        self,
        resolution: str = "T21",
        levels: int = 8,
        dt: float | None = None,
        kf: float | Array = 1 / DAY,
        ka: float | Array = 1 / (40 * DAY),
        ks: float | Array = 1 / (4 * DAY),
        sigma_b: float | Array = 0.7,
        minT: float | Array = 200.0,
        maxT: float | Array = 315.0,
        dTy: float | Array = 60.0,
        dThz: float | Array = 10.0,
    ):
        self.core = SpectralCore(resolution, even_levels(levels))
        self.dt = STEPS[TRUNCATIONS[resolution][0]] if dt is None else float(dt)
        self.kf, self.ka, self.ks, self.sigma_b = kf, ka, ks, sigma_b
        self.minT, self.maxT, self.dTy, self.dThz = minT, maxT, dTy, dThz
        grid = gaussian_grid(TRUNCATIONS[resolution][1])
        self.orography = jnp.zeros((grid.latitude.size, grid.longitude.size))

    def __check_init__(self):
        check_positive("PrimitiveEquations", dt=self.dt)

    @property
    def levels(self) -> Levels:
        """Where pressure is kept."""
        return self.core.levels

    @property
    def forcing(self) -> HeldSuarez:
        """The settings of friction and heating."""
        return HeldSuarez(
            self.kf, self.ka, self.ks, self.sigma_b, self.minT, self.maxT, self.dTy, self.dThz
        )

    @property
    def variables(self) -> tuple[Variable, ...]:
        return (*WIND, TEMPERATURE, PRESSURE)

    @property
    def coordinates(self) -> dict[str, np.ndarray]:
        """Level centres (0 at the top), latitude and longitude [degrees]."""
        grid = gaussian_grid(TRUNCATIONS[self.core.resolution][1])
        return {"level": self.levels.centres, "lat": grid.latitude, "lon": grid.longitude}

    @property
    def places(self) -> dict[str, np.ndarray]:
        """Longitude and latitude of every point [degrees]."""
        grid = gaussian_grid(TRUNCATIONS[self.core.resolution][1])
        flat = np.stack(np.meshgrid(grid.longitude, grid.latitude), axis=-1)
        deep = np.broadcast_to(flat, (self.levels.count, *flat.shape))
        return {v.name: flat if v is PRESSURE else deep for v in self.variables}

    @property
    def sphere_radius(self) -> float:
        return RADIUS

    def initial_state(self, key: Array) -> SpectralState:
        """Return air of 288 K at rest, with noise of 0.5 K: spin it up before use."""
        shape = (self.levels.count, *self.orography.shape)
        noise = NOISE * jax.random.normal(key, shape)
        wind = jnp.zeros(shape)
        pressure = jnp.full(shape[1:], MEAN_PRESSURE)
        return self.state(AtmosphereFields(wind, wind, REFERENCE_TEMPERATURE + noise, pressure))

    def state(self, fields: Any) -> SpectralState:
        """Return the State nearest to fields on the grid: the inverse of `fields`, truncated."""
        return self.core.state(fields if isinstance(fields, Mapping) else fields._asdict())

    def fields(self, state: SpectralState) -> Any:
        return AtmosphereFields(**self.core.fields(state))

    def add(self, state: SpectralState, increments: Mapping[str, Array]) -> SpectralState:
        return self.core.add(state, increments)

    def start(self, state: SpectralState, key: Array | None = None, inputs: Any = None) -> Snapshot:
        return Snapshot(state, jnp.asarray(0, jnp.int32), ())

    def step(self, snapshot: Snapshot, inputs: Any = None, key: Array | None = None) -> Snapshot:
        state = self.core.step(snapshot.state, self.dt, self.orography, self.forcing)
        return Snapshot(state, snapshot.step + 1, snapshot.memory)
