"""The verb `evaluate`: every model through the same protocol, beside baselines and the floor."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array

from closura.core.model import AbstractModel
from closura.core.progress import report
from closura.evaluation import climate as climates
from closura.evaluation import forecasts as forecasting
from closura.evaluation import stability
from closura.evaluation.bench import Bench, as_points, prepare, with_members
from closura.evaluation.findings import find_warnings
from closura.evaluation.protocol import (
    Starts,
    check_model,
    climate_starts,
    is_random,
    make_protocol,
    states_at,
)
from closura.evaluation.scores import FLOOR, Scores

FLOOR_MEMBERS = 8  # an ensemble of the fine model costs as much as all other models together


def evaluate(
    model: AbstractModel | Mapping[str, AbstractModel],
    *,
    truth: xr.Dataset,
    baselines: Mapping[str, AbstractModel] | None = None,
    key: Array,
    reference: xr.Dataset | None = None,
    truth_model: AbstractModel | None = None,
    replicates: Mapping[str, Sequence[AbstractModel]] | None = None,
    forecasts: int = 100,
    lead: float = 3.0,
    members: int = 20,
    climate: float | None = None,
    every: float | None = None,
    chaos: float = 250.0,
    level: float = 0.9,
) -> Scores:
    """Score models in their own runs: as forecasts, as climates, and whether they stay sound.

    Args:
        model: A hybrid, or several by name.
        truth: A run (member, time, *field) that the closures were not trained on.
        baselines: Models to beat, by name.
        key: Randomness of stochastic models and of the resampling.
        reference: A second, independent run of the truth: its distance from `truth` is the floor.
            Without it one half of `truth` is held against the other.
        truth_model: The model that made the truth. If it can disturb what the models do not
            resolve, its forecasts from disturbed states are the floor of the forecast scores.
        replicates: Hybrids from other seeds of the same learner, by the hybrid's name.
        forecasts: Number of forecasts.
        lead: Length of a forecast [time units].
        members: Ensemble members of a stochastic model's forecast.
        climate: Length of the climate run, all members together [time units]; that of the truth
            if None.
        every: Interval of lead times [time units], a multiple of the truth's; if None the
            shortest that gives at most 300.
        chaos: Length of the run whose end tells whether chaos was lost [time units]; 0 skips it.
        level: Probability that the bounds are to cover.

    Returns:
        Scores by `model` and `variable`; see `closura.evaluation.scores.Scores`.

    Raises:
        ValueError: A setting does not fit the truth or a model, or names collide.
    """
    hybrids = dict(model) if isinstance(model, Mapping) else {"hybrid": model}
    baselines = dict(baselines or {})
    _check_names(hybrids, baselines, replicates or {})
    truth, reference = with_members(truth), None if reference is None else with_members(reference)
    run_key, seed_key = jax.random.split(key)
    protocol = make_protocol(
        truth, forecasts=forecasts, lead=lead, members=members, climate=climate, every=every,
        chaos=chaos, level=level, seed=int(jax.random.randint(seed_key, (), 0, 2**31 - 1)),
    )  # fmt: skip
    everyone = hybrids | baselines
    for name, one in everyone.items():
        check_model(name, one, protocol)
    bench = prepare(truth, next(iter(hybrids.values())), protocol, run_key)
    rows, example = {}, {}
    for name, one in everyone.items():
        rows[name], example[name] = _score_model(name, one, bench)
    rows[FLOOR], notes = _score_floor(bench, reference, truth_model)
    return _assemble(rows, example, bench, notes, hybrids, baselines, replicates, truth_model)


def _check_names(hybrids, baselines, replicates) -> None:
    twice = sorted((set(hybrids) & set(baselines)) | ({FLOOR} & (set(hybrids) | set(baselines))))
    if not hybrids or twice:
        found = f"{', '.join(twice)} is given twice" if twice else "no model is given"
        raise ValueError(f"{found}; name each model once, and none {FLOOR!r}.")
    unknown = sorted(set(replicates) - set(hybrids))
    if unknown:
        raise ValueError(
            f"replicates names {', '.join(unknown)}, which is no hybrid; "
            f"the hybrids are {', '.join(hybrids)}."
        )


def _score_model(name: str, model: AbstractModel, bench: Bench) -> tuple[xr.Dataset, xr.DataArray]:
    """Return one model's row, and one of its forecasts."""
    row, example = _score_forecasts(name, model, bench)
    report("evaluate", model=name, what="climate")
    run, last = climates.run_climate(
        model, bench.truth, bench.names, bench.protocol, key=bench.key(1)
    )
    row["extrapolated_share"] = stability.extrapolated_share(model, run)
    run, row["blown_up_share"] = stability.without_blown_up(run, bench.bounds)
    scored = climates.score_climate(run, bench.climate, bench.edges, bench.protocol)
    row = xr.merge([row, scored, stability.score_drift(run, bench.climate)], join="exact")
    report("evaluate", model=name, what="stability")
    _add_chaos(row, model, last, bench)
    return row, example


