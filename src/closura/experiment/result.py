"""What came out of a run: it prints as the table of all closures."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from closura.evaluation.findings import each_once
from closura.evaluation.forecasts import USEFUL
from closura.evaluation.scores import FLOOR
from closura.experiment.checks import Check
from closura.report.numbers import NOTHING, interval, variables_of, written
from closura.report.prices import prices_of
from closura.report.run_folder import read_run_folder

Table = list[list[str]]


@dataclass(frozen=True)
class Result:
    """One run, finished or stopped at a stage.

    Args:
        folder: The run folder.
        checks: Expected beside found.
        warnings: What a scientist should know before trusting the scores, a line each.
        finished: Whether the report, the last stage, belongs to this run; one that was
            stopped earlier shows none.
    """

    folder: Path
    checks: tuple[Check, ...] = ()
    warnings: tuple[str, ...] = ()
    finished: bool = True

    @cached_property
    def scores(self) -> Any:
        """Online scores (xarray.Dataset); None if the run has none."""
        return read_run_folder(self.folder).scores

    @cached_property
    def offline(self) -> Any:
        """Offline scores (xarray.Dataset); None if the run has none."""
        return read_run_folder(self.folder).offline

    @property
    def report(self) -> Path | None:
        """The report, if it was written."""
        path = self.folder / "report.html"
        return path if self.finished and path.exists() else None

    def table(self) -> Table:
        """Return the rows of the table, the heading first; empty if nothing is scored."""
        run = read_run_folder(self.folder)
        if run.scores is not None:
            return _online(run)
        return _offline(run) if run.offline is not None else []

    def all_warnings(self) -> list[str]:
        """Return what the steps and the scores warn about, each line once."""
        lines = list(self.warnings)
        for dataset in (self.scores, self.offline):
            if dataset is not None:
                lines += json.loads(dataset.attrs.get("warnings", "[]"))
        return each_once(lines)

    def __repr__(self) -> str:
        rows = self.table()
        lines = aligned(rows) if rows else [f"nothing is scored yet in {self.folder}"]
        lines += [f"! {line}" for line in self.all_warnings()]
        if self.report is not None:
            lines.append(f"report: {self.report}")
        return "\n".join(lines)

    def check_table(self) -> Table:
        """Return the rows of expected beside found, the heading first."""
        rows = [["expected number", "expected", "found", ""]]
        for check in self.checks:
            found = check.problem or _found(check.found)
            rows.append([check.name, check.expected, found, "ok" if check.passed else "FAILED"])
        return rows


def aligned(rows: Table) -> list[str]:
    """Return rows as lines with columns one below the other, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _online(run: Any) -> Table:
    prices = {price.name: price for price in prices_of(run.price)}
    variable = variables_of(run.scores)[0]
    heading = ["", "offline R²", "MAE first unit", f"lead, corr. > {USEFUL}", "Wasserstein-1",
               "price / coarse"]  # fmt: skip
    rows = [heading]
    for name in map(str, run.scores["model"].values):
        price = prices.get(name)
        rows.append(
            [
                name,
                _offline_score(run, "overall_r_squared", name, variable),
                _spread(run.scores, "forecast_mae_first_unit", name, variable),
                _lead(run.scores, name, variable),
                _spread(run.scores, "wasserstein_1", name, variable),
                written(price.over_coarse, 3) if price else NOTHING,
            ]
        )
    return rows


def _offline(run: Any) -> Table:
    """Return R² by variable: weighed by mass where the columns have one."""
    variables = variables_of(run.offline)
    rows = [["offline R²", *variables]]
    for name in map(str, run.offline["model"].values):
        cells = []
        for variable in variables:
            cell = _offline_score(run, "column_r_squared", name, variable)
            whole = _offline_score(run, "overall_r_squared", name, variable)
            cells.append(whole if cell == NOTHING else cell)
        rows.append([name, *cells])
    return rows


def _offline_score(run: Any, score: str, model: str, variable: str) -> str:
    """Return an offline score; the floor's is itself a spread."""
    cell = _spread(run.offline, score, model, variable)
    return f"± {cell}" if model == FLOOR and cell != NOTHING else cell


def _spread(dataset: Any, score: str, model: str, variable: str) -> str:
    found = interval(dataset, score, model, variable)
    half = (found.upper - found.lower) / 2
    return written(found.value) + (f" ± {written(half, 2)}" if half == half else "")


def _lead(scores: Any, model: str, variable: str) -> str:
    if "useful_lead" not in scores:
        return NOTHING
    value = float(scores["useful_lead"].sel(model=model, variable=variable))
    if value == float("inf"):  # it never fell below
        return f"> {written(float(scores['lead'].values[-1]))}"
    return written(value)


def _found(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).lower()
    return f"{value:.4g}"
