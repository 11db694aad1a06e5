"""What is believed of a number before it is estimated: how it is drawn, and how it is bounded."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from closura.core.model import check_positive


class AbstractPrior(eqx.Module):
    """A distribution of a number, as the image of a normal one under a bijection.

    Estimators work on the unbounded number, where any increment is allowed; the model gets the
    bounded one. To write one: write `draw`, which returns unbounded numbers, and `bound`.
    """

    @abstractmethod
    def draw(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Return draws of the unbounded number."""

    @abstractmethod
    def bound(self, unbounded: Array) -> Array:
        """Return the number that the model gets."""


class Normal(AbstractPrior):
    """Any number: its own unbounded number.

    Args:
        mean: Mean.
        deviation: Standard deviation.
    """

    mean: float = 0.0
    deviation: float = 1.0

    def __check_init__(self):
        check_positive("Normal", deviation=self.deviation)

    def draw(self, key, shape):
        return self.mean + self.deviation * jax.random.normal(key, shape)

    def bound(self, unbounded):
        return unbounded


class LogNormal(AbstractPrior):
    """A positive number, whose logarithm is normal and is the unbounded number.

    Args:
        mean: Mean of the number itself, not of its logarithm.
        deviation: Standard deviation of the number itself.
    """

    mean: float = 1.0
    deviation: float = 1.0

    def __check_init__(self):
        check_positive("LogNormal", mean=self.mean, deviation=self.deviation)

    def draw(self, key, shape):
        variance = np.log1p((self.deviation / self.mean) ** 2)
        normal = jax.random.normal(key, shape)
        return np.log(self.mean) - variance / 2 + np.sqrt(variance) * normal

    def bound(self, unbounded):
        return jnp.exp(unbounded)


class Uniform(AbstractPrior):
    """A number between two bounds, evenly likely; the unbounded number is its logit.

    Args:
        low: Lower bound, never reached.
        high: Upper bound, never reached.
    """

    low: float = 0.0
    high: float = 1.0

    def __check_init__(self):
        if not self.low < self.high:
            raise ValueError(
                f"Uniform: low is {self.low} and high is {self.high}; low must lie below high."
            )

    def draw(self, key, shape):
        share = jax.random.uniform(key, shape, minval=jnp.finfo(float).eps, maxval=1.0)
        return jnp.log(share) - jnp.log1p(-share)

    def bound(self, unbounded):
        return self.low + (self.high - self.low) * jax.nn.sigmoid(unbounded)