def _score_forecasts(name, model, bench, *, disturb=False) -> tuple[xr.Dataset, xr.DataArray]:
    report("evaluate", model=name, what="forecasts")
    found = forecasting.make_forecasts(
        model, bench.truth, bench.names, bench.starts, bench.protocol,
        key=bench.key(0), disturb=disturb,
    )  # fmt: skip
    found, failed = forecasting.clean(found, bench.bounds)
    row = forecasting.score_forecasts(found, bench.course, bench.climatology, bench.protocol)
    row["blown_up_forecasts_share"] = failed
    return row, as_points(found[bench.names[0]].isel(start=bench.middle, member=0))


def _add_chaos(row: xr.Dataset, model: AbstractModel, last: Any, bench: Bench) -> None:
    """Fill in the Lyapunov exponent and whether chaos was lost."""
    names = ("lyapunov", "lyapunov_lower", "lyapunov_upper", "lost_chaos_share")
    row.update(dict.fromkeys(names, np.nan) | {"lost_chaos": False})
    if is_random(model) or bench.protocol.chaos <= 0 or float(row["blown_up_share"]) == 1.0:
        return
    found = stability.measure_chaos(
        model, last, length=bench.protocol.chaos, key=bench.key(2),
        elapsed=bench.protocol.climate_saves * bench.protocol.climate_every,
        advance=lambda begun, steps: climates.go_on(
            model, begun, bench.names, bench.protocol, steps
        ),
    )  # fmt: skip
    row.update(stability.summary(found, bench.protocol.level))


def _score_floor(bench, reference, truth_model) -> tuple[xr.Dataset, dict[str, str]]:
    """Return the row of the noise floor, and how it was found."""
    notes = {}
    if reference is None:
        first, second = climates.halves(bench.climate)
        notes["climate_floor"] = "one half of the truth against the other"
    else:
        first = climates.as_climate(reference, bench.names, bench.protocol)
        second = bench.climate
        notes["climate_floor"] = "an independent truth against the truth"
    row = climates.score_climate(first, second, bench.edges, bench.protocol)
    if _disturbs(truth_model, bench.truth):
        check_model(FLOOR, truth_model, bench.protocol)
        few = replace(bench.protocol, members=min(FLOOR_MEMBERS, bench.protocol.members))
        small = bench._replace(protocol=few)
        scored, _ = _score_forecasts(FLOOR, truth_model, small, disturb=True)
        row = xr.merge([row, scored], join="exact")
        notes["forecast_floor"] = (
            "the truth's own model, started with unresolved variables disturbed"
        )
    else:
        notes["forecast_floor"] = (
            "none: it needs truth_model with a method disturb_unresolved, "
            "and all of its variables in the truth"
        )
    plain = {"lost_chaos": False, "blown_up_share": 0.0, "extrapolated_share": np.nan}
    return row.assign(plain | {"drifts": ("variable", np.zeros(len(bench.names), bool))}), notes


