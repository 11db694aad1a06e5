"""Everything that the figures of one report draw from, each part read or computed once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from closura.core.closure import AbstractClosure
from closura.core.learner import Pairs
from closura.data.closures import load_closure
from closura.data.pairs import load_pairs
from closura.report.cast import Cast, cast_of
from closura.report.posteriors import Posteriors, posteriors_of
from closura.report.predictions import Prediction, predict
from closura.report.run_folder import RunFolder, unreadable

LARGEST_SAMPLE = 4000  # instants: the bin means of a scatter are steady long before


@dataclass
class Material:
    """A run folder, its cast, and what is worked out from both.

    Args:
        run: The run folder.
        cast: Who appears, in which colour.
        failed: Reason for each closure that cannot be drawn, by name; grows while drawing.
    """

    run: RunFolder
    cast: Cast
    failed: dict[str, str] = field(default_factory=dict)

    @cached_property
    def training(self) -> Pairs | None:
        """Training pairs, thinned to an even sample of instants."""
        return self._pairs("pairs.zarr", LARGEST_SAMPLE)

    @cached_property
    def held_out(self) -> Pairs | None:
        """Held-out pairs in time order, thinned if there are very many."""
        return self._pairs("pairs_test.zarr", LARGEST_SAMPLE)

    @cached_property
    def closures(self) -> Mapping[str, AbstractClosure]:
        """Every stored closure that can be read, by learner."""
        found = {}
        for name in self.run.learners:
            try:
                found[name] = load_closure(self.run.path / name)
            except FileNotFoundError:
                self.failed[name] = "it has not been learned yet"
            except (OSError, ValueError, KeyError, TypeError, ImportError) as problem:
                self.failed[name] = (str(problem).splitlines() or [type(problem).__name__])[0]
        return found

    @cached_property
    def on_training(self) -> Mapping[str, Prediction]:
        """What every closure says about the training pairs."""
        return self._predictions(self.training)

    @cached_property
    def on_held_out(self) -> Mapping[str, Prediction]:
        """What every closure says about the held-out pairs."""
        return self._predictions(self.held_out)

    @cached_property
    def posteriors(self) -> Posteriors:
        """What calibrators found, of an inference."""
        return posteriors_of(self.run)

    def remarks(self) -> str:
        """Say in one line which closures a figure leaves out, and why."""
        lines = [f"{name} is not drawn: {reason}." for name, reason in self.failed.items()]
        return " ".join(lines)

    def _pairs(self, name: str, most: int) -> Pairs | None:
        if not (self.run.path / name).exists():
            self.run.missing.add(name)
            return None
        try:
            pairs = load_pairs(self.run.path / name)
        except (OSError, ValueError, KeyError) as problem:
            self.run.missing[name] = unreadable(name, problem)
            return None
        return _thinned(pairs, most)

    def _predictions(self, pairs: Pairs | None) -> Mapping[str, Prediction]:
        found: dict[str, Prediction] = {}
        if pairs is None:
            return found
        for name, closure in self.closures.items():
            try:
                found[name] = predict(closure, pairs)
            except ValueError as problem:
                self.failed[name] = (str(problem).splitlines() or [type(problem).__name__])[0]
        return found


def gather(run: RunFolder) -> Material:
    """Return the material of a run."""
    return Material(run, cast_of(run))


def _thinned(pairs: Pairs, most: int) -> Pairs:
    """Return an even sample of the times, in memory."""
    keep = max(1, min(len(pairs.time), most // pairs.series))
    times = np.unique(np.linspace(0, len(pairs.time) - 1, keep).round().astype(int))
    sample = pairs.at(times)
    load = lambda arrays: {name: np.asarray(a) for name, a in arrays.items()}  # noqa: E731
    return replace(sample, inputs=load(sample.inputs), targets=load(sample.targets))
