"""How the columns of an atmosphere are laid out: levels, places, and what each place knows."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.closures.features import AbstractFeatures, field
from closura.core.learner import Pairs
from closura.grids.poles import on_pole
from closura.grids.sun import YEAR, solar_zenith

LEVEL = "level"
WIND = ("u", "v")  # components along the local east and north, which turn over across a pole
STILL = ("latitude", "longitude")
MOVING = ("solar_zenith", "day_of_year", "hour")

Span = tuple[int, int] | None


class Slot(NamedTuple):
    """Part of a field: levels from `start` to before `stop`; `levels` is None without levels."""

    name: str
    levels: int | None
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of channels."""
        return self.stop - self.start


class ColumnLayout(eqx.Module):
    """Where each number of a column comes from and goes to; made by `lay_out`.

    Args:
        still: What never changes at each place, (channel, *place).
        latitude: Of each place [degrees_north], (*place,); empty if unknown.
        longitude: Of each place [degrees_east], (*place,); empty if unknown.
        place: Shape of the horizontal grid: (lat, lon), (column,) or ().
        read: Fields and levels that are read, in order.
        written: Fields and levels that are predicted, in order.
        moving: What the calendar tells of each place.
        names: A name for each channel.
        poles: Whether the first and the last row of latitudes are poles.
    """

    still: Float[Array, "channel *place"]
    latitude: Float[Array, "..."]
    longitude: Float[Array, "..."]
    place: tuple[int, ...] = eqx.field(static=True)
    read: tuple[Slot, ...] = eqx.field(static=True)
    written: tuple[Slot, ...] = eqx.field(static=True)
    moving: tuple[str, ...] = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    poles: tuple[bool, bool] = eqx.field(static=True)

    @property
    def signs(self) -> tuple[float, ...]:
        """For each channel, -1 where it is a component of the wind, else 1."""
        own = [-1.0 if slot.name in WIND else 1.0 for slot in self.read for _ in range(slot.size)]
        return (*own, *[1.0] * (len(self.names) - len(own)))

    def fields(self, fields: Any) -> Float[Array, "channel *place"]:
        """Return the levels of all fields that are read."""
        parts = [field(fields, slot.name) for slot in self.read]
        return jnp.concatenate(
            [
                part[None] if slot.levels is None else part[slot.start : slot.stop]
                for slot, part in zip(self.read, parts, strict=True)
            ]
        )

    def scalars(self, inputs: Any, dtype: Any) -> Float[Array, "channel *place"]:
        """Return what each place knows besides the fields."""
        told = [self.still.astype(dtype)]
        if self.moving:
            told += [_told(name, inputs, self).astype(dtype) for name in self.moving]
        return jnp.concatenate(told)

    def gather(self, fields: Any, inputs: Any) -> Float[Array, "channel *place"]:
        """Return all channels of all places."""
        own = self.fields(fields)
        return jnp.concatenate([own, self.scalars(inputs, own.dtype)])

    def spread(self, values: Float[Array, "output *place"]) -> dict[str, Array]:
        """Return tendencies by field; levels that are not predicted get zero."""
        found, first = {}, 0
        for slot in self.written:
            part = values[first : first + slot.size]
            first += slot.size
            if slot.levels is None:
                found[slot.name] = part[0]
            else:
                around = [(slot.start, slot.levels - slot.stop), *[(0, 0)] * len(self.place)]
                found[slot.name] = jnp.pad(part, around)
        return found

    def collect(self, targets: Mapping[str, Array]) -> Float[Array, "output *place"]:
        """Return the predicted levels of all targets."""
        return jnp.concatenate(
            [
                targets[s.name][None] if s.levels is None else targets[s.name][s.start : s.stop]
                for s in self.written
            ]
        )


def lay_out(
    features: AbstractFeatures,
    pairs: Pairs,
    *,
    scalars: tuple[str, ...],
    input_levels: Span,
    output_levels: Span,
) -> ColumnLayout:
    """Return the layout of the columns that bound features see in pairs.

    Raises:
        ValueError: A field is no column, a level is not there, or a scalar is unknown.
    """
    owner = type(features).__name__
    place = _place(owner, features, pairs)
    read = [_slot(owner, "input_levels", *one, place, input_levels) for one in features.read]
    written = [
        _slot(owner, "output_levels", *one, place, output_levels) for one in features.written
    ]
    still = [_still(owner, name, pairs, place) for name in scalars if name not in MOVING]
    moving = tuple(name for name in scalars if name in MOVING)
    latitude, longitude = (
        angles(owner, name, pairs, place) if moving else np.zeros(0) for name in ("lat", "lon")
    )
    rows = np.asarray(pairs.coordinates.get("lat", [0.0]), float)
    names = [_channel(slot, level) for slot in read for level in range(slot.start, slot.stop)]
    names += [name for name, values in still for name in _parts(name, len(values))]
    names += [part for name in moving for part in _parts(name, 1 if name == MOVING[0] else 2)]
    table = np.concatenate([values for _, values in still]) if still else np.zeros((0, *place))
    table, latitude, longitude = (np.asarray(a, float) for a in (table, latitude, longitude))
    return ColumnLayout(
        jnp.asarray(table), jnp.asarray(latitude), jnp.asarray(longitude),
        place, tuple(read), tuple(written), moving, tuple(names), on_pole(rows),
    )  # fmt: skip


