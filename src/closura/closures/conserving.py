"""Guards that keep budgets: momentum of columns and of the globe, water that cannot be negative."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.closures.features import field
from closura.closures.guards import AbstractGuard, Shares, Tendency, columns_with
from closura.core.closure import AbstractClosure
from closura.grids.weights import area_shares

# Constants of the published code behind `HumidityLimited` (fv3net), which its formula stands for;
# the air of `closura.grids.sphere` is that of the spectral core.
LATENT_HEAT = 2.5e6  # [J kg-1] of vaporisation at 273.15 K
HEAT_CAPACITY = 1004.0  # [J kg-1 K-1] of dry air at constant pressure
GAS_CONSTANT = 287.05  # [J kg-1 K-1] of dry air
OVER = ("column", "globe", "angular_momentum")


class Conserving(AbstractGuard):
    """Takes from the tendency of winds what would change the momentum of the air.

    The mass of a level is the pressure between its interfaces. `share` gives ``removed``: the size
    of what was taken away relative to the tendency.

    Args:
        closure: What is guarded.
        over: ``"column"``: no net momentum in any column; ``"globe"``: none in the whole air, the
            mass-weighted mean is taken away; ``"angular_momentum"``: no net torque about the axis,
            a solid rotation is taken away (of eastward wind).
        of: Names of the fields; `over` angular momentum takes the first.
        layers: What gives the thickness of levels. `couple` fills it in.
        area: Share of the sphere of each latitude, ``(lat, 1)``. `couple` fills it in.
        cosine: Cosine of latitude, ``(lat, 1)``. `couple` fills it in.
    """

    closure: AbstractClosure
    over: str = eqx.field(static=True, default="column")
    of: tuple[str, ...] = eqx.field(static=True, default=("u", "v"))
    layers: Any = eqx.field(static=True, default=None)
    area: Float[Array, "lat 1"] | None = None
    cosine: Float[Array, "lat 1"] | None = None

    def __check_init__(self):
        if self.over not in OVER:
            raise ValueError(f"Conserving: over is {self.over!r}; it must be one of {OVER}.")

    def settle(self, model: Any, interval: float) -> "Conserving":
        levels = getattr(model, "levels", None)
        if not hasattr(levels, "thickness"):
            raise ValueError(
                f"Conserving weighs levels by their mass, and {type(model).__name__} has no "
                "`levels` that tell their thickness."
            )
        latitude = np.radians(np.asarray(model.coordinates["lat"], float))[:, None]
        area = area_shares(model.coordinates["lat"])[:, None]
        return replace(
            self, layers=levels, area=jnp.asarray(area),
            cosine=jnp.asarray(np.cos(latitude)),
        )  # fmt: skip

    def guard(self, fields: Any, tendency: Tendency, inputs: Any) -> tuple[Tendency, Shares]:
        if self.layers is None or self.area is None or self.cosine is None:
            raise ValueError("Conserving does not know the levels; couple it to a model first.")
        mass = self.layers.thickness(field(fields, "surface_pressure"))
        names = self.of[:1] if self.over == "angular_momentum" else self.of
        found = {n: self._without_net(tendency[n], mass) for n in names if n in tendency}
        before = sum(jnp.sum(tendency[n] ** 2) for n in found)
        taken = sum(jnp.sum((tendency[n] - found[n]) ** 2) for n in found)
        share = jnp.sqrt(taken / jnp.where(before > 0, before, 1.0))
        return tendency | found, {"removed": jnp.asarray(share)}

    def _without_net(self, rate: Array, mass: Array) -> Array:
        assert self.area is not None and self.cosine is not None
        if self.over == "column":
            return rate - (mass * rate).sum(axis=0) / mass.sum(axis=0)
        weight = mass * self.area
        shape = self.cosine if self.over == "angular_momentum" else jnp.ones_like(self.cosine)
        return rate - shape * (weight * shape * rate).sum() / (weight * shape**2).sum()


class HumidityLimited(AbstractGuard):
    """Keeps a closure from drying air that holds less water than it takes.

    Where q + dq dt < 0 the tendency of humidity becomes -q / dt, and that of temperature grows by
    Lv (dq - dq') / (cp - Rd), so that moist static energy is the same. `share` gives ``dried``:
    the share of columns where it acts.

    Args:
        closure: What is guarded.
        humidity: Name of the specific humidity [kg kg-1].
        temperature: Name of the temperature [K].
        interval: Time dt that a tendency is added for [s]. `couple` fills it in.

    Reference:
        Watt-Meyer et al. (2021), doi:10.1029/2021GL092555, whose code takes cp - Rd.
    """

    closure: AbstractClosure
    humidity: str = eqx.field(static=True, default="specific_humidity")
    temperature: str = eqx.field(static=True, default="temperature")
    interval: float | None = None

    def settle(self, model: Any, interval: float) -> "HumidityLimited":
        return replace(self, interval=float(interval or model.dt))

    def guard(self, fields: Any, tendency: Tendency, inputs: Any) -> tuple[Tendency, Shares]:
        if self.interval is None:
            raise ValueError("HumidityLimited does not know the step; couple it to a model first.")
        if self.humidity not in tendency:
            raise ValueError(
                f"HumidityLimited wants a tendency of {self.humidity!r}, and the closure gives "
                f"{', '.join(tendency) or 'nothing'}; leave it out, or name it with humidity=."
            )
        held, rate = field(fields, self.humidity), tendency[self.humidity]
        dry = held + rate * self.interval < 0
        limited = jnp.where(dry, -held / self.interval, rate)
        warmer = LATENT_HEAT * (rate - limited) / (HEAT_CAPACITY - GAS_CONSTANT)
        warming = tendency.get(self.temperature, jnp.zeros_like(rate)) + warmer
        found = {self.humidity: limited, self.temperature: warming}
        return tendency | found, {"dried": columns_with({"q": dry})}
