"""What is seen while an experiment runs: a bar a step on a terminal, one line a stage elsewhere."""

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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
        self._stages: dict[str, _Stage] = {}
        self._running: dict[str, _Running] = {}

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

    def expect(self, steps: Iterable[Step]) -> None:
        """Take note of the steps that will begin and end; a stage is over with its last step."""
        self._stages = {}
        for step in steps:
            self._stages.setdefault(step.stage, _Stage()).expect(step)

    def begin(self, step: Step) -> None:
        """Show that a step begins; others may be running."""
        began = time.perf_counter()
        self._stages[step.stage].begin(began)
        task = None if self._bar is None else self._bar.add_task(step.name, total=None, detail="")
        self._running[step.name] = _Running(began, task)

    def end(self, step: Step) -> None:
        """Show that a step is finished, or kept from an earlier run.

        After the last step of a stage a line says what the stage did and how long that took, the
        time between its steps left out.
        """
        running, stage = self._running.pop(step.name, None), self._stages[step.stage]
        if self._bar is not None and running is not None and running.task is not None:
            self._bar.remove_task(running.task)
        stage.left -= 1
        if running is not None:
            stage.end(time.perf_counter())
        if stage.left == 0:
            took = "    kept" if stage.began is None else f"{stage.seconds:6.1f} s"
            self.say(f"{step.stage:<10}{took}  {', '.join(stage.parts)}".rstrip())

    def say(self, line: str) -> None:
        """Show one line of text."""
        self.console.print(line, markup=False, soft_wrap=True)

    def listen(self, step: Step, event: str, values: dict[str, Any]) -> None:
        """Show an event of a running step (see `closura.core.progress`)."""
        running = self._running[step.name]
        if self._bar is None or running.task is None:
            return
        done, total, detail = _seen(event, values, time.perf_counter() - running.began)
        if total:
            self._bar.update(running.task, completed=done, total=total, detail=detail)
        elif detail:
            self._bar.update(running.task, detail=detail)


@dataclass
class _Stage:
    """How far a stage is: steps left, its parts, steps at work, since when, seconds before."""

    left: int = 0
    parts: list[str] = field(default_factory=list)
    running: int = 0
    began: float | None = None
    seconds: float = 0.0

    def expect(self, step: Step) -> None:
        self.left += 1
        part = step.name.removeprefix(f"{step.stage}/").partition("/")[0]
        if part not in (step.stage, *self.parts):
            self.parts.append(part)

    def begin(self, now: float) -> None:
        if self.running == 0:
            self.began = now
        self.running += 1

    def end(self, now: float) -> None:
        self.running -= 1
        if self.running == 0 and self.began is not None:
            self.seconds += now - self.began


class _Running(NamedTuple):
    """When a step began, and its bar."""

    began: float
    task: Any


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