def check_span(owner: str, name: str, span: Span) -> None:
    """Raise ValueError unless levels are None or two numbers, the first below the second."""
    if span is not None and not (len(span) == 2 and 0 <= span[0] < span[1]):
        raise ValueError(
            f"{owner}: {name} is {list(span)}; wanted are the first level and the one after the "
            "last, counted from 0 at the top, e.g. [2, 8]."
        )


def _place(owner: str, features: AbstractFeatures, pairs: Pairs) -> tuple[int, ...]:
    """Return the shape that all fields share after their levels."""
    shapes = {**dict(features.written), **dict(features.read)}
    deepest = max(shapes, key=lambda name: len(shapes[name]))
    shape = shapes[deepest]
    about = pairs.variables.get(deepest)
    flat = any(len(other) == len(shape) - 1 for other in shapes.values())
    levels = len(shape) == 3 or flat or (about is not None and about.dims[:1] == (LEVEL,))
    place = shape[1:] if levels else shape
    for name, other in shapes.items():
        if other not in (place, (*other[:1], *place)):
            raise ValueError(
                f"{owner} wants columns, of shape {('level', *place)} or {place}, and {name!r} has "
                f"shape {other}; choose fields with `variables`, or interpolate to one grid."
            )
    return place


def _slot(
    owner: str, setting: str, name: str, shape: tuple[int, ...], place: tuple[int, ...], span: Span
) -> Slot:
    if shape == place:
        return Slot(name, None, 0, 1)
    levels = shape[0]
    start, stop = span or (0, levels)
    if stop > levels:
        raise ValueError(
            f"{owner}: {setting} ends at {stop} and {name!r} has {levels} levels; "
            "levels count from 0 at the top."
        )
    return Slot(name, levels, start, stop)


def _channel(slot: Slot, level: int) -> str:
    return slot.name if slot.levels is None else f"{slot.name}[{level}]"


def _parts(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"sin {name}", f"cos {name}"]


def _still(owner: str, name: str, pairs: Pairs, place: tuple[int, ...]) -> tuple[str, np.ndarray]:
    """Return a scalar that never changes, (channel, *place)."""
    if name in STILL:
        angle = np.radians(angles(owner, name[:3], pairs, place))
        return name, np.stack([np.sin(angle), np.cos(angle)])
    if name not in pairs.static:
        raise ValueError(
            f"{owner}: there is no scalar {name!r}; there are "
            f"{', '.join((*STILL, *MOVING, *pairs.static))}. Fields that never change are taken "
            "from Pairs(static=...)."
        )
    values = np.asarray(pairs.static[name], float)
    if values.shape != place:
        raise ValueError(
            f"{owner}: the static field {name!r} has shape {values.shape} and the columns "
            f"{place}; both must agree."
        )
    return name, values[None]


def angles(owner: str, name: str, pairs: Pairs, place: tuple[int, ...]) -> np.ndarray:
    """Return latitude or longitude of every place [degrees]."""
    values = np.asarray(pairs.coordinates.get(name, np.zeros(0)), float)
    if values.shape == place:
        return values
    axis = {"lat": 0, "lon": 1}[name]
    if len(place) == 2 and values.shape == place[axis : axis + 1]:
        return np.broadcast_to(values[:, None] if axis == 0 else values, place)
    raise ValueError(
        f"{owner} wants {name!r} of places of shape {place}, and the coordinates of the pairs "
        f"give it shape {values.shape}; set Pairs(coordinates=...), or leave the scalar out "
        "(scalars=())."
    )


def _told(name: str, inputs: Any, layout: ColumnLayout) -> Float[Array, "channel *place"]:
    """Return what the calendar tells of every place."""
    if inputs is None or "calendar" not in inputs:
        raise ValueError(
            f"the scalar {name!r} needs a calendar: run with inputs that hold 'calendar', or train "
            "on pairs with given={'calendar': {'day': ..., 'hour': ...}}."
        )
    day, hour = (field(inputs["calendar"], part) for part in ("day", "hour"))
    if name == "solar_zenith":
        return solar_zenith(layout.latitude, layout.longitude, day, hour)[None]
    turn = day / YEAR if name == "day_of_year" else hour / 24 + layout.longitude / 360
    angle = jnp.broadcast_to(2 * jnp.pi * turn, layout.place)
    return jnp.stack([jnp.sin(angle), jnp.cos(angle)])
