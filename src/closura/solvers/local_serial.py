"""The serial square root filter with localised regressions."""

from dataclasses import replace
from typing import ClassVar, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from closura.core.problem import Background
from closura.solvers.ensemble import AbstractEnsembleSolver
from closura.solvers.inflation import Inflation
from closura.solvers.localisation import (
    check_felt,
    check_places,
    check_radius,
    find_near,
    half_width,
    placed,
)
from closura.solvers.transform import mean_and_anomalies


class Reach(NamedTuple):
    """What each observation moves: numbers of the state, and behind them of the predictions.

    Attributes:
        number: Positions in the state followed by the predicted observations.
        taper: How much of the regression they feel, 0 where a list is filled up.
    """

    number: Int[Array, "observation near"]
    taper: Float[Array, "observation near"]


class LocalSerialEnSRF(AbstractEnsembleSolver):
    """The serial square root filter (EAKF): each observation moves what lies near it.

    The state and the predictions of later observations are regressed on each observation in turn,
    with a taper on the regression. Cost grows with the number of pairs that are near. A variable
    without places (a global parameter) feels every observation undamped.

    Args:
        members: Size N of the ensemble.
        radius: Localisation radius, in the units of the model's `places`.
        convention: What the radius means, see `LETKF`.
        inflation: Factor on the anomalies after each analysis, or `AdaptiveInflation`.
        rtpp: Relaxation to prior perturbations, 0 to 1.
        rtps: Relaxation to prior spread, 0 to 1.
        rotation: Whether a random rotation mixes the members after each analysis.

    Reference:
        Anderson (2003), Mon. Wea. Rev. 131, 634-642,
        doi:10.1175/1520-0493(2003)131<0634:ALLSFF>2.0.CO;2.
    """

    members: int = eqx.field(static=True, default=20)
    radius: float = eqx.field(static=True, default=4.0)
    convention: Literal["decay", "half-width"] = eqx.field(static=True, default="decay")
    inflation: Inflation = 1.0
    rtpp: float | Array = 0.0
    rtps: float | Array = 0.0
    rotation: bool = eqx.field(static=True, default=False)
    local: Reach | None = None
    spent: ClassVar[tuple[str, ...]] = ("radius", "convention")
    filled: ClassVar[tuple[str, ...]] = ("local",)

    def __check_init__(self):
        check_radius("LocalSerialEnSRF", self.radius, self.convention, "SerialEnSRF")

    def prepare(self, background: Background) -> "LocalSerialEnSRF":
        places, observed = check_places(background, "LocalSerialEnSRF")
        width = half_width(self.radius, self.convention)
        joint = np.concatenate([places, observed])
        number, taper = find_near(observed, joint, width, background)
        reached = np.isin(number, np.flatnonzero(placed(places))) & (taper > 0)
        check_felt(observed, np.asarray(reached.any(axis=1)), "LocalSerialEnSRF")
        return replace(self, local=Reach(jnp.asarray(number), jnp.asarray(taper)))

    def update(self, ensemble, observed, key):
        if self.local is None:
            raise ValueError("LocalSerialEnSRF: call prepare(background) first; assimilate does.")
        state, degrees = len(ensemble), self.members - 1
        joint = jnp.concatenate([ensemble, observed.predict(ensemble)])
        mean, anomalies = mean_and_anomalies(joint)

        def assimilate_one(carry, row):
            mean, anomalies = carry
            place, value, weight, number, taper = row
            seen, departure = weight * anomalies[place], weight * (value - mean[place])
            total = seen @ seen + degrees
            slope = taper * (anomalies[number] @ seen)
            mean = mean.at[number].add(slope * departure / total)
            narrowing = slope / (total + jnp.sqrt(degrees * total))
            return (mean, anomalies.at[number].add(-narrowing[:, None] * seen)), None

        places = state + jnp.arange(len(observed.values))
        taper = self.local.taper.astype(ensemble.dtype)
        rows = (places, observed.values, observed.weight, self.local.number, taper)
        (mean, anomalies), _ = lax.scan(assimilate_one, (mean[:, 0], anomalies), rows)
        return mean[:state, None] + anomalies[:state]