def _disturbs(model: AbstractModel | None, truth: xr.Dataset) -> bool:
    """Return whether a model can disturb what is unresolved, and the truth holds its State."""
    if model is None or not hasattr(model, "disturb_unresolved"):
        return False
    return all(variable.name in truth for variable in model.variables)


def _assemble(rows, example, bench, notes, hybrids, baselines, replicates, truth_model) -> Scores:
    """Join the rows, and add the truth's own columns, the other seeds, warnings and protocol."""
    models = xr.DataArray(list(rows), dims="model", name="model")
    joined = xr.concat(
        [rows[name].drop_attrs(deep=False) for name in rows], models,
        data_vars="all", coords="minimal", compat="override", join="outer",
        combine_attrs="override",
    )  # fmt: skip
    for name in ("lost_chaos", "drifts"):
        joined[name] = joined[name].astype(bool)
    found = xr.merge(
        [joined, climates.describe_truth(bench.climate, bench.edges, bench.protocol)],
        join="exact", compat="override",
    )  # fmt: skip
    found["example"] = xr.concat(
        list(example.values()), xr.DataArray(list(example), dims="model", name="model"),
        join="exact",
    ).reindex(model=found["model"])  # fmt: skip
    found["truth_example"] = as_points(bench.course[bench.names[0]].isel(start=bench.middle))
    found["example"].attrs["variable"] = bench.names[0]
    _add_truth_chaos(found, truth_model, bench)
    _add_seeds(found, replicates or {}, bench)
    found["lead"].attrs["long_name"] = "lead time"
    lines = find_warnings(found, hybrids, baselines, bench.truth.attrs.get("run"))
    found.attrs = {
        "warnings": json.dumps(lines),
        "protocol": json.dumps(bench.protocol.as_dict() | notes),
        "time_units": next(iter(hybrids.values())).time_units,
    }
    return Scores(found.data_vars, found.coords, found.attrs)


def _add_truth_chaos(found: xr.Dataset, truth_model: AbstractModel | None, bench: Bench) -> None:
    """Say how fast errors grow in the truth; where they do not, no model can have lost chaos."""
    found["truth_lyapunov"] = np.nan
    if truth_model is None or is_random(truth_model) or bench.protocol.chaos <= 0:
        return
    if any(variable.name not in bench.truth for variable in truth_model.variables):
        return
    report("evaluate", model="truth", what="stability")
    few = climate_starts(bench.truth, bench.protocol)
    few = Starts(few.member[:2], few.time[:2])
    begun = stability.begin(truth_model, states_at(truth_model, bench.truth, few))
    length = bench.protocol.chaos * stability.SHARE_FOR_TRUTH
    chaos = stability.measure_chaos(
        truth_model, begun, length=length, key=bench.key(3), elapsed=length
    )
    found["truth_lyapunov"] = float(np.mean(chaos.exponents))
    if chaos.lost.any():
        found["lost_chaos"] = xr.zeros_like(found["lost_chaos"])


def _add_seeds(found: xr.Dataset, replicates: Mapping[str, Sequence], bench: Bench) -> None:
    """Add the first-unit error of hybrids from other seeds."""
    count = max((len(models) for models in replicates.values()), default=0)
    if count == 0:
        return
    shape = (found.sizes["model"], found.sizes["variable"], count)
    values = np.full(shape, np.nan)
    for name, models in replicates.items():
        row = list(found["model"].values).index(name)
        for seed, model in enumerate(models):
            report("evaluate", model=name, what=f"seed {seed + 1}")
            made = forecasting.make_forecasts(
                model, bench.truth, bench.names, bench.starts, bench.protocol, key=bench.key(0)
            )
            errors = forecasting.first_unit(forecasting.clean(made, bench.bounds)[0], bench.course)
            values[row, :, seed] = [float(errors[n].mean(skipna=False)) for n in bench.names]
    found["forecast_mae_first_unit_seeds"] = (("model", "variable", "seed"), values)
