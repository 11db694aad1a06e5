"""What is known of parameters once they are measured: a Gaussian, an ensemble, or a sampler."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.core.prior import Prior, shorten


class AbstractPosterior(eqx.Module):
    """What a calibrator returns. Positions are those of the prior (see `Prior`).

    To write one: keep `prior` and `history`, and write `draw`.

    Attributes:
        prior: Turns positions into parameters.
        history: What the calibrator noted on the way, arrays by name, iterations first.
    """

    prior: eqx.AbstractVar[Prior]
    history: eqx.AbstractVar[Mapping[str, Any]]

    @abstractmethod
    def draw(self, count: int, *, key: Array) -> Float[Array, "number member"]:
        """Return positions drawn from the posterior, members last."""

    def sample(self, count: int, *, key: Array) -> dict[str, Array]:
        """Return parameters drawn from the posterior, by name, draws on the last axis."""
        return self.prior.spread_out(self.draw(count, key=key))

    def __repr__(self) -> str:
        parameters = self._shown()
        if parameters is None:
            return f"{type(self).__name__} of {', '.join(self.prior.names)}"
        rows = [
            np.reshape(parameters[name], (-1, parameters[name].shape[-1])) for name in parameters
        ]
        values = np.concatenate(rows)
        known = zip(self.prior.labels, values.mean(axis=1), values.std(axis=1), strict=True)
        lines = [f"  {label:<10} {mean:.4g} ± {deviation:.2g}" for label, mean, deviation in known]
        return "\n".join([f"{type(self).__name__} ({values.shape[1]} draws)", *shorten(lines)])

    def _shown(self) -> dict[str, Array] | None:
        """Return the parameters that the printed form sums up; None where they cannot be had."""
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(self)):
            return None
        return self.sample(1000, key=jax.random.key(0))


class Gaussian(AbstractPosterior):
    """A posterior that is normal in the positions of the prior.

    Args:
        prior: Turns positions into parameters.
        mean: Mean position, (number,).
        covariance: Covariance of positions, (number, number), not singular.
        history: See `AbstractPosterior`.
    """

    prior: Prior
    mean: Float[Array, "number"]
    covariance: Float[Array, "number number"]
    history: Mapping[str, Any] = eqx.field(default_factory=dict)

    def draw(self, count, *, key):
        normal = jax.random.normal(key, (self.prior.size, count), self.mean.dtype)
        return self.mean[:, None] + jnp.linalg.cholesky(self.covariance) @ normal


class Ensemble(AbstractPosterior):
    """A posterior that its members stand for, each counting alike.

    Args:
        prior: Turns positions into parameters.
        members: Their positions, (number, member).
        history: See `AbstractPosterior`.
    """

    prior: Prior
    members: Float[Array, "number member"]
    history: Mapping[str, Any] = eqx.field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Array]:
        """The parameters of the members, by name, members last."""
        return self.prior.spread_out(self.members)

    def _shown(self):
        return None if isinstance(self.members, jax.core.Tracer) else self.parameters

    def draw(self, count, *, key):
        chosen = jax.random.choice(key, self.members.shape[-1], (count,))
        return self.members[:, chosen]


class Sampler(AbstractPosterior):
    """A posterior that a function draws from, as many times as wanted.

    Args:
        prior: Turns positions into parameters.
        drawer: ``(count, key) -> positions (number, member)``, an `eqx.Module` or a function.
        history: See `AbstractPosterior`.
    """

    prior: Prior
    drawer: Callable[[int, Array], Array]
    history: Mapping[str, Any] = eqx.field(default_factory=dict)

    def draw(self, count, *, key):
        return self.drawer(count, key)
