"""Levels of an atmosphere between its top and the ground: sigma and hybrid coordinates."""

from collections.abc import Callable, Mapping
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
    def layers(self) -> int:
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


def between_levels(old: Levels, new: Levels) -> np.ndarray:
    """Return the share of each old level in each new one, linear in `centres`, (new, old).

    Raises:
        ValueError: A new level lies outside the old ones.
    """
    have, want = old.centres, new.centres
    if want[0] < have[0] - 1e-9 or want[-1] > have[-1] + 1e-9:
        raise ValueError(
            f"level is wanted from {want[0]:g} to {want[-1]:g} and the model has it from "
            f"{have[0]:g} to {have[-1]:g}; take a finer model, or more levels."
        )
    return np.stack([np.interp(want, have, one) for one in np.eye(have.size)], axis=1)


def as_levels(wanted: Any, named: Mapping[str, Callable[[], Levels]]) -> Levels:
    """Return the levels that a setting describes.

    Args:
        wanted: A number of even sigma levels; ``{sigma: [0, ..., 1]}``, the interfaces;
            ``{a: [...], b: [...]}``, the coefficients at the interfaces [Pa], [1]; the name of a
            set; ``{name: count}``, so many levels out of a named set; or `Levels`.
        named: Sets of levels by name.

    Raises:
        ValueError: It describes no levels, or they do not lead from the top to the ground.
    """
    if isinstance(wanted, Levels):
        return _checked(wanted)
    if isinstance(wanted, int) and not isinstance(wanted, bool):
        return even_levels(wanted)
    if isinstance(wanted, str) and wanted in named:
        return named[wanted]()
    if isinstance(wanted, Mapping) and set(wanted) == {"sigma"}:
        edges = _numbers(wanted["sigma"])
        return _checked(Levels((0.0,) * len(edges), edges))
    if isinstance(wanted, Mapping) and set(wanted) == {"a", "b"}:
        return _checked(Levels(_numbers(wanted["a"]), _numbers(wanted["b"])))
    if isinstance(wanted, Mapping) and len(wanted) == 1 and next(iter(wanted)) in named:
        ((name, count),) = wanted.items()
        return thinned(named[name](), count)
    raise ValueError(
        f"levels is {wanted!r}; give a number of sigma levels, {{sigma: [0, ..., 1]}}, "
        f"{{a: [...], b: [...]}} at the interfaces in Pa, or one of {', '.join(named)}."
    )


def thinned(levels: Levels, count: int) -> Levels:
    """Return fewer levels, their interfaces interpolated evenly among those of a set.

    Raises:
        ValueError: The set has fewer levels than that, or two are too many.
    """
    if not 2 <= count <= levels.layers:
        raise ValueError(
            f"levels asks for {count} of a set of {levels.layers}; take 2 to {levels.layers}."
        )
    old, new = np.linspace(0, 1, levels.layers + 1), np.linspace(0, 1, count + 1)
    a, b = (np.interp(new, old, values) for values in levels)
    return _checked(Levels(_numbers(a), _numbers(b)))


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _checked(levels: Levels) -> Levels:
    """Return the levels if their interfaces go down, from the top to the ground."""
    if len(levels.a) != len(levels.b) or len(levels.b) < 3:
        raise ValueError(
            f"levels have {len(levels.a)} numbers a and {len(levels.b)} b; give as many of each, "
            "one more than levels, and at least 3."
        )
    edges = levels.interfaces(REFERENCE_PRESSURE)
    if edges[0] > edges[-1]:
        raise ValueError(
            f"levels go from {edges[0]:g} to {edges[-1]:g} Pa; give them from the top down."
        )
    if not (np.diff(edges) > 0).all():
        raise ValueError("levels do not go down all the way; pressure must grow downward.")
    if levels.are_sigma and levels.b[0] != 0:
        raise ValueError(f"sigma levels begin with {levels.b[0]:g}; the first interface is 0.")
    if levels.a[-1] != 0 or levels.b[-1] != 1:
        raise ValueError(
            f"levels end with a = {levels.a[-1]:g} Pa, b = {levels.b[-1]:g}; the last interface is "
            "the ground, a = 0 and b = 1."
        )
    return levels
