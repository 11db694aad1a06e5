"""Scores of free runs: how far time means are from the truth's, and what the circulation is like.

All scores come from statistics of runs (`statistics_of`, `free_run`), so that a run of any length
costs the same. Fields with the names u and v are taken together as "wind": its error is the
root-mean-square over both components. Temperature is scored wherever it is there, corrected or not.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from closura.evaluation import gain as gains
from closura.evaluation.free_runs import BLOW_UP, SURVIVED
from closura.evaluation.gain import Blocks, Estimate, blocks_of
from closura.evaluation.portraits import portrait
from closura.evaluation.running_means import ADDED, GLOBAL, MEAN, SHARE
from closura.evaluation.scores import FLOOR, NO_CLOSURE
from closura.metrics.circulation import cell_weights, ring_of

WIND, COMPONENTS, TEMPERATURE = "wind", ("u", "v"), "temperature"
TIME_MEAN, ZONAL = "mean_error", "zonal_error"
NOTHING = Estimate(float("nan"), float("nan"), float("nan"))


class Resampling(NamedTuple):
    """How intervals are found.

    Args:
        samples: Number of resampled runs.
        level: Probability that intervals are to cover.
        seed: Seed of the resampling.
    """

    samples: int = 500
    level: float = 0.9
    seed: int = 0

    @property
    def settings(self) -> dict[str, Any]:
        """The same as keywords."""
        return self._asdict()


RESAMPLING = Resampling()


def score_free_runs(
    runs: Mapping[str, xr.Dataset],
    *,
    truth: xr.Dataset,
    other: xr.Dataset | None,
    resampling: Resampling = RESAMPLING,
) -> xr.Dataset:
    """Return the scores of free runs against the truth, all beside the noise floor.

    - ``mean_error`` (model, variable): root-mean-square over area and mass of the difference of
      time means; of u and v together as "wind". ``zonal_error``: of zonal means.
    - ``mean_gain``, ``zonal_gain``: how much less that is than without a closure.
    - ``verdict``, ``zonal_verdict``: by the rule of `closura.evaluation.gain`.
    - ``excess_removed``: the gain as a share of what the error without a closure exceeds the
      noise floor by; NaN where it does not exceed it.
    - ``drift``: trend of the global mean [per time unit].
    - ``added_units`` (added): units of the fields that closures added to; rates are per time unit.
    - ``survived``, ``blew_up``; and the portraits of `portrait`, those of the truth as ``truth_X``.

    Bounds end in ``_lower`` and ``_upper``. A run that blew up has no errors.

    Args:
        runs: Statistics by model; ``"no closure"`` is what gains are measured from.
        truth: Statistics of the truth; of a climatology, those of its one state.
        other: Statistics of an independent truth of the same length; None where the truth is a
            climatology: then the floor is the sampling error of the run without a closure.
        resampling: How intervals are found.

    Raises:
        ValueError: There is no run without a closure, or a truth is not finite.
    """
    if NO_CLOSURE not in runs:
        raise ValueError(
            f"the runs are {', '.join(runs)}; gains are measured from one called "
            f"{NO_CLOSURE!r}: add it."
        )
    everyone = dict(runs) | ({FLOOR: other} if other is not None else {})
    names = scored_variables(truth)
    _check_truth("the truth", truth, names)
    if other is not None:
        _check_truth("the independent truth", other, names)
    columns = [_column(name, runs, truth, other, resampling) for name in names]
    variables = xr.DataArray(names, dims="variable", name="variable")
    found = xr.concat(
        columns, variables, coords="different", compat="equals", join="exact", data_vars="all"
    )
    found = _with_portraits(found, everyone, truth)
    return _with_survival(found, everyone, resampling)


def _with_portraits(
    found: xr.Dataset, everyone: Mapping[str, xr.Dataset], truth: xr.Dataset
) -> xr.Dataset:
    """Add what each run looks like, and the truth."""
    alive = {name: run for name, run in everyone.items() if not run.attrs.get(BLOW_UP)}
    models = xr.DataArray(list(alive), dims="model", name="model")
    drawn = xr.concat(
        [portrait(run) for run in alive.values()], models, data_vars="all", coords="minimal",
        compat="override", join="outer", combine_attrs="drop_conflicts",
    )  # fmt: skip
    of_truth = portrait(truth)
    of_truth = of_truth.rename({name: f"truth_{name}" for name in of_truth.data_vars})
    if "added" in drawn.dims:
        units = [_units_of(str(name), [*alive.values(), truth]) for name in drawn["added"].values]
        drawn = drawn.assign_coords(added_units=("added", units))
    parts = [found, drawn.reindex(model=found["model"]), of_truth]
    return xr.merge(parts, compat="override", join="outer", combine_attrs="drop")


def _units_of(name: str, runs: list[xr.Dataset]) -> str:
    """Return the units of a field, from the first of several statistics that tells them."""
    means = [run[MEAN + name] for run in runs if MEAN + name in run]
    return next((str(mean.attrs["units"]) for mean in means if "units" in mean.attrs), "1")


def scored_variables(truth: xr.Dataset) -> list[str]:
    """Return what is scored: the wind and temperature first, then each field by itself."""
    names = [
        str(name).removeprefix(MEAN) for name in truth.data_vars
        if str(name).startswith(MEAN) and not _is_of_closures(str(name))
    ]  # fmt: skip
    first = [WIND] if all(name in names for name in COMPONENTS) else []
    first += [TEMPERATURE] if TEMPERATURE in names else []
    return [*first, *(name for name in names if name not in first)]


def _is_of_closures(name: str) -> bool:
    return name.endswith(ADDED) or name.startswith(MEAN + SHARE)


def fields_of(variable: str) -> tuple[str, ...]:
    """Return the fields that a scored variable consists of."""
    return COMPONENTS if variable == WIND else (variable,)


def means_of(run: xr.Dataset, variable: str, *, zonal: bool = False) -> Blocks | None:
    """Return the block means of a scored variable; None where the run has no whole block.

    Args:
        run: Statistics.
        variable: Name, or "wind".
        zonal: Whether to average over the ring first.
    """
    names = [MEAN + name for name in fields_of(variable)]
    if run.attrs.get(BLOW_UP) or any(name not in run for name in names):
        return None
    weights = [cell_weights(run[name].isel(block=0)) for name in names]
    fields = [run[name] for name in names]
    ring = ring_of(fields[0].dims)
    if zonal and ring is not None:
        fields = [field.mean(ring) for field in fields]
    return blocks_of(fields, weights)


def _column(
    variable: str, runs: Mapping[str, xr.Dataset], truth: xr.Dataset, other: Any,
    resampling: Resampling,
) -> xr.Dataset:  # fmt: skip
    """Return every error of one variable, by model, the noise floor last."""
    found: dict[str, list[Any]] = {}
    for zonal, name in ((False, "mean"), (True, "zonal")):
        true = means_of(truth, variable, zonal=zonal)
        assert true is not None
        without = means_of(runs[NO_CLOSURE], variable, zonal=zonal)
        independent = None if other is None else means_of(other, variable, zonal=zonal)
        floor = _floor(true, without, independent, resampling)
        errors, won, verdicts = [], [], []
        for model, run in runs.items():
            means = means_of(run, variable, zonal=zonal)
            error, gain = _error(means, without, true, resampling)
            verdict = gains.judge(gain, floor.uncertainty, survived=_is_finite(means))
            errors.append(error)
            won.append(NOTHING if model == NO_CLOSURE else gain)
            verdicts.append("" if model == NO_CLOSURE else verdict)
        found |= _with_bounds(f"{name}_error", [*errors, floor])
        found |= _with_bounds(f"{name}_gain", [*won, NOTHING])
        found["verdict" if name == "mean" else "zonal_verdict"] = [*verdicts, ""]
        if name == "mean":
            first = errors[list(runs).index(NO_CLOSURE)].value
            excess = first - floor.value
            share = [e.value / excess if excess > 0 else np.nan for e in won]
            found["excess_removed"] = [*share, np.nan]
    found["drift"] = [*(_drift(run, variable) for run in runs.values()), np.nan]
    units = truth[MEAN + fields_of(variable)[0]].attrs.get("units", "1")
    made = {key: ("model", np.asarray(values)) for key, values in found.items()}
    return xr.Dataset(made, {"model": [*runs, FLOOR], "units": units})


def _is_finite(means: Blocks | None) -> bool:
    return means is not None and bool(np.isfinite(means.values).all())


def _check_truth(words: str, truth: xr.Dataset, names: list[str]) -> None:
    """Raise ValueError where a truth blew up, or has numbers that are not finite."""
    bad = [name for name in names if not _is_finite(means_of(truth, name))]
    if bad:
        told = truth.attrs.get(BLOW_UP) or f"{bad[0]} has no finite means"
        raise ValueError(
            f"{words} is no measure of runs: {told}; wanted are finite means of "
            f"{', '.join(names)}. Shorten its time step, or draw it with another seed."
        )


def _error(
    run: Blocks | None, without: Blocks | None, true: Blocks, resampling: Resampling
) -> tuple[Estimate, Estimate]:
    """Return the error of a run and its gain over the run without a closure."""
    if run is None:
        return NOTHING, NOTHING
    error = gains.error(run, true, **resampling.settings)
    if without is None:
        return error, NOTHING
    return error, gains.gain(without, run, true, **resampling.settings)


def _floor(
    true: Blocks, without: Blocks | None, other: Blocks | None, resampling: Resampling
) -> Estimate:
    if other is not None:
        return gains.floor(true, other, **resampling.settings)
    return NOTHING if without is None else gains.floor(without, None, **resampling.settings)


def _with_bounds(name: str, estimates: list[Estimate]) -> dict[str, list[float]]:
    columns = zip(*estimates, strict=True)
    ends = ("", "_lower", "_upper")
    return {name + end: list(c) for end, c in zip(ends, columns, strict=True)}


def _drift(run: xr.Dataset, variable: str) -> float:
    """Return the trend of the global mean of a field [per time unit]."""
    name = GLOBAL + fields_of(variable)[0]
    if run.attrs.get(BLOW_UP) or name not in run or run.sizes["time"] < 3:
        return float("nan")
    time = run["time"].values.astype(float)
    return float(np.polyfit(time - time.mean(), run[name].values, 1)[0])


def _with_survival(
    found: xr.Dataset, everyone: Mapping[str, xr.Dataset], resampling: Resampling
) -> xr.Dataset:
    """Add how long each model ran, and say what happened to those that blew up."""
    rows = [everyone.get(str(name), xr.Dataset()).attrs for name in found["model"].values]
    told = {str(name): str(row.get(BLOW_UP, "")) for name, row in
            zip(found["model"].values, rows, strict=True)}  # fmt: skip
    found[SURVIVED] = ("model", np.array([row.get(SURVIVED, np.nan) for row in rows], float))
    found["blew_up"] = ("model", np.array([bool(text) for text in told.values()]))
    lines = [f"{name} blew up: {text}." for name, text in told.items() if text]
    lines += _too_few_blocks(everyone) + _dependent_blocks(found)
    found.attrs = {
        "warnings": json.dumps(lines),
        "protocol": json.dumps(resampling.settings | {"rule": gains.RULE}),
    }
    return found


def _too_few_blocks(everyone: Mapping[str, xr.Dataset]) -> list[str]:
    """Return a line where intervals rest on fewer blocks than they need."""
    alive = [run for run in everyone.values() if not run.attrs.get(BLOW_UP)]
    least = min((run.sizes.get("block", 0) for run in alive), default=gains.LEAST_BLOCKS)
    if least >= gains.LEAST_BLOCKS:
        return []
    return [
        f"Means are over {least} blocks and intervals want {gains.LEAST_BLOCKS}, or they are too "
        "narrow and verdicts too bold: run longer or take shorter blocks."
    ]


def _dependent_blocks(found: xr.Dataset) -> list[str]:
    """Return a line where two truths are further apart than their blocks, dealt anew, ever are."""
    floors = found.sel(model=FLOOR)
    names = [name for name in (WIND, TEMPERATURE) if name in found["variable"]]
    told = []
    for name, words in (("mean_error", ""), ("zonal_error", "zonal-mean ")):
        beyond = (floors[name] > floors[f"{name}_upper"]).sel(variable=names or found["variable"])
        told += [f"{words}{each}" for each in beyond["variable"].values[beyond.values]]
    if not told:
        return []
    return [
        f"The noise floor lies above its interval ({', '.join(told)}): blocks may depend on "
        "each other, and then intervals are too narrow. Run longer, or take longer blocks."
    ]
