"""Scores of closures on recorded fields of an atmosphere: by level, weighed by area and mass."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from closura.core.closure import AbstractClosure
from closura.core.learner import Pairs
from closura.evaluation.prediction import extrapolated_share, predict
from closura.evaluation.scores import NO_CLOSURE
from closura.metrics.circulation import cell_weights

AT_ONCE = 32  # times in memory: 60 MB of a T42 atmosphere with 24 levels
LEVEL = "level"
BLOCK = 4  # times in a block of the bootstrap: a day of 6-hourly pairs


def score_by_level(
    closures: Mapping[str, AbstractClosure],
    pairs: Pairs,
    *,
    samples: int = 500,
    level: float = 0.9,
    seed: int = 0,
) -> xr.Dataset:
    """Return the scores of closures on pairs that they were not fitted on.

    - ``r_squared``, ``rmse``, ``bias`` (model, variable, level) with bounds: over area and time.
      R² compares the error with the variance in time at each place, so that a map of means alone
      earns nothing. Without levels they are missing.
    - ``overall_r_squared``, ``overall_rmse``, ``overall_bias`` (model, variable): over mass too.
    - ``extrapolated_share`` (model): share of inputs outside the training range.

    Read a piece at a time; the bootstrap draws blocks of times.

    Args:
        closures: What to score, by name; "no closure", which predicts zero, is added.
        pairs: Held-out pairs, in time order.
        samples: Number of resampled records.
        level: Probability that intervals are to cover.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: There are fewer than 8 held-out times.
    """
    count = len(pairs.time)
    if count < 2 * BLOCK:
        raise ValueError(f"{count} held-out times cannot be scored; hold out {2 * BLOCK} or more.")
    everyone: dict[str, AbstractClosure | None] = {NO_CLOSURE: None, **closures}
    means = {name: _field(pairs, name).mean("time") for name in pairs.targets}
    rows = []
    for closure in everyone.values():
        parts = [
            {name: _errors(made[name], piece, name, means[name]) for name in pairs.targets}
            for piece, made in _predictions(closure, pairs)
        ]
        columns = [
            _scores(xr.concat([part[name] for part in parts], "time"), samples, level, seed)
            for name in pairs.targets
        ]
        names = xr.DataArray(list(pairs.targets), dims="variable", name="variable")
        row = xr.concat(columns, names, join="outer")
        row["extrapolated_share"] = extrapolated_share(closure, pairs)
        rows.append(row)
    models = xr.DataArray(list(everyone), dims="model", name="model")
    units = [_units(pairs, name) for name in pairs.targets]
    return xr.concat(rows, models, join="exact").assign_coords(units=("variable", units))


def _predictions(
    closure: AbstractClosure | None, pairs: Pairs
) -> Iterator[tuple[Pairs, dict[str, np.ndarray]]]:
    for first in range(0, len(pairs.time), AT_ONCE):
        piece = pairs.at(slice(first, first + AT_ONCE))
        yield piece, predict(closure, piece)


def _errors(predicted: np.ndarray, piece: Pairs, name: str, mean: xr.DataArray) -> xr.Dataset:
    """Return sums over area by time and level: of errors, their squares, and the variance."""
    target = _field(piece, name)
    error = target.copy(data=_in_a_row(predicted)) - target
    area = cell_weights(target.isel({LEVEL: 0}) if LEVEL in target.dims else target.isel(time=0))
    over = [dim for dim in target.dims if dim not in ("time", LEVEL)]
    made = {"error": error, "square": error**2, "variance": (target - mean) ** 2}
    return xr.Dataset({key: value.weighted(area).mean(over) for key, value in made.items()})


def _scores(sums: xr.Dataset, samples: int, level: float, seed: int) -> xr.Dataset:
    """Return scores by level and over all, with bounds by level."""
    weights = cell_weights(sums["square"].isel(time=0)) if LEVEL in sums.dims else None
    whole = sums if weights is None else sums.weighted(weights).mean(LEVEL)
    means = {str(n): whole[n].mean("time").values for n in whole.data_vars}
    found: dict[str, Any] = {f"overall_{key}": ((), value) for key, value in _of(means).items()}
    if LEVEL not in sums.dims:
        return xr.Dataset(found)
    by_time = {str(n): sums[n].transpose("time", LEVEL).values for n in sums.data_vars}
    drawn = _block_draws(sums.sizes["time"], samples, np.random.default_rng(seed))
    again = _of({name: values[drawn].mean(axis=1) for name, values in by_time.items()})
    tail = (1 - level) / 2
    for key, value in _of({name: values.mean(axis=0) for name, values in by_time.items()}).items():
        found[key] = ((LEVEL,), value)
        for end, share in (("_lower", tail), ("_upper", 1 - tail)):
            found[key + end] = ((LEVEL,), np.quantile(again[key], share, axis=0))
    return xr.Dataset(found, {LEVEL: sums[LEVEL]} if LEVEL in sums.coords else {})


def _of(means: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return scores from means over time."""
    variance = np.where(means["variance"] > 0, means["variance"], np.nan)
    return {
        "r_squared": np.asarray(1 - means["square"] / variance),
        "rmse": np.asarray(np.sqrt(means["square"])),
        "bias": np.asarray(means["error"]),
    }


def _block_draws(times: int, samples: int, generator: np.random.Generator) -> np.ndarray:
    """Return times of resampled records, in blocks, (sample, time)."""
    firsts = generator.integers(0, times - BLOCK + 1, (samples, -(-times // BLOCK)))
    return (firsts[..., None] + np.arange(BLOCK)).reshape(samples, -1)[:, :times]


def _field(pairs: Pairs, name: str) -> xr.DataArray:
    """Return a target as an array (time, *dims) with coordinates, one series after another."""
    values = _in_a_row(pairs.targets[name])
    about: Any = pairs.variables.get(f"{name}_tendency") or pairs.variables.get(name)
    dims = about.dims if about is not None else tuple(f"axis_{n}" for n in range(values.ndim - 1))
    held = {dim: pairs.coordinates[dim] for dim in dims if dim in pairs.coordinates}
    return xr.DataArray(values, held, ("time", *dims))


def _in_a_row(values: np.ndarray) -> np.ndarray:
    """Return (series, time, *field) as (series * time, *field)."""
    return np.asarray(values, float).reshape(-1, *np.shape(values)[2:])


def _units(pairs: Pairs, name: str) -> str:
    about = pairs.variables.get(f"{name}_tendency")
    return about.units if about is not None else ""
