"""Weights between 0 and 1 by level: where nudging or a correction acts, and where it fades."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

LEVEL = "level"


class AbstractTaper(eqx.Module):
    """A weight for each level, level 0 at the top.

    To write one: return from `weights` one number a level.
    """

    @abstractmethod
    def weights(self, sigma: Float[np.ndarray, "level"]) -> Float[np.ndarray, "level"]:
        """Return the weights.

        Args:
            sigma: Pressure of each level's centre over that at the ground [1], from the top down.
        """


class BoundaryLayer(AbstractTaper):
    """Fade toward the ground: (1 + tanh((centre - sigma) / width)) / 2.

    One half at `centre`; with the defaults 0.018 at sigma = 0.95. The models near the ground know
    better than a coarse reference: LMDZ spares it so under ``guide_BL``.

    Args:
        centre: Sigma at which the weight is one half [1].
        width: Of the transition [1].
    """

    centre: float = eqx.field(static=True, default=0.85)
    width: float = eqx.field(static=True, default=0.05)

    def __check_init__(self):
        _check_width(self)

    def weights(self, sigma: Float[np.ndarray, "level"]) -> Float[np.ndarray, "level"]:
        return (1 + np.tanh((self.centre - sigma) / self.width)) / 2


class Sponge(AbstractTaper):
    """Fade toward the top: (1 + tanh((sigma - centre) / width)) / 2.

    Args:
        centre: Sigma at which the weight is one half [1]; 0.06 is about 60 hPa.
        width: Of the transition [1].
    """

    centre: float = eqx.field(static=True, default=0.06)
    width: float = eqx.field(static=True, default=0.02)

    def __check_init__(self):
        _check_width(self)

    def weights(self, sigma: Float[np.ndarray, "level"]) -> Float[np.ndarray, "level"]:
        return (1 + np.tanh((sigma - self.centre) / self.width)) / 2


class Exponential(AbstractTaper):
    """Fade above a level: exp((k - cutoff) / rate) for k < cutoff, 1 below, k = 0 at the top.

    Args:
        cutoff: Number of the first level with weight 1.
        rate: Levels over which the weight falls to 1 / e.
        sigma: Whether `cutoff` and `rate` are in sigma instead of numbers of levels.
    """

    cutoff: float | int = eqx.field(static=True)
    rate: float | int = eqx.field(static=True)
    sigma: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        if not self.rate > 0:
            raise ValueError(f"Exponential: rate is {self.rate}; it must be positive.")

    def weights(self, sigma: Float[np.ndarray, "level"]) -> Float[np.ndarray, "level"]:
        depth = sigma if self.sigma else np.arange(len(sigma))
        return np.exp(np.minimum((depth - self.cutoff) / self.rate, 0.0))


class Between(AbstractTaper):
    """A mask: 1 on the levels between two values of sigma, both included, 0 elsewhere.

    Args:
        top: Smallest sigma [1].
        bottom: Largest sigma [1].
    """

    top: float = eqx.field(static=True, default=0.0)
    bottom: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        if not self.top < self.bottom:
            raise ValueError(
                f"Between: top is {self.top} and bottom {self.bottom}; sigma grows downward, so "
                "the top is the smaller number."
            )

    def weights(self, sigma: Float[np.ndarray, "level"]) -> Float[np.ndarray, "level"]:
        return ((sigma >= self.top) & (sigma <= self.bottom)).astype(float)


class Profile(eqx.Module):
    """The product of some tapers on the levels of a model.

    Args:
        values: One weight a level; None without tapers.
        levelled: Names of the fields that have levels, on their first axis.
    """

    values: Float[Array, "level"] | None
    levelled: tuple[str, ...] = eqx.field(static=True)

    def __call__(self, tendency: Mapping[str, Array]) -> dict[str, Array]:
        """Return the tendency with each field that has levels weighed; others are as they were."""
        if self.values is None:
            return dict(tendency)
        return {name: self._weigh(name, rate) for name, rate in tendency.items()}

    def _weigh(self, name: str, rate: Array) -> Array:
        if name not in self.levelled:
            return rate
        assert self.values is not None
        return self.values.astype(rate.dtype).reshape(-1, *(1,) * (rate.ndim - 1)) * rate


def make_profile(who: str, tapers: tuple[AbstractTaper, ...], model: Any) -> Profile:
    """Return what some tapers mean on the levels of a model.

    Raises:
        ValueError: The model has no levels that are sigma from the top down.
    """
    if not tapers:
        return Profile(None, ())
    sigma = levels_of(who, model)
    weights = np.prod([taper.weights(sigma) for taper in tapers], axis=0)
    return Profile(jnp.asarray(weights), levelled(model))


def levels_of(who: str, model: Any) -> Float[np.ndarray, "level"]:
    """Return sigma at the centres of a model's levels, from the top down.

    Raises:
        ValueError: It has none.
    """
    coordinates = model.coordinates
    if LEVEL not in coordinates:
        raise ValueError(
            f"{who} fades with level and {type(model).__name__} has no coordinate {LEVEL!r}; "
            "leave out its tapers."
        )
    sigma = np.asarray(coordinates[LEVEL], float)
    if not (np.all(np.diff(sigma) > 0) and sigma[0] >= 0 and sigma[-1] <= 1.5):
        raise ValueError(
            f"{who} wants levels in sigma from the top down, and those of "
            f"{type(model).__name__} go from {sigma[0]:g} to {sigma[-1]:g}."
        )
    return sigma


def levelled(model: Any) -> tuple[str, ...]:
    """Return the names of the variables that have levels, on their first axis."""
    return tuple(v.name for v in model.variables if v.dims[:1] == (LEVEL,))


def as_tapers(taper: Any) -> tuple[AbstractTaper, ...]:
    """Return one taper or several as a tuple."""
    return (taper,) if isinstance(taper, AbstractTaper) else tuple(taper or ())


def _check_width(taper: Any) -> None:
    if not taper.width > 0:
        raise ValueError(f"{type(taper).__name__}: width is {taper.width}; it must be positive.")
