"""Ensembles that diffuse to the posterior: affine-invariant interacting Langevin samplers."""

import warnings

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

SETTLED = 2.0  # time in which the distance from the posterior falls to exp(-2)


class AbstractLangevin(AbstractEnsembleCalibrator):
    """Langevin dynamics preconditioned by the covariance C of the members.

    To write one: (1) declare the settings; (2) write `correction`. The gradient of the misfit is
    taken from the members (so the simulator needs none). A step is `step` over the fastest rate of
    the dynamics, the largest eigenvalue of C (H' H + I) as the members see it, but never longer
    than `step`. The noise has variance h (2 - h) C where continuous time says 2 h C: around a
    normal posterior steps of any length then keep its covariance.
    """

    step: eqx.AbstractVar[float]

    def __check_init__(self):
        check_counts(self, members=2, iterations=1)
        if not 0 < self.step <= 1:
            raise ValueError(
                f"{type(self).__name__}: step is {self.step}; it must lie above 0 and not above 1, "
                "the share of its way to the posterior that a member goes in an iteration."
            )

    def solve(self, problem: Problem, *, key: Array) -> Ensemble:
        found = super().solve(problem, key=key)
        total = float(found.history["step"].sum())
        if total < SETTLED:
            warnings.warn(
                f"{type(self).__name__} stopped at a time of {total:.2g} after {self.iterations} "
                f"iterations; members have forgotten where they began at about {SETTLED:g}. Give "
                "it more iterations, or a longer step.",
                ClosuraWarning,
                stacklevel=3,
            )
        return found

    def correction(self, numbers: int) -> float:
        """Return the rate at which members are driven from their mean, in a space of so many."""
        return 0.0

    def move(
        self,
        measurement: Measurement,
        simulated: Simulated,
        total: Float[Array, ""],
        key: Array,
    ) -> tuple[Float[Array, "number member"], Float[Array, ""]]:
        positions, members = simulated.positions, self.members
        departures, anomalies = standardise(measurement, simulated)
        spread = positions - positions.mean(axis=-1, keepdims=True)
        seen = jnp.concatenate([anomalies, spread])  # the prior is a measurement of positions, 0
        missed = jnp.concatenate([departures, -positions])
        rate = _largest_eigenvalue(seen) / members
        step = self.step / jnp.maximum(rate, 1.0)
        drift = (spread @ seen.T) @ missed / members + self.correction(len(positions)) * spread
        diffusion = jnp.sqrt(step * (2 - step) / members) * _draw(spread, key)
        return positions + step * drift + diffusion, step


class EKS(AbstractLangevin):
    """The ensemble Kalman sampler: its members are the posterior, if they are many.

    Exact for a linear simulator and infinitely many members; for a nonlinear one as good as the
    straight line through the members. A small ensemble is too narrow: see `ALDI`.

    Args:
        members: Size of the ensemble, many times the number of parameters.
        iterations: Number of iterations, each of which simulates every member.
        step: Share of its way to the posterior that a member goes in an iteration, 0 to 1.

    Reference:
        Garbuno-Inigo, Hoffmann, Li and Stuart (2020), SIAM J. Appl. Dyn. Syst. 19, 412-441,
        doi:10.1137/19M1251655.
    """

    members: int = eqx.field(static=True, default=100)
    iterations: int = eqx.field(static=True, default=40)
    step: float = eqx.field(static=True, default=0.25, converter=float)


class ALDI(AbstractLangevin):
    """Affine-invariant Langevin dynamics: `EKS`, corrected for the size of the ensemble.

    The correction drives members from their mean at the rate (d + 1) / N, d numbers and N members.
    Take N > d + 1.

    Args:
        members: Size of the ensemble.
        iterations: Number of iterations, each of which simulates every member.
        step: Share of its way to the posterior that a member goes in an iteration, 0 to 1.

    Reference:
        Garbuno-Inigo, Nüsken and Reich (2020), SIAM J. Appl. Dyn. Syst. 19, 1633-1658,
        doi:10.1137/19M1304891.
    """

    members: int = eqx.field(static=True, default=100)
    iterations: int = eqx.field(static=True, default=40)
    step: float = eqx.field(static=True, default=0.25, converter=float)

    def correction(self, numbers):
        return (numbers + 1) / self.members


def _largest_eigenvalue(rows: Float[Array, "row member"]) -> Float[Array, ""]:
    """Return the largest eigenvalue of A A', found in the smaller of its two spaces."""
    wide = rows.shape[0] < rows.shape[1]
    return jnp.linalg.eigvalsh(rows @ rows.T if wide else rows.T @ rows)[-1]


def _draw(spread: Float[Array, "number member"], key: Array) -> Float[Array, "number member"]:
    """Return a normal draw of covariance A A' for every member."""
    numbers, members = spread.shape
    if numbers < members:
        values, vectors = jnp.linalg.eigh(spread @ spread.T)
        spread = vectors * jnp.sqrt(jnp.maximum(values, 0.0))
    return spread @ jax.random.normal(key, (spread.shape[1], members), spread.dtype)
