"""How the steps of a run go, noted in the run folder and shown to the user."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from closura.experiment.display import Display
from closura.experiment.folder import Folder
from closura.experiment.steps import Step
from closura.experiment.work import plain

KEPT_EVENTS = ("train", "evaluate", "fit")


@dataclass(frozen=True)
class Logbook:
    """Notes and shows what steps do, wherever they run.

    Args:
        prints: The fingerprint of each step by name.
        folder: Where it is noted.
        display: Where it is shown.
    """

    prints: Mapping[str, str]
    folder: Folder
    display: Display

    def left(self, steps: list[Step]) -> list[Step]:
        """Return the steps that are not finished; those that are count as kept."""
        self.display.expect(steps)
        found = []
        for step in steps:
            if self.folder.is_finished(step, self.prints[step.name]):
                self.display.end(step)
            else:
                found.append(step)
        return found

    def begin(self, step: Step) -> None:
        """Note that a step begins."""
        self.display.begin(step)
        self.folder.begin(step, self.prints[step.name])
        self.folder.note("begin", step=step.name)

    def tell(self, step: Step, event: str, values: Mapping[str, Any]) -> None:
        """Note an event of a running step, if it is one to keep (see `closura.core.progress`)."""
        self.display.listen(step, event, dict(values))
        last = event == "simulate" and values.get("done") == values.get("total")
        if event in KEPT_EVENTS or last:
            self.folder.note(event, step=step.name, **{k: plain(v) for k, v in values.items()})

    def finish(self, step: Step, seconds: float, notes: list[str]) -> None:
        """Note that a step is finished, how long it took and what it warned about."""
        self.folder.finish(step, self.prints[step.name], seconds, notes)
        self.folder.note("finish", step=step.name, seconds=round(seconds, 3))
        self.display.end(step)
