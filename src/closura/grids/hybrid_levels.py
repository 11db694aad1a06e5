"""Hybrid levels, p = a + b ps, and those that LMDZ makes from its keys."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

REFERENCE_PRESSURE = 101325.0  # [Pa] `preff` of LMDZ
PURE_PRESSURE = 50000.0  # [Pa] `pa` of LMDZ: well above it levels are those of pressure
Coefficient = Float[np.ndarray, "interfaces"]
ITERATIONS = 100  # of Newton's method, as in LMDZ's `racinesig`


@dataclass(frozen=True)
class StratoCustom:
    """LMDZ's keys for `vert_sampling = strato_custom`, with its defaults; lengths in km.

    Compare what they give with the model's own `ap` and `bp`, or read those: with `vert_sampling =
    read` the levels are a table and no formula.

    Args:
        pa: [Pa] See `PURE_PRESSURE`.
        preff: Surface pressure that heights are meant for [Pa].
        vert_scale: Scale height of the pressure.
        vert_dzmin: Thickness of the lowest level.
        vert_dzlow: What it grows by in the lower atmosphere,
        vert_z0low: over this height.
        vert_dzmid: Thickness in the middle atmosphere,
        vert_z0mid: around this height,
        vert_h_mid: over this width.
        vert_dzhig: Thickness in the upper atmosphere,
        vert_z0hig: around this height,
        vert_h_hig: over this width.
    """

    pa: float = PURE_PRESSURE
    preff: float = REFERENCE_PRESSURE
    vert_scale: float = 7.0
    vert_dzmin: float = 0.02
    vert_dzlow: float = 1.0
    vert_z0low: float = 8.0
    vert_dzmid: float = 3.0
    vert_z0mid: float = 70.0
    vert_h_mid: float = 20.0
    vert_dzhig: float = 11.0
    vert_z0hig: float = 80.0
    vert_h_hig: float = 20.0

    def thickness(self, height: float) -> float:
        """Return the thickness [km] of the level whose lower interface is at a height [km]."""
        low = self.vert_dzmin + self.vert_dzlow * np.tanh(height / self.vert_z0low)
        middle = self.vert_dzmid - self.vert_dzlow
        high = self.vert_dzhig - self.vert_dzmid - self.vert_dzlow
        low += middle * _grown(height, self.vert_z0mid, self.vert_h_mid)
        return float(low + high * _grown(height, self.vert_z0hig, self.vert_h_hig))

    def interfaces(self, levels: int) -> tuple[Coefficient, Coefficient]:
        """Return `ap` [Pa] and `bp` at the interfaces of `levels` levels (`llm` of LMDZ).

        Both are (levels + 1,), the surface first: ap from 0 to 0, bp from 1 to 0.
        """
        height = np.zeros(levels)
        for index in range(1, levels):
            height[index] = height[index - 1] + self.thickness(height[index - 1])
        sigma, b = np.zeros(levels + 1), np.zeros(levels + 1)
        pressure = np.exp(-height[1:] / self.vert_scale)
        sigma[0], sigma[1:-1] = 1.0, intermediate_sigma(pressure, self.pa / self.preff)
        b[0], b[1:-1] = 1.0, np.exp(1 - 1 / sigma[1:-1] ** 2)
        return self.pa * (sigma - b), b


def _grown(height: float, centre: float, width: float) -> float:
    """Return how much of a transition lies below a height: 0 at the surface, 2 far above."""
    return float(np.tanh((height - centre) / width) - np.tanh(-centre / width))


def intermediate_sigma(
    pressure: Float[np.ndarray, "interfaces"], share: float
) -> Float[np.ndarray, "interfaces"]:
    """Return s with share s + (1 - share) exp(1 - 1 / s^2) = pressure, by Newton's method.

    Args:
        pressure: Over that of the surface, between 0 and 1, both excluded.
        share: `pa` over that of the surface.
    """
    found = np.array(pressure, float)
    for _ in range(ITERATIONS):
        curved = (1 - share) * np.exp(1 - 1 / found**2)
        found -= (share * found + curved - pressure) / (share + 2 * curved / found**3)
    return found


def middle(interfaces: Float[np.ndarray, "interfaces"]) -> Float[np.ndarray, "level"]:
    """Return a coefficient at the middle of each level: the half sum of its interfaces."""
    return (interfaces[1:] + interfaces[:-1]) / 2


def reference_levels(
    ap: Float[np.ndarray, "interfaces"],
    bp: Float[np.ndarray, "interfaces"],
    preff: float = REFERENCE_PRESSURE,
) -> Float[np.ndarray, "level"]:
    """Return the pressure of each level over a surface of pressure `preff`: LMDZ's `presnivs`."""
    return middle(ap) + middle(bp) * preff
