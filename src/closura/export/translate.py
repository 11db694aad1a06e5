"""A closure as the operations of a `.closura` file, or a line that says why it cannot be one."""

from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import jax
import numpy as np

from closura import __version__
from closura.closures.features import AbstractFeatures, Stencil, Whole
from closura.closures.learned import LearnedClosure
from closura.closures.patch import Patch
from closura.closures.physical import PolynomialClosure
from closura.closures.stochastic import AR1Noise
from closura.core.closure import AbstractClosure, Zero, terms
from closura.core.learner import Pairs
from closura.data.border import TENDENCY
from closura.export.container import Column, Container
from closura.export.operations import (
    Add,
    Dense,
    Noise,
    Operation,
    Polynomial,
    Restore,
    Select,
    Standardise,
    Trees,
)
from closura.nets.affine import Affine
from closura.nets.forest import TreeTable
from closura.nets.mlp import MLP

Place = tuple[str, tuple[int, ...]]  # a field, and shifts from the point or an index within it
SHIPPED = (
    "closures of Stencil, Patch or Whole features with an affine map, MLP, polynomial or trees"
)


@dataclass(frozen=True)
class Layout:
    """How columns are gathered from the fields of one instant.

    Args:
        whole: Whether an instant is one column; else each point of the ring or plane is one.
        inputs: The place of each input: its field, and the shift along each dimension or the index
            within the field.
        fields: Name and shape of every field that is written, in the order of the outputs.
    """

    whole: bool
    inputs: tuple[Place, ...]
    fields: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def outputs(self) -> tuple[Place, ...]:
        """The place of each output; a field written point by point has one, without an index."""
        if not self.whole:
            return tuple((name, ()) for name, _ in self.fields)
        return tuple(place for name, shape in self.fields for place in _within(name, shape))

    def rows(self, name: str) -> np.ndarray:
        """Return the numbers of the outputs that belong to a field."""
        found = [row for row, (field, _) in enumerate(self.outputs) if field == name]
        return np.array(found, np.int64)


def translate(
    closure: AbstractClosure, pairs: Pairs, *, missing: str = "report", source: str = ""
) -> tuple[Container, Layout]:
    """Return a closure as a container, and how its columns are gathered.

    Args:
        closure: What shall be shipped.
        pairs: Recorded pairs with its inputs: they know units and shapes.
        missing: What happens to columns that are not finite, see `Container`.
        source: Where it comes from, for the reader of the file.

    Raises:
        ValueError: It cannot be shipped; the line says why.
    """
    layout = _layout(closure, pairs)
    if not layout.fields:
        raise ValueError(f"{type(closure).__name__} adds nothing, so there is nothing to ship.")
    told = [one for term in terms(closure) for one in _term(term, layout)]
    lower, upper = _range(closure, layout)
    container = Container(
        inputs=tuple(
            Column(spell(place, ring=not layout.whole), _units(pairs, place[0]))
            for place in layout.inputs
        ),
        outputs=tuple(
            Column(spell(place), _units(pairs, place[0], target=True)) for place in layout.outputs
        ),
        operations=tuple(told),
        lower=lower,
        upper=upper,
        missing=missing,
        about=_about(closure, layout, pairs, source),
    )
    return container, layout


def spell(place: Place, *, ring: bool = False) -> str:
    """Return the name of an input or output: its field, and in brackets which value of it.

    On a ring that is the shift from the point, ``X(-1)`` or ``X(+1)``, on a plane the shifts along
    y and x, ``u(-1,0)``; elsewhere the index, counted from 1.
    """
    name, index = place
    numbers = ",".join(f"{number:+d}" if ring and number else str(number) for number in index)
    return f"{name}({numbers})" if index else name


