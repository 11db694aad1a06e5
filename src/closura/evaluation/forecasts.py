"""Forecasts from the attractor: error, correlation, spread and ranks against lead time."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
import xarray as xr
from jaxtyping import Array

from closura.core.closure import fold
from closura.core.model import AbstractModel
from closura.core.rollout import member_keys, rollout, start_members
from closura.evaluation.protocol import (
    Only,
    Protocol,
    Starts,
    interval_of,
    is_random,
    states_at,
    whole,
)
from closura.metrics import (
    anomaly_correlation,
    block_bootstrap,
    crps,
    mean_absolute_error,
    rank_histogram,
    root_mean_square_error,
    spread,
)
from closura.metrics.pairing import Frame

USEFUL = 0.6  # anomaly correlation below which a forecast is no longer called useful
FIRST_UNIT = 1.0  # [time unit] the span that the book's online score averages over
SAMPLES = 200  # resamplings: the ends of a 90 % interval are then known to a tenth of its width
DISTURBANCE = 2**31 - 4  # folded into a member's key to disturb its state; no step has this number
MOST_AT_ONCE = 256  # members stepped together: beyond it they leave the cache
SCORED = ("forecast_mae", "forecast_rmse", "forecast_crps", "forecast_spread",
          "forecast_correlation")  # fmt: skip


def make_forecasts(
    model: AbstractModel,
    truth: xr.Dataset,
    names: Sequence[str],
    starts: Starts,
    protocol: Protocol,
    *,
    key: Array,
    disturb: bool = False,
) -> xr.Dataset:
    """Return forecasts of some variables, with dimensions (start, member, lead, *field).

    Args:
        model: Any model. One that draws random numbers makes `protocol.members` members a start.
        truth: The run that holds the initial states.
        names: Variables to keep.
        starts: Where to start.
        protocol: Lead, interval and number of members.
        key: Randomness of the members.
        disturb: The members differ by what `model.disturb_unresolved` adds.
    """
    size = protocol.members if is_random(model) or disturb else 1
    total = starts.time.size * size
    chunks = -(-total // MOST_AT_ONCE)
    length = -(-total // chunks)
    kept = []
    states = states_at(model, truth, starts)
    for first in range(0, total, length):
        numbers = np.arange(first, first + length) % total
        chosen = jax.tree.map(lambda a, n=numbers: a[..., n // size], states)
        keys = member_keys(key, total)[numbers]
        if disturb:
            chosen = _disturbed(model, chosen, keys)
        kept.append(_run(model, chosen, keys, tuple(names), protocol))
    arrays = {
        name: _by_start([piece[name] for piece in kept], starts.time.size, size) for name in names
    }
    return _as_dataset(arrays, truth, protocol, ("start", "member", "lead"))


def true_course(
    truth: xr.Dataset, names: Sequence[str], starts: Starts, protocol: Protocol
) -> xr.Dataset:
    """Return what came true, with dimensions (start, lead, *field)."""
    steps = whole(protocol.every, interval_of(truth)) * np.arange(protocol.leads.size)
    where = {
        "member": xr.DataArray(starts.member, dims="start"),
        "time": xr.DataArray(starts.time[:, None] + steps, dims=("start", "lead")),
    }
    arrays = {n: truth[n].isel(where).transpose("start", "lead", ...).values for n in names}
    return _as_dataset(arrays, truth, protocol, ("start", "lead"))


def score_forecasts(
    forecasts: xr.Dataset, course: xr.Dataset, climatology: xr.Dataset, protocol: Protocol
) -> xr.Dataset:
    """Return every forecast score of one model, by variable and lead, with bounds.

    A forecast of one member counts as a deterministic one: its CRPS is its absolute error, and it
    has neither spread nor ranks.
    """
    rows = [
        _score_variable(forecasts[name], course[name], climatology[name], protocol)
        for name in forecasts.data_vars
    ]
    variables = xr.DataArray(list(forecasts.data_vars), dims="variable", name="variable")
    return xr.concat(rows, variables, join="outer", combine_attrs="override")


def first_unit(forecasts: xr.Dataset, course: xr.Dataset) -> Frame:
    """Return each forecast's absolute error, averaged from lead 0 to 1 time unit."""
    mean = forecasts.mean("member", skipna=False)
    early = {"lead": forecasts["lead"] <= FIRST_UNIT + 1e-9}
    dims = [dim for dim in mean.dims if dim != "start"]
    return mean_absolute_error(mean.sel(early), course.sel(early), over=dims)


