"""The page of an inference: posteriors beside the prior and, of a twin, beside the truth."""

import numpy as np
import xarray as xr

from closura.evaluation.posteriors import OF_ALL, OF_PARAMETERS, PRIOR
from closura.report.figures import corner, inference
from closura.report.kinds import Page
from closura.report.material import Material
from closura.report.numbers import NOTHING, written
from closura.report.posteriors import PRIOR_ROLE
from closura.report.rows import Rows
from closura.report.run_folder import RunFolder
from closura.report.table import Cell, Row, Table

LEARNED = 0.9  # contraction from which on a parameter counts as not told by the measurement
MEASURES = {"mean": "mean", "interval": "interval", "contraction": "deviation over prior's",
            "departure": "departure from truth", "coverage": "coverage"}  # fmt: skip
HINTS = OF_PARAMETERS | {"interval": "central interval"}


def summary(material: Material) -> list[str]:
    """Return what a hurried reader should see first."""
    scores = material.run.scores
    if scores is None:
        return ["No posterior is scored yet."]
    level = f"{100 * scores.attrs['level']:.0f} %"
    lines = []
    for name in _calibrators(scores):
        one = scores.sel(calibrator=name)
        told = [
            str(p) for p in one["parameter"].values if one["contraction"].sel(parameter=p) < LEARNED
        ]
        blind = [str(p) for p in one["parameter"].values if str(p) not in told]
        known = np.isfinite(one["covers"].values)
        words = f"{name}: the measurement narrows {', '.join(told) or 'no parameter'}"
        words += f" and hardly tells {', '.join(blind)}" if blind else ""
        if known.any():
            held = int(one["covers"].sum())
            words += (
                f"; {held} of {int(known.sum())} true parameters lie in their {level} intervals"
            )
        lines.append(words + ".")
    return lines


def tables(material: Material) -> list[Table]:
    """Return one table a parameter: every calibrator, and the prior."""
    scores = material.run.scores
    if scores is None:
        return []
    colours = {role.name: role.colour for role in material.posteriors.found}
    heads = [(words, "", HINTS[name]) for name, words in MEASURES.items()]
    heads.append(("predictive misfit", "", OF_ALL["predictive_misfit"]))
    found = []
    for parameter in map(str, scores["parameter"].values):
        rows = []
        for name in map(str, scores["calibrator"].values):
            one = scores.sel(calibrator=name, parameter=parameter)
            kind = "baseline" if name == PRIOR else "closure"
            colour = PRIOR_ROLE.colour if name == PRIOR else colours.get(name, "#000000")
            rows.append(Row(name, kind, colour, _cells(one), _flags(one)))
        found.append(Table(parameter, heads, rows, alike=False, best=False))
    return found


def rows(run: RunFolder) -> Rows:
    """Return the table in plain text: mean ± deviation of every parameter."""
    scores = run.scores
    if scores is None:
        return []
    names = [str(name) for name in scores["parameter"].values]
    found = [["", *names, "runs", "predictive misfit", "seconds"]]
    for name in map(str, scores["calibrator"].values):
        one = scores.sel(calibrator=name)
        cells = [
            f"{written(float(one['mean'].sel(parameter=p)))} ± "
            f"{written(float(one['deviation'].sel(parameter=p)), 2)}"
            for p in names
        ]
        found.append([name, *cells, _count(one["simulations"]), _number(one["predictive_misfit"]),
                      _number(one["seconds"])])  # fmt: skip
    return found


def _calibrators(scores: xr.Dataset) -> list[str]:
    return [str(name) for name in scores["calibrator"].values if str(name) != PRIOR]


def _cells(one: xr.Dataset) -> list[Cell]:
    lower, upper = (written(float(one[end])) for end in ("lower", "upper"))
    coverage = Cell(_number(one["coverage"]))
    if np.isfinite(float(one["coverage"])):
        ends = (written(float(one[f"coverage_{end}"])) for end in ("lower", "upper"))
        coverage.bounds = "honest: " + " to ".join(ends)
    return [
        Cell(f"{_number(one['mean'])} ± {written(float(one['deviation']), 2)}"),
        Cell(f"{lower} to {upper}"),
        Cell(_number(one["contraction"])),
        Cell(_number(one["departure"])),
        coverage,
        Cell(_number(one["predictive_misfit"])),
    ]


def _flags(one: xr.Dataset) -> list[str]:
    found = []
    if float(one["covers"]) == 0:
        found.append("misses the truth")
    coverage = float(one["coverage"])
    if coverage < float(one["coverage_lower"]):
        found.append("too sure")
    if coverage > float(one["coverage_upper"]):
        found.append("too unsure")
    return found


def _number(value: xr.DataArray) -> str:
    return written(float(value)) if np.isfinite(float(value)) else NOTHING


def _count(value: xr.DataArray) -> str:
    return f"{float(value):.0f}" if np.isfinite(float(value)) else NOTHING


PAGE = Page(
    painters=(
        corner.draw_corner,
        corner.draw_ridge,
        inference.draw_coverage,
        inference.draw_predictive,
        inference.draw_path,
    ),
    summary=summary,
    tables=tables,
    rows=rows,
    settings=("simulator", "prior", "measured", "calibrators", "check", "seed", "precision"),
    table_head="calibrator",
    table_note=(
        "Intervals are central. Coverage: share of truths drawn from the prior that an amortised "
        "posterior's intervals hold; honest is what chance leaves of the nominal level 19 times in "
        "20. Predictive misfit: mean squared departure of simulated from measured statistics, in "
        "errors: about 1 for a right posterior. An ensemble after a Kalman inversion is no "
        "posterior: its spread only shows where it stopped."
    ),
    figure_note="One colour a calibrator throughout; black is the truth, grey the prior.",
)
