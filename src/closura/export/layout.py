"""How columns are gathered from the fields of one instant, and what their values are called."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from closura.closures.atmosphere import Column, ColumnNeighbourhood, LatLonImage, bound
from closura.closures.features import AbstractFeatures, Stencil, Whole
from closura.closures.mesh import SphereMesh
from closura.closures.patch import Patch
from closura.closures.stochastic import AR1Noise
from closura.core.closure import AbstractClosure, terms
from closura.core.learner import Pairs
from closura.export.guards import Place, core, seen_by

# A place is a field, and shifts from the point or an index within it.
SHIPPED = (
    "closures of Stencil, Patch, Whole, Column, ColumnNeighbourhood, LatLonImage or SphereMesh "
    "features with an affine map, polynomial, trees or networks"
)


COLUMNED = (Column, ColumnNeighbourhood, LatLonImage, SphereMesh)


@dataclass(frozen=True)
class Layout:
    """How columns are gathered from the fields of one instant.

    Args:
        whole: Whether an instant is one column; else each point of the ring or plane is one, or
            each column of the atmosphere.
        inputs: The place of each input: its field, and the shift along each dimension or the index
            within the field.
        fields: Name and shape of every field that is written, in the order of the outputs.
        columns: Features that gather columns of an atmosphere, if it is one.
        levels: How many levels each written field has, by name; 0 is none.
    """

    whole: bool
    inputs: tuple[Place, ...]
    fields: tuple[tuple[str, tuple[int, ...]], ...]
    columns: tuple[Any, ...] = ()
    levels: tuple[tuple[str, int], ...] = ()

    @property
    def outputs(self) -> tuple[Place, ...]:
        """The place of each output; a field written point by point has one, without an index."""
        if self.columns:
            found = dict(self.levels)
            each = [_within(name, (found[name],) if found[name] else ()) for name, _ in self.fields]
            return tuple(place for places in each for place in places)
        if not self.whole:
            return tuple((name, ()) for name, _ in self.fields)
        return tuple(place for name, shape in self.fields for place in _within(name, shape))

    @property
    def points(self) -> int:
        """Number of columns in an instant."""
        if self.whole:
            return 1
        name, shape = self.fields[0]
        return int(np.prod(shape[1:] if dict(self.levels).get(name) else shape))

    def rows(self, name: str) -> np.ndarray:
        """Return the numbers of the outputs that belong to a field."""
        found = [row for row, (field, _) in enumerate(self.outputs) if field == name]
        return np.array(found, np.int64)

    def written(self, features: AbstractFeatures) -> np.ndarray:
        """Return the numbers of the outputs that features write, in their order."""
        if not isinstance(features, COLUMNED):
            return np.concatenate([self.rows(name) for name, _ in features.written])
        assert features.layout is not None
        each = [self.rows(slot.name)[slot.start : slot.stop] for slot in features.layout.written]
        return np.concatenate(each)


def lay_out(closure: AbstractClosure, pairs: Pairs) -> Layout:
    """Return how the columns of a closure are gathered.

    Raises:
        ValueError: Its features cannot be shipped, or differ from term to term.
    """
    owners = [term for term in terms(closure) if getattr(core(term), "features", None) is not None]
    learned = [features for term in owners for features in seen_by(term)]
    for features in learned:
        if not isinstance(features, (Stencil, Patch, Whole, *COLUMNED)):
            raise ValueError(
                f"{type(features).__name__} features cannot be shipped; what can be: {SHIPPED}."
            )
    for kind in ((Whole,), COLUMNED):
        if len({isinstance(features, kind) for features in learned}) > 1:
            raise ValueError(
                f"a sum of {kind[0].__name__} and other closures cannot be shipped: their columns "
                "differ; learn both with the same features."
            )
    found = [place for features in learned for place in places(features)]
    written = [field for term in owners for field in seen_by(term)[0].written]
    for term in terms(closure):
        if isinstance(term, AR1Noise):
            written += [(name, _shape(pairs, name)) for name in sorted(term.phi)]
    known: dict[str, tuple[int, ...]] = {}
    for name, shape in written:  # a law of each point runs on a ring of any length
        known.setdefault(name, _shape(pairs, name) if name in pairs.targets else shape)
    columns = tuple(features for features in learned if isinstance(features, COLUMNED))
    return Layout(
        any(isinstance(features, Whole) for features in learned), tuple(dict.fromkeys(found)),
        tuple(known.items()), columns, _levels(columns, known),
    )  # fmt: skip


def _levels(
    columns: Sequence[Any], known: dict[str, tuple[int, ...]]
) -> tuple[tuple[str, int], ...]:
    if not columns:
        return ()
    assert columns[0].layout is not None
    flat = len(columns[0].layout.place)
    return tuple((name, shape[0] if len(shape) > flat else 0) for name, shape in known.items())


def places(features: AbstractFeatures) -> list[Place]:
    """Return the place of each value of a sample, in its order; of neighbours each once."""
    if isinstance(features, Stencil):
        shifts = range(-features.radius, features.radius + 1)
        return [(name, (shift,)) for name, _ in features.read for shift in shifts]
    if isinstance(features, Patch):
        shifts = range(-features.radius, features.radius + 1)
        squares = [(dy, dx) for dy in shifts for dx in shifts]
        return [(name, square) for name, _ in features.read for square in squares]
    if isinstance(features, COLUMNED):
        return _channels(features)
    return [place for name, shape in features.read for place in _within(name, shape)]


def channels(features: Any, fields: Any, given: Any) -> Any:
    """Return what features of an atmosphere read of every column, (*place, channel)."""
    return jnp.moveaxis(bound(features).gather(fields, given), 0, -1)


def _channels(features: Any) -> list[Place]:
    """Return levels of the fields, then what the place and the calendar tell."""
    layout = features.layout
    assert layout is not None
    found: list[Place] = [
        (slot.name, () if slot.levels is None else (level + 1,))
        for slot in layout.read
        for level in range(slot.start, slot.stop)
    ]
    return found + [(name, ()) for name in layout.names[len(found) :]]


def spell(place: Place, *, ring: bool = False) -> str:
    """Return the name of an input or output: its field, and in brackets which value of it.

    On a ring that is the shift from the point, ``X(-1)`` or ``X(+1)``, on a plane the shifts along
    y and x, ``u(-1,0)``; elsewhere the index, counted from 1, as in ``u(1)``, the uppermost level.
    """
    name, index = place
    numbers = ",".join(f"{number:+d}" if ring and number else str(number) for number in index)
    return f"{name}({numbers})" if index else name


def gather(layout: Layout, fields: Any, tables: Sequence[Any]) -> np.ndarray:
    """Return the inputs of every column, (column, input), as the host must gather them.

    Args:
        layout: How columns are gathered.
        fields: Arrays (instant, *field) by name.
        tables: What each of the features of an atmosphere reads, see `channels`, by instant.
    """
    count = len(next(iter(fields.values())))
    if not layout.inputs:
        return np.zeros((count * layout.points, 0))
    if layout.columns:
        held = {
            place: np.asarray(table)[..., number].ravel()
            for features, table in zip(layout.columns, tables, strict=True)
            for number, place in enumerate(places(features))
        }
        return np.stack([held[place] for place in layout.inputs], axis=1)
    columns = []
    for name, index in layout.inputs:
        values = np.asarray(fields[name])
        if layout.whole:
            place: tuple[Any, ...] = (slice(None), *(number - 1 for number in index))
            columns.append(values[place])
        else:
            back = tuple(-shift for shift in index)
            columns.append(np.roll(values, back, axis=tuple(range(1, values.ndim))).ravel())
    return np.stack(columns, axis=1)


def collect(layout: Layout, arrays: Any) -> np.ndarray:
    """Return the values of fields (instant, *field) as (column, output)."""
    each = [rows_of(layout, name, np.asarray(arrays[name])) for name, _ in layout.fields]
    return np.concatenate(each, axis=1)


def rows_of(layout: Layout, name: str, values: np.ndarray) -> np.ndarray:
    """Return a field (instant, *field) as (column, row)."""
    if layout.columns and dict(layout.levels)[name]:
        values = np.moveaxis(values, 1, -1)
        return values.reshape(-1, values.shape[-1])
    return values.reshape(len(values) * layout.points, -1)


def _within(name: str, shape: tuple[int, ...]) -> list[Place]:
    """Return every value of a field, counted from 1."""
    return [(name, tuple(number + 1 for number in index)) for index in np.ndindex(shape)]


def _shape(pairs: Pairs, name: str) -> tuple[int, ...]:
    if name not in pairs.targets:
        raise ValueError(
            f"the pairs hold no target {name!r}; they hold {', '.join(pairs.targets)}."
        )
    return tuple(np.shape(pairs.targets[name])[2:])
