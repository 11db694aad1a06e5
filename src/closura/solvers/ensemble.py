"""Ensemble Kalman filters that see the whole state at once."""

from abc import abstractmethod
from numbers import Integral

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from closura.core.problem import AbstractSolver, Observed
from closura.solvers.inflation import AbstractInflation, Inflation
from closura.solvers.localisation import Local
from closura.solvers.transform import (
    is_neutral,
    mean_and_anomalies,
    random_rotation,
    relax,
    transform,
)


class AbstractEnsembleSolver(AbstractSolver):
    """An ensemble filter: an update, then relaxation, inflation and rotation of the anomalies.

    To write one: (1) declare the five settings; (2) write `update`. A number as inflation
    multiplies the anomalies after the analysis, as in DAPPER; relaxation comes before it, rotation
    last. An `AbstractInflation` widens the forecast before the analysis.
    """

    members: eqx.AbstractVar[int]
    inflation: eqx.AbstractVar[Inflation]
    rtpp: eqx.AbstractVar[float | Array]
    rtps: eqx.AbstractVar[float | Array]
    rotation: eqx.AbstractVar[bool]

    def __check_init__(self):
        owner = type(self).__name__
        if not isinstance(self.members, Integral):
            raise ValueError(
                f"{owner}: members is {self.members!r}; it must be a whole number, such as 20."
            )
        if self.members < 2:
            raise ValueError(
                f"{owner}: members is {self.members}; an ensemble needs 2 or more to have a "
                "spread. For a single state use ThreeDVar."
            )
        if isinstance(self.inflation, int | float) and not self.inflation > 0:
            raise ValueError(
                f"{owner}: inflation is {self.inflation}; it must be positive, where 1 inflates "
                "nothing."
            )
        for name, value in (("rtpp", self.rtpp), ("rtps", self.rtps)):
            if isinstance(value, int | float) and not 0 <= value <= 1:
                raise ValueError(
                    f"{owner}: {name} is {value}; it must lie between 0 and 1, where 0 relaxes "
                    "nothing."
                )

    @abstractmethod
    def update(
        self, ensemble: Float[Array, "state member"], observed: Observed, key: Array
    ) -> Float[Array, "state member"]:
        """Return the analysis before relaxation, inflation and rotation."""

    @property
    def keeps_members(self) -> bool:
        return not self.rotation

    @property
    def vicinity(self) -> Local | None:
        """The observations near each point, if the filter is localised."""
        return None

    def init(self, ensemble):
        found = self.inflation
        return found.init(ensemble) if isinstance(found, AbstractInflation) else ()

    def __call__(self, ensemble, observed, memory, key):
        if isinstance(self.inflation, AbstractInflation):
            ensemble, memory = self.inflation(ensemble, observed, memory, self.vicinity)
        return self.analyse(ensemble, observed, key), memory

    def report(self, memory):
        found = self.inflation
        return found.report(memory) if isinstance(found, AbstractInflation) else {}

    def analyse(
        self, ensemble: Float[Array, "state member"], observed: Observed, key: Array
    ) -> Float[Array, "state member"]:
        """Return the analyses; inflation that adapts has widened the forecast before."""
        draw, turn = jax.random.split(key)
        updated = self.update(ensemble, observed, draw)
        mean, anomalies = mean_and_anomalies(updated)
        if not (is_neutral(self.rtpp, 0.0) and is_neutral(self.rtps, 0.0)):
            before = mean_and_anomalies(ensemble)[1]
            anomalies = relax(before, anomalies, rtpp=self.rtpp, rtps=self.rtps)
        if not isinstance(self.inflation, AbstractInflation):
            anomalies = self.inflation * anomalies
        if self.rotation:
            anomalies = anomalies @ random_rotation(turn, self.members)
        return mean + anomalies


class EnKF(AbstractEnsembleSolver):
    """The ensemble Kalman filter with perturbed observations.

    The perturbations are centred, and widened by sqrt(N / (N - 1)) to keep their variance.

    Args:
        members: Size N of the ensemble.
        inflation: Factor on the anomalies after each analysis, or `AdaptiveInflation`.
        rtpp: Relaxation to prior perturbations, 0 to 1.
        rtps: Relaxation to prior spread, 0 to 1.
        rotation: Whether a random rotation mixes the members after each analysis.

    Reference:
        Burgers, van Leeuwen and Evensen (1998), Mon. Wea. Rev. 126, 1719-1724.
    """

    members: int = eqx.field(static=True, default=40)
    inflation: Inflation = 1.0
    rtpp: float | Array = 0.0
    rtps: float | Array = 0.0
    rotation: bool = eqx.field(static=True, default=False)

    def update(self, ensemble, observed, key):
        degrees = self.members - 1
        anomalies = mean_and_anomalies(ensemble)[1]
        predicted, departure = observed.whiten(ensemble)
        departures = departure[:, None] - predicted + observation_noise(key, predicted)
        weights = _gain(predicted, degrees, departures)
        return ensemble + anomalies @ weights


