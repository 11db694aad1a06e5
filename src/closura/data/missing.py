"""Samples in which a value is missing: found, told, left out."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from closura.core.lazy import times_at_once
from closura.core.learner import Pairs


def without_missing(pairs: Pairs, on_missing: str, file, dims, readings) -> Pairs:
    """Return the pairs if no value is missing, or without the samples where one is."""
    gone, warnings, first = np.zeros(len(pairs.time), bool), [], ""
    sides = (("inputs", pairs.inputs), ("targets", pairs.targets))
    for side, arrays in sides:
        for name, values in arrays.items():
            count, place, there = _missing(values)
            if not count:
                continue
            gone |= there
            labels = [dims.sample, "series", *dims.levels]
            where = ", ".join(
                f"{d} {i}" for d, i in zip(labels, place, strict=False) if d != "series"
            )
            line = (
                f"{readings[side][name].variable!r} is missing (NaN or fill value) in {count} "
                f"of {values.size} values, first at {where} (counted from 0)"
            )
            first = first or line
            warnings.append(f"{line}; samples with missing values were left out.")
    if not gone.any():
        return pairs
    if on_missing == "error":
        raise ValueError(
            f"{first}; repair the file, or leave these {gone.sum()} samples out with "
            "on_missing: drop."
        )
    if gone.all():
        raise ValueError(f"{first}, and no sample is whole; leave that variable out.")
    kept = pairs.at(np.flatnonzero(~gone))
    return Pairs(**{**vars(kept), "warnings": (*kept.warnings, *warnings)})


def _missing(values: Any) -> tuple[int, Sequence[int], np.ndarray]:
    """Return how many values are missing, the first (time, series, *levels), and at which times."""
    gone, count = np.zeros(values.shape[1], bool), 0
    first: Sequence[int] = ()
    for start, stop in pairwise(times_at_once(values)):
        bad = ~np.isfinite(np.asarray(values[:, start:stop]))
        gone[start:stop] = bad.any(axis=(0, *range(2, bad.ndim)))
        if bad.any():
            count += int(bad.sum())
            time, *others = np.argwhere(np.moveaxis(bad, 1, 0))[0].tolist()
            first = first or (start + time, *others)
    return count, first, gone
