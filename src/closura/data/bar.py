"""A bar for long work in a script, where nobody else shows how far it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from closura.core import progress


@contextmanager
def bar(event: str, words: str, console: Console | None = None) -> Iterator[None]:
    """Show how far the reports of an event are: on a terminal, unless someone listens already.

    Args:
        event: Whose reports hold `done` and `total`, see `closura.core.progress`.
        words: What stands before the bar.
        console: Where to draw; standard error if None.
    """
    console = Console(stderr=True) if console is None else console
    if progress.is_heard() or not console.is_terminal:
        yield
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn(), console=console) as shown:
        task = shown.add_task(words, total=None)

        def draw(name: str, values: dict[str, Any]) -> None:
            if name == event:
                shown.update(task, completed=values["done"], total=values["total"])

        with progress.listen(draw):
            yield