class DEnKF(AbstractEnsembleSolver):
    """The deterministic ensemble Kalman filter: anomalies move by half the gain.

    Its analysis covariance is too large by (1/4) K H P H' K', which acts as a mild inflation.

    Args:
        members: Size N of the ensemble.
        inflation: Factor on the anomalies after each analysis, or `AdaptiveInflation`.
        rtpp: Relaxation to prior perturbations, 0 to 1.
        rtps: Relaxation to prior spread, 0 to 1.
        rotation: Whether a random rotation mixes the members after each analysis.

    Reference:
        Sakov and Oke (2008), Tellus 60A, 361-371.
    """

    members: int = eqx.field(static=True, default=40)
    inflation: Inflation = 1.0
    rtpp: float | Array = 0.0
    rtps: float | Array = 0.0
    rotation: bool = eqx.field(static=True, default=False)

    def update(self, ensemble, observed, key):
        anomalies = mean_and_anomalies(ensemble)[1]
        predicted, departure = observed.whiten(ensemble)
        wanted = departure[:, None] - predicted / 2
        return ensemble + anomalies @ _gain(predicted, self.members - 1, wanted)


class ETKF(AbstractEnsembleSolver):
    """The ensemble transform Kalman filter with the symmetric square root.

    Args:
        members: Size N of the ensemble.
        inflation: Factor on the anomalies after each analysis, or `AdaptiveInflation`.
        rtpp: Relaxation to prior perturbations, 0 to 1.
        rtps: Relaxation to prior spread, 0 to 1.
        rotation: Whether a random rotation mixes the members after each analysis.

    Reference:
        Hunt, Kostelich and Szunyogh (2007), Physica D 230, 112-126.
    """

    members: int = eqx.field(static=True, default=20)
    inflation: Inflation = 1.0
    rtpp: float | Array = 0.0
    rtps: float | Array = 0.0
    rotation: bool = eqx.field(static=True, default=False)

    def update(self, ensemble, observed, key):
        mean, anomalies = mean_and_anomalies(ensemble)
        return mean + transform(anomalies, *observed.whiten(ensemble))


class SerialEnSRF(AbstractEnsembleSolver):
    """The serial ensemble square root filter: one observation after the other, in their order.

    Args:
        members: Size N of the ensemble.
        inflation: Factor on the anomalies after each analysis, or `AdaptiveInflation`.
        rtpp: Relaxation to prior perturbations, 0 to 1.
        rtps: Relaxation to prior spread, 0 to 1.
        rotation: Whether a random rotation mixes the members after each analysis.

    Reference:
        Whitaker and Hamill (2002), Mon. Wea. Rev. 130, 1913-1924.
    """

    members: int = eqx.field(static=True, default=28)
    inflation: Inflation = 1.0
    rtpp: float | Array = 0.0
    rtps: float | Array = 0.0
    rotation: bool = eqx.field(static=True, default=False)

    def update(self, ensemble, observed, key):
        mean, anomalies = mean_and_anomalies(ensemble)
        predicted, departure = observed.whiten(ensemble)
        degrees = self.members - 1

        def assimilate_one(carry, number):
            weights, transform = carry
            seen = predicted[number] @ transform
            total = seen @ seen + degrees
            innovation = departure[number] - predicted[number] @ weights
            direction = transform @ seen / total
            alpha = 1 / (1 + jnp.sqrt(degrees / total))
            weights = weights + direction * innovation
            return (weights, transform - alpha * jnp.outer(direction, seen)), None

        identity = jnp.eye(self.members, dtype=ensemble.dtype)
        start = (jnp.zeros_like(identity[0]), identity)
        (weights, transform), _ = lax.scan(assimilate_one, start, jnp.arange(len(departure)))
        return mean + anomalies @ (weights[:, None] + transform)


def observation_noise(
    key: Array, like: Float[Array, "observation member"]
) -> Float[Array, "observation member"]:
    """Return normal noise without a mean over the members, widened to keep the variance 1."""
    noise = mean_and_anomalies(jax.random.normal(key, like.shape, like.dtype))[1]
    return noise * jnp.sqrt(like.shape[-1] / (like.shape[-1] - 1))


def _gain(
    predicted: Float[Array, "observation member"],
    degrees: int,
    departures: Float[Array, "observation member"],
) -> Float[Array, "member member"]:
    """Return S' (S S' + (N - 1) I)^{-1} D, solved in the smaller of the two spaces."""
    observations, members = predicted.shape
    if observations <= members:
        matrix = predicted @ predicted.T + degrees * jnp.eye(observations, dtype=predicted.dtype)
        return predicted.T @ jax.scipy.linalg.solve(matrix, departures, assume_a="pos")
    matrix = predicted.T @ predicted + degrees * jnp.eye(members, dtype=predicted.dtype)
    return jax.scipy.linalg.solve(matrix, predicted.T @ departures, assume_a="pos")
