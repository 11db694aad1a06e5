"""Climates: what a long run has in common with the truth when single instants no longer do."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Array

from closura.core.model import AbstractModel, Snapshot
from closura.core.rollout import member_keys, rollout, start_members
from closura.evaluation.protocol import (
    Only,
    Protocol,
    climate_starts,
    interval_of,
    is_random,
    states_at,
    whole,
)
from closura.metrics import (
    autocorrelation,
    hellinger,
    kolmogorov_smirnov,
    mean_difference,
    power_spectrum,
    probability_density,
    shared_bins,
    wasserstein_1,
    wave_number_spectrum,
)

BINS = 60  # between the least and the greatest value of the truth, and a few beyond
POINTS = 400  # where distribution functions are compared to find the bounds of a distance
SEGMENTS = 4  # blocks in each run, for the bounds
SAMPLES = 200  # resamplings, as for the forecasts
RINGS = ("k", "kj", "lon")  # dimensions along which a field closes in itself
DISTANCES = ("wasserstein_1", "hellinger", "kolmogorov_smirnov")


def run_climate(
    model: AbstractModel,
    truth: xr.Dataset,
    names: Sequence[str],
    protocol: Protocol,
    *,
    key: Array,
) -> tuple[xr.Dataset, Snapshot]:
    """Run a model for the length of the climate, from the truth's attractor onto its own.

    The first lead of the run is left out: by then a model has found its own climate, or most of
    the way to it.

    Returns:
        A run with dimensions (member, time, *field), and the last Snapshot, members last.
    """
    states = states_at(model, truth, climate_starts(truth, protocol))
    keys = member_keys(key, protocol.climate_members)
    begun = start_members(model, keys, states=states)
    kept, last = _run(model, begun, keys if is_random(model) else None, tuple(names), protocol)
    left_out = protocol.states_left_out
    time = protocol.climate_every * np.arange(protocol.climate_states)
    found = {}
    for name in names:
        values = np.moveaxis(np.asarray(kept[name]), -1, 0)[:, left_out:]
        found[name] = (truth[name].transpose("member", "time", ...).dims, values)
    run = xr.Dataset(found, {"time": ("time", time)})
    for name in names:
        run[name].attrs = _described(truth[name])
    return run, last


def go_on(
    model: AbstractModel, last: Snapshot, names: Sequence[str], protocol: Protocol, steps: int
) -> Snapshot:
    """Return the snapshot of a deterministic climate run some steps later, or a few more.

    It repeats the run of `run_climate`, which is compiled already.
    """
    each = whole(protocol.climate_every, model.dt) * protocol.climate_saves
    for _ in range(-(-steps // each)):
        _, last = _run(model, last, None, tuple(names), protocol)
    return last


def as_climate(truth: xr.Dataset, names: Sequence[str], protocol: Protocol) -> xr.Dataset:
    """Return the truth thinned and cut like a climate run: its pieces become members.

    Runs of equal length make estimates comparable that depend on it, such as autocorrelation.
    """
    thinning = whole(protocol.climate_every, interval_of(truth))
    thin = truth[list(names)].isel(time=slice(None, None, thinning)).compute()
    length = min(protocol.climate_states, thin.sizes["time"])
    pieces = [
        thin.isel(time=slice(first, first + length)).drop_vars(["time", "member"], errors="ignore")
        for first in range(0, thin.sizes["time"] - length + 1, length)
    ]
    joined = xr.concat(pieces, "member", join="outer", combine_attrs="override")
    found = joined.assign_coords(time=protocol.climate_every * np.arange(length))
    for name in names:
        found[name] = found[name].astype("float64").transpose("member", "time", ...)
        found[name].attrs = _described(truth[name])
    return found


def halves(climate: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Return two halves of a climate: of its members, or of its time if there is one member."""
    dim = "member" if climate.sizes["member"] > 1 else "time"
    middle = climate.sizes[dim] // 2
    second = climate.isel({dim: slice(middle, 2 * middle)})
    first = climate.isel({dim: slice(0, middle)})
    return first, second.assign_coords(time=first["time"])


