"""How strongly LMDZ's guide module nudges: which key acts, the factor of a step, its taper."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from closura.grids.hybrid_levels import REFERENCE_PRESSURE

REGULAR = 0.1  # a grid whose `grossismx` or `grossismy` is this near 1 is regular for the guide
DAY = 86400.0  # [s]


@dataclass(frozen=True)
class GuideKeys:
    """The keys of `guide.def` that decide how strongly one variable is nudged, named as there.

    Args:
        tau_min: `tau_min_u` and so on [days].
        tau_max: `tau_max_u` and so on [days].
        grossismx: Zoom in longitude; 1 for a regular grid.
        grossismy: Zoom in latitude.
        guide_reg: Nudging in a box only.
        guide_add: Files are a forcing to add, not states to nudge to.
        guide_BL: Nudging in the boundary layer too.
    """

    tau_min: float | int = 0.02
    tau_max: float | int = 10.0
    grossismx: float | int = 1.0
    grossismy: float | int = 1.0
    guide_reg: bool = False
    guide_add: bool = False
    guide_BL: bool = True

    def __post_init__(self):
        for name in ("tau_min", "tau_max"):
            if not getattr(self, name) > 0:
                raise ValueError(
                    f"{name} is {getattr(self, name)} days; it must be positive. To nudge weakly "
                    "give a long time."
                )

    @property
    def acting(self) -> str:
        """Which key acts: ``"tau_min"``, ``"tau_max"``, or ``"both"`` where the grid is zoomed.

        The trap: on a regular grid without `guide_reg` and `guide_add` it is tau_max, 10 days
        unless said otherwise, and tau_min does nothing.
        """
        if self.guide_reg or self.guide_add:
            return "tau_min"
        zooms = (self.grossismx, self.grossismy)
        return "tau_max" if any(abs(zoom - 1) < REGULAR for zoom in zooms) else "both"

    @property
    def exponential(self) -> bool:
        """Whether the factor is 1 - exp(-factt / tau); with `guide_add` it is factt / tau."""
        return not self.guide_add

    def timescale(self) -> float | int:
        """Return the time that acts [days].

        Raises:
            ValueError: The grid is zoomed: the time differs from point to point.
        """
        if self.acting == "both":
            raise ValueError(
                f"grossismx is {self.grossismx} and grossismy {self.grossismy}: between tau_min "
                f"{self.tau_min} and tau_max {self.tau_max} days the time differs from point to "
                "point; read the factor from the variables au and av of guide_ins.nc."
            )
        return self.tau_min if self.acting == "tau_min" else self.tau_max

    def factor(self, factt: float) -> float:
        """Return alpha, the share of the departure that one call of the guide adds.

        Args:
            factt: Time between two calls [days]: dtvr * iperiod / 86400.
        """
        return relaxation_factor(factt, self.timescale(), exponential=self.exponential)

    def taper(
        self, pressure: Float[np.ndarray, "level"], preff: float = REFERENCE_PRESSURE
    ) -> Float[np.ndarray, "level"]:
        """Return what each level's nudging is multiplied with: 1 unless `guide_BL` is off."""
        if self.guide_BL:
            return np.ones(np.shape(pressure))
        return boundary_layer_taper(pressure, preff)


def relaxation_factor(factt: float, tau: float | int, *, exponential: bool = True) -> float:
    """Return alpha = 1 - exp(-factt / tau), or factt / tau if not exponential.

    Args:
        factt: Time between two calls.
        tau: Timescale, in the same unit.
        exponential: The exact relaxation of a step; a forward Euler step if not.
    """
    return float(-np.expm1(-factt / tau)) if exponential else factt / tau


def relaxation_time(alpha: float, factt: float, *, exponential: bool = True) -> float:
    """Return the timescale that a factor comes from, the inverse of `relaxation_factor`.

    Raises:
        ValueError: No timescale has this factor.
    """
    if not 0 < alpha < 1:
        raise ValueError(
            f"the nudging factor is {alpha}; between 0 and 1, both excluded, it has a timescale. "
            "Outside, the variable was not nudged, or the file gives something else."
        )
    return float(-factt / np.log1p(-alpha)) if exponential else factt / alpha


def boundary_layer_taper(
    pressure: Float[np.ndarray, "level"], preff: float = REFERENCE_PRESSURE
) -> Float[np.ndarray, "level"]:
    """Return (1 + tanh((0.85 - p / preff) / 0.05)) / 2: half at 0.85 of the surface pressure.

    Args:
        pressure: Of the levels, LMDZ's `presnivs` [Pa].
        preff: Reference surface pressure [Pa].
    """
    return (1 + np.tanh((0.85 - np.asarray(pressure) / preff) / 0.05)) / 2


def guided_step(
    state: np.ndarray | float,
    guide: np.ndarray | float,
    alpha: np.ndarray | float,
    *,
    guide_add: bool = False,
) -> np.ndarray | float:
    """Return what one call of LMDZ's guide adds to a field: alpha (guide - state), or alpha guide.

    Args:
        state: The model's field.
        guide: What the files hold at this time.
        alpha: Factor, tapered.
        guide_add: Files are a forcing.
    """
    return alpha * guide if guide_add else alpha * (guide - state)
