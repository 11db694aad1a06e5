"""One layer of rotating shallow water on a plane that closes on itself in both directions."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.core.model import AbstractODE, check_positive
from closura.core.steppers import RK4, AbstractStepper, as_stepper
from closura.core.variable import Variable
from closura.grids.plane import with_border

DENSITY = 1025.0  # [kg m-3] of sea water
STILL = 1e-10  # [m s-1]: no root of 0, which has no derivative
MODES = tuple((m, n) for m in range(4) for n in range(-3, 4) if m > 0 or n > 0)  # of a first state

Plane = Float[Array, "y x"]


class ShallowWaterState(NamedTuple):
    """Velocities on the faces of the cells, and the elevation of the surface at their centres."""

    u: Float[Array, "y x"]
    v: Float[Array, "y x"]
    elevation: Float[Array, "y x"]


class ShallowWater(AbstractODE):
    r"""Rotating shallow water on the doubly periodic f-plane, driven by a known wind.

    ::

        du/dt = q v h - d/dx B + tau / (rho h) sin(2 pi waves y / Ly) - drag |u| u / h + nu lap u
        dv/dt = -q u h - d/dy B                                       - drag |u| v / h + nu lap v
        d(elevation)/dt = -d/dx (u h) - d/dy (v h)

    with h = depth + elevation, q = (f + dv/dx - du/dy) / h and B = g elevation + (u^2 + v^2) / 2.
    With a reduced gravity it is the upper layer over a deep one at rest. Arrays are (y, x); on an
    Arakawa C grid `u` lies half a cell to the west of the elevation, `v` half a cell to the south.
    The scheme keeps mass and, without wind, drag and viscosity, energy.

    Args:
        nx: Number of points along x, at least 4.
        ny: Number of points along y, at least 4.
        spacing: Distance of two points in both directions [m].
        depth: Depth of the layer at rest [m].
        gravity: Gravity, or reduced gravity [m s-2].
        coriolis: Coriolis parameter f [s-1].
        wind_stress: Largest stress of the wind, along x [N m-2].
        wind_waves: Number of waves of the wind's stress along y.
        drag: Coefficient of quadratic bottom drag [1].
        viscosity: Eddy viscosity [m2 s-1].
        dt: Time step [s]. Gravity waves want at most spacing / sqrt(gravity depth) with RK4.
        stepper: Time stepper, or its name.

    Reference:
        Sadourny (1975), J. Atmos. Sci. 32, 680-689, the scheme that conserves energy,
        doi:10.1175/1520-0469(1975)032<0680:TDOFDM>2.0.CO;2.
    """

    nx: int = eqx.field(static=True, default=32)
    ny: int = eqx.field(static=True, default=24)
    spacing: float = 25e3
    depth: float | Array = 500.0
    gravity: float | Array = 0.2
    coriolis: float | Array = 1e-4
    wind_stress: float | Array = 0.0
    wind_waves: int = eqx.field(static=True, default=2)
    drag: float | Array = 0.0
    viscosity: float | Array = 0.0
    dt: float = eqx.field(static=True, default=1200.0)
    stepper: AbstractStepper = eqx.field(converter=as_stepper, default=RK4())

    def __check_init__(self):
        check_positive(
            "ShallowWater",
            dt=self.dt,
            spacing=self.spacing,
            depth=self.depth,
            gravity=self.gravity,
        )
        if min(self.nx, self.ny) < 4:
            raise ValueError(
                f"ShallowWater: the plane has {self.ny} x {self.nx} points; it needs 4 x 4 or more."
            )

    @property
    def variables(self) -> tuple[Variable, ...]:
        dims = ("y", "x")
        return (
            Variable("u", "m s-1", dims, "velocity along x"),
            Variable("v", "m s-1", dims, "velocity along y"),
            Variable("elevation", "m", dims, "elevation of the surface"),
        )

    @property
    def coordinates(self) -> dict[str, np.ndarray]:
        """Centres of the cells [m]."""
        return {
            "y": float(self.spacing) * (np.arange(self.ny) + 0.5),
            "x": float(self.spacing) * (np.arange(self.nx) + 0.5),
        }

    @property
    def places(self) -> dict[str, np.ndarray]:
        """Where each variable lies, (y, x, 2): its x and y [m]."""
        x, y = np.meshgrid(self.coordinates["x"], self.coordinates["y"])
        half = float(self.spacing) / 2
        shifts = {"u": (half, 0.0), "v": (0.0, half), "elevation": (0.0, 0.0)}
        return {name: np.stack([x - dx, y - dy], -1) for name, (dx, dy) in shifts.items()}

    @property
    def periods(self) -> tuple[float, ...]:
        return (self.nx * float(self.spacing), self.ny * float(self.spacing))

    def initial_state(self, key: Array) -> ShallowWaterState:
        """Return broad eddies of about 0.1 m/s in geostrophic balance (without rotation: flat)."""
        phases = 2 * jnp.pi * jax.random.uniform(key, (len(MODES),))
        j, i = jnp.meshgrid(jnp.arange(self.ny), jnp.arange(self.nx), indexing="ij")
        stream = sum(
            jnp.cos(2 * jnp.pi * (m * i / self.nx + n * j / self.ny) + phase)
            for (m, n), phase in zip(MODES, phases, strict=True)
        ) * jnp.asarray(0.1 * self.spacing)  # [m2 s-1], at the corners in the south-west of cells
        around = with_border(stream, 1)
        east, north = around[1:-1, 2:], around[2:, 1:-1]
        level = (stream + east + north + around[2:, 2:]) / 4
        return ShallowWaterState(
            -(north - stream) / self.spacing,
            (east - stream) / self.spacing,
            self.coriolis / self.gravity * level,
        )

    def tendency(self, state: ShallowWaterState, inputs: Any = None) -> ShallowWaterState:
        u, v, elevation = (with_border(field, 1) for field in state)
        h = self.depth + elevation
        across = 0.5 * (h[:, 1:] + h[:, :-1]) * u[:, 1:]  # transport along x, on faces in the west
        along = 0.5 * (h[1:] + h[:-1]) * v[1:]  # transport along y, on faces in the south
        du, dv = self._rotate_and_push(u, v, elevation, across, along)
        rise = (
            -((across[1:-1, 1:] - across[1:-1, :-1]) + (along[1:, 1:-1] - along[:-1, 1:-1]))
            / self.spacing
        )
        h_west, h_south = 0.5 * (h[1:-1, 1:-1] + h[1:-1, :-2]), 0.5 * (h[1:-1, 1:-1] + h[:-2, 1:-1])
        du = du + self._wind()[:, None] / h_west + self._loss(u, _mean_of_v(v), h_west)
        return ShallowWaterState(du, dv + self._loss(v, _mean_of_u(u), h_south), rise)

    def energy(self, state: ShallowWaterState) -> Float[Array, ""]:
        """Return kinetic and available potential energy of the mean column [m3 s-2]."""
        u, v, elevation = (with_border(field, 1) for field in state)
        h = self.depth + elevation
        h_west, h_south = 0.5 * (h[1:-1, 1:-1] + h[1:-1, :-2]), 0.5 * (h[1:-1, 1:-1] + h[:-2, 1:-1])
        kinetic = h_west * state.u**2 + h_south * state.v**2
        return 0.5 * jnp.mean(kinetic + self.gravity * state.elevation**2)

    def _rotate_and_push(self, u, v, elevation, across, along) -> tuple[Plane, Plane]:
        """Return rotation (q times the transport) and the gradient of B, for u and for v."""
        h = self.depth + elevation
        turning = ((v[1:, 1:] - v[1:, :-1]) - (u[1:, 1:] - u[:-1, 1:])) / self.spacing
        thick = 0.25 * ((h[1:, 1:] + h[1:, :-1]) + (h[:-1, 1:] + h[:-1, :-1]))
        vorticity = (self.coriolis + turning) / thick  # at the corners in the south-west
        to_u = vorticity * (0.5 * (along[:, 1:] + along[:, :-1]))
        to_v = vorticity * (0.5 * (across[1:] + across[:-1]))
        kinetic = 0.25 * (
            (u[:-1, :-1] ** 2 + u[:-1, 1:] ** 2) + (v[:-1, :-1] ** 2 + v[1:, :-1] ** 2)
        )
        head = self.gravity * elevation[:-1, :-1] + kinetic
        du = 0.5 * (to_u[:-1, :-1] + to_u[1:, :-1]) - (head[1:, 1:] - head[1:, :-1]) / self.spacing
        dv = -0.5 * (to_v[:-1, :-1] + to_v[:-1, 1:]) - (head[1:, 1:] - head[:-1, 1:]) / self.spacing
        return du, dv

    def _wind(self) -> Float[Array, "y"]:
        """Return stress over density [m2 s-2] of each row."""
        angle = 2 * np.pi * self.wind_waves * (np.arange(self.ny) + 0.5) / self.ny
        return self.wind_stress / DENSITY * jnp.asarray(np.sin(angle))

    def _loss(self, along: Array, beside: Plane, h: Plane) -> Plane:
        """Return drag and viscosity of one velocity (with border) beside the other one."""
        middle = along[1:-1, 1:-1]
        speed = jnp.sqrt(middle**2 + beside**2 + STILL**2)
        around = (along[1:-1, 2:] + along[1:-1, :-2]) + (along[2:, 1:-1] + along[:-2, 1:-1])
        laplacian = (around - 4 * middle) / self.spacing**2
        return self.viscosity * laplacian - self.drag * speed * middle / h


def _mean_of_v(v: Array) -> Plane:
    """Return the mean of the four `v` (with border) around each `u`."""
    return 0.25 * ((v[1:-1, 1:-1] + v[1:-1, :-2]) + (v[2:, 1:-1] + v[2:, :-2]))


def _mean_of_u(u: Array) -> Plane:
    """Return the mean of the four `u` (with border) around each `v`."""
    return 0.25 * ((u[1:-1, 1:-1] + u[:-2, 1:-1]) + (u[1:-1, 2:] + u[:-2, 2:]))
