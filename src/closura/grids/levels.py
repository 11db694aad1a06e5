"""Levels of an atmosphere between its top and the ground: sigma and hybrid coordinates."""

from typing import Any, NamedTuple

import numpy as np

REFERENCE_PRESSURE = 1e5  # [Pa] what a hybrid level's number is relative to


class Levels(NamedTuple):
    """Interfaces p = a + b * surface_pressure, from the top to the ground.

    Sigma levels have a = 0. Plain numbers, so that levels can be compared and looked up.

    Attributes:
        a: One more than levels [Pa].
        b: One more than levels [1]; ends with 1.
    """

    a: tuple[float, ...]
    b: tuple[float, ...]

    @property
    def count(self) -> int:
        """Number of levels."""
        return len(self.b) - 1

    @property
    def are_sigma(self) -> bool:
        """Whether pressure is proportional to surface pressure on every level."""
        return not any(self.a)

    @property
    def centres(self) -> np.ndarray:
        """Mean of a / 1e5 Pa + b of the interfaces of each level: sigma where a = 0."""
        edges = np.asarray(self.a) / REFERENCE_PRESSURE + np.asarray(self.b)
        return np.asarray((edges[1:] + edges[:-1]) / 2)

    def interfaces(self, surface_pressure: Any) -> Any:
        """Return the pressure at the interfaces, a new first axis [Pa]."""
        shape = (-1, *(1,) * np.ndim(surface_pressure))
        a, b = (np.reshape(values, shape) for values in (self.a, self.b))
        return a + b * surface_pressure

    def pressure(self, surface_pressure: Any) -> Any:
        """Return the pressure halfway between the interfaces of each level [Pa]."""
        edges = self.interfaces(surface_pressure)
        return (edges[1:] + edges[:-1]) / 2

    def thickness(self, surface_pressure: Any) -> Any:
        """Return the pressure between the interfaces of each level [Pa]."""
        edges = self.interfaces(surface_pressure)
        return edges[1:] - edges[:-1]


def even_levels(count: int) -> Levels:
    """Return a number of sigma levels of the same thickness.

    Raises:
        ValueError: There are fewer than two.
    """
    if count < 2:
        raise ValueError(f"levels is {count}; a model of the atmosphere needs 2 or more.")
    edges = np.linspace(0.0, 1.0, count + 1)
    return Levels((0.0,) * (count + 1), tuple(edges.tolist()))
