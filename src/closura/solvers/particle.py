"""Particle filters: members are weighed by what they foresaw, and the light ones are replaced."""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float

from closura.core.members import mean_of, spread_of
from closura.core.problem import AbstractSolver, Observed
from closura.solvers.resampling import SCHEMES, resample

FAR = 5.0  # standard errors, root mean square: no particle that misses by more is anywhere near
DEGENERATE = 1e-10  # what all but one particle weigh when their covariance says nothing


class Weighed(NamedTuple):
    """What a particle filter remembers.

    Attributes:
        log: Logarithm of the weights, which add up to 1.
        effective: How many particles counted before resampling, 1 / sum w^2.
        lost: Whether no particle came near the observations of the last time.
        mean: Mean of the weighed particles, before any were drawn anew.
        spread: Their standard deviation, likewise.
    """

    log: Float[Array, "member"]
    effective: Float[Array, ""]
    lost: Bool[Array, ""]
    mean: Float[Array, "state"]
    spread: Float[Array, "state"]


class AbstractParticleFilter(AbstractSolver):
    """A filter with weighed members: move them, weigh them, resample when few of them count.

    To write one: (1) declare the six settings; (2) write `move`, which may carry the particles
    toward the observations and returns the logarithm of what each is worth for having been there.
    """

    members: eqx.AbstractVar[int]
    threshold: eqx.AbstractVar[float | Array]
    regularisation: eqx.AbstractVar[float | Array]
    scheme: eqx.AbstractVar[str]
    root: eqx.AbstractVar[float | Array]
    jitter_all: eqx.AbstractVar[bool]

    def __check_init__(self):
        owner = type(self).__name__
        if self.members < 2:
            raise ValueError(f"{owner}: members is {self.members}; weights need 2 particles.")
        if self.scheme not in SCHEMES:
            raise ValueError(
                f"{owner}: scheme is {self.scheme!r}; it must be one of {', '.join(SCHEMES)}."
            )
        if isinstance(self.threshold, int | float) and not 0 < self.threshold <= 1:
            raise ValueError(
                f"{owner}: threshold is {self.threshold}; it is a share of the members, above 0 "
                "and at most 1, where 1 resamples at every time."
            )
        if isinstance(self.regularisation, int | float) and not self.regularisation >= 0:
            raise ValueError(
                f"{owner}: regularisation is {self.regularisation}; it must be 0 (copies stay "
                "copies: for models that draw noise of their own) or more."
            )
        if isinstance(self.root, int | float) and not self.root >= 1:
            raise ValueError(
                f"{owner}: root is {self.root}; it must be 1 (resample by the weights) or more."
            )

    @abstractmethod
    def move(
        self,
        ensemble: Float[Array, "state member"],
        weights: Float[Array, "member"],
        observed: Observed,
        key: Array,
    ) -> tuple[Float[Array, "state member"], Float[Array, "member"], Float[Array, "member"]]:
        """Return the particles moved, the log of what each gains, and its squared misfit.

        The misfit is that of the forecast, summed over observations in units of their error.
        """

    @property
    def keeps_members(self) -> bool:
        return False

    def init(self, ensemble):
        log = jnp.full(self.members, -jnp.log(self.members), ensemble.dtype)
        count = jnp.asarray(self.members, log.dtype)
        return Weighed(log, count, jnp.asarray(False), mean_of(ensemble), spread_of(ensemble))

    def weights(self, memory: Weighed) -> Float[Array, "member"]:
        return jnp.exp(memory.log)

    def moments(self, analysis, memory: Weighed):
        return memory.mean, memory.spread

    def report(self, memory: Weighed) -> dict[str, Array]:
        return {"effective_members": memory.effective, "lost": memory.lost}

    def __call__(self, ensemble, observed, memory, key):
        carry, choose, blur = jax.random.split(key, 3)
        moved, gained, misfit = self.move(ensemble, jnp.exp(memory.log), observed, carry)
        log, any_left = normalise(memory.log + gained)
        log = jnp.where(any_left, log, memory.log)
        weights = jnp.exp(log)
        effective = 1 / (weights**2).sum()
        mean, spread = mean_of(moved, weights), spread_of(moved, weights)

        def renew(_) -> tuple[Array, Array]:
            flat, _ = normalise(log / self.root)
            source = resample(jnp.exp(flat), self.scheme, choose)
            noise = self._noise(moved, weights, source, blur)
            return moved[:, source] + noise, normalise((log - flat)[source])[0]

        moved, log = lax.cond(
            effective <= self.threshold * self.members, renew, lambda _: (moved, log), None
        )
        seen = (observed.weight > 0).sum()
        lost = ~any_left | ~(misfit.min() <= FAR**2 * seen)
        return moved, Weighed(log, effective, lost, mean, spread)

    def _noise(self, ensemble: Array, weights: Array, source: Array, key: Array) -> Array:
        """Return what sets copies apart: draws from the particles' covariance, narrowed."""
        if isinstance(self.regularisation, int | float) and self.regularisation == 0:
            return jnp.zeros_like(ensemble)
        width = self.regularisation * bandwidth(*ensemble.shape)
        noise = width * draw(weighted_factor(ensemble, weights), key)
        if self.jitter_all:
            return noise
        copies = jnp.zeros_like(source).at[source].add(1)[source]
        return jnp.where(copies > 1, noise, 0.0)


