"""The report of an experiment: one self-contained page, made from the run folder alone."""

from pathlib import Path

__all__ = ["write_report"]


def write_report(folder: str | Path) -> Path:
    """Write `report.html` into a run folder and return its path; see `closura.report.page`.

    Raises:
        FileNotFoundError: It is no run folder.
    """
    from closura.report import page  # drawing is loaded when there is something to draw

    return page.write_report(folder)