def _layout(closure: AbstractClosure, pairs: Pairs) -> Layout:
    learned = [term.features for term in terms(closure) if hasattr(term, "features")]
    for features in learned:
        if not isinstance(features, Stencil | Patch | Whole):
            raise ValueError(
                f"{type(features).__name__} features cannot be shipped; what can be: {SHIPPED}."
            )
    whole = any(isinstance(features, Whole) for features in learned)
    if whole and not all(isinstance(features, Whole) for features in learned):
        raise ValueError(
            "a sum of Whole and other closures cannot be shipped: their columns differ; "
            "learn both with the same features."
        )
    places = [place for features in learned for place in _places(features)]
    written = [field for features in learned for field in features.written]
    for term in terms(closure):
        if isinstance(term, AR1Noise):
            written += [(name, _shape(pairs, name)) for name in sorted(term.phi)]
    known: dict[str, tuple[int, ...]] = {}
    for name, shape in written:  # a law of each point runs on a ring of any length
        known.setdefault(name, _shape(pairs, name) if name in pairs.targets else shape)
    return Layout(whole, tuple(dict.fromkeys(places)), tuple(known.items()))


def _places(features: AbstractFeatures) -> list[Place]:
    if isinstance(features, Stencil):
        shifts = range(-features.radius, features.radius + 1)
        return [(name, (shift,)) for name, _ in features.read for shift in shifts]
    if isinstance(features, Patch):
        shifts = range(-features.radius, features.radius + 1)
        squares = [(dy, dx) for dy in shifts for dx in shifts]
        return [(name, square) for name, _ in features.read for square in squares]
    return [place for name, shape in features.read for place in _within(name, shape)]


def _within(name: str, shape: tuple[int, ...]) -> list[Place]:
    """Return every value of a field, counted from 1."""
    return [(name, tuple(number + 1 for number in index)) for index in np.ndindex(shape)]


def _term(term: AbstractClosure, layout: Layout) -> list[Operation]:
    if isinstance(term, Zero):
        return []
    if isinstance(term, AR1Noise):
        return _noise(term, layout)
    if isinstance(term, PolynomialClosure):
        middle: list[Operation] = [
            Polynomial(np.array(term.exponents), np.asarray(term.coefficients, float)[:, None])
        ]
    elif isinstance(term, LearnedClosure):
        middle = _learned(term)
    else:
        raise ValueError(f"{type(term).__name__} cannot be shipped; what can be: {SHIPPED}.")
    chosen = np.array([layout.inputs.index(place) for place in _places(term.features)])
    added = np.concatenate([layout.rows(name) for name, _ in term.features.written])
    return [Select(chosen), *middle, Add(added)]


def _learned(term: LearnedClosure) -> list[Operation]:
    """Return scaling and predictor; a scaling that changes nothing is left out."""
    scaling = jax.tree.map(lambda array: np.asarray(array, np.float64), term.scaling)
    width = len(scaling.mean)
    found = [
        replace(one, inputs=width) if isinstance(one, Trees) else one
        for one in operations(term.predictor)
    ]
    if np.any(scaling.mean != 0) or np.any(scaling.deviation != 1):
        found = [Standardise(scaling.mean, scaling.deviation), *found]
    return [*found, Restore(scaling.output_mean, scaling.output_deviation)]


@singledispatch
def operations(predictor: Any) -> list[Operation]:
    """Return the operations of a predictor: (sample, feature) to (sample, output)."""
    name = type(predictor).__name__
    raise ValueError(f"the predictor {name} cannot be shipped; what can be: {SHIPPED}.")


@operations.register
def _(predictor: Affine) -> list[Operation]:
    return [Dense(np.asarray(predictor.weights), np.asarray(predictor.offset))]


@operations.register
def _(predictor: MLP) -> list[Operation]:
    bends = [predictor.activation] * (len(predictor.weights) - 1) + ["none"]
    layers = zip(predictor.weights, predictor.offsets, bends, strict=True)
    return [Dense(np.asarray(w), np.asarray(offset), bend) for w, offset, bend in layers]


