"""Skill against the amount of training data: would more of it help?"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Array

from closura.core.closure import fold
from closura.core.learner import AbstractLearner, Pairs
from closura.evaluation.by_level import on_the_sphere, overall_r_squared
from closura.evaluation.offline import level_mass, score_variable
from closura.evaluation.prediction import predict


def learning_curve(
    learner: AbstractLearner | Mapping[str, AbstractLearner],
    pairs: Pairs,
    *,
    held_out: Pairs | None = None,
    sizes: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    repeats: int = 5,
    key: Array,
) -> xr.Dataset:
    """Return R² on held-out times of learners that were given a part of the training times.

    A part is one contiguous stretch of the training times, for random samples would know their
    neighbours. Repeats take stretches spread evenly over the record, each with its own key; at
    the size 1 only the key differs.

    Args:
        learner: What to fit, or several by name.
        pairs: Training pairs.
        held_out: Where to score; None holds out blocks of `pairs` (see `Pairs.split`).
        sizes: Shares of the training times, above 0 and not above 1.
        repeats: Fits for each size.
        key: Randomness of the fits.

    Returns:
        ``learning_curve`` (model, variable, size), the median over repeats of R² over all points
        (weighed by mass where the pairs say how); ``_lower`` and ``_upper``, the least and the
        greatest; ``learning_curve_repeats`` with all of them. The coordinate `size` counts
        training samples. Without names the dimension `model` is dropped.

    Raises:
        ValueError: A size or `repeats` is out of range.
    """
    if repeats < 1 or not sizes or not all(0 < size <= 1 for size in sizes):
        raise ValueError(
            f"sizes is {list(sizes)} and repeats {repeats}; wanted are shares of the training "
            "times, above 0 and not above 1, and at least 1 repeat."
        )
    training = pairs
    if held_out is None:
        training, held_out = pairs.split()
    learners = learner if isinstance(learner, Mapping) else {"": learner}
    lengths = [max(2, round(size * len(training.time))) for size in sizes]
    curves = []
    for number, each in enumerate(learners.values()):
        found = [
            [
                _fit_and_score(each, training, held_out, length, repeat, repeats,
                               fold(fold(fold(key, number), length), repeat))
                for repeat in range(repeats)
            ]
            for length in lengths
        ]  # fmt: skip
        curves.append(found)
    return _as_dataset(np.array(curves), learners, training, held_out, lengths)


def _fit_and_score(learner, training, held_out, length, repeat, repeats, key) -> list[float]:
    """Return R² for each target of a learner fitted on one stretch of the training times."""
    latest = len(training.time) - length
    first = round(latest * repeat / max(1, repeats - 1))
    closure = learner.fit(training.at(slice(first, first + length)), key=key)
    if on_the_sphere(held_out):
        return list(overall_r_squared(closure, held_out).values())
    predicted = predict(closure, held_out)
    scores = []
    for name, target in held_out.targets.items():
        mass = level_mass(held_out, np.asarray(target))
        kind = "overall" if mass is None else "column"
        found = score_variable(predicted[name], np.asarray(target, float), mass)
        scores.append(float(found[f"{kind}_r_squared"]))
    return scores


def _as_dataset(values: np.ndarray, learners, training, held_out, lengths) -> xr.Dataset:
    """Return (model, size, repeat, variable) values as a Dataset."""
    values = values.transpose(0, 3, 1, 2)
    dims = ("model", "variable", "size")
    found = xr.Dataset(
        {
            "learning_curve": (dims, np.median(values, axis=-1)),
            "learning_curve_lower": (dims, values.min(axis=-1)),
            "learning_curve_upper": (dims, values.max(axis=-1)),
            "learning_curve_repeats": ((*dims, "repeat"), values),
        },
        {
            "model": list(learners),
            "variable": list(held_out.targets),
            "size": [length * training.series for length in lengths],
        },
    )
    for variable in found.data_vars.values():
        variable.attrs = {"long_name": "R² on held-out times", "units": "1"}
    found["size"].attrs = {"long_name": "training samples"}
    return found if len(learners) > 1 or "" not in learners else found.isel(model=0, drop=True)
