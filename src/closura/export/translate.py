"""A closure as the operations of a `.closura` file, or a line that says why it cannot be one."""

from dataclasses import replace
from functools import singledispatch
from typing import Any

import jax
import numpy as np

from closura import __version__
from closura.closures.atmosphere import ColumnNeighbourhood, bound
from closura.closures.learned import LearnedClosure
from closura.closures.physical import PolynomialClosure
from closura.closures.stochastic import AR1Noise
from closura.core.closure import AbstractClosure, Zero, terms
from closura.core.learner import Pairs
from closura.data.border import TENDENCY
from closura.export.container import Column, Container
from closura.export.grid import Around
from closura.export.guards import core, fills, guard_operations
from closura.export.layout import SHIPPED, Layout, lay_out, places, rows_of, spell
from closura.export.operations import (
    Add,
    Clip,
    Dense,
    Noise,
    Operation,
    Polynomial,
    Restore,
    Select,
    Sphere,
    Standardise,
    Trees,
)
from closura.export.trees import rounds_of_trees, table_of_trees
from closura.nets.affine import Affine
from closura.nets.boosted import TreeSum
from closura.nets.forest import TreeTable
from closura.nets.graph import GraphNetwork
from closura.nets.mlp import MLP
from closura.nets.unet import UNet


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
    layout = lay_out(closure, pairs)
    ring = not (layout.whole or layout.columns)
    told = [one for term in terms(closure) for one in _term(term, layout)]
    if not layout.fields:
        raise ValueError(f"{type(closure).__name__} adds nothing, so there is nothing to ship.")
    _check_numbers(told)
    lower, upper = _range(closure, layout)
    container = Container(
        inputs=tuple(
            Column(spell(place, ring=ring), _units(pairs, place[0])) for place in layout.inputs
        ),
        outputs=tuple(
            Column(spell(place), _units(pairs, place[0], target=True)) for place in layout.outputs
        ),
        operations=tuple(told),
        lower=lower,
        upper=upper,
        missing="zero" if missing == "report" and fills(closure) else missing,
        about=_about(closure, layout, pairs, source),
    )
    return container, layout


def _term(term: AbstractClosure, layout: Layout) -> list[Operation]:
    if isinstance(term, Zero):
        return []
    if isinstance(term, AR1Noise):
        return _noise(term, layout)
    inside = core(term)
    if isinstance(inside, PolynomialClosure):
        coefficients = np.asarray(inside.coefficients, float)[:, None]
        parts: list[list[Operation]] = [[Polynomial(np.array(inside.exponents), coefficients)]]
    elif isinstance(inside, LearnedClosure):
        parts = _learned(inside)
    else:
        raise ValueError(f"{type(inside).__name__} cannot be shipped; what can be: {SHIPPED}.")
    chosen = np.array([layout.inputs.index(place) for place in places(inside.features)])
    begin, add = _begin(inside.features, chosen), Add(layout.written(inside.features))
    rows = [layout.outputs[row] for row in add.outputs]
    guarded = guard_operations(term, rows, layout.inputs, places)
    if len(parts) > 1 and any(isinstance(one, Clip) for one in guarded):
        raise ValueError(
            f"limits around trees in {len(parts)} parts cannot be shipped; grow fewer trees."
        )
    return [one for part in parts for one in (begin, *merge_scaling([*part, *guarded]), add)]


def _begin(features: Any, chosen: np.ndarray) -> Operation:
    """Return what fills the panel with the inputs of a term."""
    if not isinstance(features, ColumnNeighbourhood):
        return Select(chosen)
    layout, own = bound(features), features_of_fields(features)
    signs = np.array(layout.signs[:own], int)
    rows, lines = layout.place
    return Around((rows, lines), layout.poles, chosen[:own], signs, chosen[own:])


def features_of_fields(features: ColumnNeighbourhood) -> int:
    """Return how many inputs of a neighbourhood are read of all nine columns."""
    return sum(slot.size for slot in bound(features).read)


def merge_scaling(told: list[Operation]) -> list[Operation]:
    """Return operations in which factors that follow each other are one."""
    found: list[Operation] = []
    for one in told:
        before = found[-1] if found else None
        if isinstance(one, Restore) and isinstance(before, Restore):
            found[-1] = Restore(before.centre * one.scale + one.centre, before.scale * one.scale)
        else:
            found.append(one)
    return found


