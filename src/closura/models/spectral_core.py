"""The spectral dynamical core of dinosaur behind SI units: the only file that knows dinosaur.

Inside, lengths are in Earth radii and times in half a radian of its rotation, so that numbers are
near 1 in single precision; arrays run (level, lon, lat) and states are coefficients of spherical
harmonics. None of that leaves this file, but for the state itself, which nobody need look into.
"""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from closura.grids.levels import Levels, between_levels
from closura.grids.sphere import (
    GAS_CONSTANT,
    GRAVITY,
    KAPPA,
    RADIUS,
    ROTATION,
    TRUNCATIONS,
)
from closura.models.held_suarez import HeldSuarez
from closura.models.spectral_state import SpectralState, computed_once, stacked, turned

try:
    from dinosaur import (
        coordinate_systems,
        hybrid_coordinates,
        primitive_equations,
        scales,
        sigma_coordinates,
        spherical_harmonic,
        time_integration,
    )
    from dinosaur.units import SimUnits
except ImportError as missing:
    raise ImportError(
        "PrimitiveEquations needs dinosaur: pip install 'closura[atmosphere]'"
    ) from missing

REFERENCE_TEMPERATURE = 288.0  # [K] isothermal: what the implicit terms are linear about
# Damping of the smallest scales: rate ((l / L - 0.8) / 0.2)**3 / 60 s beyond 0.8 of the largest
# total wave number L, as in the published twins on this core.
FILTER_TIME, FILTER_ORDER, FILTER_CUTOFF = 0.0087504, 1.5, 0.8

UNIT = scales.units
SPECS = SimUnits.from_si(
    radius_si=RADIUS * UNIT.m,
    angular_velocity_si=ROTATION / UNIT.s,
    gravity_acceleration_si=GRAVITY * UNIT.m / UNIT.s**2,
    ideal_gas_constant_si=GAS_CONSTANT * UNIT.J / UNIT.kg / UNIT.K,
    kappa_si=KAPPA * UNIT.dimensionless,
)
# What one unit inside is in SI.
SECOND = 1 / float(SPECS.nondimensionalize(1.0 * UNIT.s))
METRE = 1 / float(SPECS.nondimensionalize(1.0 * UNIT.m))
PASCAL = 1 / float(SPECS.nondimensionalize(1.0 * UNIT.Pa))
SPEED = METRE / SECOND
WIND = ("u", "v")  # together they make vorticity and divergence


def _named(made: Any) -> Levels:
    a = [100 * float(number) for number in made.a_boundaries]  # its a is in hPa
    return Levels(tuple(a), tuple(float(number) for number in made.b_boundaries))


NAMED_LEVELS = {
    "ECMWF137": lambda: _named(hybrid_coordinates.HybridCoordinates.ECMWF137()),
    "UFS127": lambda: _named(hybrid_coordinates.HybridCoordinates.UFS127()),
}


