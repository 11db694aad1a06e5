"""Which particles go on when the weights have gathered on a few, and how many times each."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

SCHEMES = ("systematic", "stratified", "residual", "multinomial")


def resample(weights: Float[Array, "member"], scheme: str, key: Array) -> Int[Array, "member"]:
    """Return the number of the particle that each place goes to, in order.

    Every scheme gives particle i the expected number N w_i of places. Systematic (one random
    number for all places) adds the least noise; stratified draws one for each; residual gives
    each particle the whole part of N w_i and draws the rest; multinomial draws them all.

    Args:
        weights: They add up to 1.
        scheme: One of the four.
        key: Randomness.

    Reference:
        Douc, Cappe and Moulines (2005), Proc. ISPA 2005, 64-69, doi:10.1109/ISPA.2005.195385.
    """
    count = weights.shape[0]
    place = jnp.arange(count)
    if scheme == "systematic":
        return _choose(weights, (place + jax.random.uniform(key, (), weights.dtype)) / count)
    level = jax.random.uniform(key, (count,), weights.dtype)
    if scheme == "stratified":
        return _choose(weights, (place + level) / count)
    if scheme == "multinomial":
        return _choose(weights, jnp.sort(level))
    share = count * weights
    whole = jnp.floor(share * (1 + 4 * jnp.finfo(weights.dtype).eps))
    filled = jnp.cumsum(whole)
    kept = jnp.searchsorted(filled, place.astype(filled.dtype), side="right")
    drawn = _choose(jnp.maximum(share - whole, 0.0), level)
    return jnp.sort(jnp.where(place < filled[-1], kept, drawn))


def _choose(weights: Float[Array, "member"], level: Float[Array, "member"]) -> Int[Array, "member"]:
    """Return the particle at which the sum of the weights first exceeds each level of the total."""
    total = jnp.cumsum(weights)
    number = jnp.searchsorted(total, level * total[-1], side="right")
    # Rounding may carry the last level to the total itself: the last particle that weighs anything.
    return jnp.minimum(number, jnp.searchsorted(total, total[-1], side="left"))
