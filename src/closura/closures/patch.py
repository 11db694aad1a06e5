"""How a learner sees a plane: each point with the square of its neighbours."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from closura.closures.features import AbstractFeatures, Named, field
from closura.grids.plane import patches


class Patch(AbstractFeatures):
    """Each point of a plane with the square around it: one sample a point, the same law everywhere.

    The plane closes on itself in both directions. A sample is each field in turn, its square row
    by row: y from -radius to +radius, x fastest.

    Args:
        radius: Number of neighbours on each side; 0 is the point alone.
        variables: Names of the fields to read, all on the same plane; None reads every field.
    """

    radius: int = eqx.field(static=True, default=1)
    variables: tuple[str, ...] | None = eqx.field(static=True, default=None)
    read: Named = eqx.field(static=True, default=())
    written: Named = eqx.field(static=True, default=())

    def __check_init__(self):
        if self.radius < 0:
            raise ValueError(f"Patch: radius is {self.radius}; it must be 0 or more.")
        shapes = {shape for _, shape in (*self.read, *self.written)}
        if len(shapes) > 1 or any(len(shape) != 2 for shape in shapes):
            raise ValueError(
                f"Patch needs inputs and targets on one plane (y, x), found shapes "
                f"{sorted(shapes)}; choose fields with `variables`, or use Stencil on a ring."
            )

    def inputs(self, fields: Any) -> Float[Array, "sample feature"]:
        squares = [patches(field(fields, name), self.radius) for name, _ in self.read]
        table = jnp.concatenate(squares, axis=-1)
        return table.reshape(-1, table.shape[-1])

    def outputs(self, table: Float[Array, "sample output"]) -> dict[str, Array]:
        return {
            name: table[:, index].reshape(shape) for index, (name, shape) in enumerate(self.written)
        }

    def collect(self, targets: Mapping[str, Array]) -> Float[Array, "sample output"]:
        return jnp.stack([targets[name].ravel() for name, _ in self.written], axis=1)
