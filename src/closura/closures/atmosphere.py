"""Features of an atmosphere: its columns one by one, with neighbours, as an image or as a mesh."""

import math
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from closura.closures.columns import ColumnLayout, Span, check_span, lay_out
from closura.closures.features import AbstractFeatures, Named
from closura.core.learner import Pairs
from closura.grids.poles import pad_sphere

POSITION = ("latitude",)


class Column(AbstractFeatures):
    """Each column of an atmosphere alone: one sample a column, the same law everywhere.

    Fields are laid out (level, lat, lon), (level, column) or (level,), or the same without
    levels. Levels that are not predicted get the tendency zero.

    Args:
        variables: Names of the fields to read; None reads every field.
        scalars: What each column knows besides: ``"latitude"`` and ``"longitude"`` (sine and
            cosine); ``"solar_zenith"`` (cosine), ``"day_of_year"`` and ``"hour"`` (local solar
            time; sine and cosine), which need a calendar among the inputs; and fields that never
            change by name, such as ``"orography"``, if the pairs hold them.
        input_levels: First level that is read and the one after the last, from 0 at the top; None
            reads all.
        output_levels: The same for the levels that are predicted.
    """

    variables: tuple[str, ...] | None = eqx.field(static=True, default=None)
    scalars: tuple[str, ...] = eqx.field(static=True, default=POSITION)
    input_levels: Span = eqx.field(static=True, default=None)
    output_levels: Span = eqx.field(static=True, default=None)
    read: Named = eqx.field(static=True, default=())
    written: Named = eqx.field(static=True, default=())
    layout: ColumnLayout | None = None

    def __check_init__(self):
        _check(self)

    def hold(self, pairs: Pairs) -> dict[str, Any]:
        return {"layout": _lay_out(self, pairs)}

    def inputs(self, fields: Any, inputs: Any = None) -> Float[Array, "sample feature"]:
        return _rows(bound(self).gather(fields, inputs))

    def outputs(self, table: Float[Array, "sample output"]) -> dict[str, Array]:
        return bound(self).spread(table.T.reshape(-1, *bound(self).place))

    def collect(self, targets: Mapping[str, Array]) -> Float[Array, "sample output"]:
        return _rows(bound(self).collect(targets))


class ColumnNeighbourhood(AbstractFeatures):
    """Each column with the eight around it: one sample a column, predicting the middle one.

    Beyond a pole the neighbour is the column half-way round, its wind with the sign turned over.
    The scalars are those of the middle column. Fields are laid out (level, lat, lon) or (lat, lon).

    Args:
        variables: Names of the fields to read; None reads every field.
        scalars: What each column knows besides, see `Column`.
        input_levels: Levels that are read, see `Column`.
        output_levels: Levels that are predicted, see `Column`.
    """

    variables: tuple[str, ...] | None = eqx.field(static=True, default=None)
    scalars: tuple[str, ...] = eqx.field(static=True, default=POSITION)
    input_levels: Span = eqx.field(static=True, default=None)
    output_levels: Span = eqx.field(static=True, default=None)
    read: Named = eqx.field(static=True, default=())
    written: Named = eqx.field(static=True, default=())
    layout: ColumnLayout | None = None

    def __check_init__(self):
        _check(self)

    def hold(self, pairs: Pairs) -> dict[str, Any]:
        return {"layout": _on_grid(self, _lay_out(self, pairs))}

    def inputs(self, fields: Any, inputs: Any = None) -> Float[Array, "sample feature"]:
        layout = bound(self)
        own = layout.fields(fields)
        rows, lines = layout.place
        around = pad_sphere(
            jnp.moveaxis(own, 0, -1), poles=layout.poles, signs=layout.signs[: len(own)]
        )
        near = [
            around[south : south + rows, west : west + lines].reshape(rows * lines, -1)
            for south in range(3)
            for west in range(3)
        ]
        return jnp.concatenate([*near, _rows(layout.scalars(inputs, own.dtype))], axis=1)

    def outputs(self, table: Float[Array, "sample output"]) -> dict[str, Array]:
        return bound(self).spread(table.T.reshape(-1, *bound(self).place))

    def collect(self, targets: Mapping[str, Array]) -> Float[Array, "sample output"]:
        return _rows(bound(self).collect(targets))


class LatLonImage(AbstractFeatures):
    """The whole atmosphere as one image a sample: levels and scalars are its channels.

    Longitude closes on itself; what lies beyond the poles `grids.poles.pad_sphere` says, and the
    network asks it. Fields are laid out (level, lat, lon) or (lat, lon).

    Args:
        variables: Names of the fields to read; None reads every field.
        scalars: What each place knows besides, see `Column`.
        input_levels: Levels that are read, see `Column`.
        output_levels: Levels that are predicted, see `Column`.
    """

    variables: tuple[str, ...] | None = eqx.field(static=True, default=None)
    scalars: tuple[str, ...] = eqx.field(static=True, default=POSITION)
    input_levels: Span = eqx.field(static=True, default=None)
    output_levels: Span = eqx.field(static=True, default=None)
    read: Named = eqx.field(static=True, default=())
    written: Named = eqx.field(static=True, default=())
    layout: ColumnLayout | None = None

    def __check_init__(self):
        _check(self)

    def hold(self, pairs: Pairs) -> dict[str, Any]:
        return {"layout": _on_grid(self, _lay_out(self, pairs))}

    def inputs(self, fields: Any, inputs: Any = None) -> Float[Array, "sample lat lon feature"]:
        return jnp.moveaxis(bound(self).gather(fields, inputs), 0, -1)[None]

    def outputs(self, table: Float[Array, "sample lat lon output"]) -> dict[str, Array]:
        return bound(self).spread(jnp.moveaxis(table[0], -1, 0))

    def collect(self, targets: Mapping[str, Array]) -> Float[Array, "sample lat lon output"]:
        return jnp.moveaxis(bound(self).collect(targets), 0, -1)[None]


def bound(features: Any) -> ColumnLayout:
    """Return the layout of bound features.

    Raises:
        ValueError: They are not bound.
    """
    if features.layout is None:
        raise ValueError(
            f"this {type(features).__name__} knows no columns yet; call bind(pairs) first."
        )
    return features.layout


def _check(features: Any) -> None:
    owner = type(features).__name__
    check_span(owner, "input_levels", features.input_levels)
    check_span(owner, "output_levels", features.output_levels)


def _lay_out(features: Any, pairs: Pairs) -> ColumnLayout:
    return lay_out(
        features, pairs, scalars=features.scalars, input_levels=features.input_levels,
        output_levels=features.output_levels,
    )  # fmt: skip


def _on_grid(features: Any, layout: ColumnLayout) -> ColumnLayout:
    if len(layout.place) != 2:
        raise ValueError(
            f"{type(features).__name__} wants fields on a grid (lat, lon) and these places have "
            f"shape {layout.place}; use Column or SphereMesh for columns without rows and lines."
        )
    return layout


def _rows(channels: Float[Array, "channel *place"]) -> Float[Array, "sample channel"]:
    """Return one row a place."""
    return channels.reshape(len(channels), math.prod(channels.shape[1:])).T
