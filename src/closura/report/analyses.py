"""What a run folder says of assimilation: scores of solvers, and how each went in time."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from closura.evaluation.scores import NO_CLOSURE
from closura.report.material import Material
from closura.report.numbers import Interval, written
from closura.report.run_folder import RunFolder, dataset_in

DIVERGED = "diverged"
NAN = float("nan")
# What errors are held against: the score, and what it is called.
LIMITS = (("observation_error", "observation error"), ("climatology_rmse", "climatology"))


class Entry(NamedTuple):
    """One solver with one closure, or with none."""

    solver: str
    model: str

    @property
    def words(self) -> str:
        """As a row is named."""
        return self.solver if self.model == NO_CLOSURE else f"{self.solver} + {self.model}"


def entries_of(run: RunFolder) -> list[Entry]:
    """Return every solver with every model that was scored, a solver's rows together."""
    if run.scores is None:
        return []
    solvers, models = (map(str, run.scores[dim].values) for dim in ("solver", "model"))
    known = list(models)
    return [Entry(solver, model) for solver in solvers for model in known]


def value_of(run: RunFolder, name: str, entry: Entry) -> Interval:
    """Return a score with its interval, NaN where there is none."""
    values = []
    for end in ("", "_lower", "_upper"):
        array = None if run.scores is None else run.scores.get(name + end)
        found = NAN if array is None else array.sel(solver=entry.solver, model=entry.model)
        values.append(float(found))
    return Interval(*values)


def diverged_of(run: RunFolder, entry: Entry) -> str:
    """Say in how many twins a filter diverged; empty if in none."""
    share = value_of(run, "diverged_share", entry).value
    if not share > 0:
        return ""
    twins = int(settings_of(run).get("twins", 1))
    return DIVERGED if twins == 1 else f"{DIVERGED} in {round(share * twins)} of {twins} twins"


def limit_of(run: RunFolder, name: str) -> float:
    """Return what scores are held against: ``"climatology_rmse"``, ``"observation_error"``."""
    return NAN if run.scores is None else float(run.scores[name])


def settings_of(run: RunFolder) -> Mapping[str, Any]:
    """Return the protocol of the scores."""
    found: Mapping[str, Any] = json.loads(run.scores.attrs["protocol"]) if run.scores else {}
    return found


def rows_of(run: RunFolder) -> list[list[str]]:
    """Return the table of scores in plain text, the heading first; empty if nothing is scored."""
    rows = [["", "analysis RMSE", "forecast RMSE", "forecast spread", "innovations / expected"]]
    for entry in entries_of(run):
        failed = bool(diverged_of(run, entry))
        cells = [_plain(value_of(run, name, entry), failed) for name in ("analysis_rmse",
                 "forecast_rmse", "forecast_spread", "innovation_ratio")]  # fmt: skip
        rows.append([entry.words, *cells])
    if len(rows) == 1:
        return []
    for name, words in LIMITS:
        rows.append([words, written(limit_of(run, name)), "", "", ""])
    return rows


def series_of(material: Material, entry: Entry) -> xr.Dataset | None:
    """Return how a solver did in time, on every twin; None where it is not there."""
    parts = (entry.solver,) if entry.model == NO_CLOSURE else (entry.model, entry.solver)
    return dataset_in(material.run.path, f"analyses/{'/'.join(parts)}.nc", material.run.missing)


def all_series(material: Material) -> dict[Entry, xr.Dataset]:
    """Return how every solver did with every closure, those that are there."""
    said = material.run.experiment
    names = [NO_CLOSURE, *material.run.learners]
    entries = [Entry(str(solver), name) for solver in said.get("solvers", ()) for name in names]
    found = {entry: series_of(material, entry) for entry in entries}
    return {entry: series for entry, series in found.items() if series is not None}


def _plain(value: Interval, failed: bool) -> str:
    if failed:
        return DIVERGED
    half = (value.upper - value.lower) / 2
    return written(value.value) + (f" ± {written(half, 2)}" if np.isfinite(half) else "")
