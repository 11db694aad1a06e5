"""The ensemble Kalman filter whose covariance is in part that of the climate."""

from dataclasses import replace
from typing import ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.core.problem import Background
from closura.solvers.baselines import Climate, measure_climate
from closura.solvers.ensemble import AbstractEnsembleSolver, observation_noise
from closura.solvers.inflation import Inflation
from closura.solvers.localisation import (
    check_felt,
    check_places,
    check_radius,
    half_width,
    placed,
    taper_matrix,
)
from closura.solvers.transform import mean_and_anomalies


class Tapers(NamedTuple):
    """Tapers of the covariances between points and observations, and among observations."""

    across: Float[Array, "state observation"]
    among: Float[Array, "observation observation"]


class HybridEnKF(AbstractEnsembleSolver):
    """Perturbed observations with a weighted mean of ensemble and climatological covariance.

    P = (1 - weight) P_ensemble + weight * scale * C, tapered with distance if there is a radius.
    With weight 0 it is `EnKF` or `LocalEnKF`; with weight 1 its mean moves as `ThreeDVar`. A
    nonlinear operator is made linear at the mean for the climate's part. The covariance C is
    a full matrix: for states of up to some thousands of numbers.

    Args:
        members: Size N of the ensemble.
        weight: Share of the climate's covariance, 0 to 1.
        scale: What to multiply the climate's covariance with.
        radius: Localisation radius, in the units of the model's `places`; None for none.
        convention: What the radius means, see `LETKF`.
        inflation: Factor on the anomalies after each analysis, or `AdaptiveInflation`.
        rtpp: Relaxation to prior perturbations, 0 to 1.
        rtps: Relaxation to prior spread, 0 to 1.
        rotation: Whether a random rotation mixes the members after each analysis.

    Reference:
        Hamill and Snyder (2000), Mon. Wea. Rev. 128, 2905-2919,
        doi:10.1175/1520-0493(2000)128<2905:AHEKFV>2.0.CO;2.
    """

    members: int = eqx.field(static=True, default=40)
    weight: float | Array = 0.1
    scale: float | Array = 1.0
    radius: float | None = eqx.field(static=True, default=None)
    convention: Literal["decay", "half-width"] = eqx.field(static=True, default="decay")
    inflation: Inflation = 1.0
    rtpp: float | Array = 0.0
    rtps: float | Array = 0.0
    rotation: bool = eqx.field(static=True, default=False)
    climate: Climate | None = None
    local: Tapers | None = None
    spent: ClassVar[tuple[str, ...]] = ("radius", "convention")
    filled: ClassVar[tuple[str, ...]] = ("climate", "local")

    def __check_init__(self):
        if isinstance(self.weight, int | float) and not 0 <= self.weight <= 1:
            raise ValueError(
                f"HybridEnKF: weight is {self.weight}; it must lie between 0 (the ensemble alone) "
                "and 1 (the climate alone)."
            )
        if isinstance(self.scale, int | float) and not self.scale > 0:
            raise ValueError(f"HybridEnKF: scale is {self.scale}; it must be positive.")
        if self.radius is not None:
            check_radius("HybridEnKF", self.radius, self.convention, "radius=None")

    def prepare(self, background: Background) -> "HybridEnKF":
        climate, local = measure_climate(background, "HybridEnKF"), None
        if self.radius is not None:
            places, observed = check_places(background, "HybridEnKF")
            width = half_width(self.radius, self.convention)
            across = taper_matrix(places, observed, width, background)
            felt = (np.asarray(across)[placed(places)] > 0).any(axis=0)
            check_felt(observed, felt, "HybridEnKF")
            local = Tapers(
                across,
                taper_matrix(observed, observed, width, background),
            )
        return replace(self, climate=climate, local=local)

    def update(self, ensemble, observed, key):
        if self.climate is None:
            raise ValueError("HybridEnKF: call prepare(background) first; assimilate does so.")
        mean, anomalies = mean_and_anomalies(ensemble)
        predicted, departure = observed.whiten(ensemble)
        departures = departure[:, None] - predicted + observation_noise(key, predicted)
        rows = observed.linearise(mean[:, 0])
        static = self.scale * (self.climate.covariance @ rows.T)
        share = (1 - self.weight) / (self.members - 1)
        across = share * (anomalies @ predicted.T) + self.weight * static
        among = share * (predicted @ predicted.T) + self.weight * (rows @ static)
        if self.local is not None:
            across, among = self.local.across * across, self.local.among * among
        total = among + jnp.eye(len(departure), dtype=among.dtype)
        return ensemble + across @ jax.scipy.linalg.solve(total, departures, assume_a="pos")
