"""What is seen while an experiment runs: a bar on a terminal, one line a stage elsewhere."""

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from closura.experiment.steps import Step


class Display:
    """Shows the stages of a run on standard error.

    Args:
        quiet: Show nothing at all.
    """

    def __init__(self, *, quiet: bool = False):
        self.console = Console(file=sys.stderr, quiet=quiet, highlight=False)
        self._bar: Progress | None = None
        self._task: Any = None
        self._stage = ""
        self._parts: list[str] = []
        self._ran = False
        self._began = self._stepped = time.perf_counter()

    def __enter__(self) -> "Display":
        if self.console.is_terminal and sys.stderr.isatty() and not self.console.quiet:
            self._bar = Progress(
                TextColumn("{task.description:<24}"),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[detail]}"),
                console=self.console,
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def begin(self, step: Step, *, kept: bool) -> None:
        """Show that a step begins, or that it is kept from an earlier run."""
        if step.stage != self._stage:
            self.finish()
            self._stage, self._parts, self._ran = step.stage, [], False
            self._began = time.perf_counter()
        self._stepped = time.perf_counter()
        part = step.name.removeprefix(f"{step.stage}/").partition("/")[0]
        if part not in (step.stage, *self._parts):
            self._parts.append(part)
        self._ran = self._ran or not kept
        if self._bar is not None and not kept:
            self._clear()
            self._task = self._bar.add_task(step.name, total=None, detail="")

    def finish(self) -> None:
        """Close the stage with a line: what it did and how long that took."""
        self._clear()
        if not self._stage:
            return
        took = f"{time.perf_counter() - self._began:6.1f} s" if self._ran else "    kept"
        self.say(f"{self._stage:<10}{took}  {', '.join(self._parts)}".rstrip())
        self._stage = ""

    def say(self, line: str) -> None:
        """Show one line of text."""
        self.console.print(line, markup=False, soft_wrap=True)

    def listen(self, event: str, values: dict[str, Any]) -> None:
        """Show an event of the running step (see `closura.core.progress`)."""
        if self._bar is None or self._task is None:
            return
        done, total, detail = _seen(event, values, time.perf_counter() - self._stepped)
        if total:
            self._bar.update(self._task, completed=done, total=total, detail=detail)
        elif detail:
            self._bar.update(self._task, detail=detail)

    def _clear(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
        self._task = None


def _seen(event: str, values: dict[str, Any], elapsed: float) -> tuple[float, float, str]:
    """Return how much of how much is done, and what else is worth seeing."""
    if event == "simulate":
        done, total = float(values["done"]), float(values["total"])
        pace = done / elapsed if elapsed > 0 else 0.0
        low, high = values.get("minimum"), values.get("maximum")
        span = "" if low is None or high is None else f", range {low:.3g} to {high:.3g}"
        return done, total, f"{done:.4g} of {total:.4g} time units, {pace:.3g} a second{span}"
    if event == "train":
        loss, validation = values.get("loss"), values.get("validation")
        text = f"epoch {values['epoch']} of {values['epochs']}"
        text += "" if loss is None else f", loss {float(loss):.3g}"
        text += "" if validation is None else f", held out {float(validation):.3g}"
        return float(values["epoch"]), float(values["epochs"]), text
    if event == "sweep":
        done, total = float(values["done"]), float(values["total"])
        return done, total, f"{values['done']} of {values['total']} assimilations"
    if event == "evaluate":
        return 0.0, 0.0, f"{values.get('model', '')}: {values.get('what', '')}"
    return 0.0, 0.0, ""
