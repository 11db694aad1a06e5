"""Support vectors that tell the unseen, as arrays that run in JAX."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from closura.closures.novelty import AbstractDetector


class SupportVectors(AbstractDetector):
    """Minus the sum of Gaussian bumps around the support vectors: large far away from all.

    Args:
        mean: Centre of each feature.
        deviation: Scale of each feature.
        vectors: Support vectors, scaled, ``(vector, feature)``.
        weights: Of each vector.
        gamma: Bumps are exp(-gamma |x - vector|^2).
        offset: Score that counts as 0.
    """

    mean: Float[Array, "feature"]
    deviation: Float[Array, "feature"]
    vectors: Float[Array, "vector feature"]
    weights: Float[Array, "vector"]
    gamma: Float[Array, ""]
    offset: Float[Array, ""]

    def __call__(self, table: Float[Array, "sample feature"]) -> Float[Array, "sample"]:
        scaled = (table - self.mean.astype(table.dtype)) / self.deviation.astype(table.dtype)
        vectors = self.vectors.astype(table.dtype)
        squares = (scaled**2).sum(axis=1)[:, None] + (vectors**2).sum(axis=1)
        distance = jnp.maximum(squares - 2 * scaled @ vectors.T, 0.0)
        bumps = jnp.exp(-self.gamma.astype(table.dtype) * distance)
        return -bumps @ self.weights.astype(table.dtype) - self.offset.astype(table.dtype)