def _learned(term: LearnedClosure) -> list[list[Operation]]:
    """Return scaling and predictor, whose results are added up if there are several."""
    scaling = jax.tree.map(lambda array: np.asarray(array, np.float64), term.scaling)
    width, centre = len(scaling.mean), scaling.output_mean
    told: list[Operation]
    if isinstance(term.predictor, UNet | GraphNetwork):
        place = bound(term.features).place
        told = [Sphere(term.predictor, place, width, len(centre))]
    else:
        told = operations(term.predictor)
    several = [[one] for one in told] if isinstance(told[0], Trees) else [told]
    found = []
    for some in several:
        some = [replace(o, inputs=width) if isinstance(o, Trees) else o for o in some]
        if np.any(scaling.mean != 0) or np.any(scaling.deviation != 1):
            some = [Standardise(scaling.mean, scaling.deviation), *some]
        found.append([*some, Restore(centre, scaling.output_deviation)])
        centre = np.zeros_like(centre)  # it is added once
    return found


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
    count = float(len(predictor.left))
    return [table_of_trees(predictor, slice(None), divisor=count)]


@operations.register
def _(predictor: TreeSum) -> list[Operation]:
    return [*rounds_of_trees(predictor)]


def _check_numbers(told: list[Operation]) -> None:
    """Raise ValueError where a number of an operation is not finite."""
    for one in told:
        for name, values in vars(one).items():
            known = not isinstance(values, np.ndarray) or np.isfinite(values).all()
            if not known:
                count = int(np.size(values) - np.count_nonzero(np.isfinite(values)))
                raise ValueError(
                    f"{count} {name} of the closure's {type(one).__name__} are not finite, as "
                    "training with missing values may leave them; fit it again without these."
                )


def _noise(term: AR1Noise, layout: Layout) -> list[Operation]:
    rows: list[np.ndarray] = []
    phi: list[np.ndarray] = []
    sigma: list[np.ndarray] = []
    for name in sorted(term.phi):
        for found, values in ((phi, term.phi[name]), (sigma, term.sigma[name])):
            shape = dict(layout.fields)[name]
            spread = np.broadcast_to(np.asarray(values, float), shape)
            each = spread.ravel()[None] if layout.whole else rows_of(layout, name, spread[None])
            if np.any(each != each[0]):
                raise ValueError(
                    f"AR1Noise of {name!r} differs from point to point (shape "
                    f"{np.shape(values)}), and each point is a column of its own; ship one number."
                )
            found.append(each[0])
        rows.append(layout.rows(name))
    return [Noise(*(np.concatenate(column) for column in (rows, phi, sigma)))]


def _range(closure: AbstractClosure, layout: Layout) -> tuple[Any, Any]:
    """Return the range in which every term that reads an input was trained."""
    lower = np.full(len(layout.inputs), -np.inf)
    upper = np.full(len(layout.inputs), np.inf)
    for term in terms(closure):
        inside: Any = core(term)
        found: Any = getattr(inside, "scaling", inside)
        if getattr(found, "lower", None) is None or not hasattr(inside, "features"):
            continue
        rows = [layout.inputs.index(place) for place in places(inside.features)]
        low, high = (_of_middle(inside.features, a) for a in (found.lower, found.upper))
        lower[rows] = np.maximum(lower[rows], low)
        upper[rows] = np.minimum(upper[rows], high)
    known = len(lower) > 0 and bool(np.all(np.isfinite(lower) & np.isfinite(upper)))
    return (lower, upper) if known else (None, None)


def _of_middle(features: Any, values: Any) -> np.ndarray:
    """Return numbers of a neighbourhood's inputs for the middle column; others as they are."""
    if not isinstance(features, ColumnNeighbourhood):
        return np.asarray(values)
    own, several = features_of_fields(features), np.asarray(values)
    return np.concatenate([several[4 * own : 5 * own], several[9 * own :]])


def _units(pairs: Pairs, name: str, *, target: bool = False) -> str:
    """Return the unit of a field, or of its tendency; "?" where the pairs do not know it."""
    if target:
        said = dict(pairs.passport.units)
        if name in said:
            return said[name]
        name = name + TENDENCY if name in pairs.inputs else name
    if name in pairs.variables:
        return pairs.variables[name].units
    known = name.startswith(("sin ", "cos ")) or name == "solar_zenith"  # its cosine
    return "1" if known else "?"


def _about(closure: AbstractClosure, layout: Layout, pairs: Pairs, source: str) -> dict[str, Any]:
    passport = closure.passport
    return {
        "closura": __version__,
        "closure": " ".join(repr(closure).split()),
        "source": source,
        "sign": "tendency to add",
        "columns": "one an instant" if layout.whole else "one a point of the grid",
        "written": [[name, list(shape)] for name, shape in layout.fields],
        "levels": {name: [list(values), units] for name, (values, units) in pairs.levels.items()},
        "passport": None if passport is None else passport.as_dict(),
    }
