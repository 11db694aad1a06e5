"""Scores of closures on recorded pairs, instant by instant, without running any model."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array

from closura.core.closure import AbstractClosure
from closura.core.learner import Pairs
from closura.evaluation.prediction import extrapolated_share, predict
from closura.evaluation.scores import FLOOR, NO_CLOSURE
from closura.metrics import bias, block_bootstrap, r_squared, root_mean_square_error
from closura.metrics.error import NO_VARIANCE

FLOOR_BLOCKS = 4  # stretches of the held-out record that are left out in turn
SCORES = ("r_squared", "rmse", "bias")

Arrays = dict[str, np.ndarray]


def score_offline(
    closures: Mapping[str, AbstractClosure | None],
    pairs: Pairs,
    *,
    key: Array,
    block: int | None = None,
    samples: int = 500,
    level: float = 0.9,
) -> xr.Dataset:
    """Return the scores of closures on pairs that they were not fitted on.

    - ``r_squared``, ``rmse``, ``bias`` (model, variable, point): at each point of a field (or each
      level, where the pairs have weights), over series and time. R² is NaN where the target does
      not vary in time.
    - ``overall_...`` (model, variable): over all points; R² compares the errors with the variance
      in time, so that a mean profile alone earns nothing.
    - ``column_...`` (model, variable): the same with each level weighed by its (time-mean) mass;
      only with `Pairs.weights`, and NaN for targets on other levels.
    - ``..._lower``, ``..._upper``: ends of the interval by block bootstrap over time.
    - ``extrapolated_share`` (model): share of inputs outside the training range.

    Two rows are always there. ``"no closure"`` predicts zero. ``"noise floor"`` is the standard
    error of the scores that comes from which times were held out: the record is cut into n = 4
    consecutive stretches, each is left out in turn, and sqrt((n - 1) / n sum (s_i - mean s)^2)
    (the jackknife) is taken, its median over the closures. Of two closures whose scores
    differ by less, neither is known to be better. It is NaN for records shorter than 8 times.

    Args:
        closures: What to score, by name; None predicts zero. Random terms are left out: it is the
            deterministic answer that is scored.
        pairs: Held-out pairs, in time order.
        key: Seeds the bootstrap.
        block: Samples in a bootstrap block; None takes the time after which the correlation of
            the target falls below 1/e, twice, and at least 2.
        samples: Number of resampled records.
        level: Probability that intervals are to cover.

    Raises:
        ValueError: A closure does not predict a target, or the record is too short.
    """
    targets = {name: np.asarray(a, float) for name, a in pairs.targets.items()}
    count = len(pairs.time)
    if count < 4:
        raise ValueError(f"{count} held-out times cannot be scored; hold out 4 or more.")
    block = decorrelation(targets) if block is None else block
    block = int(np.clip(block, 1, count // 2))
    seed = int(jax.random.randint(key, (), 0, 2**31 - 1))
    masses = {name: level_mass(pairs, a) for name, a in targets.items()}
    rows: dict[str, xr.Dataset] = {}
    floors = []
    for name, closure in {NO_CLOSURE: None, **closures}.items():
        predicted = predict(closure, pairs)
        scored = {
            variable: score_variable(predicted[variable], target, masses[variable])
            for variable, target in targets.items()
        }
        bounds = {
            variable: _bounds(
                predicted[variable], targets[variable], masses[variable],
                block=block, seed=seed, samples=samples, level=level,
            )
            for variable in targets
        }  # fmt: skip
        rows[name] = _row({v: scored[v] | bounds[v] for v in targets}, pairs)
        rows[name]["extrapolated_share"] = extrapolated_share(closure, pairs)
        if closure is not None or not closures:
            floors.append(_sampling_error(predicted, targets, masses, pairs))
    rows[FLOOR] = xr.concat(floors, "closure").median("closure", skipna=False)
    names = xr.DataArray(list(rows), dims="model", name="model")
    found = xr.concat(list(rows.values()), names, join="outer", combine_attrs="drop")
    return _described(found, pairs, block, samples, level)


def level_mass(pairs: Pairs, target: np.ndarray) -> np.ndarray | None:
    """Return the share of the column's mass in each level of a target, or None."""
    if pairs.weights is None or target.ndim != 3:
        return None
    mass = np.asarray(pairs.weights, float)
    mass = mass if mass.ndim == 1 else mass.mean(axis=(0, 1))
    return mass / mass.sum() if mass.shape == target.shape[2:] else None


