"""A matrix and an offset."""

import equinox as eqx
from jaxtyping import Array, Float


class Affine(eqx.Module):
    """values @ weights + offset.

    Args:
        weights: Matrix from inputs to outputs.
        offset: What a zero input gives.
    """

    weights: Float[Array, "feature output"]
    offset: Float[Array, "output"]

    def __call__(self, values: Float[Array, "sample feature"]) -> Float[Array, "sample output"]:
        return values @ self.weights + self.offset
