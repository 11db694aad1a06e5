"""Twins: a truth that is known, observed badly, and a solver that has to find it again."""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from closura.core.couple import ClosuraWarning
from closura.core.model import AbstractModel
from closura.core.problem import AbstractSolver, Observations
from closura.data.assimilate import assimilate
from closura.data.border import from_dataset
from closura.data.store import open_run
from closura.data.verdict import DeadEnsemble, innovations_by_time
from closura.metrics.ensemble import rank_histogram
from closura.solvers.baselines import Climatology

DEVIATIONS = np.linspace(-5.0, 5.0, 41)  # edges of the bins of innovations over what is expected
CENTRES = (DEVIATIONS[:-1] + DEVIATIONS[1:]) / 2
MOST_VALUES = 2**28  # numbers of forecasts, analyses and increments of all members: 2 GB


class Twin(NamedTuple):
    """A truth, what was seen of it, and all that a solver is given beside it.

    Attributes:
        truth: See `read_truth`; it begins at time 0, before the first observation.
        observations: What was seen of it.
        climate: An independent run of the truth: members begin at instants of it, and static
            covariances are measured on it.
        start: Members begin around the truth instead, normally distributed with this share of the
            climate's standard deviation.
        key: Randomness of the start, the model and the solver.
    """

    truth: xr.Dataset
    observations: Observations
    climate: xr.Dataset
    start: float | None
    key: Array


def read_truth(path: str | Path) -> xr.Dataset:
    """Return a stored run whose first instant is time 0: the state before the first observation."""
    with open_run(path) as run:
        held = run.isel(member=0, drop=True).load()
    return held.assign_coords(time=(held["time"] - held["time"][0]).assign_attrs(run["time"].attrs))


def run_twin(
    model: AbstractModel, solver: AbstractSolver, twin: Twin, *, keep_members: bool = False
) -> xr.Dataset:
    """Return what `assimilate` finds; its verdict is in the attributes and nothing warns.

    Args:
        model: The forecast model, coupled or not.
        solver: The solver.
        twin: What it has to find, and what it is given.
        keep_members: Whether forecasts keep their members.
    """
    place, draw = jax.random.split(twin.key) if twin.start is not None else (twin.key, twin.key)
    initial = None if twin.start is None else _around(model, twin, solver.members, place)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ClosuraWarning)
        return assimilate(
            model, twin.observations, solver, truth=twin.truth, climatology=twin.climate,
            initial=initial, keep_members=keep_members, key=draw,
        )  # fmt: skip


def follow_twin(
    model: AbstractModel, solver: AbstractSolver, twin: Twin, *, skip: float = 0.0
) -> xr.Dataset:
    """Return how an assimilation went, as a small Dataset by time; arguments as `run_twin`.

    - ``forecast_rmse``, ``analysis_rmse``, ``climatology_rmse``: error over all variables, the
      last that of the mean of `climate`.
    - ``forecast_spread``, ``analysis_spread``: root mean square over all variables; NaN for one
      member.
    - ``innovation_rms``, ``innovation_expected``: the latter from spread and observation error.
    - ``rank_histogram`` (rank): counts of the truth among the members of the forecast, after
      `skip`; left out for one member, and where the members are too many to keep (the attribute
      ``ranks`` then says so).
    - ``innovation_density`` (deviation): of innovations in units of what is expected, after `skip`.
    - ``diverged``, ``replaced``, ``observation_error``; the attribute ``warnings``. Where every
      member died the filter diverged, and all that it did is NaN.
    """
    refused = _why_no_ranks(model, solver, twin)
    exact = twin.truth.sel(time=twin.observations.time, method="nearest")
    exact = exact.assign_coords(time=twin.observations.time)
    series = _limits(model, twin, exact).assign_attrs(
        solver=type(solver).__name__, members=solver.members, skip=skip, ranks=refused
    )
    try:
        found = run_twin(model, solver, twin, keep_members=not refused)
    except DeadEnsemble as error:
        return _dead(series, solver, str(error), ranked=not refused)
    return _course(series, found, exact)


def _limits(model: AbstractModel, twin: Twin, exact: xr.Dataset) -> xr.Dataset:
    """Return what errors are held against, before anything is assimilated."""
    mean = twin.climate.mean("time")
    departures = {v.name: exact[v.name] - mean[v.name] for v in model.variables}
    variance = np.broadcast_to(twin.observations.variance, twin.observations.sizes)
    return xr.Dataset(
        {"climatology_rmse": ("time", np.sqrt(_mean_square(departures))),
         "observation_error": float(np.sqrt(variance.mean()))},
        {"time": exact["time"]},
    )  # fmt: skip


