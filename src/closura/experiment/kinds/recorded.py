"""An experiment on the user's own files of inputs and targets: no model runs."""

import inspect
import warnings
from functools import partial
from typing import TYPE_CHECKING, Annotated, cast

from pydantic import BaseModel, ConfigDict, Field

from closura.core.couple import ClosuraWarning
from closura.data.layouts import AbstractLayout
from closura.data.pairs import read_pairs, save_pairs
from closura.experiment.kind import Document, Kind
from closura.experiment.kinds.pairs import (
    HELD_OUT,
    TRAINING,
    first_fits,
    fits,
    score_on_pairs,
    vocabulary_of,
)
from closura.experiment.specification import (
    LearningSkeleton,
    Name,
    Processes,
    Section,
    Skeleton,
    Spec,
)
from closura.experiment.steps import Step, hash_of, some
from closura.experiment.work import Work
from closura.registry import build, nearest

if TYPE_CHECKING:
    from closura.experiment.loading import Experiment

SECTIONS = ("name", "kind", "description", "seed", "precision", "truth", "coarse", "data",
            "coupling", "learners", "seeds", "processes", "evaluate", "expect",
            "workers", "report")  # fmt: skip
OF_MODELS = ("truth", "coarse", "coupling")  # sections that say nothing where there is no model


class HeldOut(Section):
    """Which part of a record is kept for testing: blocks in time, with a gap around each."""

    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    blocks: Annotated[int, Field(ge=1)] = 5
    gap: Annotated[int, Field(ge=0)] = 0


class Recorded(BaseModel):
    """Training data from the user's own files; all but `held_out` goes to `read_pairs`.

    `layout` is the name of a registered layout, or a mapping with its settings.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    files: str | list[str]
    layout: Spec | None = None
    held_out: HeldOut = HeldOut()


class LearningCurve(Section):
    """How skill grows with the training data; see `closura.evaluation.learning_curve`."""

    sizes: list[Annotated[float, Field(gt=0, le=1)]] = Field([0.25, 0.5, 0.75, 1.0], min_length=1)
    repeats: Annotated[int, Field(ge=1)] = 5


class OfflineEvaluation(Section):
    """How closures are compared on held-out pairs; see `closura.score_offline`.

    Args:
        samples: Number of resampled records.
        level: Probability that intervals are to cover.
        block: Samples in a bootstrap block; from the targets' correlation if not given.
        learning_curve: Shares of the training data to fit again with; null skips it.
    """

    samples: Annotated[int, Field(ge=10)] = 500
    level: Annotated[float, Field(gt=0, lt=1)] = 0.9
    block: Annotated[int, Field(ge=1)] | None = None
    learning_curve: LearningCurve | None = LearningCurve()


class RecordedExperiment(LearningSkeleton):
    """The user's own files of inputs and targets, with no model."""

    learners: dict[Name, Spec] = Field(min_length=1)
    data: Recorded
    processes: Processes = 1
    evaluate: OfflineEvaluation = OfflineEvaluation()


def _recognises(document: Document) -> bool:
    data = document.get("data")
    return isinstance(data, dict) and "files" in data


def _tidy(document: Document, source: str) -> Document:
    for section in OF_MODELS:
        if document.get(section) is not None:
            raise ValueError(
                f"{source}: '{section}' and data.files exclude each other: take pairs from a "
                f"simulated truth, or from files; remove one of the two."
            )
    return {key: value for key, value in document.items() if key not in OF_MODELS}


def _settle(experiment: "Experiment") -> Skeleton:
    """Refuse a key of `data` that `read_pairs` does not take."""
    settings = cast(RecordedExperiment, experiment.settings)
    _layout(settings.data)
    known = [*inspect.signature(read_pairs).parameters, "held_out"]
    for key in settings.data.model_extra or {}:
        if key not in known:
            raise ValueError(
                f"{experiment.source.name}: data has no {key!r}{nearest(key, known)} "
                f"It has: {', '.join(known)}."
            )
    return settings


def _steps(work: Work) -> list[Step]:
    said = work.experiment.resolved()
    part = some(said, "data", "precision") | {"files": _file_hashes(work)}
    make = partial(split_file_pairs, work)
    reading = Step("pairs/files", "pairs", part, (), (TRAINING, HELD_OUT), make)
    learning = fits(work, reading.name)
    part = some(said, "seed", "evaluate") | {"learners": list(said["learners"])}
    needs = (reading.name, *first_fits(learning))
    scoring = Step(
        "offline", "offline", part, needs, ("offline.nc",), partial(score_on_pairs, work)
    )
    return [reading, *learning, scoring]


def split_file_pairs(work: Work) -> None:
    """Read pairs from the user's files and hold out blocks of time, a part at a time.

    What is held in memory on the way is a stored chunk, unless `data.lazy` is false.
    """
    data = cast(RecordedExperiment, work.experiment.settings).data
    own = ("files", "held_out", "layout")
    settings = {k: v for k, v in data.model_dump().items() if k not in own}
    pairs = read_pairs(data.files, layout=_layout(data), **{"lazy": True} | settings)
    for line in pairs.warnings:
        warnings.warn(line, ClosuraWarning, stacklevel=2)
    held = data.held_out
    training, test = pairs.split(held.fraction, blocks=held.blocks, gap=held.gap)
    save_pairs(work.folder / TRAINING, training)
    save_pairs(work.folder / HELD_OUT, test)


def _layout(data: Recorded) -> AbstractLayout | None:
    """Return what knows the files' own layout, or None where they are as `read_pairs` wants."""
    return None if data.layout is None else build("layouts", data.layout, path="data.layout")


def _file_hashes(work: Work) -> list[str]:
    """Return the content of every input file, as hashes: a changed file is another input."""
    from closura.data.files import find_files

    data = cast(RecordedExperiment, work.experiment.settings).data
    layout = _layout(data)
    paths = find_files(data.files) + ([] if layout is None else layout.beside())
    return [f"{path.name} {hash_of(path)}" for path in paths]


KIND = Kind(
    name="recorded",
    skeleton=RecordedExperiment,
    sections=SECTIONS,
    stages=("pairs", "learn", "offline", "report"),
    recognises=_recognises,
    tidy=_tidy,
    settle=_settle,
    steps=_steps,
    vocabulary=vocabulary_of,
)
