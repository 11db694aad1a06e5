"""The local ensemble transform Kalman filter: every point has an analysis of its own."""

from dataclasses import replace
from typing import ClassVar, Literal

import equinox as eqx
from jaxtyping import Array

from closura.core.problem import Background
from closura.solvers.ensemble import AbstractEnsembleSolver
from closura.solvers.inflation import Inflation
from closura.solvers.localisation import Local, check_radius, find_local, map_points
from closura.solvers.transform import mean_and_anomalies, transform


class LETKF(AbstractEnsembleSolver):
    """The local ensemble transform Kalman filter, with tapered precision of observations.

    Each point of the state feels the observations near it; their precision is tapered with
    distance (R-localisation). Cost and memory grow linearly with the number of points. A variable
    without places (a global parameter) feels every observation undamped.

    Args:
        members: Size N of the ensemble.
        radius: Localisation radius, in the units of the model's `places`.
        convention: What the radius means: ``"decay"`` (the taper falls to about exp(-1/2) there
            and to zero at 3.64 radii, as in DAPPER) or ``"half-width"`` (zero at 2 radii).
        inflation: Factor on the anomalies after each analysis, or `AdaptiveInflation`.
        rtpp: Relaxation to prior perturbations, 0 to 1.
        rtps: Relaxation to prior spread, 0 to 1.
        rotation: Whether a random rotation, the same everywhere, mixes the members.

    Reference:
        Hunt, Kostelich and Szunyogh (2007), Physica D 230, 112-126.
    """

    members: int = eqx.field(static=True, default=20)
    radius: float = eqx.field(static=True, default=4.0)
    convention: Literal["decay", "half-width"] = eqx.field(static=True, default="decay")
    inflation: Inflation = 1.0
    rtpp: float | Array = 0.0
    rtps: float | Array = 0.0
    rotation: bool = eqx.field(static=True, default=False)
    local: Local | None = None
    spent: ClassVar[tuple[str, ...]] = ("radius", "convention")
    filled: ClassVar[tuple[str, ...]] = ("local",)

    def __check_init__(self):
        check_radius("LETKF", self.radius, self.convention, "ETKF")

    def prepare(self, background: Background) -> "LETKF":
        return replace(self, local=find_local(background, self.radius, self.convention, "LETKF"))

    @property
    def vicinity(self) -> Local | None:
        return self.local

    def update(self, ensemble, observed, key):
        if self.local is None:
            raise ValueError("LETKF: call prepare(background) first; assimilate does so itself.")
        mean, anomalies = mean_and_anomalies(ensemble)
        predicted, departure = observed.whiten(ensemble)

        def analyse_point(number: Array, root: Array, own: Array) -> Array:
            return transform(own, root[:, None] * predicted[number], root * departure[number])

        return mean + map_points(analyse_point, self.local, anomalies, len(departure))