def _frames(predicted: np.ndarray, target: np.ndarray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return both as (series, time, point)."""
    shape = (*target.shape[:2], int(np.prod(target.shape[2:], dtype=int)))
    dims = ("series", "time", "point")
    return tuple(xr.DataArray(a.reshape(shape), dims=dims) for a in (predicted, target))  # type: ignore[return-value]


def score_variable(
    predicted: np.ndarray, target: np.ndarray, mass: np.ndarray | None
) -> dict[str, Any]:
    """Return every score of one variable, without bounds."""
    first, second = _frames(predicted, target)
    over = ("series", "time")
    found = {
        "r_squared": r_squared(first, second, over=over),
        "rmse": root_mean_square_error(first, second, over=over),
        "bias": bias(first, second, over=over),
    }
    mean = second.mean(over)
    for kind, weights in (("overall", None), ("column", mass)):
        weighed = None if weights is None else xr.DataArray(weights, dims="point")
        none = kind == "column" and mass is None
        found[f"{kind}_r_squared"] = r_squared(first - mean, second - mean, weights=weighed)
        found[f"{kind}_rmse"] = root_mean_square_error(first, second, weights=weighed)
        found[f"{kind}_bias"] = bias(first, second, weights=weighed)
        for score in SCORES if none else ():
            found[f"{kind}_{score}"] = xr.full_like(found[f"{kind}_{score}"], np.nan)
    return {name: np.asarray(value) for name, value in found.items()}


def _bounds(predicted, target, mass, *, block, seed, samples, level) -> dict[str, np.ndarray]:
    """Return lower and upper ends of every score of one variable."""
    first, second = _frames(predicted, target)
    points = second.sizes["point"]
    mean = second.mean(("series", "time"))  # about which variances are taken, against rounding
    error, anomaly = first - second, second - mean
    parts = [(error**2), error, anomaly**2, anomaly]
    stacked = np.stack([p.mean("series").values for p in parts], axis=1)  # (time, part, point)
    floor = NO_VARIANCE * (second**2).mean(("series", "time")).values
    weights = [np.full(points, 1 / points)] + ([mass] if mass is not None else [])

    def statistic(values: np.ndarray, axis: int) -> np.ndarray:
        scored = _combine(values.mean(axis), floor, weights)
        return np.pad(scored, ((0, 0), (0, 0), (0, width - scored.shape[2])))

    width = points + 2  # per point, then overall and column
    padded = np.pad(stacked, ((0, 0), (0, 0), (0, 2)))
    frame = xr.DataArray(padded, dims=("time", "part", "point"))
    limits = block_bootstrap(
        frame, "time", block=block, seed=seed, samples=samples, statistic=statistic, level=level
    )
    found = {}
    for end in ("lower", "upper"):
        values = np.asarray(limits.sel(limit=end))
        for row, score in enumerate(SCORES):
            found[f"{score}_{end}"] = values[row, :points]
            found[f"overall_{score}_{end}"] = values[row, points]
            column = values[row, points + 1] if mass is not None else np.nan
            found[f"column_{score}_{end}"] = np.asarray(column)
    return found


def _combine(means: np.ndarray, floor: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Return (batch, 4, point + kinds): R², RMSE, bias and an empty row, from resampled means."""
    square, error, power, shift = np.moveaxis(means[..., : floor.size], 1, 0)
    variance = power - shift**2
    variance = np.where(variance > floor, variance, 0.0)
    kinds = [np.stack([a @ w for w in weights], axis=-1) for a in (square, error, variance)]
    square, error, variance = (
        np.concatenate([a, kind], axis=-1)
        for a, kind in zip((square, error, variance), kinds, strict=True)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        explained = np.where(variance > 0, 1 - square / variance, np.nan)
    return np.stack([explained, np.sqrt(square), error, np.zeros_like(error)], axis=1)


def _sampling_error(predicted, targets, masses, pairs: Pairs) -> xr.Dataset:
    """Return the standard error of every score, by the jackknife over stretches of the record.

    Reference:
        Kunsch (1989), Ann. Stat. 17, 1217-1241, doi:10.1214/aos/1176347265.
    """
    count = len(pairs.time)
    scored = []
    for left_out in np.array_split(np.arange(count), FLOOR_BLOCKS):
        times = np.setdiff1d(np.arange(count), left_out)
        cut = {
            v: score_variable(predicted[v][:, times], a[:, times], masses[v])
            for v, a in targets.items()
        }
        scored.append(_row(cut, pairs))
    together = xr.concat(scored, "stretch")
    spread = together.std("stretch", ddof=0, skipna=False) * np.sqrt(FLOOR_BLOCKS - 1)
    return spread if count >= 2 * FLOOR_BLOCKS else xr.full_like(spread, np.nan)


def _row(scored: Mapping[str, Mapping[str, np.ndarray]], pairs: Pairs) -> xr.Dataset:
    """Return the scores of one model, (variable, point); shorter fields are filled with NaN."""
    points = max(value.shape[0] for s in scored.values() for value in s.values() if value.ndim)
    dim = _point_name(pairs)
    found: dict[str, Any] = {}
    for name in next(iter(scored.values())):
        values = [np.asarray(s[name]) for s in scored.values()]
        if values[0].ndim:
            full = [np.pad(v, (0, points - v.size), constant_values=np.nan) for v in values]
            found[name] = (("variable", dim), np.stack(full))
        else:
            found[name] = ("variable", np.stack(values))
    return xr.Dataset(found, {"variable": list(scored), dim: _along(dim, points, pairs)})


def _along(dim: str, points: int, pairs: Pairs) -> xr.DataArray:
    """Return the coordinate of the levels, where all targets lie on the same, else numbers."""
    targets = {name: level for name, level in pairs.levels.items() if name not in pairs.inputs}
    known = {(tuple(values), units) for values, units in targets.values()}
    values, units = next(iter(known)) if len(known) == 1 else ((), "")
    if len(values) != points:
        return xr.DataArray(np.arange(points), dims=dim)
    return xr.DataArray(np.asarray(values), dims=dim, attrs={"units": units})


def _point_name(pairs: Pairs) -> str:
    """Return "level" for columns whose levels have a mass, else "point"."""
    return "level" if pairs.weights is not None else "point"


def decorrelation(targets: Arrays) -> int:
    """Return twice the lag at which the targets' correlation in time falls below 1/e.

    Args:
        targets: By name, (series, time, *field).
    """
    lags = []
    for values in targets.values():
        anomaly = values - values.mean(axis=1, keepdims=True)
        power = (anomaly**2).sum()
        for lag in range(1, max(2, values.shape[1] // 4)):
            product = (anomaly[:, lag:] * anomaly[:, :-lag]).sum()
            if power == 0 or product < power / np.e:
                break
        lags.append(lag)
    return max(2, 2 * max(lags))


def _described(found: xr.Dataset, pairs: Pairs, block: int, samples: int, level: float):
    """Return the scores with units, names and how they were made."""
    units = dict(pairs.passport.units)
    labels = [units.get(str(name), "") for name in found["variable"].values]
    found = found.assign_coords(units=("variable", labels))
    words = {"r_squared": "share of variance explained", "rmse": "root-mean-square error",
             "bias": "mean of prediction minus target"}  # fmt: skip
    for name, values in found.data_vars.items():
        score = next((words[s] for s in SCORES if s in str(name)), None)
        if score is not None:
            kind = str(name).partition("_")[0]
            where = {"overall": ", all points", "column": ", weighed by mass"}.get(kind, "")
            values.attrs = {"long_name": score + where}
        if "r_squared" in str(name):
            values.attrs["units"] = "1"
    found["extrapolated_share"].attrs = {
        "long_name": "share of inputs outside the training range", "units": "1",
    }  # fmt: skip
    about = f"{level:g} interval by {samples} circular block resamplings of {block} times"
    return found.assign_attrs(intervals=about, held_out_times=len(pairs.time), block=block)
