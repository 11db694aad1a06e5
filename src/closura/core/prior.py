"""What is known of parameters beforehand: maps from standard normals to parameters."""

from abc import abstractmethod
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float


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
        """Return the logarithm of the prior's density at a parameter, number by number."""
        parameter = jnp.broadcast_to(jnp.asarray(parameter, float), jnp.shape(parameter))
        position = self.to_normal(parameter)
        _, stretch = jax.jvp(self.from_normal, (position,), (jnp.ones_like(position),))
        return jax.scipy.stats.norm.logpdf(position) - jnp.log(stretch)


class Normal(AbstractMarginal):
    """A normal prior, unbounded.

    Args:
        mean: Mean, a number or an array [unit of the parameter].
        deviation: Standard deviation, positive, likewise.
    """

    mean: float | Array
    deviation: float | Array

    def __check_init__(self):
        _check("Normal", self.deviation, "deviation")

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

    mean: float | Array
    deviation: float | Array

    def __check_init__(self):
        _check("LogNormal", self.mean, "mean")
        _check("LogNormal", self.deviation, "deviation")

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

    lower: float | Array
    upper: float | Array

    def __check_init__(self):
        _check_bounds("Uniform", self.lower, self.upper)

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

    mean: float | Array
    deviation: float | Array
    lower: float | Array
    upper: float | Array

    def __check_init__(self):
        _check("TruncatedNormal", self.deviation, "deviation")
        _check_bounds("TruncatedNormal", self.lower, self.upper)

    @property
    def shape(self) -> tuple[int, ...]:
        settings = (self.mean, self.deviation, self.lower, self.upper)
        return np.broadcast_shapes(*(np.shape(setting) for setting in settings))

    def _shares(self) -> tuple[Array, Array]:
        """Return the shares of the whole normal below the two bounds."""
        below = ndtr((jnp.asarray(self.lower) - self.mean) / self.deviation)
        return below, ndtr((jnp.asarray(self.upper) - self.mean) / self.deviation)

    def from_normal(self, position):
        below, above = self._shares()
        inside = ndtri(below + (above - below) * ndtr(position))
        return jnp.clip(self.mean + self.deviation * inside, self.lower, self.upper)

    def to_normal(self, parameter):
        below, above = self._shares()
        share = ndtr((parameter - self.mean) / self.deviation)
        return ndtri((share - below) / (above - below))


class Prior(eqx.Module):
    """Independent priors of named parameters, written ``Prior(F=Normal(8, 2), h=Uniform(0, 2))``.

    Solvers work on positions: one standard normal for each number among the parameters, in the
    order in which these are named. What a solver finds there, the prior turns into parameters.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    marginals: tuple[AbstractMarginal, ...]

    def __init__(self, **marginals: AbstractMarginal):
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
            ValueError: A parameter is missing, or too many are given.
        """
        if set(parameters) != set(self.names):
            raise ValueError(
                f"the parameters are {', '.join(parameters) or 'none'}; the prior names "
                f"{', '.join(self.names)}: give each of these."
            )
        pieces = [
            jnp.ravel(jnp.broadcast_to(m.to_normal(jnp.asarray(parameters[name])), m.shape))
            for name, m in zip(self.names, self.marginals, strict=True)
        ]
        return jnp.concatenate(pieces)

    def draw(self, count: int, *, key: Array) -> Float[Array, "number member"]:
        """Return independent positions, members last."""
        return jax.random.normal(key, (self.size, count))

    def spread_out(self, positions: Float[Array, "number member"]) -> dict[str, Array]:
        """Return the parameters at many positions, members last."""
        return jax.vmap(self.parameters, in_axes=-1, out_axes=-1)(positions)


def _check(owner: str, value: float | Array, name: str) -> None:
    if not isinstance(value, jax.core.Tracer) and not np.all(np.asarray(value) > 0):
        raise ValueError(f"{owner}: {name} is {value}; it must be positive.")


def _check_bounds(owner: str, lower: float | Array, upper: float | Array) -> None:
    if isinstance(lower, jax.core.Tracer) or isinstance(upper, jax.core.Tracer):
        return
    if not np.all(np.asarray(lower) < np.asarray(upper)):
        raise ValueError(f"{owner}: lower is {lower} and upper {upper}; lower must be below upper.")
