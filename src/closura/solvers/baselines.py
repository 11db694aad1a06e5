"""Solvers with a covariance that never changes, or with none: what a filter has to beat."""

from dataclasses import replace
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.core.model import check_positive
from closura.core.problem import AbstractMemorylessSolver, Background, Observed


class Climate(eqx.Module):
    """Mean (state,) and covariance (state, state) of a sample of states.

    The covariance is the number 1, for the identity, where a solver uses none of the sample.
    """

    mean: Array
    covariance: Array


def measure_climate(background: Background, owner: str, *, covariance: bool = True) -> Climate:
    """Return mean and covariance of the background's sample, or the mean alone.

    Raises:
        ValueError: The sample is too small to have a covariance, not finite, or never varies.
    """
    sample = np.asarray(background.sample)
    if sample.shape[1] < 2:
        raise ValueError(
            f"{owner}: the climatology holds {sample.shape[1]} states; a covariance needs 2 or "
            "more, and a good one many times the size of the state."
        )
    if not np.isfinite(sample).all():
        raise ValueError(
            f"{owner}: the climatology holds values that are not finite; leave the instants of a "
            "run that blew up out of it."
        )
    if not np.ptp(sample, axis=1).any():
        raise ValueError(
            f"{owner}: the climatology does not vary, its covariance is zero; give a run of many "
            "instants, climatology=."
        )
    mean = jnp.asarray(sample.mean(axis=1))
    if not covariance:
        return Climate(mean, jnp.ones((), mean.dtype))
    return Climate(mean, jnp.asarray(np.atleast_2d(np.cov(sample))))


class AbstractStaticSolver(AbstractMemorylessSolver):
    """A solver of one state that knows the climate.

    To write one: (1) declare `members`, 1 always, and `climate`, None; (2) write `analyse`; (3)
    if it needs no covariance of the climate, a matrix (state, state), say so in `needs_covariance`.
    """

    members: eqx.AbstractVar[int]
    climate: eqx.AbstractVar[Climate | None]
    filled: ClassVar[tuple[str, ...]] = ("climate",)

    @property
    def needs_covariance(self) -> bool:
        """Whether the covariance of the climate is measured."""
        return True

    def prepare(self, background: Background) -> "AbstractStaticSolver":
        owner = type(self).__name__
        climate = measure_climate(background, owner, covariance=self.needs_covariance)
        return replace(self, climate=climate)

    def known_climate(self) -> Climate:
        """Return the climate, or say that it is missing."""
        if self.climate is None:
            raise ValueError(
                f"{type(self).__name__}: call prepare(background) first; assimilate does so itself."
            )
        return self.climate


class Climatology(AbstractStaticSolver):
    """The mean of the climate at every time, whatever is observed."""

    climate: Climate | None = None
    members: int = eqx.field(static=True, init=False, default=1)

    @property
    def needs_covariance(self) -> bool:
        return False

    def analyse(self, ensemble, observed, key):
        return jnp.broadcast_to(self.known_climate().mean[:, None], ensemble.shape)


class OptimalInterpolation(AbstractStaticSolver):
    """The climate corrected by the observations of the time, with the climate's covariance.

    The analysis does not depend on the forecast: nothing is carried from one time to the next.
    """

    climate: Climate | None = None
    members: int = eqx.field(static=True, init=False, default=1)

    def analyse(self, ensemble, observed, key):
        climate = self.known_climate()
        return correct(climate.mean, climate.covariance, observed)[:, None]


class Persistence(AbstractStaticSolver):
    """The optimal interpolation of the time before, kept as the forecast: no model runs."""

    climate: Climate | None = None
    members: int = eqx.field(static=True, init=False, default=1)

    @property
    def propagates(self) -> bool:
        return False

    def analyse(self, ensemble, observed, key):
        climate = self.known_climate()
        return correct(climate.mean, climate.covariance, observed)[:, None]


class ThreeDVar(AbstractStaticSolver):
    """The forecast corrected with a covariance that is a fixed share of the climate's.

    A nonlinear operator is made linear at the forecast.

    Args:
        scale: Background covariance over the covariance of the climate (xB in DAPPER).
        covariance: ``"climate"``, or ``"identity"`` for errors of variance `scale` that are
            independent of each other [squared units of the state].
    """

    scale: float | Array = 0.02
    covariance: Literal["climate", "identity"] = eqx.field(static=True, default="climate")
    climate: Climate | None = None
    members: int = eqx.field(static=True, init=False, default=1)

    def __check_init__(self):
        if isinstance(self.scale, int | float):
            check_positive("ThreeDVar", scale=self.scale)
        if self.covariance not in ("climate", "identity"):
            raise ValueError(
                f"ThreeDVar: covariance is {self.covariance!r}; it must be 'climate' or 'identity'."
            )

    @property
    def needs_covariance(self) -> bool:
        return self.covariance == "climate"

    def analyse(self, ensemble, observed, key):
        covariance = self.scale * self.known_climate().covariance
        return correct(ensemble[:, 0], covariance, observed)[:, None]


def correct(
    state: Float[Array, "state"],
    covariance: Float[Array, "state state"] | Float[Array, ""],
    observed: Observed,
) -> Float[Array, "state"]:
    """Return the state plus the Kalman gain of the covariance times the departure.

    A covariance of one number is that multiple of the identity.
    """
    rows = observed.linearise(state)
    spread = covariance * rows.T if covariance.ndim == 0 else covariance @ rows.T
    total = rows @ spread + jnp.eye(len(rows), dtype=state.dtype)
    departure = observed.weight * (observed.values - observed.operator(state))
    return state + spread @ jax.scipy.linalg.solve(total, departure, assume_a="pos")
