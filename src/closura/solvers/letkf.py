"""The local ensemble transform Kalman filter: every point has an analysis of its own."""

from dataclasses import replace
from typing import ClassVar, Literal

import equinox as eqx
from jax import lax
from jaxtyping import Array

from closura.core.problem import Background
from closura.solvers.ensemble import AbstractEnsembleSolver
from closura.solvers.localisation import Local, find_local
from closura.solvers.transform import mean_and_anomalies, symmetric_transform

POINTS_AT_ONCE = 4096  # 20 members: 13 MB of transforms at once, whatever the size of the state


class LETKF(AbstractEnsembleSolver):
    """The local ensemble transform Kalman filter, with tapered precision of observations.

    Each point of the state feels the observations near it; their precision is tapered with
    distance (R-localisation). Cost and memory grow linearly with the number of points.

    Args:
        members: Size N of the ensemble.
        radius: Localisation radius, in the units of the model's `places`.
        convention: What the radius means: ``"decay"`` (the taper falls to about exp(-1/2) there
            and to zero at 3.64 radii, as in DAPPER) or ``"half-width"`` (zero at 2 radii).
        inflation: Factor on the anomalies after each analysis.
        rtpp: Relaxation to prior perturbations, 0 to 1.
        rtps: Relaxation to prior spread, 0 to 1.
        rotation: Whether a random rotation, the same everywhere, mixes the members.

    Reference:
        Hunt, Kostelich and Szunyogh (2007), Physica D 230, 112-126.
    """

    members: int = eqx.field(static=True, default=20)
    radius: float = eqx.field(static=True, default=4.0)
    convention: Literal["decay", "half-width"] = eqx.field(static=True, default="decay")
    inflation: float | Array = 1.0
    rtpp: float | Array = 0.0
    rtps: float | Array = 0.0
    rotation: bool = eqx.field(static=True, default=False)
    local: Local | None = None
    spent: ClassVar[tuple[str, ...]] = ("radius", "convention")

    def __check_init__(self):
        if not self.radius > 0:
            raise ValueError(
                f"LETKF: radius is {self.radius}; it must be positive. Without localisation use "
                "ETKF."
            )
        if self.convention not in ("decay", "half-width"):
            raise ValueError(
                f"LETKF: convention is {self.convention!r}; it must be 'decay' or 'half-width'."
            )

    def prepare(self, background: Background) -> "LETKF":
        return replace(self, local=find_local(background, self.radius, self.convention, "LETKF"))

    def update(self, ensemble, observed, key):
        if self.local is None:
            raise ValueError("LETKF: call prepare(background) first; assimilate does so itself.")
        mean, anomalies = mean_and_anomalies(ensemble)
        predicted, departure = observed.whiten(ensemble)

        def analyse_point(point: tuple[Array, Array, Array]) -> Array:
            index, root, own = point
            return own @ symmetric_transform(
                root[:, None] * predicted[index], root * departure[index]
            )

        points = (*self.local, anomalies)
        return mean + lax.map(analyse_point, points, batch_size=min(len(mean), POINTS_AT_ONCE))
