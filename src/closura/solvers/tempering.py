"""Draws from prior times likelihood, by members that the likelihood is switched on for slowly."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

ENOUGH = 0.5  # effective share of the members that a stage must keep
BEST_ACCEPTANCE = 0.25  # of moves in several dimensions
MOST_STAGES = 60


class Tempered(NamedTuple):
    """Members of the posterior, the exponent of each stage, and the share of accepted moves."""

    members: Float[Array, "number member"]
    exponents: list[float]
    acceptance: list[float]


def temper(
    log_likelihood: Callable[[Array], Array], start: Float[Array, "number member"], *, moves: int,
    key: Array,
) -> Tempered:  # fmt: skip
    """Return members of the posterior under a standard normal prior.

    Each stage raises the likelihood's exponent until half of the members would count, draws them
    anew by their weights, and moves each by random walks with the covariance of all. Separate
    modes survive as long as members have found them.

    Args:
        log_likelihood: Of many positions at once, (number, member) to (member,); an `eqx.Module`,
            so that stages are compiled once.
        start: Draws of the prior.
        moves: Random walks a stage.
        key: All randomness.

    Raises:
        FloatingPointError: The likelihood is so narrow that 60 stages do not reach it.

    Reference:
        Del Moral, Doucet and Jasra (2006), J. R. Stat. Soc. B 68, 411-436.
    """
    members, likelihood, exponent, width = start, log_likelihood(start), 0.0, jnp.asarray(1.0)
    exponents, acceptance = [], []
    for stage in range(MOST_STAGES):
        here = jax.random.fold_in(key, stage)
        exponent, members, likelihood, width, accepted = _stage(
            log_likelihood, members, likelihood, exponent, width, moves, here
        )
        exponents.append(float(exponent))
        acceptance.append(float(accepted))
        if exponents[-1] >= 1.0:
            return Tempered(members, exponents, acceptance)
    raise FloatingPointError(
        f"the likelihood is reached to a power of {exponents[-1]:.2g} in {MOST_STAGES} stages; the "
        "error covariance may be far too small, or the measurement out of reach of the prior."
    )


@eqx.filter_jit
def _stage(log_likelihood, members, likelihood, exponent, width, moves: int, key: Array):
    """Return exponent, members, their log likelihoods, width of walks and acceptance."""
    number, count = members.shape
    gain = _gain(likelihood, exponent)
    weights = jax.nn.softmax(gain * likelihood)
    resample, walk = jax.random.split(key)
    chosen = _systematic(weights, resample)
    centre = (members * weights).sum(axis=1, keepdims=True)
    covariance = (members - centre) * weights @ (members - centre).T
    root = jnp.linalg.cholesky(covariance + 1e-12 * jnp.trace(covariance) * jnp.eye(number))
    power = exponent + gain

    def move(carry, key):
        at, found, width = carry
        step, accept = jax.random.split(key)
        reach = 2.38 / number**0.5 * width
        tried = at + reach * root @ jax.random.normal(step, at.shape)
        new = log_likelihood(tried)
        gained = power * (new - found) + ((at**2).sum(0) - (tried**2).sum(0)) / 2
        take = jnp.log(jax.random.uniform(accept, (count,))) < gained
        share = take.mean()
        width = jnp.clip(width * jnp.exp(share - BEST_ACCEPTANCE), 0.05, 5.0)
        return (jnp.where(take, tried, at), jnp.where(take, new, found), width), share

    begin = (members[:, chosen], likelihood[chosen], width)
    (members, likelihood, width), shares = lax.scan(move, begin, jax.random.split(walk, moves))
    return power, members, likelihood, width, shares.mean()


def _gain(likelihood: Array, exponent: Array | float) -> Array:
    """Return the largest rise of the exponent, up to 1 in all, that keeps enough members."""

    def effective(gain: Array) -> Array:
        weights = jax.nn.softmax(gain * likelihood)
        return 1 / ((weights**2).sum() * likelihood.size)

    def halve(bounds: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        low, high = bounds
        middle = (low + high) / 2
        good = effective(middle) >= ENOUGH
        return (jnp.where(good, middle, low), jnp.where(good, high, middle)), None

    rest = 1.0 - jnp.asarray(exponent, likelihood.dtype)
    # Each halving of the bounds finds one more binary digit: a stage as short as 1e-12 keeps 20.
    (low, _), _ = lax.scan(
        lambda b, _: halve(b, None), (jnp.zeros_like(rest), rest), None, length=60
    )
    return jnp.where(effective(rest) >= ENOUGH, rest, low)


def _systematic(weights: Array, key: Array) -> Array:
    """Return rows drawn with these weights, each as often as its weight says, up to rounding."""
    count = weights.size
    at = (jnp.arange(count) + jax.random.uniform(key)) / count
    return jnp.clip(jnp.searchsorted(jnp.cumsum(weights), at), 0, count - 1)
