"""The ensemble Kalman filter with localised covariances."""

from dataclasses import replace
from typing import ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from closura.core.problem import Background
from closura.solvers.ensemble import AbstractEnsembleSolver, observation_noise
from closura.solvers.inflation import Inflation
from closura.solvers.localisation import (
    Local,
    check_places,
    check_radius,
    find_local,
    half_width,
    map_points,
    taper_matrix,
)
from closura.solvers.transform import mean_and_anomalies


class LocalCovariance(NamedTuple):
    """Tapers of the covariances between points and observations, and among observations.

    Attributes:
        near: The observations near each point.
        among: Taper of each pair of observations.
    """

    near: Local
    among: Float[Array, "observation observation"]


class LocalEnKF(AbstractEnsembleSolver):
    """The ensemble Kalman filter with perturbed observations and tapered covariances.

    Covariances fall with distance (Schur product): K = (r o P H') (r o H P H' + R)^{-1}. Cost
    grows linearly with the size of the state, and with the cube of the number of observations.
    A variable without places (a global parameter) is not tapered.

    Args:
        members: Size N of the ensemble.
        radius: Localisation radius, in the units of the model's `places`.
        convention: What the radius means, see `LETKF`.
        inflation: Factor on the anomalies after each analysis, or `AdaptiveInflation`.
        rtpp: Relaxation to prior perturbations, 0 to 1.
        rtps: Relaxation to prior spread, 0 to 1.
        rotation: Whether a random rotation mixes the members after each analysis.

    Reference:
        Houtekamer and Mitchell (2001), Mon. Wea. Rev. 129, 123-137,
        doi:10.1175/1520-0493(2001)129<0123:ASEKFF>2.0.CO;2.
    """

    members: int = eqx.field(static=True, default=40)
    radius: float = eqx.field(static=True, default=4.0)
    convention: Literal["decay", "half-width"] = eqx.field(static=True, default="decay")
    inflation: Inflation = 1.0
    rtpp: float | Array = 0.0
    rtps: float | Array = 0.0
    rotation: bool = eqx.field(static=True, default=False)
    local: LocalCovariance | None = None
    spent: ClassVar[tuple[str, ...]] = ("radius", "convention")
    filled: ClassVar[tuple[str, ...]] = ("local",)

    def __check_init__(self):
        check_radius("LocalEnKF", self.radius, self.convention, "EnKF")

    def prepare(self, background: Background) -> "LocalEnKF":
        near = find_local(background, self.radius, self.convention, "LocalEnKF")
        observed = check_places(background, "LocalEnKF")[1]
        width = half_width(self.radius, self.convention)
        among = taper_matrix(observed, observed, width, background)
        return replace(self, local=LocalCovariance(near, among))

    @property
    def vicinity(self) -> Local | None:
        return None if self.local is None else self.local.near

    def update(self, ensemble, observed, key):
        if self.local is None:
            raise ValueError("LocalEnKF: call prepare(background) first; assimilate does so.")
        degrees = self.members - 1
        anomalies = mean_and_anomalies(ensemble)[1]
        predicted, departure = observed.whiten(ensemble)
        departures = departure[:, None] - predicted + observation_noise(key, predicted)
        total = self.local.among * (predicted @ predicted.T)
        total += degrees * jnp.eye(len(departure), dtype=total.dtype)
        solved = jax.scipy.linalg.solve(total, departures, assume_a="pos")

        def move(number: Array, root: Array, own: Array) -> Array:
            return (root**2 * (predicted[number] @ own)) @ solved[number]

        return ensemble + map_points(move, self.local.near, anomalies, len(departure))
