"""Scores of closures on recorded fields of an atmosphere: by level, weighed by area and mass."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from closura.core.closure import AbstractClosure
from closura.core.learner import Pairs
from closura.core.pieces import pieces
from closura.core.variable import Variable
from closura.evaluation.offline import decorrelation
from closura.evaluation.prediction import extrapolated_share, predicted_pieces
from closura.evaluation.scores import NO_CLOSURE
from closura.metrics.circulation import cell_weights

LEVEL, PLACE = "level", {"lat", "lon"}
FEWEST = 4  # held-out times: two blocks of two
LOOKED_AT = 2**21  # values of a target from which its decorrelation is taken: 16 MB

# By target: sums over area of errors, their squares and the variance, (series, time, level).
Sums = dict[str, dict[str, np.ndarray]]


def score_by_level(
    closures: Mapping[str, AbstractClosure],
    pairs: Pairs,
    *,
    samples: int = 500,
    level: float = 0.9,
    seed: int = 0,
    block: int | None = None,
) -> xr.Dataset:
    """Return the scores of closures on pairs that they were not fitted on.

    - ``r_squared``, ``rmse``, ``bias`` (model, variable, level): over area and time. R² compares
      the error with the variance in time at each place, so that a map of means alone earns
      nothing. Without levels they are missing.
    - ``overall_r_squared``, ``overall_rmse``, ``overall_bias`` (model, variable): over mass too,
      that of `Pairs.weights` where they have any, else the thickness of the levels.
    - ``..._lower``, ``..._upper``: ends of the interval by circular block bootstrap over time.
    - ``extrapolated_share`` (model): share of inputs outside the training range.

    Fields are read a piece at a time; what is kept is a number by time and level.

    Args:
        closures: What to score, by name; "no closure", which predicts zero, is added.
        pairs: Held-out pairs, in time order, in memory or not.
        samples: Number of resampled records.
        level: Probability that intervals are to cover.
        seed: Seed of the bootstrap.
        block: Times in a bootstrap block; None takes it from the targets as `score_offline` does.

    Raises:
        ValueError: There are fewer than 4 held-out times.
    """
    count = len(pairs.time)
    if count < FEWEST:
        raise ValueError(f"{count} held-out times cannot be scored; hold out {FEWEST} or more.")
    means, measured = _means(pairs)
    block = int(np.clip(measured if block is None else block, 1, count // 2))
    drawn = _block_draws(count, block, samples, np.random.default_rng(seed))
    tails = ((1 - level) / 2, (1 + level) / 2)
    everyone: dict[str, AbstractClosure | None] = {NO_CLOSURE: None, **closures}
    rows = [_row(closure, pairs, means, drawn, tails) for closure in everyone.values()]
    models = xr.DataArray(list(everyone), dims="model", name="model")
    units = [_units(pairs, name) for name in pairs.targets]
    about = f"{level:g} interval by {samples} circular block resamplings of {block} times"
    found = xr.concat(rows, models, join="exact").assign_coords(units=("variable", units))
    return found.assign_attrs(intervals=about, held_out_times=count, block=block)


def on_the_sphere(pairs: Pairs) -> bool:
    """Return whether every target is a field on known latitudes and longitudes."""
    dims = [set(_dims(pairs, name)) for name in pairs.targets]
    return all(one >= PLACE for one in dims) and set(pairs.coordinates) >= PLACE


def overall_r_squared(closure: AbstractClosure | None, pairs: Pairs) -> dict[str, float]:
    """Return R² over area, mass and time by target, as `score_by_level` has it, without bounds."""
    sums = _sums(closure, pairs, _means(pairs)[0])
    once = np.full((1, len(pairs.time)), 1 / len(pairs.time))
    return {
        name: float(_scores(pairs, name, one, once, (0.0, 1.0))["overall_r_squared"])
        for name, one in sums.items()
    }


def _row(
    closure: AbstractClosure | None, pairs: Pairs, means: dict[str, np.ndarray],
    drawn: np.ndarray, tails: tuple[float, float],
) -> xr.Dataset:  # fmt: skip
    """Return the scores of one closure, by variable."""
    sums = _sums(closure, pairs, means)
    columns = [_scores(pairs, name, one, drawn, tails) for name, one in sums.items()]
    names = xr.DataArray(list(sums), dims="variable", name="variable")
    row = xr.concat(columns, names, join="outer")
    return row.assign(extrapolated_share=extrapolated_share(closure, pairs))


def _means(pairs: Pairs) -> tuple[dict[str, np.ndarray], int]:
    """Return each target's mean over series and time, (*field), and the length of a block."""
    means, looked_at, strides = {}, {}, {}
    for name, target in pairs.targets.items():
        size = int(np.prod(np.shape(target)[2:]))
        strides[name] = -(-size * len(pairs) // LOOKED_AT)
        means[name] = np.zeros(np.shape(target)[2:])
        kept = (pairs.series, len(pairs.time), -(-size // strides[name]))
        looked_at[name] = np.empty(kept)
    nothing = {"nothing": np.empty((pairs.series, len(pairs.time), 0))}  # targets alone are read
    for piece in pieces(replace(pairs, inputs=nothing)):
        for name, target in piece.targets.items():
            means[name] += target.sum(axis=0, dtype=float) / len(pairs)
            seen = target.reshape(*piece.block.shape, -1)[..., :: strides[name]]
            looked_at[name][piece.block.series, piece.block.times] = seen
    return means, decorrelation(looked_at)


def _sums(closure: AbstractClosure | None, pairs: Pairs, means: dict[str, np.ndarray]) -> Sums:
    found: Sums = {name: {} for name in pairs.targets}
    for piece, made in predicted_pieces(closure, pairs):
        for name, target in piece.targets.items():
            for key, values in _errors(pairs, name, made[name], target, means[name]).items():
                shape = (pairs.series, len(pairs.time), values.shape[1])
                whole = found[name].setdefault(key, np.empty(shape))
                values = values.reshape(*piece.block.shape, -1)
                whole[piece.block.series, piece.block.times] = values
    return found


def _errors(
    pairs: Pairs, name: str, predicted: np.ndarray, target: np.ndarray, mean: np.ndarray
) -> dict[str, np.ndarray]:
    """Return means over area, (instant, level), of errors, their squares and the variance."""
    dims = _dims(pairs, name)
    one = _placed(pairs, mean, dims)
    area = cell_weights(one.isel({LEVEL: 0}) if LEVEL in dims else one)
    over = [dim for dim in dims if dim != LEVEL]
    error = np.asarray(predicted, float) - target
    made = {"error": error, "square": error**2, "variance": (target - mean) ** 2}
    fields = {key: xr.DataArray(values, dims=("instant", *dims)) for key, values in made.items()}
    area = area.drop_vars(list(area.coords))
    return {key: field.weighted(area).mean(over).values.reshape(len(target), -1)
            for key, field in fields.items()}  # fmt: skip


def _scores(
    pairs: Pairs, name: str, sums: dict[str, np.ndarray], drawn: np.ndarray,
    tails: tuple[float, float],
) -> xr.Dataset:  # fmt: skip
    """Return scores by level and over all, with bounds."""
    mass = _masses(pairs, name)
    by_time = {
        key: np.column_stack([values.mean(axis=0), values.mean(axis=0) @ mass])
        for key, values in sums.items()
    }
    again = _of({key: drawn @ values for key, values in by_time.items()})
    found: dict[str, Any] = {}
    for key, values in _of({key: v.mean(axis=0) for key, v in by_time.items()}).items():
        ends = np.quantile(again[key], tails, axis=0)
        for end, value in (("", values), ("_lower", ends[0]), ("_upper", ends[1])):
            found[f"overall_{key}{end}"] = ((), value[-1])
            if LEVEL in _dims(pairs, name):
                found[key + end] = ((LEVEL,), value[:-1])
    known = LEVEL in pairs.coordinates and LEVEL in _dims(pairs, name)
    if not known:
        return xr.Dataset(found)
    described = _about(pairs, name)
    _, units = pairs.levels.get(described.name if described else name, ((), ""))
    attrs = {"units": units} if units else {}
    return xr.Dataset(found, {LEVEL: (LEVEL, pairs.coordinates[LEVEL], attrs)})


def _masses(pairs: Pairs, name: str) -> np.ndarray:
    """Return the share of mass of each level of a target, (level,); 1 where there are none."""
    dims = _dims(pairs, name)
    if LEVEL not in dims:
        return np.ones(1)
    count = np.shape(pairs.targets[name])[2 + dims.index(LEVEL)]
    mass = pairs.weights
    if mass is None or np.shape(mass)[-1] != count:
        mass = cell_weights(_placed(pairs, np.zeros(count), (LEVEL,))).values
    column = np.broadcast_to(np.asarray(mass, float), (*np.shape(mass)[:-1], count))
    mean = column.reshape(-1, count).mean(axis=0)
    return mean / mean.sum()


def _of(means: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return scores from means over time."""
    variance = np.where(means["variance"] > 0, means["variance"], np.nan)
    return {
        "r_squared": np.asarray(1 - means["square"] / variance),
        "rmse": np.asarray(np.sqrt(means["square"])),
        "bias": np.asarray(means["error"]),
    }


def _block_draws(
    times: int, block: int, samples: int, generator: np.random.Generator
) -> np.ndarray:
    """Return how much each time counts in resampled records, (sample, time)."""
    firsts = generator.integers(0, times, (samples, -(-times // block)))
    chosen = (firsts[..., None] + np.arange(block)).reshape(samples, -1)[:, :times] % times
    return np.stack([np.bincount(one, minlength=times) for one in chosen]) / times


def _placed(pairs: Pairs, values: np.ndarray, dims: tuple[str, ...]) -> xr.DataArray:
    held = {dim: pairs.coordinates[dim] for dim in dims if dim in pairs.coordinates}
    return xr.DataArray(values, held, dims)


def _dims(pairs: Pairs, name: str) -> tuple[str, ...]:
    about = _about(pairs, name)
    if about is not None:
        return tuple(about.dims)
    return tuple(f"axis_{axis}" for axis in range(np.ndim(pairs.targets[name]) - 2))


def _about(pairs: Pairs, name: str) -> Variable | None:
    return pairs.variables.get(f"{name}_tendency") or pairs.variables.get(name)


def _units(pairs: Pairs, name: str) -> str:
    own = f"{name}_tendency" if name in pairs.inputs else name
    about = pairs.variables.get(f"{name}_tendency") or pairs.variables.get(own)
    return about.units if about is not None else ""
