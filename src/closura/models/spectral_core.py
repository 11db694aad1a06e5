"""The spectral dynamical core of dinosaur behind SI units: the only file that knows dinosaur.

Inside, lengths are in Earth radii and times in half a radian of its rotation, so that numbers are
near 1 in single precision; arrays run (level, lon, lat) and states are coefficients of spherical
harmonics. None of that leaves this file, but for the State itself, which nobody need look into.
"""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

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


class SpectralState(NamedTuple):
    """Coefficients of spherical harmonics, in the units of the core.

    Attributes:
        vorticity: (level, m, l).
        divergence: (level, m, l).
        temperature: Departure from 288 K, (level, m, l).
        log_surface_pressure: (1, m, l).
        tracers: (level, m, l) each, by name.
    """

    vorticity: Float[Array, "level m l"]
    divergence: Float[Array, "level m l"]
    temperature: Float[Array, "level m l"]
    log_surface_pressure: Float[Array, "1 m l"]
    tracers: dict[str, Float[Array, "level m l"]]


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
    def coords(self) -> Any:
        """Grid, spherical harmonics and levels."""
        return _coordinates(self.resolution, self.levels, jnp.result_type(float).name)

    @partial(jax.jit, static_argnums=0)
    def fields(self, state: SpectralState) -> dict[str, Array]:
        """Return u, v, temperature, surface_pressure and tracers on the grid, in SI."""
        grid = self.coords.horizontal
        u, v = spherical_harmonic.vor_div_to_uv_nodal(grid, state.vorticity, state.divergence)
        pressure = jnp.exp(grid.to_nodal(state.log_surface_pressure))[0]
        found = {
            "u": u * SPEED,
            "v": v * SPEED,
            "temperature": grid.to_nodal(state.temperature) + REFERENCE_TEMPERATURE,
            "surface_pressure": pressure * PASCAL,
        }
        found |= {name: grid.to_nodal(modal) for name, modal in state.tracers.items()}
        return {name: _turned(values) for name, values in found.items()}

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
        vorticity, divergence = self._wind(fields["u"], fields["v"])
        pressure = jnp.log(_turned(fields["surface_pressure"]) / PASCAL)[None]
        return SpectralState(
            vorticity,
            divergence,
            self._modal(_turned(fields["temperature"]) - REFERENCE_TEMPERATURE),
            self._modal(pressure),
            {name: self._modal(_turned(fields[name])) for name in self.tracers},
        )

    @partial(jax.jit, static_argnums=0)
    def add(self, state: SpectralState, increments: Mapping[str, Array]) -> SpectralState:
        """Return the state with increments of fields on the grid, in SI, added."""
        if "u" in increments or "v" in increments:
            still = jnp.zeros_like(increments["u" if "u" in increments else "v"])
            wind = increments.get("u", still), increments.get("v", still)
            vorticity, divergence = self._wind(*wind)
            state = state._replace(
                vorticity=state.vorticity + vorticity, divergence=state.divergence + divergence
            )
        if "temperature" in increments:
            more = self._modal(_turned(increments["temperature"]))
            state = state._replace(temperature=state.temperature + more)
        if "surface_pressure" in increments:
            now = jnp.exp(self.coords.horizontal.to_nodal(state.log_surface_pressure)) * PASCAL
            more = self._modal(jnp.log1p(_turned(increments["surface_pressure"])[None] / now))
            state = state._replace(log_surface_pressure=state.log_surface_pressure + more)
        tracers = {
            name: modal + self._modal(_turned(increments[name])) if name in increments else modal
            for name, modal in state.tracers.items()
        }
        return state._replace(tracers=tracers)

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
        ground = grid.clip_wavenumbers(grid.to_modal(_turned(orography) / METRE))
        equation = _Forced(self, ground, forcing)
        smooth = time_integration.exponential_step_filter(
            grid, length, tau=FILTER_TIME, order=FILTER_ORDER, cutoff=FILTER_CUTOFF
        )
        advance = time_integration.step_with_filters(
            time_integration.imex_rk_sil3(equation, length), [smooth]
        )
        return _outside(advance(_inside(state)))

    def _wind(self, u: Array, v: Array) -> tuple[Array, Array]:
        turned = _turned(u) / SPEED, _turned(v) / SPEED
        return spherical_harmonic.uv_nodal_to_vor_div_modal(self.coords.horizontal, *turned)

    def _modal(self, nodal: Array) -> Array:
        grid = self.coords.horizontal
        return grid.clip_wavenumbers(grid.to_modal(nodal))


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
        return self.dynamics.explicit_terms(state) + self._forcing(state)

    def implicit_terms(self, state: Any) -> Any:
        return self.dynamics.implicit_terms(state)

    def implicit_inverse(self, state: Any, step_size: float) -> Any:
        return self.dynamics.implicit_inverse(state, step_size)

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


def _turned(values: Array) -> Array:
    """Exchange the two horizontal axes: (.., lon, lat) inside, (.., lat, lon) outside."""
    return jnp.swapaxes(values, -1, -2)
