"""A closure that a learner made: features, scaling, a predictor and a passport."""

from typing import Any, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from closura.closures.features import AbstractFeatures
from closura.core.closure import AbstractMemorylessClosure
from closura.core.passport import Passport


class Predictor(Protocol):
    """A table (sample, *place, feature) in, a table (sample, *place, output) out."""

    def __call__(self, values: Float[Array, "sample *place feature"], /) -> Array: ...


class Scaling(eqx.Module):
    """Centre and scale of a predictor's inputs and outputs, and the range it was trained in.

    Args:
        mean: Centre of each input.
        deviation: Scale of each input; positive.
        output_mean: Centre of each output.
        output_deviation: Scale of each output.
        lower: Smallest value of each input in training.
        upper: Largest value of each input in training.
    """

    mean: Float[Array, "feature"]
    deviation: Float[Array, "feature"]
    output_mean: Float[Array, "output"]
    output_deviation: Float[Array, "output"]
    lower: Float[Array, "feature"]
    upper: Float[Array, "feature"]


class LearnedClosure(AbstractMemorylessClosure):
    """features -> scaling -> predictor -> scaling -> tendency to add.

    The predictor may work in another precision than the model (networks in float32, models in
    float64): values are cast on the way in and on the way out.

    Args:
        features: How the state is seen, bound to the names and shapes of the training pairs.
        scaling: Centre, scale and training range.
        predictor: The network, forest or matrix; its arrays' dtype is the one it works in.
        origin: Passport of the pairs it was fitted on.
    """

    features: AbstractFeatures
    scaling: Scaling
    predictor: Any
    origin: Passport | None = eqx.field(static=True, default=None)

    @property
    def passport(self) -> Passport | None:
        return self.origin

    def tendency(self, fields: Any, inputs: Any = None) -> dict[str, Array]:
        table = self.features.inputs(fields, inputs)
        scaling = jax.tree.map(lambda a: a.astype(table.dtype), self.scaling)
        scaled = (table - scaling.mean) / scaling.deviation
        predicted = self.predictor(scaled.astype(working_dtype(self.predictor, table.dtype)))
        values = predicted.astype(table.dtype)
        return self.features.outputs(values * scaling.output_deviation + scaling.output_mean)

    def __repr__(self) -> str:
        count = sum(leaf.size for leaf in jax.tree.leaves(self.predictor) if eqx.is_array(leaf))
        features = self.features
        shown = f"radius={features.radius}" if hasattr(features, "radius") else ""
        reads = ", ".join(name for name, _ in features.read)
        writes = ", ".join(name for name, _ in features.written)
        return (
            f"LearnedClosure({type(self.predictor).__name__} of {count} numbers, "
            f"{type(features).__name__}({shown}) of {reads} -> tendency of {writes})"
        )

    def extrapolates(self, fields: Any, inputs: Any = None) -> Bool[Array, "sample *place"]:
        """Return, for each sample, whether any input lies outside the training range."""
        table = self.features.inputs(fields, inputs)
        outside = (table < self.scaling.lower) | (table > self.scaling.upper)
        return jnp.any(outside, axis=-1)


def working_dtype(predictor: Any, default: Any) -> Any:
    """Return the floating dtype of a predictor's own arrays, or the default if it has none."""
    leaves = [a for a in _arrays(predictor) if jnp.issubdtype(a.dtype, jnp.floating)]
    return leaves[0].dtype if leaves else default


def _arrays(tree: Any) -> list[Array]:
    return [leaf for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf)]
