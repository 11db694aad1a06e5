"""How a learner sees a state: fields to a table of samples, and predictions back to fields."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.core.learner import Pairs
from closura.grids.ring import neighbours

Named = tuple[tuple[str, tuple[int, ...]], ...]


class AbstractFeatures(eqx.Module):
    """Stands between a field and a learner.

    To write one: (1) `inputs` turns the fields of one instant into a table (sample, feature);
    (2) `outputs` turns a table (sample, output) of predictions into tendencies by field;
    (3) `collect` is the inverse of `outputs`, for training targets. A sample may be more than a
    row, an image for instance: dimensions between the first and the last belong to it. `bind`
    records the names and shapes that the pairs have, before any of the three is called; (4) what
    else of the pairs is needed at run time, such as latitudes, `hold` takes from them.
    """

    variables: eqx.AbstractVar[tuple[str, ...] | None]
    read: eqx.AbstractVar[Named]
    written: eqx.AbstractVar[Named]

    @abstractmethod
    def inputs(self, fields: Any, inputs: Any = None) -> Float[Array, "sample *place feature"]:
        """Return the table that a predictor reads.

        Args:
            fields: Fields of one instant, by name.
            inputs: What the model is given from outside at that instant, e.g. the calendar.
        """

    @abstractmethod
    def outputs(self, table: Float[Array, "sample *place output"]) -> dict[str, Array]:
        """Return tendencies by field, from the predictor's table of one instant."""

    @abstractmethod
    def collect(self, targets: Mapping[str, Array]) -> Float[Array, "sample *place output"]:
        """Return the table that a predictor should produce, from the targets of one instant."""

    def hold(self, pairs: Pairs) -> dict[str, Any]:
        """Return settings of these features that the pairs fill in, by name; none by default.

        The names and shapes, `read` and `written`, are filled in already.
        """
        return {}

    def bind(self, pairs: Pairs) -> "AbstractFeatures":
        """Return these features with names, shapes and what else they hold of pairs filled in.

        Raises:
            ValueError: A wanted variable is not among the inputs.
        """
        names = self.variables if self.variables is not None else tuple(pairs.inputs)
        for name in names:
            if name not in pairs.inputs:
                raise ValueError(
                    f"{type(self).__name__} reads {name!r}, which the pairs do not hold; "
                    f"they hold {', '.join(pairs.inputs)}."
                )
        read = tuple((name, tuple(np.shape(pairs.inputs[name])[2:])) for name in names)
        written = tuple((name, tuple(np.shape(a)[2:])) for name, a in pairs.targets.items())
        named = replace(self, read=read, written=written)
        return replace(named, **named.hold(pairs))


def field(fields: Any, name: str) -> Array:
    """Return one field by name, from a State or a dictionary."""
    return fields[name] if isinstance(fields, Mapping) else getattr(fields, name)


class Stencil(AbstractFeatures):
    """Each point of a ring with its neighbours: one sample a point, the same law everywhere.

    Args:
        radius: Number of neighbours on each side; 0 is the point alone.
        variables: Names of the fields to read, all on the same ring; None reads every field.
    """

    radius: int = eqx.field(static=True, default=0)
    variables: tuple[str, ...] | None = eqx.field(static=True, default=None)
    read: Named = eqx.field(static=True, default=())
    written: Named = eqx.field(static=True, default=())

    def __check_init__(self):
        if self.radius < 0:
            raise ValueError(f"Stencil: radius is {self.radius}; it must be 0 or more.")
        shapes = {shape for _, shape in (*self.read, *self.written)}
        if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
            raise ValueError(
                f"Stencil needs inputs and targets on one ring, found shapes {sorted(shapes)}; "
                "choose fields with `variables`, or use Whole."
            )

    def inputs(self, fields: Any, inputs: Any = None) -> Float[Array, "sample feature"]:
        columns = [neighbours(field(fields, name), self.radius) for name, _ in self.read]
        return jnp.concatenate(columns, axis=1)

    def outputs(self, table: Float[Array, "sample output"]) -> dict[str, Array]:
        return {name: table[:, index] for index, (name, _) in enumerate(self.written)}

    def collect(self, targets: Mapping[str, Array]) -> Float[Array, "sample output"]:
        return jnp.stack([targets[name] for name, _ in self.written], axis=1)


class Whole(AbstractFeatures):
    """Everything at one instant as one vector: a whole ring, or a column of levels and scalars.

    One sample an instant; each output may depend on every input.

    Args:
        variables: Names of the fields to read; None reads every field.
    """

    variables: tuple[str, ...] | None = eqx.field(static=True, default=None)
    read: Named = eqx.field(static=True, default=())
    written: Named = eqx.field(static=True, default=())

    def inputs(self, fields: Any, inputs: Any = None) -> Float[Array, "sample feature"]:
        return jnp.concatenate([jnp.ravel(field(fields, name)) for name, _ in self.read])[None]

    def outputs(self, table: Float[Array, "sample output"]) -> dict[str, Array]:
        found, start = {}, 0
        for name, shape in self.written:
            size = int(np.prod(shape))
            found[name] = table[0, start : start + size].reshape(shape)
            start += size
        return found

    def collect(self, targets: Mapping[str, Array]) -> Float[Array, "sample output"]:
        return jnp.concatenate([jnp.ravel(targets[name]) for name, _ in self.written])[None]