@lru_cache(maxsize=32)
def _coordinates(
    resolution: str, levels: Levels, precision: str
) -> coordinate_systems.CoordinateSystem:
    """Return grid and levels. JAX remembers the type of each constant: one set a precision."""
    largest, latitudes = TRUNCATIONS[resolution]
    grid = spherical_harmonic.Grid.construct(largest, latitudes // 2, radius=SPECS.radius)
    vertical: Any
    if levels.are_sigma:
        vertical = sigma_coordinates.SigmaCoordinates(np.asarray(levels.b))
    else:
        vertical = hybrid_coordinates.HybridCoordinates(
            np.asarray(levels.a) / 100,
            np.asarray(levels.b),  # its a is in hPa
        )
    return coordinate_systems.CoordinateSystem(grid, vertical)


class SpectralCore(NamedTuple):
    """The dry primitive equations on the sphere, at one resolution.

    Attributes:
        resolution: Name of the truncation, one of `TRUNCATIONS`.
        levels: Where pressure is kept.
        tracers: Names of what the wind carries.
    """

    resolution: str
    levels: Levels
    tracers: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields on the grid."""
        return ("u", "v", "temperature", "surface_pressure", *self.tracers)

    @property
    def coords(self) -> Any:
        """Grid, spherical harmonics and levels."""
        return _coordinates(self.resolution, self.levels, jnp.result_type(float).name)

    @partial(jax.jit, static_argnums=0)
    def fields(self, state: SpectralState) -> dict[str, Array]:
        """Return u, v, temperature, surface_pressure and tracers on the grid, in SI."""
        grid = self.coords.horizontal
        wind = spherical_harmonic.get_cos_lat_vector(state.vorticity, state.divergence, grid)
        *wind, temperature, tracers = stacked(
            grid.to_nodal, (*wind, state.temperature, state.tracers)
        )
        u, v = (values * (SPEED / grid.cos_lat) for values in wind)
        pressure = jnp.exp(grid.to_nodal(state.log_surface_pressure))[0]
        found = {
            "u": u,
            "v": v,
            "temperature": temperature + REFERENCE_TEMPERATURE,
            "surface_pressure": pressure * PASCAL,
        }
        return {name: turned(values) for name, values in (found | tracers).items()}

    @partial(jax.jit, static_argnums=(0, 1))
    def like(self, other: "SpectralCore", state: SpectralState) -> SpectralState:
        """Return the state with the coefficients that another core has too, 0 where only it has."""
        mine, theirs = self.coords.horizontal, other.coords.horizontal
        extra = [max(0, n - o) for n, o in zip(theirs.modal_shape, mine.modal_shape, strict=True)]
        orders, degrees = theirs.modal_shape  # both begin with the longest waves

        def kept(modal: Array) -> Array:
            wide = jnp.pad(mine.clip_wavenumbers(modal), [(0, 0), *((0, n) for n in extra)])
            return theirs.clip_wavenumbers(wide[:, :orders, :degrees])

        found = jax.tree.map(kept, state)
        if self.levels == other.levels:
            return found
        share = jnp.asarray(between_levels(self.levels, other.levels), state.vorticity.dtype)
        moved = jax.tree.map(
            partial(jnp.tensordot, share, axes=1), found._replace(log_surface_pressure=None)
        )
        return moved._replace(log_surface_pressure=found.log_surface_pressure)

    @partial(jax.jit, static_argnums=0)
    def state(self, fields: Mapping[str, Array]) -> SpectralState:
        """Return the state that is nearest to fields on the grid, in SI."""
        nodal = {name: turned(fields[name]) for name in self.names}
        nodal["temperature"] = nodal["temperature"] - REFERENCE_TEMPERATURE
        nodal["surface_pressure"] = jnp.log(nodal["surface_pressure"] / PASCAL)[None]
        modal = self._modal(nodal)
        return SpectralState(
            modal["u"],
            modal["v"],
            modal["temperature"],
            modal["surface_pressure"],
            {name: modal[name] for name in self.tracers},
        )

    @partial(jax.jit, static_argnums=0)
    def add(self, state: SpectralState, increments: Mapping[str, Array]) -> SpectralState:
        """Return the state with increments of fields on the grid, in SI, added."""
        nodal = {name: turned(increments[name]) for name in self.names if name in increments}
        if wind := [nodal[name] for name in WIND if name in nodal]:
            nodal = dict.fromkeys(WIND, jnp.zeros_like(wind[0])) | nodal
        if "surface_pressure" in nodal:
            now = jnp.exp(self.coords.horizontal.to_nodal(state.log_surface_pressure)) * PASCAL
            nodal["surface_pressure"] = jnp.log1p(nodal["surface_pressure"][None] / now)
        more = self._modal(nodal)

        def plus(name: str, modal: Array) -> Array:
            return modal + more[name] if name in more else modal

        return SpectralState(
            plus("u", state.vorticity),
            plus("v", state.divergence),
            plus("temperature", state.temperature),
            plus("surface_pressure", state.log_surface_pressure),
            {name: plus(name, modal) for name, modal in state.tracers.items()},
        )

    def step(
        self, state: SpectralState, dt: float, orography: Array, forcing: HeldSuarez
    ) -> SpectralState:
        """Advance by one step: SIL3 for waves and forcing, then the filter of the smallest scales.

        Args:
            state: What to advance.
            dt: Time step [s].
            orography: Height of the ground, (lat, lon) [m].
            forcing: Friction and heating.

        Reference:
            Whitaker and Kar (2013), Mon. Wea. Rev. 141, 3426-3434, doi:10.1175/MWR-D-13-00132.1.
        """
        grid, length = self.coords.horizontal, dt / SECOND
        ground = grid.clip_wavenumbers(grid.to_modal(turned(orography) / METRE))
        equation = _Forced(self, ground, forcing)
        smooth = time_integration.exponential_step_filter(
            grid, length, tau=FILTER_TIME, order=FILTER_ORDER, cutoff=FILTER_CUTOFF
        )
        advance = time_integration.step_with_filters(
            time_integration.imex_rk_sil3(equation, length), [smooth]
        )
        return _outside(computed_once(advance(_inside(state))))

    def _modal(self, nodal: Mapping[str, Array]) -> dict[str, Array]:
        """Return coefficients of fields on the grid; in place of u and v, vorticity and divergence.

        Args:
            nodal: (level, lon, lat) each; u and v in SI, of which there are both or neither.
        """
        grid = self.coords.horizontal
        wind = {name: nodal[name] * (1 / (SPEED * grid.cos_lat)) for name in WIND if name in nodal}
        raw = stacked(grid.to_modal, {**nodal, **wind})
        modal = {name: grid.clip_wavenumbers(raw[name]) for name in raw if name not in WIND}
        if wind:
            both = raw["u"], raw["v"]
            modal["u"], modal["v"] = grid.curl_cos_lat(both), grid.div_cos_lat(both)
        return modal


class _Forced(time_integration.ImplicitExplicitODE):
    """The equations of motion with friction and heating among the explicit terms."""

    def __init__(self, core: SpectralCore, orography: Array, forcing: HeldSuarez):
        self.coords, self.levels, self.forcing = core.coords, core.levels, forcing
        reference = np.full(core.levels.layers, REFERENCE_TEMPERATURE)
        made = (
            primitive_equations.PrimitiveEquationsSigma
            if core.levels.are_sigma
            else primitive_equations.PrimitiveEquationsHybrid
        )
        humid = "specific_humidity" if "specific_humidity" in core.tracers else None
        self.dynamics = made(reference, orography, self.coords, SPECS, humidity_key=humid)

    def explicit_terms(self, state: Any) -> Any:
        return computed_once(self.dynamics.explicit_terms(state) + self._forcing(state))

    def implicit_terms(self, state: Any) -> Any:
        return self.dynamics.implicit_terms(state)

    def implicit_inverse(self, state: Any, step_size: float) -> Any:
        return computed_once(self.dynamics.implicit_inverse(state, step_size))

    def _forcing(self, state: Any) -> Any:
        """Return the tendency of friction and heating. On sigma levels friction needs no grid."""
        grid = self.coords.horizontal
        sine = jnp.asarray(grid.nodal_mesh[1], state.vorticity.dtype)
        surface = jnp.exp(grid.to_nodal(state.log_surface_pressure))[0] * PASCAL
        pressure = self.levels.pressure(surface)
        temperature = grid.to_nodal(state.temperature_variation) + REFERENCE_TEMPERATURE
        sigma = pressure / surface
        if self.levels.are_sigma:
            sigma = jnp.asarray(self.levels.centres, temperature.dtype)[:, None, None]
        rate = jnp.asarray(self.forcing.friction(sigma) * SECOND, temperature.dtype)
        heating = self.forcing.heating(temperature, pressure, sigma, sine) * SECOND
        if self.levels.are_sigma:
            vorticity, divergence = -rate * state.vorticity, -rate * state.divergence
        else:
            wind = spherical_harmonic.vor_div_to_uv_nodal(grid, state.vorticity, state.divergence)
            slowed = (-rate * component for component in wind)
            vorticity, divergence = spherical_harmonic.uv_nodal_to_vor_div_modal(grid, *slowed)
        return primitive_equations.State(
            vorticity,
            divergence,
            grid.clip_wavenumbers(grid.to_modal(heating)),
            jnp.zeros_like(state.log_surface_pressure),
            {name: jnp.zeros_like(modal) for name, modal in state.tracers.items()},
        )


def _inside(state: SpectralState) -> Any:
    return primitive_equations.State(*state)


def _outside(state: Any) -> SpectralState:
    return SpectralState(
        state.vorticity,
        state.divergence,
        state.temperature_variation,
        state.log_surface_pressure,
        dict(state.tracers),
    )
