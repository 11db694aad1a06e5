"""A dry atmosphere on the sphere: the primitive equations with the forcing of Held and Suarez."""

from collections import namedtuple
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.core.choice import Choice, choose
from closura.core.model import AbstractModel, Snapshot, check_positive
from closura.core.variable import Variable
from closura.grids.levels import Levels, as_levels
from closura.grids.mountains import height_of_ground
from closura.grids.sphere import RADIUS, TRUNCATIONS, GaussianGrid, gaussian_grid
from closura.models.held_suarez import DAY, HeldSuarez, as_rate
from closura.models.initial_states import STARTS, Place
from closura.models.spectral_core import NAMED_LEVELS, SpectralCore
from closura.models.spectral_state import SpectralState

# [s] by largest wave number: below what the jets of a Held-Suarez climate allow.
STEPS = {21: 1800.0, 31: 1200.0, 42: 600.0, 47: 600.0, 63: 450.0, 85: 300.0, 95: 300.0}
DIMS = ("level", "lat", "lon")
DRY = (
    Variable("u", "m s-1", DIMS, "eastward wind"),
    Variable("v", "m s-1", DIMS, "northward wind"),
    Variable("temperature", "K", DIMS, "temperature"),
    Variable("surface_pressure", "Pa", DIMS[1:], "surface pressure"),
)
UNITS = {"specific_humidity": "kg kg-1"}  # of tracers; "1" if not here

make_fields: Any = namedtuple


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


@lru_cache(maxsize=32)
def _fields_with(tracers: tuple[str, ...]) -> Any:
    """Return the NamedTuple of the fields, with one field a tracer."""
    if not tracers:
        return AtmosphereFields
    return make_fields("AtmosphereFields", (*AtmosphereFields._fields, *tracers))