def _run(model, states, keys, names, protocol) -> dict[str, np.ndarray]:
    """Return arrays (member, lead, *field), lead 0 included."""
    every = whole(protocol.every, model.dt)
    snapshot = start_members(model, keys, states=states)
    keep = Only(names)
    steps = every * whole(protocol.lead, protocol.every)
    used = keys if is_random(model) else None
    found, _ = rollout(
        model, snapshot, steps, every=every, key=used, members=True, observe=keep
    )  # fmt: skip
    shown = jax.vmap(model.fields, in_axes=-1, out_axes=-1)(states)
    both = {n: np.concatenate([getattr(shown, n)[None], found[n]]) for n in names}
    return {name: np.moveaxis(values, -1, 0) for name, values in both.items()}


@eqx.filter_jit
def _disturbed(model: Any, states: Any, keys: Array) -> Any:
    draw = jax.vmap(model.disturb_unresolved, in_axes=(-1, 0), out_axes=-1)
    return draw(states, jax.vmap(lambda k: fold(k, DISTURBANCE))(keys))


def _by_start(pieces: list[np.ndarray], starts: int, size: int) -> np.ndarray:
    whole_run = np.concatenate(pieces)[: starts * size]
    return np.ascontiguousarray(whole_run.reshape(starts, size, *whole_run.shape[1:]))


def _as_dataset(arrays, truth, protocol, leading) -> xr.Dataset:
    found = {}
    for name, values in arrays.items():
        dims = [dim for dim in truth[name].dims if dim not in ("member", "time")]
        attributes = {k: v for k, v in truth[name].attrs.items() if k in ("units", "long_name")}
        found[name] = ((*leading, *dims), values, attributes)
    return xr.Dataset(found, {"lead": ("lead", protocol.leads)})


def _score_variable(forecast, course, climatology, protocol) -> xr.Dataset:
    dims = [dim for dim in course.dims if dim not in ("start", "lead")]
    mean = forecast.mean("member", skipna=False, keep_attrs=True)
    parts = _parts(forecast, mean, course, climatology, dims)
    everything, means = ["start", *dims], parts.mean("start", skipna=False)
    central = {
        "forecast_mae": mean_absolute_error(mean, course, over=everything),
        "forecast_rmse": root_mean_square_error(mean, course, over=everything),
        "forecast_crps": means.sel(part="crps", drop=True),
        "forecast_spread": np.sqrt(means.sel(part="variance", drop=True)),
        "forecast_correlation": anomaly_correlation(mean, course, climatology, over=everything),
    }
    block = protocol.block
    limits = block_bootstrap(
        parts, "start", block=block, seed=protocol.seed, samples=SAMPLES,
        statistic=_combine, level=protocol.level,
    ).isel(part=slice(0, len(SCORED)))  # fmt: skip
    found = xr.Dataset(central)
    for limit in ("lower", "upper"):
        ends = limits.sel(limit=limit, drop=True)
        for index, name in enumerate(SCORED):
            found[f"{name}_{limit}"] = ends.isel(part=index, drop=True)
    _add_first_unit(found, parts.sel(part="mae", drop=True), block, protocol)
    found["useful_lead"] = _useful_lead(found["forecast_correlation"])
    found["rank_histogram"] = _ranks(forecast, course, protocol)
    return found.drop_vars(["part", "limit"], errors="ignore")


