"""Recorded pairs as the tables that predictors are fitted on, a bounded piece at a time."""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from closura.closures.features import AbstractFeatures
from closura.closures.learned import Scaling
from closura.core.learner import Pairs


class Table(NamedTuple):
    """Features (sample, *place, feature) and what should be predicted (sample, *place, output)."""

    inputs: np.ndarray
    outputs: np.ndarray


def tables(features: AbstractFeatures, pairs: Pairs) -> Iterator[Table]:
    """Yield the pairs as tables, in the order (series, time, sample), piece by piece.

    Args:
        features: Bound features.
        pairs: May be larger than memory: a piece is read when its turn comes.
    """
    for series, times in pairs.pieces():
        table, wanted = _tabulate(features, *_piece(features, pairs, series, times))
        yield Table(np.asarray(table), np.asarray(wanted))


def samples_at_once(features: AbstractFeatures, pairs: Pairs) -> int:
    """Return how many samples one instant of the pairs gives."""
    piece = _piece(features, pairs, 0, slice(0, 1))
    return eqx.filter_eval_shape(_tabulate, features, *piece)[0].shape[0]


def check_rows(learner: str, features: AbstractFeatures, pairs: Pairs) -> None:
    """Raise ValueError unless every sample of the features is one row of numbers."""
    piece = _piece(features, pairs, 0, slice(0, 1))
    shape = eqx.filter_eval_shape(_tabulate, features, *piece)[0].shape
    if len(shape) != 2:
        raise ValueError(
            f"{learner} wants samples that are rows, and a sample of {type(features).__name__} has "
            f"shape {shape[1:]}; use Column or ColumnNeighbourhood."
        )


def _piece(features: AbstractFeatures, pairs: Pairs, series: int, times: slice) -> tuple:
    fields, given = pairs.instants(series, times)
    read = {name: fields[name] for name, _ in features.read}
    targets = {name: np.asarray(a[series, times]) for name, a in pairs.targets.items()}
    return read, given, targets


@eqx.filter_jit
def _tabulate(features: AbstractFeatures, read: Any, given: Any, targets: Any):
    rows = jax.vmap(features.inputs)(read, given)
    wanted = jax.vmap(features.collect)(targets)
    return rows.reshape(-1, *rows.shape[2:]), wanted.reshape(-1, *wanted.shape[2:])


def measure_scaling(features: AbstractFeatures, pairs: Pairs) -> Scaling:
    """Return mean, deviation and range of every feature and output, in one pass over the pairs.

    An input that does not vary gets the deviation 1, and scales to zero. An output that does not
    vary gets the deviation 0: whatever the predictor says of it, its mean is returned.

    Raises:
        ValueError: The pairs hold values that are not finite.
    """
    _check_finite(pairs)
    inputs, outputs = _Moments(), _Moments()
    for table in tables(features, pairs):
        inputs.add(table.inputs)
        outputs.add(table.outputs)
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
    features: AbstractFeatures, pairs: Pairs, scaling: Scaling, *, dtype: Any = np.float32
) -> Table:
    """Return all pairs as one table, each column minus its mean over its deviation."""
    pieces = [
        Table(*(column.astype(dtype) for column in piece))
        for piece in standardised_tables(features, pairs, scaling)
    ]
    return Table(*(np.concatenate(column) for column in zip(*pieces, strict=True)))


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


def _check_finite(pairs: Pairs) -> None:
    for kind, arrays in (("input", pairs.inputs), ("target", pairs.targets)):
        for name, values in arrays.items():
            bad = 0
            for series, times in pairs.pieces():
                piece = np.asarray(values[series, times])
                bad += int(piece.size - np.count_nonzero(np.isfinite(piece)))
            if bad:
                raise ValueError(
                    f"{kind} {name!r} of the pairs holds {bad} values that are not finite; "
                    "drop those times, or fill them, before fitting."
                )
