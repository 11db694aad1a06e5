"""Scores of solvers: time means of how assimilations went, with intervals and a verdict."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from closura.evaluation.scores import NO_CLOSURE
from closura.metrics import block_bootstrap

MEASURES = ("analysis_rmse", "forecast_rmse", "analysis_spread", "forecast_spread")
MEDIANS = ("analysis_rmse_median", "forecast_rmse_median")
BOUNDS = ("_lower", "_upper")
# What `score_analyses` writes.
ANALYSIS_SCORES = (
    *(f"{name}{end}" for name in MEASURES for end in ("", *BOUNDS, "_seeds")),
    *MEDIANS, "innovation_ratio", "diverged", "diverged_share", "replaced", "climatology_rmse",
    "observation_error",
)  # fmt: skip
_WORDS = {
    "analysis_rmse": "error of the analysis", "forecast_rmse": "error of the forecast",
    "analysis_spread": "spread of the analysis", "forecast_spread": "spread of the forecast",
}  # fmt: skip


def gather_twins(series: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return how one solver did on several twins, along the dimension ``seed``.

    Args:
        series: What `follow_twin` returned, one for each twin.
    """
    found = xr.concat(series, "seed", combine_attrs="override").assign_coords(
        seed=np.arange(len(series))
    )
    lines = [
        f"twin {number}: {line}"
        for number, one in enumerate(series)
        for line in one.attrs["warnings"]
    ]
    found.attrs["warnings"] = json.dumps(lines)
    found["diverged"] = found["diverged"].astype(int)
    return found


def score_analyses(
    twins: Mapping[tuple[str, str], xr.Dataset],
    *,
    skip: float,
    level: float = 0.9,
    samples: int = 500,
    seed: int = 0,
) -> xr.Dataset:
    """Return the scores of all solvers with all models.

    A score is the mean over time after `skip`, and over twins. A filter that diverged in any twin
    has none: its numbers would be those of no filter; ``diverged`` says so.

    - ``analysis_rmse``, ``forecast_rmse``, ``analysis_spread``, ``forecast_spread``, with
      ``..._lower`` and ``..._upper``, and each twin's as ``..._seeds``.
    - ``analysis_rmse_median``, ``forecast_rmse_median``: over twins, of which those in which the
      filter diverged count as infinitely bad: for filters that are lost now and then. NaN where
      half of them were. Say ``diverged_share`` with it.
    - ``innovation_ratio``: root mean square of the innovations over what spread and observation
      error lead one to expect; 1 for an ensemble that knows its error.
    - ``diverged`` (0 or 1), ``diverged_share`` of the twins, ``replaced`` members.
    - ``climatology_rmse``, ``observation_error``: what to hold them against.

    Args:
        twins: What `gather_twins` returned, by solver and model.
        skip: Time to leave out at the start, while the filters find the truth [time units].
        level: Probability that intervals are to cover.
        samples: Number of resampled series.
        seed: Seed of the resampling.
    """
    solvers = list(dict.fromkeys(solver for solver, _ in twins))
    models = list(dict.fromkeys(model for _, model in twins))
    rows = [
        xr.concat(
            [_one(twins[solver, model], skip, level, samples, seed) for model in models],
            xr.Variable("model", models),
        )
        for solver in solvers
    ]
    found = xr.concat(rows, xr.Variable("solver", solvers))
    any_twin = next(iter(twins.values()))
    late = any_twin.sel(time=any_twin["time"] > skip)
    found["climatology_rmse"] = float(late["climatology_rmse"].mean())
    found["observation_error"] = float(any_twin["observation_error"].mean())
    for name, words in _WORDS.items():
        found[name].attrs = {"long_name": words, "units": str(any_twin.attrs.get("units", ""))}
    about = {"skip": skip, "level": level, "samples": samples, "twins": any_twin.sizes["seed"],
             "cycles": any_twin.sizes["time"]}  # fmt: skip
    found.attrs = {"protocol": json.dumps(about), "warnings": json.dumps(_warnings(twins))}
    return found


def _one(twin: xr.Dataset, skip: float, level: float, samples: int, seed: int) -> xr.Dataset:
    """Return the scores of one solver with one model."""
    late = twin.sel(time=twin["time"] > skip)
    failed = twin["diverged"].values > 0
    found = xr.Dataset()
    for name in MEASURES:
        each = late[name].transpose("seed", "time").values
        found[f"{name}_seeds"] = ("seed", np.where(failed, np.nan, each.mean(axis=1)))
        limits = _limits(each, level, samples, seed)
        values = np.where(failed.any(), np.nan, [each.mean(), *limits])
        for end, value in zip(("", *BOUNDS), values, strict=True):
            found[f"{name}{end}"] = float(value)
        if f"{name}_median" in MEDIANS:
            middle = float(np.median(np.where(failed, np.inf, each.mean(axis=1))))
            found[f"{name}_median"] = middle if np.isfinite(middle) else np.nan
    squares = (late["innovation_rms"] ** 2).mean() / (late["innovation_expected"] ** 2).mean()
    found["innovation_ratio"] = float(np.nan if failed.any() else squares**0.5)
    found["diverged"] = int(failed.any())
    found["diverged_share"] = float(failed.mean())
    found["replaced"] = int(twin["replaced"].sum())
    return found.assign_coords(seed=twin["seed"])


def _limits(each: np.ndarray, level: float, samples: int, seed: int) -> tuple[float, float]:
    """Return an interval of the mean of series (twin, time): blocks of one twin after the other."""
    line = xr.DataArray(each.ravel(), dims="time")
    if not np.isfinite(line).all():
        return np.nan, np.nan
    block = min(2 * _decorrelation(each), line.size // 2)
    found = block_bootstrap(line, "time", block=block, seed=seed, samples=samples, level=level)
    return float(found[0]), float(found[1])


def _decorrelation(each: np.ndarray) -> int:
    """Return the lag at which the correlation in time of series (twin, time) falls below 1/e."""
    anomaly = each - each.mean(axis=1, keepdims=True)
    power = (anomaly**2).sum()
    for lag in range(1, max(2, each.shape[1] // 4)):
        if power == 0 or (anomaly[:, lag:] * anomaly[:, :-lag]).sum() < power / np.e:
            return lag
    return max(1, each.shape[1] // 4)


def _warnings(twins: Mapping[tuple[str, str], xr.Dataset]) -> list[str]:
    """Return what the twins' verdicts say, each after the name of its solver and closure."""
    return [
        f"{solver}{'' if model == NO_CLOSURE else f' with {model}'}, {line}"
        for (solver, model), twin in twins.items()
        for line in json.loads(twin.attrs["warnings"])
    ]