class ParticleFilter(AbstractParticleFilter):
    """The bootstrap particle filter: the forecast is the proposal, the likelihood the weight.

    It needs no normal distributions and no linear operator, but many particles: their number
    grows exponentially with the number of independent things that are observed. Noise of the
    model, or `regularisation`, keeps copies of a particle apart.

    Args:
        members: Number N of particles.
        threshold: Resample when the effective number of particles, 1 / sum w^2, falls to this
            share of N (NER in DAPPER).
        regularisation: Width of the noise added to copies after resampling, over the bandwidth
            N^(-1 / (d + 4)) times the weighted deviation of the particles (reg).
        scheme: ``"systematic"``, ``"stratified"``, ``"residual"`` or ``"multinomial"``.
        root: Resample by w^(1/root) and keep the rest of the weights (wroot); 1 equals them all.
        jitter_all: Whether particles that were chosen once get noise too (not nuj).

    Reference:
        Gordon, Salmond and Smith (1993), IEE Proc. F 140, 107-113, doi:10.1049/ip-f-2.1993.0015;
        regularisation: Musso, Oudjane and Le Gland (2001), doi:10.1007/978-1-4757-3437-9_12.
    """

    members: int = eqx.field(static=True, default=100)
    threshold: float | Array = 0.3
    regularisation: float | Array = 1.0
    scheme: str = eqx.field(static=True, default="systematic")
    root: float | Array = 1.0
    jitter_all: bool = eqx.field(static=True, default=False)

    def move(self, ensemble, weights, observed, key):
        departure = _departures(observed, observed.predict(ensemble))
        misfit = (departure**2).sum(axis=0)
        return ensemble, -misfit / 2, misfit


class OptimalParticleFilter(AbstractParticleFilter):
    """The particle filter with the optimal proposal, also called the implicit particle filter.

    Each particle stands for a narrow normal distribution, `spread` times the bandwidth times the
    particles' covariance. It is drawn from that, moved by the Kalman gain of that covariance
    toward perturbed observations, and weighs what they were worth before it moved.

    Args:
        members: Number N of particles.
        spread: Width of the distribution about each particle, over the bandwidth (Qs in DAPPER);
            0 is the bootstrap filter.
        threshold: See `ParticleFilter`.
        regularisation: See `ParticleFilter`.
        scheme: See `ParticleFilter`.
        root: See `ParticleFilter`.
        jitter_all: See `ParticleFilter`.

    Reference:
        Doucet, Godsill and Andrieu (2000), Stat. Comput. 10, 197-208,
        doi:10.1023/A:1008935410038; Bocquet, Pires and Wu (2010), Mon. Wea. Rev. 138, 2997-3023.
    """

    members: int = eqx.field(static=True, default=100)
    spread: float | Array = 0.3
    threshold: float | Array = 0.2
    regularisation: float | Array = 1.0
    scheme: str = eqx.field(static=True, default="systematic")
    root: float | Array = 1.0
    jitter_all: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        if isinstance(self.spread, int | float) and not self.spread >= 0:
            raise ValueError(
                f"OptimalParticleFilter: spread is {self.spread}; it must be 0 (the bootstrap "
                "filter) or more."
            )

    def move(self, ensemble, weights, observed, key):
        about, perturb = jax.random.split(key)
        predicted = observed.predict(ensemble)
        departure = _departures(observed, predicted)
        width = self.spread * bandwidth(*ensemble.shape)
        factor = width * weighted_factor(ensemble, weights)
        seen = width * observed.weight[:, None] * weighted_factor(predicted, weights)
        total = seen @ seen.T + jnp.eye(len(seen), dtype=ensemble.dtype)
        drawn = ensemble + draw(factor, about)
        noise = jax.random.normal(perturb, departure.shape, ensemble.dtype)
        wanted = _departures(observed, observed.predict(drawn)) - noise
        gain = (factor @ seen.T) @ jax.scipy.linalg.solve(total, wanted, assume_a="pos")
        inside = departure * jax.scipy.linalg.solve(total, departure, assume_a="pos")
        return drawn + gain, -inside.sum(axis=0) / 2, (departure**2).sum(axis=0)


def normalise(log: Float[Array, "member"]) -> tuple[Float[Array, "member"], Bool[Array, ""]]:
    """Return log-weights whose weights add up to 1, and whether any is left.

    A particle without a number weighs nothing.
    """
    log = jnp.where(jnp.isnan(log), -jnp.inf, log)
    total = logsumexp(log)
    return log - total, jnp.isfinite(total)


def bandwidth(state: int, members: int) -> float:
    """Return N^(-1 / (d + 4)), the width of kernels that stand for N points in d dimensions.

    Reference:
        Scott (1992), Multivariate Density Estimation, doi:10.1002/9780470316849.
    """
    return members ** (-1 / (state + 4))


def weighted_factor(
    ensemble: Float[Array, "row member"], weights: Float[Array, "member"]
) -> Float[Array, "row member"]:
    """Return A with A A' the weighted covariance without bias; all count alike if one has all."""
    smallest = max(DEGENERATE, 4 * float(jnp.finfo(ensemble.dtype).eps))
    even = jnp.full_like(weights, 1 / weights.shape[0])
    weights = jnp.where(1 - weights.max() < smallest, even, weights)
    anomalies = ensemble - (ensemble @ weights)[:, None]
    return anomalies * jnp.sqrt(weights / (1 - (weights**2).sum()))


def draw(factor: Float[Array, "state member"], key: Array) -> Float[Array, "state member"]:
    """Return a draw from N(0, A A') for each member."""
    state, members = factor.shape
    if members > 2 * state:  # the root of the covariance is the smaller matrix
        values, vectors = jnp.linalg.eigh(factor @ factor.T)
        factor = vectors * jnp.sqrt(jnp.maximum(values, 0.0))
    return factor @ jax.random.normal(key, (factor.shape[1], members), factor.dtype)


def _departures(
    observed: Observed, predicted: Float[Array, "observation member"]
) -> Float[Array, "observation member"]:
    """Return observations minus predictions in units of the error; 0 where missing."""
    return observed.weight[:, None] * (observed.values[:, None] - predicted)
