"""What a closure says about recorded pairs, its random terms told apart."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from closura.closures.stochastic import AR1Noise
from closura.core.closure import AbstractClosure, terms
from closura.core.learner import Pairs
from closura.evaluation import offline


@dataclass(frozen=True)
class Prediction:
    """One closure's deterministic answer, and the deviation of what it adds at random.

    Args:
        tendency: By target, (instant, *field).
        sigma: Stationary deviation of its noise, by target; empty for a deterministic closure.
    """

    tendency: Mapping[str, np.ndarray]
    sigma: Mapping[str, np.ndarray]


def predict(closure: AbstractClosure, pairs: Pairs) -> Prediction:
    """Evaluate a closure at recorded instants, its random terms left out.

    Raises:
        ValueError: It does not predict every target of the pairs.
    """
    found = offline.predict(closure, pairs)
    sigma = {
        name: np.asarray(value, float)
        for term in terms(closure)
        if isinstance(term, AR1Noise)
        for name, value in term.sigma.items()
    }
    return Prediction({name: flat(values) for name, values in found.items()}, sigma)


def flat(values: np.ndarray) -> np.ndarray:
    """Return (series, time, *field) as (instant, *field)."""
    values = np.asarray(values)
    return values.reshape(-1, *values.shape[2:])
