"""What is known of parameters beforehand: maps from standard normals to parameters."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float

from closura.core.prior_checks import check_bounds, check_finite, check_positive


def _number(value: Any) -> float | Array:
    """Return a setting as a float, or as an array where it holds several numbers."""
    if isinstance(value, jax.Array):
        return value
    value = np.asarray(value, float)
    return float(value) if value.ndim == 0 else jnp.asarray(value)


class AbstractMarginal(eqx.Module):
    """The prior of one parameter, a number or an array: a map from independent standard normals.

    To write one: give `shape`, and write `from_normal`, increasing in each number, and its inverse
    `to_normal`. What bounds the parameter is in the map, so that a solver may move freely.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of the parameter; () for a number."""

    @abstractmethod
    def from_normal(self, position: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return the parameter at a position among standard normals."""

    @abstractmethod
    def to_normal(self, parameter: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return the position of a parameter."""

    def log_density(self, parameter: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return the logarithm of the prior's density, number by number; -inf where there is none.

        Args:
            parameter: Of the shape of the prior, or one that it broadcasts to.
        """
        position = self.to_normal(jnp.asarray(parameter, float))
        inside = jnp.isfinite(position)
        position = jnp.where(inside, position, 0.0)
        _, stretch = jax.jvp(self.from_normal, (position,), (jnp.ones_like(position),))
        density = jax.scipy.stats.norm.logpdf(position) - jnp.log(stretch)
        return jnp.where(inside, density, -jnp.inf)


class Normal(AbstractMarginal):
    """A normal prior, unbounded.

    Args:
        mean: Mean, a number or an array [unit of the parameter].
        deviation: Standard deviation, positive, likewise.
    """

    mean: float | Array = eqx.field(converter=_number)
    deviation: float | Array = eqx.field(converter=_number)

    def __check_init__(self):
        check_finite("Normal", self.mean)
        check_positive("Normal", deviation=self.deviation)

    @property
    def shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes(np.shape(self.mean), np.shape(self.deviation))

    def from_normal(self, position):
        return self.mean + self.deviation * position

    def to_normal(self, parameter):
        return (parameter - self.mean) / self.deviation


class LogNormal(AbstractMarginal):
    """A prior of a positive parameter whose logarithm is normal.

    Args:
        mean: Mean of the parameter itself, positive [unit of the parameter].
        deviation: Standard deviation of the parameter itself, positive, likewise.
    """

    mean: float | Array = eqx.field(converter=_number)
    deviation: float | Array = eqx.field(converter=_number)

    def __check_init__(self):
        check_positive("LogNormal", mean=self.mean, deviation=self.deviation)

    @classmethod
    def from_logarithm(cls, mean: float | Array, deviation: float | Array) -> "LogNormal":
        """Return the prior whose natural logarithm has this mean and standard deviation."""
        centre = jnp.exp(jnp.asarray(mean) + jnp.asarray(deviation) ** 2 / 2)
        return cls(centre, centre * jnp.sqrt(jnp.expm1(jnp.asarray(deviation) ** 2)))

    @property
    def shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes(np.shape(self.mean), np.shape(self.deviation))

    def _logarithm(self) -> tuple[Array, Array]:
        variance = jnp.log1p((jnp.asarray(self.deviation) / self.mean) ** 2)
        return jnp.log(jnp.asarray(self.mean)) - variance / 2, jnp.sqrt(variance)

    def from_normal(self, position):
        centre, width = self._logarithm()
        return jnp.exp(centre + width * position)

    def to_normal(self, parameter):
        centre, width = self._logarithm()
        return (jnp.log(parameter) - centre) / width


class Uniform(AbstractMarginal):
    """A prior that holds every value between two bounds equally likely.

    Args:
        lower: Lower bound, a number or an array [unit of the parameter].
        upper: Upper bound, above the lower.
    """

    lower: float | Array = eqx.field(converter=_number)
    upper: float | Array = eqx.field(converter=_number)

    def __check_init__(self):
        check_bounds("Uniform", self.lower, self.upper)

    @property
    def shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes(np.shape(self.lower), np.shape(self.upper))

    def from_normal(self, position):
        return self.lower + (jnp.asarray(self.upper) - self.lower) * ndtr(position)

    def to_normal(self, parameter):
        return ndtri((parameter - self.lower) / (jnp.asarray(self.upper) - self.lower))


class TruncatedNormal(AbstractMarginal):
    """A normal prior, cut off at two bounds.

    Args:
        mean: Mean before it is cut [unit of the parameter].
        deviation: Standard deviation before it is cut, positive.
        lower: Lower bound.
        upper: Upper bound, above the lower.
    """

    mean: float | Array = eqx.field(converter=_number)
    deviation: float | Array = eqx.field(converter=_number)
    lower: float | Array = eqx.field(converter=_number)
    upper: float | Array = eqx.field(converter=_number)

    def __check_init__(self):
        check_finite("TruncatedNormal", self.mean)
        check_positive("TruncatedNormal", deviation=self.deviation)
        check_bounds("TruncatedNormal", self.lower, self.upper)

    @property
    def shape(self) -> tuple[int, ...]:
        settings = (self.mean, self.deviation, self.lower, self.upper)
        return np.broadcast_shapes(*(np.shape(setting) for setting in settings))

    def _shares(self) -> tuple[Array, Array, Array]:
        """Return a sign, and the shares of the normal times that sign below the two bounds.

        The sign turns what is left of the normal to its lower side, where shares are exact.
        """
        lower = (jnp.asarray(self.lower) - self.mean) / self.deviation
        upper = (jnp.asarray(self.upper) - self.mean) / self.deviation
        sign = jnp.where(lower + upper > 0, -1.0, 1.0)
        first, second = sign * lower, sign * upper
        return sign, ndtr(jnp.minimum(first, second)), ndtr(jnp.maximum(first, second))

    def from_normal(self, position):
        sign, below, above = self._shares()
        inside = sign * ndtri(below + (above - below) * ndtr(sign * position))
        return jnp.clip(self.mean + self.deviation * inside, self.lower, self.upper)

    def to_normal(self, parameter):
        sign, below, above = self._shares()
        share = ndtr(sign * (parameter - self.mean) / self.deviation)
        return sign * ndtri((share - below) / (above - below))


class Prior(eqx.Module):
    """Independent priors of named parameters, written ``Prior(F=Normal(8, 2), h=Uniform(0, 2))``.

    Solvers work on positions: one standard normal for each number among the parameters, in the
    order in which these are named. What a solver finds there, the prior turns into parameters.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    marginals: tuple[AbstractMarginal, ...]

    def __init__(self, **marginals: Any):
        if not marginals:
            raise ValueError("Prior: no parameter is named; write Prior(F=Normal(8.0, 2.0)).")
        for name, marginal in marginals.items():
            if not isinstance(marginal, AbstractMarginal):
                raise ValueError(
                    f"Prior: {name} is {marginal!r}; give its distribution, e.g. "
                    f"{name}=Normal(mean, deviation) or {name}=Uniform(lower, upper)."
                )
        self.names = tuple(marginals)
        self.marginals = tuple(marginals.values())

    @property
    def labels(self) -> tuple[str, ...]:
        """One name for each number: ``F``, or ``F[0]``, ``F[1]`` where F is an array."""
        found: list[str] = []
        for name, marginal in zip(self.names, self.marginals, strict=True):
            where = np.ndindex(marginal.shape)
            found += [f"{name}[{','.join(map(str, at))}]" if at else name for at in where]
        return tuple(found)

    @property
    def size(self) -> int:
        """How many numbers the parameters are."""
        return sum(int(np.prod(marginal.shape)) for marginal in self.marginals)

    def parameters(self, position: Float[Array, "number"]) -> dict[str, Array]:
        """Return the parameters at one position."""
        found, first = {}, 0
        for name, marginal in zip(self.names, self.marginals, strict=True):
            count = int(np.prod(marginal.shape))
            piece = position[first : first + count].reshape(marginal.shape)
            found[name], first = marginal.from_normal(piece), first + count
        return found

    def position(self, parameters: Mapping[str, Array | float]) -> Float[Array, "number"]:
        """Return the position of parameters.

        Raises:
            ValueError: A parameter is missing, too many are given, or one lies outside its prior.
        """
        if set(parameters) != set(self.names):
            raise ValueError(
                f"the parameters are {', '.join(parameters) or 'none'}; the prior names "
                f"{', '.join(self.names)}: give each of these."
            )
        pieces = [
            jnp.ravel(jnp.broadcast_to(_inside(name, m, jnp.asarray(parameters[name])), m.shape))
            for name, m in zip(self.names, self.marginals, strict=True)
        ]
        return jnp.concatenate(pieces)

    def draw(self, count: int, *, key: Array) -> Float[Array, "number member"]:
        """Return independent positions, members last."""
        return jax.random.normal(key, (self.size, count))

    def spread_out(self, positions: Float[Array, "number member"]) -> dict[str, Array]:
        """Return the parameters at many positions, members last."""
        found = jax.vmap(self.parameters, in_axes=-1, out_axes=-1)(positions)
        return {name: found[name] for name in self.names}  # JAX sorts the names of a dictionary

    def __repr__(self) -> str:
        known = zip(self.names, self.marginals, strict=True)
        lines = [f"  {name:<10} {marginal!r}" for name, marginal in known]
        return "\n".join([f"Prior of {self.size} numbers", *shorten(lines)])


def shorten(lines: list[str], most: int = 10) -> list[str]:
    """Return the lines, or the first ones and how many more there are."""
    left = len(lines) - most
    return lines if left <= 0 else [*lines[:most], f"  and {left} more"]


def _inside(name: str, marginal: AbstractMarginal, parameter: Array) -> Array:
    """Return the position of one parameter; raise where its prior has none."""
    position = marginal.to_normal(parameter)
    if isinstance(position, jax.core.Tracer) or bool(jnp.isfinite(position).all()):
        return position
    ends = [marginal.from_normal(jnp.full(marginal.shape, end)) for end in (-jnp.inf, jnp.inf)]
    lower, upper = (np.asarray(end).tolist() for end in ends)
    raise ValueError(
        f"{name} is {np.asarray(parameter).tolist()}, and its prior, {type(marginal).__name__}, "
        f"holds what lies between {lower} and {upper}; give a value inside, or widen the prior."
    )