class PrimitiveEquations(AbstractModel):
    """The dry primitive equations on the sphere, forced as Held and Suarez propose.

    A spectral dynamical core (`dinosaur`): vorticity, divergence, temperature and the logarithm of
    surface pressure as spherical harmonics, with implicit gravity waves. Closures see wind,
    temperature and surface pressure on the Gaussian grid. Adding nothing to these changes no bit;
    what is added is first truncated to what the model resolves.

    Args:
        resolution: Truncation: ``"T21"`` (32 latitudes), ``"T31"`` (48), ``"T42"`` (64), ...
        levels: Number of sigma levels of the same thickness; ``{sigma: [0, ..., 1]}`` or
            ``{a: [...], b: [...]}`` [Pa], [1] at the interfaces from the top down;
            ``"ECMWF137"`` or ``"UFS127"``, or ``{ECMWF137: 24}`` for 24 levels out of it.
        dt: Time step [s]; 1800 s at T21, 1200 s at T31, 600 s at T42 if None.
        orography: ``"none"``, ``"bell"``, ``"waves"`` or ``"jablonowski_williamson"``, alone or
            with settings (``{bell: {height: 2500.0}}``; see `closura.grids.mountains`), or heights
            (lat, lon) [m].
        initial: ``"rest"`` or ``"jablonowski_williamson"``, alone or with settings
            (``{rest: {noise: 1.0}}``; see `closura.models.initial_states`).
        tracers: Names of what the wind carries. ``"specific_humidity"`` makes air lighter.
        kf: Rate of friction at the ground [s-1], or text: ``"1 / day"``, ``"1 / 4 days"``.
        ka: Rate of relaxation of temperature aloft [s-1], or text.
        ks: Rate of relaxation of temperature at the ground at the equator [s-1], or text.
        sigma_b: Top of the boundary layer, as a share of surface pressure.
        minT: Lowest equilibrium temperature [K].
        maxT: Equilibrium temperature at the ground at the equator [K].
        dTy: Its difference between equator and pole [K].
        dThz: Rise of equilibrium potential temperature per e-fold of pressure at the equator [K].

    Raises:
        ValueError: A setting cannot be; the line says what can.

    Reference:
        Held and Suarez (1994), Bull. Amer. Meteor. Soc. 75, 1825-1830.
    """

    core: SpectralCore = eqx.field(static=True)
    dt: float = eqx.field(static=True)
    initial: Choice = eqx.field(static=True)
    orography: Float[Array, "lat lon"]
    kf: float | Array
    ka: float | Array
    ks: float | Array
    sigma_b: float | Array
    minT: float | Array
    maxT: float | Array
    dTy: float | Array
    dThz: float | Array

    def __init__(
        self,
        resolution: str = "T21",
        levels: int | str | dict[str, Any] | Levels = 8,
        dt: float | None = None,
        *,
        orography: str | dict[str, Any] | Array | np.ndarray = "none",
        initial: str | dict[str, Any] | Choice = "rest",
        tracers: tuple[str, ...] = (),
        kf: float | str | Array = 1 / DAY,
        ka: float | str | Array = 1 / (40 * DAY),
        ks: float | str | Array = 1 / (4 * DAY),
        sigma_b: float | Array = 0.7,
        minT: float | Array = 200.0,
        maxT: float | Array = 315.0,
        dTy: float | Array = 60.0,
        dThz: float | Array = 10.0,
    ):
        _check_resolution(resolution)
        self.core = SpectralCore(resolution, as_levels(levels, NAMED_LEVELS), _checked(tracers))
        self.dt = _default_step(resolution) if dt is None else float(dt)
        self.initial = choose("initial", initial, STARTS)
        grid = self.grid
        self.orography = jnp.asarray(height_of_ground(orography, grid.latitude, grid.longitude))
        self.kf, self.ka, self.ks = as_rate(kf, "kf"), as_rate(ka, "ka"), as_rate(ks, "ks")
        self.sigma_b, self.minT, self.maxT = sigma_b, minT, maxT
        self.dTy, self.dThz = dTy, dThz

    def __check_init__(self):
        check_positive("PrimitiveEquations", dt=self.dt)

    @property
    def levels(self) -> Levels:
        """Where pressure is kept."""
        return self.core.levels

    @property
    def grid(self) -> GaussianGrid:
        """Latitudes, longitudes and weights of the grid."""
        return gaussian_grid(TRUNCATIONS[self.core.resolution][1])

    @property
    def forcing(self) -> HeldSuarez:
        """The settings of friction and heating."""
        return HeldSuarez(
            self.kf, self.ka, self.ks, self.sigma_b, self.minT, self.maxT, self.dTy, self.dThz
        )

    @property
    def variables(self) -> tuple[Variable, ...]:
        carried = self.core.tracers
        words = ((name, name.replace("_", " ")) for name in carried)
        return (*DRY, *(Variable(name, UNITS.get(name, "1"), DIMS, said) for name, said in words))

    @property
    def coordinates(self) -> dict[str, np.ndarray]:
        """Level centres (top first; p / 1e5 Pa over sea), latitude and longitude [degrees]."""
        grid = self.grid
        return {"level": self.levels.centres, "lat": grid.latitude, "lon": grid.longitude}

    @property
    def places(self) -> dict[str, np.ndarray]:
        """Longitude and latitude of every point [degrees]."""
        flat = np.stack(np.meshgrid(self.grid.longitude, self.grid.latitude), axis=-1)
        deep = np.broadcast_to(flat, (self.levels.layers, *flat.shape))
        return {v.name: deep if "level" in v.dims else flat for v in self.variables}

    @property
    def sphere_radius(self) -> float:
        return RADIUS

    def initial_state(self, key: Array) -> SpectralState:
        """Return what `initial` says: by default air of 288 K at rest, with noise of 0.5 K."""
        grid = self.grid
        place = Place(self.levels, grid.latitude, grid.longitude, self.orography)
        fields = self.initial(STARTS, place, key)
        carried = {name: jnp.zeros(place.shape) for name in self.core.tracers}
        return self.state(fields | carried)

    def state(self, fields: Any) -> SpectralState:
        """Return the State nearest to fields on the grid: the inverse of `fields`, truncated."""
        return self.core.state(fields if isinstance(fields, Mapping) else fields._asdict())

    def fields(self, state: SpectralState) -> Any:
        return _fields_with(self.core.tracers)(**self.core.fields(state))

    def fields_like(self, other: "PrimitiveEquations", state: SpectralState) -> Any:
        """Return the fields at the truncation, on the grid and on the levels of another model."""
        seen = self.core.like(other.core, state)
        return _fields_with(self.core.tracers)(**other.core.fields(seen))

    def add(self, state: SpectralState, increments: Mapping[str, Array]) -> SpectralState:
        """Return the State with increments of some fields added, truncated, in SI.

        Raises:
            ValueError: There is no such field.
        """
        for name in increments:
            known = [variable.name for variable in self.variables]
            if name not in known:
                raise ValueError(f"there is no {name!r} to add to; there are {', '.join(known)}.")
        return self.core.add(state, increments)

    def start(self, state: SpectralState, key: Array | None = None, inputs: Any = None) -> Snapshot:
        return Snapshot(state, jnp.asarray(0, jnp.int32), ())

    def step(self, snapshot: Snapshot, inputs: Any = None, key: Array | None = None) -> Snapshot:
        state = self.core.step(snapshot.state, self.dt, self.orography, self.forcing)
        return Snapshot(state, snapshot.step + 1, snapshot.memory)

    def __repr__(self) -> str:
        levels, grid = self.levels, self.grid
        kind = "sigma" if levels.are_sigma else "hybrid"
        values = ", ".join(f"{name}={value}" for name, value in self.forcing._asdict().items())
        carried = f", carrying {', '.join(self.core.tracers)}" if self.core.tracers else ""
        return (
            f"PrimitiveEquations {self.core.resolution} ({grid.latitude.size} x "
            f"{grid.longitude.size} points), {levels.layers} {kind} levels, dt = {self.dt:g} s, "
            f"from {self.initial.name}{carried}\n  u, v [m s-1], temperature [K], "
            f"surface_pressure [Pa]\n  {values}"
        )


def _check_resolution(resolution: str) -> None:
    if resolution not in TRUNCATIONS:
        close = get_close_matches(resolution, TRUNCATIONS, n=1)
        guess = f"; did you mean {close[0]!r}?" if close else "."
        raise ValueError(f"resolution is {resolution!r}{guess} There are: {', '.join(TRUNCATIONS)}")


def _default_step(resolution: str) -> float:
    largest = TRUNCATIONS[resolution][0]
    if largest not in STEPS:
        raise ValueError(f"there is no usual time step for {resolution}; give dt [s].")
    return STEPS[largest]


def _checked(tracers: tuple[str, ...]) -> tuple[str, ...]:
    known = [variable.name for variable in DRY]
    for name in tracers:
        if name in known or not name.isidentifier() or tracers.count(name) > 1:
            raise ValueError(
                f"tracers names {name!r}; name each once, in letters and _, and none of "
                f"{', '.join(known)}."
            )
    return tuple(tracers)
