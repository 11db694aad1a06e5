"""Inflation that a filter finds for itself, from how far observations lie from forecasts."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from closura.core.problem import Observed
from closura.solvers.localisation import Local
from closura.solvers.transform import mean_and_anomalies


class AbstractInflation(eqx.Module):
    """What widens the forecast before an analysis, and remembers how much it took.

    To write one, give `init`, `__call__` and, to let users see it, `report`. A filter whose
    `inflation` it is calls it before each analysis, and inflates nothing after it.
    """

    @abstractmethod
    def init(self, ensemble: Float[Array, "state member"]) -> Any:
        """Return the memory before the first analysis, any pytree of arrays."""

    @abstractmethod
    def __call__(
        self,
        ensemble: Float[Array, "state member"],
        observed: Observed,
        memory: Any,
        near: Local | None,
    ) -> tuple[Float[Array, "state member"], Any]:
        """Return the wider forecast and the memory after it.

        `near` lists the observations near each point, if the filter is localised.
        """

    def report(self, memory: Any) -> dict[str, Array]:
        """Return numbers worth keeping of each analysis, by name."""
        return {}


Inflation = float | Array | AbstractInflation


class AdaptiveInflation(AbstractInflation):
    """Inflation found from innovations, cycle by cycle, for the whole state or for each point.

    With d the departures and S the predicted anomalies, in units of the error, p observations and
    t = tr(S S') / (N - 1): what a time says of the factor on the covariance is
    a = (d'd - p) / t, with error variance v = 2 / p ((b t + p) / t)^2, where b is the estimate
    so far. The estimate moves toward a by deviation^2 / (deviation^2 + v). The forecast of the
    same time is widened by it.

    Args:
        start: Factor on the anomalies to begin with.
        deviation: How far the factor on the covariance may be off from one time to the next, as a
            standard deviation. Large: quick and noisy.
        lowest: Smallest factor on the anomalies.
        highest: Largest factor on the anomalies.
        varying: Whether each point of the state has its own, from the observations near it; for
            `LETKF` and `LocalEnKF`.

    Reference:
        Miyoshi (2011), Mon. Wea. Rev. 139, 1519-1535, doi:10.1175/2010MWR3570.1; the estimate goes
        back to Wang and Bishop (2003), doi:10.1175/1520-0469(2003)060<1140:ACOBAE>2.0.CO;2.
    """

    start: float = 1.0
    deviation: float | Array = 0.05
    lowest: float = eqx.field(static=True, default=0.9)
    highest: float = eqx.field(static=True, default=4.0)
    varying: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        if isinstance(self.deviation, int | float) and not self.deviation > 0:
            raise ValueError(
                f"AdaptiveInflation: deviation is {self.deviation}; it must be positive. For an "
                "inflation that stays as it is write the number instead."
            )
        if not 0 < self.lowest <= self.start <= self.highest:
            raise ValueError(
                f"AdaptiveInflation: lowest, start and highest are {self.lowest}, {self.start} and "
                f"{self.highest}; they must be positive and in this order."
            )

    def init(self, ensemble):
        shape = ensemble.shape[:1] if self.varying else ()
        return jnp.full(shape, self.start**2, ensemble.dtype)

    def __call__(self, ensemble, observed, memory, near):
        predicted, departure = observed.whiten(ensemble)
        each = jnp.stack([
            (observed.weight > 0).astype(ensemble.dtype),
            departure**2,
            (predicted**2).sum(axis=-1) / (ensemble.shape[-1] - 1),
        ])  # fmt: skip
        found = self._improve(memory, *self._gather(each, near))
        mean, anomalies = mean_and_anomalies(ensemble)
        return mean + jnp.sqrt(found)[..., None] * anomalies, found

    def report(self, memory):
        return {"inflation": jnp.sqrt(memory)}

    def _gather(self, each: Float[Array, "3 observation"], near: Local | None) -> Array:
        """Return sums over the observations that count, for the whole state or by point."""
        total = each.sum(axis=-1)
        if not self.varying:
            return total
        if near is None:
            raise ValueError(
                "AdaptiveInflation: varying is True and this filter is not localised point by "
                "point; use LETKF or LocalEnKF, or varying=False."
            )
        local = (near.root**2 * each[:, near.number]).sum(axis=-1)
        return local.at[:, near.everywhere].set(total[:, None])

    def _improve(self, before: Array, count: Array, departed: Array, spread: Array) -> Array:
        """Return the factor on the covariance; unchanged where nothing is seen."""
        known = self.deviation**2
        safe = jnp.where(count > 0, count, 1.0)
        # Numerator and denominator of the gain times t^2: no division by a spread of zero.
        missing = departed - count - before * spread
        noise = 2 / safe * (before * spread + count) ** 2
        total = known * spread**2 + noise
        step = known * missing * spread / jnp.where(total > 0, total, 1.0)
        found = jnp.clip(before + step, self.lowest**2, self.highest**2)
        return jnp.where(count > 0, found, before)
