"""Ensemble Kalman inversion: a filter's analysis, repeated on the same measurement."""

import warnings
from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from closura.core.calibrate import Measurement, Problem
from closura.core.couple import ClosuraWarning
from closura.core.posterior import Ensemble
from closura.solvers.inversion import (
    AbstractEnsembleCalibrator,
    Simulated,
    check_counts,
    standardise,
)
from closura.solvers.transform import mean_and_anomalies, symmetric_transform

ARRIVED = 1 - 1e-5  # total step that counts as 1, in single precision too


def _as_length(step: str | float | int) -> str | float:
    return step if isinstance(step, str) else float(step)


class AbstractKalmanInversion(AbstractEnsembleCalibrator):
    """Ensemble Kalman inversion with steps of a length of its own choosing, or a given one.

    To write one: (1) declare the settings; (2) write `update`. A step of length h takes the
    measurement into account with its error variance divided by h: steps that add up to 1 use it
    once, as Bayes' rule does.
    """

    step: eqx.AbstractVar[str | float]
    regularised: eqx.AbstractVar[bool]

    def __check_init__(self):
        check_counts(self, members=2, iterations=1)
        if self.step != "misfit" and (isinstance(self.step, str) or not self.step > 0):
            raise ValueError(
                f"{type(self).__name__}: step is {self.step!r}; it must be 'misfit', or a positive "
                "number, where 1 is a full step."
            )
        if self.regularised and self.step == "misfit":
            raise ValueError(
                f"{type(self).__name__}: regularised=True counts the prior once more, which steps "
                'that add up to 1 (step="misfit") hold already; give step a number, or leave '
                "regularised out."
            )

    @abstractmethod
    def update(
        self,
        positions: Float[Array, "number member"],
        departures: Float[Array, "statistic member"],
        key: Array,
    ) -> Float[Array, "number member"]:
        """Return the members after an analysis with departures in units of the error."""

    def move(self, measurement, simulated, total, key):
        departures, _ = standardise(measurement, simulated)
        step = self._length(measurement, simulated, total)
        if self.regularised:  # the prior as further statistics: positions, measured as 0
            departures = jnp.concatenate([departures, -simulated.positions])
        return self.update(simulated.positions, jnp.sqrt(step) * departures, key), step

    def finished(self, total):
        return self.step == "misfit" and total >= ARRIVED

    def solve(self, problem: Problem, *, key: Array) -> Ensemble:
        found = super().solve(problem, key=key)
        total = float(found.history["step"].sum())
        if self.step == "misfit" and not self.finished(total):
            warnings.warn(
                f"{type(self).__name__} stopped after {self.iterations} iterations at a total step "
                f"of {total:.2g}; the members stand between prior and posterior until it is 1. "
                "Give it more iterations.",
                ClosuraWarning,
                stacklevel=3,
            )
        return found

    def _length(
        self, measurement: Measurement, simulated: Simulated, total: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Return the length of the next step.

        Reference:
            Iglesias and Yang (2021), Inverse Problems 37, 025008, doi:10.1088/1361-6420/abd29b.
        """
        misfit = simulated.misfit
        if self.step != "misfit":
            return jnp.asarray(self.step, misfit.dtype)
        seen = measurement.seen / 2
        careful = jnp.maximum(seen / misfit.mean(), jnp.sqrt(seen / misfit.var(ddof=1)))
        return jnp.minimum(careful, 1 - total)


class EKI(AbstractKalmanInversion):
    """Ensemble Kalman inversion with perturbed observations.

    Robust, parallel, and needs no derivative. Its spread is **not** a posterior: it is one only
    for a linear simulator with normal errors and a total step of 1, and shrinks toward 0 with every
    further step. Use the members as an estimate, `EKS` or `ALDI` for uncertainty.

    Args:
        members: Size of the ensemble, several times the number of parameters.
        iterations: Most iterations.
        step: Length of a step: ``"misfit"`` lets the data misfit choose it and stops at a total of
            1; a number is the length of every step (1 is a full step), for all iterations.
        regularised: Whether every step takes the prior into account again, which keeps the members
            near it however many steps there are (Tikhonov). For steps that go beyond a total of 1:
            it wants a number as `step`.

    Reference:
        Iglesias, Law and Stuart (2013), Inverse Problems 29, 045001,
        doi:10.1088/0266-5611/29/4/045001; Chada, Stuart and Tong (2020), SIAM J. Numer. Anal. 58,
        1263-1294, doi:10.1137/19M1242331 (regularised).
    """

    members: int = eqx.field(static=True, default=100)
    iterations: int = eqx.field(static=True, default=30)
    step: str | float = eqx.field(static=True, default="misfit", converter=_as_length)
    regularised: bool = eqx.field(static=True, default=False)

    def update(self, positions, departures, key):
        noise = jax.random.normal(key, departures.shape, departures.dtype)
        noise = mean_and_anomalies(noise)[1] * jnp.sqrt(self.members / (self.members - 1))
        return positions + mean_and_anomalies(positions)[1] @ _gain(departures, departures + noise)


class ETKI(AbstractKalmanInversion):
    """Ensemble Kalman inversion with the symmetric square root: no random numbers in its updates.

    As `EKI`, with less sampling error in small ensembles. Its spread is not a posterior either.

    Args:
        members: Size of the ensemble, several times the number of parameters.
        iterations: Most iterations.
        step: ``"misfit"`` or the length of every step; see `EKI`.
        regularised: Whether every step takes the prior into account again; see `EKI`.

    Reference:
        Bishop, Etherton and Majumdar (2001), Mon. Wea. Rev. 129, 420-436; Huang, Huang, Reich and
        Stuart (2022), Inverse Problems 38, 125006, doi:10.1088/1361-6420/ac99fa.
    """

    members: int = eqx.field(static=True, default=100)
    iterations: int = eqx.field(static=True, default=30)
    step: str | float = eqx.field(static=True, default="misfit", converter=_as_length)
    regularised: bool = eqx.field(static=True, default=False)

    def update(self, positions, departures, key):
        mean, anomalies = mean_and_anomalies(positions)
        middle, spread = mean_and_anomalies(departures)
        return mean + anomalies @ symmetric_transform(-spread, middle[:, 0])


def _gain(
    departures: Float[Array, "statistic member"], wanted: Float[Array, "statistic member"]
) -> Float[Array, "member member"]:
    """Return S' (S S' + (N - 1) I)^{-1} D, through the singular values of S."""
    anomalies = -mean_and_anomalies(departures)[1]
    left, values, right = jnp.linalg.svd(anomalies, full_matrices=False)
    weights = values / (values**2 + anomalies.shape[-1] - 1)
    return right.T @ (weights[:, None] * (left.T @ wanted))