def _course(series: xr.Dataset, found: xr.Dataset, exact: xr.Dataset) -> xr.Dataset:
    """Return the series of a filter that lived: errors, spreads, innovations, ranks, verdict."""
    late = found["time"].values > series.attrs["skip"]
    for name in ("forecast_rmse", "analysis_rmse", "innovation_rms", "replaced"):
        series[name] = ("time", found[name].values)
    alone = np.nan if series.attrs["members"] < 2 else 1.0  # one member has no spread
    for kind in ("forecast_spread", "analysis_spread"):
        series[kind] = ("time", alone * np.sqrt(_mean_square(_fields(found, kind))))
    _add_innovations(series, found, late)
    if not series.attrs["ranks"]:
        series["rank_histogram"] = _ranks(_fields(found, "forecast"), exact, late)
    climatology = series.attrs["solver"] == Climatology.__name__  # it has no truth to lose
    series["diverged"] = bool(found.attrs["diverged"]) and not climatology
    if climatology:
        return series.assign_attrs(warnings=[])
    return series.assign_attrs(warnings=list(found.attrs["warnings"]))


def _dead(series: xr.Dataset, solver: AbstractSolver, why: str, *, ranked: bool) -> xr.Dataset:
    """Return the series of a filter that did not live to the end: it diverged, with no numbers."""
    for name in ("forecast_rmse", "analysis_rmse", "innovation_rms", "forecast_spread",
                 "analysis_spread", "innovation_expected"):  # fmt: skip
        series[name] = ("time", np.full(series.sizes["time"], np.nan))
    series["replaced"] = ("time", np.zeros(series.sizes["time"], int))
    series["deviation"] = ("deviation", CENTRES)
    series["innovation_density"] = ("deviation", np.full(CENTRES.size, np.nan))
    if ranked:
        series["rank_histogram"] = ("rank", np.full(solver.members + 1, np.nan))
    series["diverged"] = True
    return series.assign_attrs(warnings=[f"{series.attrs['solver']} diverged: {why}"])


def _around(model: AbstractModel, twin: Twin, members: int, key: Array) -> Any:
    """Return states around the truth at time 0, members on the last axis."""
    centre = from_dataset(model, twin.truth, time=0)
    keys = jax.random.split(key, len(model.variables))
    drawn = {}
    for variable, one in zip(model.variables, keys, strict=True):
        middle = jnp.asarray(getattr(centre, variable.name))
        noise = jax.random.normal(one, (*middle.shape, members), middle.dtype)
        deviation = float(twin.start or 0.0) * float(twin.climate[variable.name].std())
        drawn[variable.name] = middle[..., None] + deviation * noise
    return type(centre)(**drawn)


def _fields(found: xr.Dataset, kind: str) -> dict[str, xr.DataArray]:
    """Return the fields of a kind, e.g. ``"forecast"``, by variable."""
    return {
        str(array.attrs["variable"]): array
        for name, array in found.data_vars.items()
        if "variable" in array.attrs and str(name) in (kind, f"{kind}_{array.attrs['variable']}")
    }


def _mean_square(fields: dict[str, xr.DataArray]) -> np.ndarray:
    """Return the mean square over all points of all variables, by time."""
    flat = [f.transpose("time", ...).values.reshape(f.sizes["time"], -1) for f in fields.values()]
    return (np.concatenate(flat, axis=1) ** 2).mean(axis=1)


def _add_innovations(series: xr.Dataset, found: xr.Dataset, late: np.ndarray) -> None:
    """Add what innovations are expected to be, and their density in units of that."""
    innovation, expected = found["innovation"].values, found["innovation_expected"].values
    by_time = innovations_by_time(innovation, expected)[1]
    series["innovation_expected"] = ("time", np.asarray(by_time))
    ratio = (innovation / expected)[late]
    density, _ = np.histogram(ratio[np.isfinite(ratio)], DEVIATIONS, density=True)
    series["innovation_density"] = ("deviation", density)
    series["deviation"] = ("deviation", CENTRES)


def _ranks(
    forecast: dict[str, xr.DataArray], exact: xr.Dataset, late: np.ndarray
) -> tuple[str, np.ndarray]:
    """Return the counts of every rank, over all variables, points and late times."""
    counts = [
        np.asarray(rank_histogram(field.isel(time=late), exact[name].isel(time=late), seed=0))
        for name, field in forecast.items()
    ]
    return "rank", np.sum(counts, axis=0)


def _why_no_ranks(model: AbstractModel, solver: AbstractSolver, twin: Twin) -> str:
    """Return why the members are not kept for a rank histogram; nothing if they are."""
    if solver.members < 2:
        return "one member has no ranks"
    state = sum(twin.truth[v.name].isel(time=0).size for v in model.variables)
    values = 3 * state * solver.members * twin.observations.sizes[0]
    if values > MOST_VALUES:
        return f"the {solver.members} members of every cycle are too many to keep"
    return ""
