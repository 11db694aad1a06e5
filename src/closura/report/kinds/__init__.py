"""What the report of each kind of experiment consists of: one table, one module a kind."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from closura.report.drawing import Drawn
    from closura.report.material import Material
    from closura.report.rows import Rows
    from closura.report.run_folder import RunFolder
    from closura.report.table import Table

PAGES = {
    "assimilated": "closura.report.kinds.assimilated",
    "nudged": "closura.report.kinds.nudged",
    "simulated": "closura.report.kinds.simulated",
    "recorded": "closura.report.kinds.recorded",
    "inferred": "closura.report.kinds.inferred",
}


Sentence = str | list[str]


@dataclass(frozen=True)
class Page:
    """What the page of one kind shows; the page itself knows no kind.

    Args:
        painters: The figures, in order.
        summary: The sentences that a hurried reader should see first; a list among them is shown
            as lines of its own.
        tables: The tables of scores.
        rows: The table of scores in plain text, for the command line.
        settings: Sections of the experiment to spell out.
        table_head: What a row of a table is of.
        table_note: How to read a table.
        alike_note: What makes two scores alike, where some are: half a sentence after a colon.
        figure_note: What colours and lines mean in every figure.
    """

    painters: tuple[Callable[["Material"], "Drawn"], ...]
    summary: Callable[["Material"], Sequence[Sentence]]
    tables: Callable[["Material"], list["Table"]]
    rows: Callable[["RunFolder"], "Rows"]
    settings: tuple[str, ...]
    table_head: str
    table_note: str
    figure_note: str
    alike_note: str = ""


def page_of(kind: str) -> Page:
    """Return what the page of a kind shows.

    Raises:
        ValueError: There is no such kind.
    """
    if kind not in PAGES:
        raise ValueError(
            f"experiment.yaml says kind: {kind}, which has no report; there are "
            f"{', '.join(PAGES)}. Take the version of closura that made the run."
        )
    found: Page = importlib.import_module(PAGES[kind]).PAGE
    return found