@operations.register
def _(predictor: TreeTable) -> list[Operation]:
    """Return the trees without the leaves that only fill up the table, one after the other."""
    left, feature = np.asarray(predictor.left, np.int64), np.asarray(predictor.feature, np.int64)
    threshold, value = np.asarray(predictor.threshold), np.asarray(predictor.value)
    nodes = np.arange(left.shape[1])
    roots: list[int] = []
    parts: list[tuple[np.ndarray, ...]] = []
    rows: list[np.ndarray] = []
    first = 0
    for tree in range(len(left)):
        leaf = left[tree] == nodes
        used = int(max(left[tree][~leaf], default=-1)) + 2  # the right child of the last one
        leaf, here = leaf[:used], left[tree][:used] + first
        number = len(rows) + np.cumsum(leaf) - 1
        parts.append(
            (
                np.where(leaf, number, feature[tree][:used]),
                here,
                np.where(leaf, np.float32(0), threshold[tree][:used]),
            )
        )
        rows += list(value[tree][:used][leaf])
        roots.append(first)
        first += used
    number, here, split = (np.concatenate(column) for column in zip(*parts, strict=True))
    inputs = 1 + int(feature.max())
    return [Trees(inputs, np.array(roots), number, here, split, np.array(rows), float(len(roots)))]


def _noise(term: AR1Noise, layout: Layout) -> list[Operation]:
    rows: list[np.ndarray] = []
    phi: list[np.ndarray] = []
    sigma: list[np.ndarray] = []
    for name in sorted(term.phi):
        shape = dict(layout.fields)[name] if layout.whole else ()
        for found, values in ((phi, term.phi[name]), (sigma, term.sigma[name])):
            if np.ndim(values) > len(shape):
                raise ValueError(
                    f"AR1Noise of {name!r} differs from point to point (shape "
                    f"{np.shape(values)}), and each point is a column of its own; ship one number."
                )
            found.append(np.broadcast_to(np.asarray(values, float), shape).ravel())
        rows.append(layout.rows(name))
    return [Noise(*(np.concatenate(column) for column in (rows, phi, sigma)))]


def _range(closure: AbstractClosure, layout: Layout) -> tuple[Any, Any]:
    """Return the range in which every term that reads an input was trained."""
    lower = np.full(len(layout.inputs), -np.inf)
    upper = np.full(len(layout.inputs), np.inf)
    for term in terms(closure):
        found: Any = getattr(term, "scaling", term)
        if getattr(found, "lower", None) is None or not hasattr(term, "features"):
            continue
        rows = [layout.inputs.index(place) for place in _places(term.features)]
        lower[rows] = np.maximum(lower[rows], np.asarray(found.lower))
        upper[rows] = np.minimum(upper[rows], np.asarray(found.upper))
    known = len(lower) > 0 and bool(np.all(np.isfinite(lower) & np.isfinite(upper)))
    return (lower, upper) if known else (None, None)


def _units(pairs: Pairs, name: str, *, target: bool = False) -> str:
    """Return the unit of a field, or of its tendency; "?" where the pairs do not know it."""
    if target:
        said = dict(pairs.passport.units)
        if name in said:
            return said[name]
        name = name + TENDENCY if name in pairs.inputs else name
    return pairs.variables[name].units if name in pairs.variables else "?"


def _shape(pairs: Pairs, name: str) -> tuple[int, ...]:
    if name not in pairs.targets:
        raise ValueError(
            f"the pairs hold no target {name!r}; they hold {', '.join(pairs.targets)}."
        )
    return tuple(np.shape(pairs.targets[name])[2:])


def _about(closure: AbstractClosure, layout: Layout, pairs: Pairs, source: str) -> dict[str, Any]:
    passport = closure.passport
    return {
        "closura": __version__,
        "closure": " ".join(repr(closure).split()),
        "source": source,
        "sign": "tendency to add",
        "columns": "one an instant" if layout.whole else "one a point",
        "written": [[name, list(shape)] for name, shape in layout.fields],
        "levels": {name: [list(values), units] for name, (values, units) in pairs.levels.items()},
        "passport": None if passport is None else passport.as_dict(),
    }