def bins_of(truth: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the edges, by variable, of the histograms that all models are compared on."""
    edges = {}
    for name, values in truth.data_vars.items():
        inner = shared_bins(values, count=BINS)
        width = inner[1] - inner[0]
        beyond = width * np.arange(1, 1 + BINS // 10)
        edges[str(name)] = np.concatenate([inner[0] - beyond[::-1], inner, inner[-1] + beyond])
    return edges


def score_climate(
    run: xr.Dataset, truth: xr.Dataset, edges: Mapping[str, np.ndarray], protocol: Protocol
) -> xr.Dataset:
    """Return every climate score of a run (NaN throughout if the run has a NaN), by variable."""
    rows = [_score_variable(run[n], truth[n], edges[str(n)], protocol) for n in truth.data_vars]
    return _stack(rows, truth)


def describe_truth(
    truth: xr.Dataset, edges: Mapping[str, np.ndarray], protocol: Protocol
) -> xr.Dataset:
    """Return what the scores are compared with: the truth's own density, spectra and moments."""
    rows = []
    for name, values in truth.data_vars.items():
        shape = _shape(values, edges[str(name)], protocol)
        row = xr.Dataset({f"truth_{key}": value for key, value in shape.items()})
        centres = (edges[str(name)][:-1] + edges[str(name)][1:]) / 2
        row["bin_centre"] = ("bin", centres, {"units": values.attrs.get("units", "")})
        row["truth_mean"] = values.mean(skipna=False)
        row["truth_variance"] = values.var(skipna=False)
        rows.append(row)
    return _stack(rows, truth)


def _run(model, begun, keys, names, protocol):
    every = whole(protocol.climate_every, model.dt)
    return rollout(
        model, begun, every * protocol.climate_saves, every=every, key=keys, members=True,
        observe=Only(names),
    )  # fmt: skip


def _score_variable(run, truth, edges, protocol) -> xr.Dataset:
    shape = _shape(run, edges, protocol)
    found = xr.Dataset(shape)
    with np.errstate(invalid="ignore", over="ignore"):
        found["climate_mean"] = run.mean(skipna=False)
        found["climate_variance"] = run.var(skipna=False)
        found["climate_mean_error"] = mean_difference(run, truth)
        found["climate_variance_ratio"] = found["climate_variance"] / truth.var(skipna=False)
    found["wasserstein_1"] = wasserstein_1(run, truth)
    found["hellinger"] = hellinger(run, truth, bins=edges)
    found["kolmogorov_smirnov"] = kolmogorov_smirnov(run, truth)
    for name, (lower, upper) in _bounds(run, truth, edges, found, protocol).items():
        found[f"{name}_lower"], found[f"{name}_upper"] = lower, upper
    return found


def _shape(values: xr.DataArray, edges: np.ndarray, protocol: Protocol) -> dict[str, Any]:
    """Return density, autocorrelation and spectra of a run, averaged over members and points."""
    size, spacing = values.sizes["time"], protocol.climate_every
    lags = min(whole(protocol.lead, spacing), size // 2)
    correlation = autocorrelation(values, lags, over=None)
    density = probability_density(values, edges).drop_vars(["bin", "bin_width"])
    segment = min(size, max(8, 4 * whole(protocol.lead, spacing)))
    spectrum = power_spectrum(values, segment=segment, over=None)
    found: dict[str, Any] = {
        "probability_density": density,
        "autocorrelation": correlation.assign_coords(lag=spacing * np.arange(lags + 1)),
        "power_spectrum": spectrum,
    }
    rings = [dim for dim in values.dims if dim in RINGS and values.sizes[dim] > 3]
    if rings:
        along = str(rings[-1])
        found["wave_number_spectrum"] = wave_number_spectrum(values, along=along, over=None)
    return found


def _bounds(run, truth, edges, found, protocol) -> dict[str, tuple[float, float]]:
    """Return bounds of the three distances, from blocks of both runs drawn anew.

    Sampling noise makes every resampled distance too large; the interval is shifted back by the
    median of that excess, so that it holds the estimate, and ends at 0.
    """
    if not np.isfinite(run.values).all():
        return dict.fromkeys(DISTANCES, (np.nan, np.nan))
    low = min(float(run.min()), float(truth.min()))
    points = np.linspace(low, max(float(run.max()), float(truth.max())), POINTS)
    generator = np.random.default_rng(protocol.seed)
    drawn = [_drawn(sample, points, edges, generator) for sample in (run, truth)]
    (first, first_binned), (second, second_binned) = drawn
    gaps = np.abs(first - second)
    distances = {
        "wasserstein_1": gaps[:, :-1].sum(axis=1) * (points[1] - points[0]),
        "hellinger": 0.5 * ((np.sqrt(first_binned) - np.sqrt(second_binned)) ** 2).sum(axis=1),
        "kolmogorov_smirnov": gaps.max(axis=1),
    }
    tail = (1.0 - protocol.level) / 2.0
    bounds = {}
    for name, values in distances.items():
        lower, middle, upper = np.quantile(values, [tail, 0.5, 1.0 - tail])
        value = float(found[name])
        bounds[name] = (max(0.0, value + lower - middle), value + upper - middle)
    return bounds


def _drawn(sample, points, edges, generator) -> tuple[np.ndarray, np.ndarray]:
    """Return resampled distribution functions and bin probabilities, (resampling, point or bin)."""
    blocks = _blocks(sample.values)
    below = np.stack([b.searchsorted(points, side="right") / b.size for b in blocks])
    inner = np.stack([b.searchsorted(edges, side="right") / b.size for b in blocks])
    chosen = generator.integers(0, len(blocks), (SAMPLES, len(blocks)))
    weights = np.stack([np.bincount(row, minlength=len(blocks)) for row in chosen]) / len(blocks)
    binned = np.diff(weights @ inner, axis=1, prepend=0.0, append=1.0)
    return weights @ below, np.maximum(binned, 0.0)


def _blocks(values: np.ndarray) -> list[np.ndarray]:
    """Return the sorted values of each block: every member cut into stretches of time."""
    pieces = np.array_split(values, SEGMENTS if values.shape[1] >= 2 * SEGMENTS else 1, axis=1)
    return [np.sort(member, axis=None) for piece in pieces for member in piece]


def _described(array: xr.DataArray) -> dict[str, str]:
    return {key: array.attrs[key] for key in ("units", "long_name") if key in array.attrs}


def _stack(rows: list[xr.Dataset], truth: xr.Dataset) -> xr.Dataset:
    variables = xr.DataArray(list(truth.data_vars), dims="variable", name="variable")
    return xr.concat(rows, variables, join="outer", combine_attrs="override", data_vars="all")
