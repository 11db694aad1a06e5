"""What came out of a run: it prints as the table of all closures."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from closura.evaluation.findings import each_once
from closura.experiment.checks import Check
from closura.report.kinds import page_of
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
        return page_of(run.kind).rows(run)

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


def _found(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).lower()
    return f"{value:.4g}"