def _parts(forecast, mean, course, climatology, dims) -> xr.DataArray:
    """Return what the scores are made of, for each start and lead, before it is averaged."""
    first, second = mean - climatology, course - climatology
    if forecast.sizes["member"] > 1:
        variance = spread(forecast, over=dims) ** 2
    else:
        variance = xr.full_like(first.isel(dict.fromkeys(dims, 0), drop=True), np.nan)
    parts = {
        "mae": mean_absolute_error(mean, course, over=dims),
        "square": root_mean_square_error(mean, course, over=dims) ** 2,
        "crps": crps(forecast, course, over=dims),
        "variance": variance,
        "product": (first * second).mean(dims, skipna=False),
        "forecast_power": (first**2).mean(dims, skipna=False),
        "truth_power": (second**2).mean(dims, skipna=False),
    }
    arrays = [part.transpose("start", "lead").drop_attrs() for part in parts.values()]
    return xr.concat(arrays, xr.DataArray(list(parts), dims="part", name="part")).transpose(
        "start", "lead", "part"
    )


def _combine(parts: np.ndarray, axis: int) -> np.ndarray:
    """Return the scores of SCORED from resampled parts, on an axis as long as that of the parts."""
    mae, square, score, variance, product, power, true_power = np.moveaxis(parts.mean(axis), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = product / np.sqrt(power * true_power)
        scores = [mae, np.sqrt(square), score, np.sqrt(variance), correlation]
    return np.stack([*scores, mae, mae], axis=-1)  # the last two only fill the shape


def _add_first_unit(found: xr.Dataset, errors: xr.DataArray, block: int, protocol) -> None:
    early = errors.sel(lead=errors["lead"] <= FIRST_UNIT + 1e-9).mean("lead", skipna=False)
    limits = block_bootstrap(
        early, "start", block=block, seed=protocol.seed, samples=SAMPLES, level=protocol.level
    )
    found["forecast_mae_first_unit"] = early.mean("start", skipna=False)
    for limit in ("lower", "upper"):
        found[f"forecast_mae_first_unit_{limit}"] = limits.sel(limit=limit, drop=True)


def _useful_lead(correlation: xr.DataArray) -> xr.DataArray:
    """Return the first lead of a correlation below USEFUL; infinite where there is none."""
    poor = ~(correlation >= USEFUL)
    first = correlation["lead"].values[poor.argmax("lead").values]
    value = np.where(correlation.isnull().all(), np.nan, np.where(poor.any(), first, np.inf))
    return xr.DataArray(value, attrs={"long_name": f"lead at which correlation < {USEFUL}"})


def _ranks(forecast: xr.DataArray, course: xr.DataArray, protocol: Protocol) -> Frame:
    """Return how often the truth had each rank, over all starts, points and leads above 0."""
    if forecast.sizes["member"] == 1:
        ranks = np.arange(protocol.members + 1)
        return xr.DataArray(np.full(ranks.size, np.nan), {"rank": ranks}, ["rank"])
    later = {"lead": slice(1, None)}
    return rank_histogram(forecast.isel(later), course.isel(later), seed=protocol.seed)


def clean(forecasts: xr.Dataset, bounds: dict[str, float]) -> tuple[xr.Dataset, float]:
    """Return forecasts with NaN from where they blew up on, and the share of starts that did."""
    found, failed = {}, np.zeros(forecasts.sizes["start"], bool)
    for name, values in forecasts.data_vars.items():
        with np.errstate(invalid="ignore"):
            wild = ~(np.abs(values.values) <= bounds[str(name)])
        rest = tuple(range(3, wild.ndim))
        gone = np.maximum.accumulate(wild.any(axis=rest), axis=2)
        failed |= gone.any(axis=(1, 2))
        mask = gone.reshape(*gone.shape, *(1 for _ in rest))
        found[name] = values.copy(data=np.where(mask, np.nan, values.values))
    return forecasts.assign(found), float(failed.mean())
