"""What an operation on a grid has in common with others: its words in a `.closura` file."""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

REALS = {4: "<f4", 8: "<f8"}  # numbers of so many bytes


def whole(*numbers: Any) -> np.ndarray:
    """Return numbers as the words of a file."""
    return np.array([int(number) for number in numbers], "<i4")


def wholes(numbers: Any) -> np.ndarray:
    """Return an array as the words of a file."""
    return np.asarray(numbers).astype("<i4").ravel()


def bytes_of(*arrays: np.ndarray) -> int:
    """Return how many bytes a number needs so that none of the arrays is rounded."""
    return 4 if all(array.dtype == np.float32 for array in arrays) else 8


def reals(array: np.ndarray, size: int) -> np.ndarray:
    """Return an array as numbers of so many bytes."""
    return array.astype(REALS[size]).ravel()


class GridOperation:
    """An operation that the reader and the writer of a file ask for its words.

    To write one: give it a `code` of its own, its `parts` in a file, `read` for these, a `width`.
    """

    code: ClassVar[int]

    @abstractmethod
    def parts(self) -> list[np.ndarray]:
        """Return the words and numbers of the section, in its order."""

    @classmethod
    @abstractmethod
    def read(cls, words: Any) -> "GridOperation":
        """Return the operation that the words of a section hold."""

    @abstractmethod
    def width(self) -> tuple[int, int]:
        """Return how many values of a column there are before and after."""
