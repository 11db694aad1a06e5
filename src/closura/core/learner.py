"""Recorded pairs, and the recipe that turns them into a closure."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Array

from closura.core.closure import AbstractClosure
from closura.core.model import AbstractModel
from closura.core.passport import Passport
from closura.core.variable import Variable


@dataclass(frozen=True)
class Pairs:
    """Fields of the coarse model and the tendency it lacked, in time order.

    Every array is laid out ``(series, time, *field)``: a series is one uninterrupted record (an
    ensemble member, or the whole file). Targets are tendencies to add. Arrays may lie in a file
    and be read part by part (`LazyArray`), so that pairs may be larger than memory.

    Args:
        inputs: The fields that a closure will see, by name.
        targets: What it shall return, by name.
        time: Time of each sample [time units of the model], increasing; shared by all series.
        passport: How the targets were measured.
        variables: Descriptions of inputs and targets, by name (targets that share an input's name
            are described under ``"<name>_tendency"``).
        model: The coarse model that the pairs were measured for; None for a user's own files.
        warnings: What a scientist should know before trusting a fit, a line each.
        weights: Mass per area of each level [kg m-2], ``(level,)`` or ``(series, time, level)``;
            scores of a column use it. None where there are no levels of different mass.
        levels: Where the levels of a variable lie, ``(values, unit)`` by the names of
            `variables`, for those that have a dimension of levels with a coordinate.
        coordinates: Values along the dimensions of the fields, by name of the dimension, e.g.
            latitudes ``"lat"`` [degrees_north]; where columns have no rows and lines, latitude
            and longitude of each column.
        static: Fields that never change, by name, e.g. the height of the ground, ``(*field)``.
        given: What the model was given from outside at each time, shared by all series: by name
            of the input, then of its part, ``(time, *part)``; e.g. the calendar's day and hour.
    """

    inputs: Mapping[str, Any]
    targets: Mapping[str, Any]
    time: np.ndarray
    passport: Passport
    variables: Mapping[str, Variable] = field(default_factory=dict)
    model: AbstractModel | None = None
    warnings: tuple[str, ...] = ()
    weights: np.ndarray | None = None
    levels: Mapping[str, tuple[np.ndarray, str]] = field(default_factory=dict)
    coordinates: Mapping[str, np.ndarray] = field(default_factory=dict)
    static: Mapping[str, np.ndarray] = field(default_factory=dict)
    given: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)

    def __post_init__(self):
        arrays = [*self.inputs.items(), *self.targets.items()]
        shapes = [(name, tuple(np.shape(array)[:2])) for name, array in arrays]
        if len({shape for _, shape in shapes}) != 1:
            raise ValueError(
                f"pairs begin with different (series, time) shapes: {shapes}; all must agree."
            )
        if shapes[0][1][1] != len(self.time):
            raise ValueError(
                f"pairs hold {shapes[0][1][1]} times and `time` has {len(self.time)}; "
                "give one time per sample."
            )
        for name, parts in self.given.items():
            for part, values in parts.items():
                if np.shape(values)[:1] != (len(self.time),):
                    raise ValueError(
                        f"pairs hold {len(self.time)} times and the input {name!r} gives {part!r} "
                        f"with shape {np.shape(values)}; its first dimension must be time."
                    )

    @property
    def series(self) -> int:
        """Number of uninterrupted records."""
        return int(np.shape(next(iter(self.inputs.values())))[0])

    def __len__(self) -> int:
        return self.series * len(self.time)

    @property
    def interval(self) -> float | None:
        """Time between two samples, or None where it is not constant."""
        if len(self.time) < 2:
            return None
        gaps = np.diff(self.time)
        return float(f"{np.mean(gaps):.10g}") if np.allclose(gaps, gaps[0], rtol=1e-6) else None

    def at(self, times: slice | np.ndarray) -> "Pairs":
        """Return the pairs at some times of every series."""
        pick = lambda arrays: {name: a[:, times] for name, a in arrays.items()}  # noqa: E731
        weights = self.weights
        if weights is not None and np.ndim(weights) > 1:
            weights = weights[:, times]
        return replace(
            self,
            inputs=pick(self.inputs),
            targets=pick(self.targets),
            time=self.time[times],
            weights=weights,
            given={name: {part: a[times] for part, a in g.items()}
                   for name, g in self.given.items()},
        )  # fmt: skip

    def instants(self, series: int, times: slice) -> tuple[dict[str, np.ndarray], Any]:
        """Return a stretch of one series in memory: fields (time, *field), and what was given.

        What was given is None where nothing was, as `inputs` of a closure are.
        """
        fields = {name: np.asarray(a[series, times]) for name, a in self.inputs.items()}
        given = {
            name: {part: np.asarray(a[times]) for part, a in parts.items()}
            for name, parts in self.given.items()
        }
        return fields, given or None

    def held_out(self, fraction: float = 0.2, *, blocks: int = 5) -> np.ndarray:
        """Return a mask over time: True where samples are held out, in whole blocks.

        The record is cut into `blocks` equal stretches, and the last `fraction` of each is held
        out: never random samples of a time series, whose neighbours would tell the answer.

        Args:
            fraction: Share of the times to hold out, between 0 and 1, both excluded.
            blocks: Number of held-out blocks.

        Raises:
            ValueError: The fraction is not inside (0, 1), or the record is too short.
        """
        if not 0 < fraction < 1:
            raise ValueError(
                f"held-out fraction is {fraction}; it must lie between 0 and 1, e.g. 0.2."
            )
        count = len(self.time)
        if blocks < 1 or count < 2 * blocks:
            raise ValueError(
                f"{count} times cannot be cut into {blocks} blocks of two or more; "
                "use fewer blocks or a longer record."
            )
        edges = np.linspace(0, count, blocks + 1).round().astype(int)
        mask = np.zeros(count, bool)
        for start, stop in pairwise(edges):
            held = min(max(1, round(fraction * (stop - start))), stop - start - 1)
            mask[stop - held : stop] = True
        return mask

    def split(
        self, fraction: float = 0.2, *, blocks: int = 5, gap: int = 0
    ) -> tuple["Pairs", "Pairs"]:
        """Return (training, held-out) pairs, cut in time blocks (see `held_out`).

        Args:
            fraction: Share of the times to hold out.
            blocks: Number of held-out blocks.
            gap: Number of samples to drop from the training pairs on each side of a block.

        Raises:
            ValueError: Nothing is left to learn from.
        """
        mask = self.held_out(fraction, blocks=blocks)
        near = mask.copy()
        for shift in range(1, gap + 1):
            near[shift:] |= mask[:-shift]
            near[:-shift] |= mask[shift:]
        if near.all():
            raise ValueError(
                f"of {len(mask)} times {mask.sum()} are held out in {blocks} blocks and {gap} on "
                "each side are dropped, so none is left to learn from; record longer, or take "
                "fewer blocks or a smaller gap."
            )
        return self.at(np.flatnonzero(~near)), self.at(np.flatnonzero(mask))

    def __repr__(self) -> str:
        shape = lambda a: "x".join(map(str, np.shape(a)[2:])) or "scalar"  # noqa: E731
        lines = [
            f"Pairs: {self.series} series x {len(self.time)} times, "
            f"target '{self.passport.target}' (tendency to add)",
            "  inputs:  " + ", ".join(f"{n} ({shape(a)})" for n, a in self.inputs.items()),
            "  targets: " + ", ".join(f"{n} ({shape(a)})" for n, a in self.targets.items()),
            *(f"  warning: {line}" for line in self.warnings),
        ]
        return "\n".join(lines)


class AbstractLearner(eqx.Module):
    """A recipe that turns recorded pairs into a closure.

    To write one: (1) take its settings as fields; (2) write `fit`, which holds out blocks of time
    where it needs validation, draws all randomness from `key`, and returns a closure that carries
    `pairs.passport`. Never look at the system that made the pairs: features stand in between.
    `together` says whether several processes share the work of a fit (see `distributed`).
    """

    together: ClassVar[bool] = False

    @abstractmethod
    def fit(self, pairs: Pairs, *, key: Array) -> AbstractClosure:
        """Return the closure that this recipe learns from the pairs."""
