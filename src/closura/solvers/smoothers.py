"""The ensemble Kalman smoother: any ensemble filter, which also revises its last analyses."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.core.problem import Background, Observed
from closura.core.windows import AbstractSmoother
from closura.solvers.ensemble import ETKF, AbstractEnsembleSolver
from closura.solvers.inflation import AbstractInflation
from closura.solvers.localisation import Local
from closura.solvers.transform import is_neutral, mean_and_anomalies, random_rotation, relax


class EnKS(AbstractSmoother):
    """The ensemble Kalman smoother: a filter whose every analysis revises the `lag` before it.

    The past ensembles are appended to the state and the filter corrects them through their
    correlation with the present one. The analyses are those of the filter alone. Relaxation and
    inflation act on the present; a rotation turns past and present alike, which keeps their
    correlations.

    Args:
        filter: Any ensemble filter, e.g. ``ETKF(members=20)``; an `LETKF` revises each point of
            the past with the observations near it.
        lag: Number of times before the present that are revised.

    Reference:
        Evensen and van Leeuwen (2000), doi:10.1175/1520-0493(2000)128<1852:AEKSFN>2.0.CO;2.
    """

    filter: AbstractEnsembleSolver = ETKF()
    lag: int = eqx.field(static=True, default=5)
    members: int = eqx.field(static=True, init=False)

    def __post_init__(self):
        self.members = self.filter.members

    def __check_init__(self):
        if not isinstance(self.filter, AbstractEnsembleSolver):
            raise ValueError(
                f"EnKS: filter is a {type(self.filter).__name__}; it must be an ensemble filter "
                "such as ETKF, whose members move together."
            )
        if hasattr(self.filter, "climate"):
            raise ValueError(
                f"EnKS: filter is a {type(self.filter).__name__}, whose static covariance says "
                "nothing of past and present together; use a filter of the ensemble alone, such "
                "as ETKF or LETKF."
            )
        if self.lag < 1:
            raise ValueError(
                f"EnKS: lag is {self.lag}; it must be 1 or more. Without it use the filter itself."
            )

    @property
    def keeps_members(self) -> bool:
        return self.filter.keeps_members

    def prepare(self, background: Background) -> "EnKS":
        places = background.places
        repeated = background._replace(
            sample=np.tile(background.sample, (self.lag + 1, 1)),
            places=None if places is None else np.tile(places, (self.lag + 1, 1)),
        )
        return eqx.tree_at(lambda s: s.filter, self, self.filter.prepare(repeated))

    def init(self, ensemble: Float[Array, "state member"]) -> Any:
        """Return the first ensemble as its own past: without anomalies it is never revised."""
        mean = mean_and_anomalies(ensemble)[0]
        past = jnp.broadcast_to(mean, (self.lag + 1, *ensemble.shape))
        return past, self.filter.init(ensemble)

    def past(self, memory: Any) -> Float[Array, "time state member"]:
        return memory[0]

    def report(self, memory: Any) -> dict[str, Array]:
        return self.filter.report(memory[1])

    def __call__(self, ensemble, observed, memory, key):
        size, (past, found) = len(ensemble), memory
        if isinstance(self.filter.inflation, AbstractInflation):
            ensemble, found = self.filter.inflation(ensemble, observed, found, self._vicinity(size))
        present_only = Observed(
            observed.values, observed.weight, lambda vector: observed.operator(vector[:size])
        )
        draw, turn = jax.random.split(key)
        together = jnp.concatenate([ensemble, *past[:-1]])
        mean, anomalies = mean_and_anomalies(self.filter.update(together, present_only, draw))
        present = self._spread_out(mean_and_anomalies(ensemble)[1], anomalies[:size])
        anomalies = anomalies.at[:size].set(present)
        if self.filter.rotation:
            anomalies = anomalies @ random_rotation(turn, self.members)
        revised = (mean + anomalies).reshape(self.lag + 1, size, self.members)
        return revised[0], (revised, found)

    def _vicinity(self, size: int) -> Local | None:
        """Return the observations near each point of the present, which comes first."""
        near = self.filter.vicinity
        if near is None:
            return None
        unplaced = near.everywhere.size // (self.lag + 1)
        return Local(near.number[:size], near.root[:size], near.everywhere[:unplaced])

    def _spread_out(self, before: Array, after: Array) -> Array:
        """Return the present's anomalies relaxed and inflated, as the filter alone would."""
        if not (is_neutral(self.filter.rtpp, 0.0) and is_neutral(self.filter.rtps, 0.0)):
            after = relax(before, after, rtpp=self.filter.rtpp, rtps=self.filter.rtps)
        factor = self.filter.inflation
        return after if isinstance(factor, AbstractInflation) else factor * after
