"""What every export begins and ends with: a closure beside recorded cases, and a whole folder."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import jax

from closura.core.closure import AbstractClosure
from closura.core.learner import Pairs
from closura.export.cases import Cases, in_double, record
from closura.export.container import Container
from closura.export.guards import settle, spread_means
from closura.export.layout import Layout
from closura.export.states import count_states
from closura.export.translate import translate


class Prepared(NamedTuple):
    """A closure as a container, and what it makes of recorded states.

    Args:
        container: What is shipped.
        layout: How columns are gathered.
        double: Cases in double precision.
        single: Cases whose inputs are float32 numbers.
        trained: Cases in the precision that it was trained in.
        states: How many of them are real, and how many lie between two real ones.
    """

    container: Container
    layout: Layout
    double: Cases
    single: Cases
    trained: Cases
    states: dict[str, int]


def prepare(
    closure: AbstractClosure, pairs: Sequence[Pairs], *, missing: str, source: str
) -> Prepared:
    """Return a closure with its recorded cases.

    Raises:
        ValueError: It cannot be shipped; the line says why.
    """
    with jax.enable_x64(True):
        closure = settle(spread_means(closure), pairs[0])
        container, layout = translate(closure, pairs[0], missing=missing, source=source)
        exact = in_double(closure)
        return Prepared(
            container,
            layout,
            double=record(exact, layout, pairs),
            single=record(exact, layout, pairs, single=True),
            trained=record(closure, layout, pairs),
            states=count_states(pairs, layout.points),
        )


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a place to write in; it gets its name once all is written and proved, or never."""
    with tempfile.TemporaryDirectory() as place:
        built = Path(place) / "export"
        built.mkdir()
        yield built
        with folder_beside(folder) as beside:
            shutil.copytree(built, beside, dirs_exist_ok=True)


@contextmanager
def folder_beside(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside a name that it gets at the end; for what is too large to copy."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        yield beside
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
