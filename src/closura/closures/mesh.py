"""An atmosphere as a graph: columns are nodes, and each knows its neighbours."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.closures.atmosphere import POSITION, bound
from closura.closures.columns import ColumnLayout, Span, angles, check_span, lay_out
from closura.closures.features import AbstractFeatures, Named
from closura.core.learner import Pairs
from closura.grids.mesh import around_grid, look_around, nearest_points
from closura.nets.graph import Mesh


class SphereMesh(AbstractFeatures):
    """The whole atmosphere as one graph a sample: columns are nodes.

    Fields are laid out (level, lat, lon) or (level, column), or the same without levels; the pairs
    must know latitude and longitude.

    Args:
        variables: Names of the fields to read; None reads every field.
        scalars: What each column knows besides, see `Column`.
        input_levels: Levels that are read, see `Column`.
        output_levels: Levels that are predicted, see `Column`.
        nearest: Number of nearest columns that are neighbours; None takes the eight around each
            point of a latitude-longitude grid, and the eight nearest elsewhere.
    """

    variables: tuple[str, ...] | None = eqx.field(static=True, default=None)
    scalars: tuple[str, ...] = eqx.field(static=True, default=POSITION)
    input_levels: Span = eqx.field(static=True, default=None)
    output_levels: Span = eqx.field(static=True, default=None)
    nearest: int | None = eqx.field(static=True, default=None)
    read: Named = eqx.field(static=True, default=())
    written: Named = eqx.field(static=True, default=())
    layout: ColumnLayout | None = None
    mesh: Mesh | None = None

    def __check_init__(self):
        check_span("SphereMesh", "input_levels", self.input_levels)
        check_span("SphereMesh", "output_levels", self.output_levels)
        if self.nearest is not None and self.nearest < 1:
            raise ValueError(f"SphereMesh: nearest is {self.nearest}; it must be 1 or more.")

    def hold(self, pairs: Pairs) -> dict[str, Any]:
        layout = lay_out(
            self, pairs, scalars=self.scalars, input_levels=self.input_levels,
            output_levels=self.output_levels,
        )  # fmt: skip
        place = layout.place
        latitude, longitude = (
            np.ravel(angles("SphereMesh", name, pairs, place)) for name in ("lat", "lon")
        )
        if self.nearest is None and len(place) == 2:
            index = around_grid(*place, layout.poles)
        else:
            index = nearest_points(latitude, longitude, self.nearest or 8)
        found = look_around(latitude, longitude, index)
        share = found.there / np.maximum(found.there.sum(axis=1, keepdims=True), 1)
        mesh = Mesh(
            jnp.asarray(index, jnp.int32),
            *(jnp.asarray(a, jnp.float32) for a in (share, found.step, found.turn)),
        )
        return {"layout": layout, "mesh": mesh}

    def inputs(self, fields: Any, inputs: Any = None) -> Float[Array, "sample node feature"]:
        return _nodes(bound(self).gather(fields, inputs))

    def outputs(self, table: Float[Array, "sample node output"]) -> dict[str, Array]:
        return bound(self).spread(table[0].T.reshape(-1, *bound(self).place))

    def collect(self, targets: Mapping[str, Array]) -> Float[Array, "sample node output"]:
        return _nodes(bound(self).collect(targets))


def _nodes(channels: Float[Array, "channel *place"]) -> Float[Array, "1 node channel"]:
    return channels.reshape(len(channels), -1).T[None]
