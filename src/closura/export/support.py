"""How new a column is to a one-class support vector machine, and what a score of newness costs."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


def respond(score: np.ndarray, response: int, numbers: tuple[float, float, float]) -> np.ndarray:
    """Return the weight of columns by how new they are.

    Args:
        score: Of each column.
        response: 0 mask, 1 ramp, 2 decay.
        numbers: Cutoff, end of a ramp, rate of a decay.
    """
    cutoff, end, rate = numbers
    if response == 0:
        return (score <= cutoff).astype(float)
    if response == 1:
        return np.clip((end - score) / (end - cutoff), 0, 1)
    return np.minimum(rate ** (score - cutoff), 1)


@dataclass(frozen=True)
class SupportNovelty:
    """The panel is multiplied by a weight that falls where no support vector is near a column.

    The score is minus the sum of heights * exp(-gamma |x - vector|^2), minus the offset, with x
    the scaled inputs.

    Args:
        inputs: Inputs of the file that are looked at, counted from 0.
        centre: Of each of these.
        scale: Of each of these.
        vectors: Support vectors, scaled, (vector, input).
        heights: Of the bump of each vector.
        gamma: How fast a vector's bump falls.
        offset: Score that counts as 0.
        response: 0 mask, 1 ramp, 2 decay.
        numbers: Cutoff, end of a ramp, rate of a decay.
    """

    code: ClassVar[int] = 25
    inputs: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    vectors: np.ndarray
    heights: np.ndarray
    gamma: float
    offset: float
    response: int
    numbers: tuple[float, float, float]

    def width(self) -> tuple[int, int]:
        return len(self.inputs), 1

    def weights(self, columns: np.ndarray) -> np.ndarray:
        """Return the weight of each column (column, input)."""
        scaled = (columns[:, self.inputs].astype(float) - self.centre) / self.scale
        score = np.full(len(columns), -self.offset)
        for vector, height in zip(self.vectors, self.heights, strict=True):
            score -= height * np.exp(-self.gamma * ((scaled - vector) ** 2).sum(axis=1))
        return respond(score, self.response, self.numbers)
