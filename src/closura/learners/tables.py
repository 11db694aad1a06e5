"""Recorded pairs as the tables that predictors are fitted on, a bounded piece at a time."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from closura.closures.features import AbstractFeatures
from closura.closures.learned import Scaling
from closura.core.learner import Pairs
from closura.core.pieces import Piece, pieces

HELD = 1e9  # bytes of stored pairs up to which they are read once and kept


class Table(NamedTuple):
    """Features (sample, *place, feature) and what should be predicted (sample, *place, output)."""

    inputs: np.ndarray
    outputs: np.ndarray


def tables(features: AbstractFeatures, pairs: Pairs) -> Iterator[Table]:
    """Yield the pairs as tables, piece by piece, in the order in which `pieces` walks them.

    Args:
        features: Bound features.
        pairs: May be larger than memory: a piece is read when its turn comes.
    """
    for piece in pieces(pairs, instant=bytes_of_table(features, pairs)):
        yield _table(features, piece)


def samples_at_once(features: AbstractFeatures, pairs: Pairs) -> int:
    """Return how many samples one instant of the pairs gives."""
    return int(shape_of_table(features, pairs).inputs.shape[0])


def check_rows(learner: str, features: AbstractFeatures, pairs: Pairs) -> None:
    """Raise ValueError unless every sample of the features is one row of numbers."""
    shape = shape_of_table(features, pairs).inputs.shape
    if len(shape) != 2:
        raise ValueError(
            f"{learner} wants samples that are rows, and a sample of {type(features).__name__} has "
            f"shape {shape[1:]}; use Column or ColumnNeighbourhood."
        )


def tabulate(features: AbstractFeatures, fields: Any, given: Any, targets: Any) -> Table:
    """Return instants (instant, *field) as a table, inside a compiled function."""
    read = {name: fields[name] for name, _ in features.read}
    rows: Any = jax.vmap(features.inputs)(read, given)
    wanted: Any = jax.vmap(features.collect)(targets)
    table = Table(rows, wanted)
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), table)


def shape_of_table(features: AbstractFeatures, pairs: Pairs) -> Table:
    """Return the shapes and types of the table of one instant, without reading any."""
    fields, targets = (
        {name: jax.ShapeDtypeStruct((1, *np.shape(a)[2:]), a.dtype) for name, a in arrays.items()}
        for arrays in (pairs.inputs, pairs.targets)
    )
    given = {
        name: {part: jax.ShapeDtypeStruct((1, *np.shape(v)[1:]), np.asarray(v[:1]).dtype)
               for part, v in parts.items()}
        for name, parts in pairs.given.items()
    }  # fmt: skip
    return eqx.filter_eval_shape(tabulate, features, fields, given or None, targets)


def bytes_of_table(features: AbstractFeatures, pairs: Pairs, *, number: int = 8) -> int:
    """Return the bytes that one instant takes as a table of numbers of so many bytes."""
    return number * sum(part.size for part in shape_of_table(features, pairs))


def _table(features: AbstractFeatures, piece: Piece) -> Table:
    fields = {name: piece.fields[name] for name, _ in features.read}
    return Table(*map(np.asarray, _tabulate(features, fields, piece.given, piece.targets)))


_tabulate = eqx.filter_jit(tabulate)


def measure_scaling(features: AbstractFeatures, pairs: Pairs) -> Scaling:
    """Return mean, deviation and range of every feature and output, in one pass over the pairs.

    An input that does not vary gets the deviation 1, and scales to zero. An output that does not
    vary gets the deviation 0: whatever the predictor says of it, its mean is returned.

    Raises:
        ValueError: The pairs hold values that are not finite.
    """
    inputs, outputs, bad = _Moments(), _Moments(), Counter[str]()
    for piece in pieces(pairs, instant=bytes_of_table(features, pairs)):
        bad.update(_not_finite(piece))
        if not bad:
            table = _table(features, piece)
            inputs.add(table.inputs)
            outputs.add(table.outputs)
    for name, count in bad.items():
        raise ValueError(
            f"{name} of the pairs holds {count} values that are not finite; "
            "drop those times, or fill them, before fitting."
        )
    held = partial(jnp.asarray, dtype=float)
    return Scaling(
        mean=held(inputs.mean),
        deviation=held(inputs.deviation_or(1.0)),
        output_mean=held(outputs.mean),
        output_deviation=held(outputs.deviation_or(0.0)),
        lower=held(inputs.lower),
        upper=held(inputs.upper),
    )


def standardise(
    features: AbstractFeatures, pairs: Pairs, scaling: Scaling, *, most: int | None = None
) -> Table:
    """Return the pairs as one table in float32, each column minus its mean over its deviation.

    Args:
        features: Bound features.
        pairs: In memory or not.
        scaling: Means and deviations.
        most: Rows to keep at most, evenly spread; None keeps all. A sample with places has one
            row at each.
    """
    one = shape_of_table(features, pairs)
    samples = len(pairs) * one.inputs.shape[0]
    stride = 1 if most is None else -(-len(pairs) * int(np.prod(one.inputs.shape[:-1])) // most)
    count, seen = -(-samples // stride), 0
    kept = Table(*(np.empty((count, *part.shape[1:]), np.float32) for part in one))
    for table in standardised_tables(features, pairs, scaling):
        first, start = -(-seen // stride), -seen % stride
        for whole, piece in zip(kept, table, strict=True):
            thinned = piece[start::stride]
            whole[first : first + len(thinned)] = thinned
        seen += len(table.inputs)
    return kept


def standardised_tables(
    features: AbstractFeatures, pairs: Pairs, scaling: Scaling
) -> Iterator[Table]:
    """Yield the pairs as tables, each column minus its mean over its deviation."""
    scaling = jax.tree.map(np.asarray, scaling)
    unit = np.where(scaling.output_deviation > 0, scaling.output_deviation, 1.0)
    for table in tables(features, pairs):
        yield Table(
            (table.inputs - scaling.mean) / scaling.deviation,
            (table.outputs - scaling.output_mean) / unit,
        )


def unscaled_inputs(scaling: Scaling) -> Scaling:
    """Return the scaling with inputs left as they are: trees compare them with thresholds."""
    return replace(
        scaling, mean=jnp.zeros_like(scaling.mean), deviation=jnp.ones_like(scaling.deviation)
    )


def draw_samples(
    features: AbstractFeatures, pairs: Pairs, scaling: Scaling, most: int | None, *, seed: int
) -> Table:
    """Return standardised samples in one table, drawn evenly from all pairs in their order.

    Args:
        features: Bound features, whose samples are rows.
        pairs: May be larger than memory.
        scaling: Centre and scale of each column.
        most: How many are drawn at most; None takes all.
        seed: Which.
    """
    count = len(pairs) * samples_at_once(features, pairs)
    wanted = min(count, most or count)
    draw = np.random.default_rng(seed)
    rows = np.sort(draw.choice(count, wanted, replace=False, shuffle=False))
    pieces, seen = [], 0
    for table in standardised_tables(features, pairs, scaling):
        first, last = np.searchsorted(rows, [seen, seen + len(table.inputs)])
        here = rows[first:last] - seen
        # Trees compare inputs in float32; of outputs every digit decides between splits that tie.
        pieces.append(Table(table.inputs[here].astype(np.float32), table.outputs[here]))
        seen += len(table.inputs)
    return Table(*(np.concatenate(column) for column in zip(*pieces, strict=True)))


def threads() -> int:
    """Return how many threads a library may use: `OMP_NUM_THREADS`, or as many as cores."""
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


class _Moments:
    """Running count, mean, variance and range of the columns of many tables.

    Reference:
        Chan, Golub and LeVeque (1983), Am. Stat. 37, 242-247.
    """

    def __init__(self):
        self.count = 0
        self.mean = self.squares = np.zeros(())
        self.lower, self.upper = np.array(np.inf), np.array(-np.inf)

    def add(self, table: np.ndarray) -> None:
        """Take in the rows of a table."""
        table = table.astype(float).reshape(-1, table.shape[-1])
        count, mean = len(table), table.mean(axis=0)
        total, shift = self.count + count, mean - self.mean
        self.squares = (
            self.squares + ((table - mean) ** 2).sum(axis=0) + shift**2 * self.count * count / total
        )
        self.mean = self.mean + shift * count / total
        self.count = total
        self.lower = np.minimum(self.lower, table.min(axis=0))
        self.upper = np.maximum(self.upper, table.max(axis=0))

    def deviation_or(self, constant: float) -> np.ndarray:
        """Return each column's standard deviation, and `constant` where it does not vary."""
        deviation = np.sqrt(self.squares / self.count)
        return np.where(self.upper > self.lower, deviation, constant)


def _not_finite(piece: Piece) -> dict[str, int]:
    """Return the number of values that are not finite, of the arrays that hold some."""
    found = {}
    for kind, arrays in (("input", piece.fields), ("target", piece.targets)):
        for name, values in arrays.items():
            bad = int(values.size - np.count_nonzero(np.isfinite(values)))
            if bad:
                found[f"{kind} {name!r}"] = bad
    return found
