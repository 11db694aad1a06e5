"""Random tendencies: white noise and first-order autoregression."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from closura.closures.features import field
from closura.core.closure import AbstractClosure, fold
from closura.core.passport import Passport

FIRST = 2**31 - 3  # folded into the key that draws the stationary start


class AR1Noise(AbstractClosure):
    """A random tendency e with e' = phi e + sigma sqrt(1 - phi^2) z, z ~ N(0, 1), each time step.

    Independent at every point. It starts from its stationary distribution N(0, sigma^2).
    White noise is phi = 0.

    Args:
        phi: Correlation from one time step to the next, in [0, 1), by field.
        sigma: Stationary standard deviation [unit of the field per time unit], by field.
        origin: Passport of the pairs it was fitted on, if it was.

    Reference:
        Wilks (2005), doi:10.1256/qj.04.03; Arnold et al. (2013), doi:10.1098/rsta.2011.0479.
    """

    phi: dict[str, Any]
    sigma: dict[str, Any]
    origin: Passport | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if set(self.phi) != set(self.sigma):
            raise ValueError(
                f"AR1Noise has phi for {sorted(self.phi)} and sigma for {sorted(self.sigma)}; "
                "give both for each field."
            )
        for name, phi in self.phi.items():
            if not isinstance(phi, jax.core.Tracer) and not jnp.all((phi >= 0) & (phi < 1)):
                raise ValueError(f"AR1Noise: phi of {name} is {phi}; it must lie in [0, 1).")

    @property
    def passport(self) -> Passport | None:
        return self.origin

    @property
    def random(self) -> bool:
        return True

    def init(self, fields: Any, key: Array | None = None) -> dict[str, Array]:
        return {
            name: _scaled(self.sigma[name], self._draw(fields, name, fold(key, FIRST), index))
            for index, name in enumerate(sorted(self.phi))
        }

    def __call__(self, fields, inputs, memory, key):
        after = {}
        for index, (name, noise) in enumerate(sorted(memory.items())):
            phi, sigma = self.phi[name], self.sigma[name]
            kick = _scaled(
                sigma * jnp.sqrt(1 - jnp.square(phi)), self._draw(fields, name, key, index)
            )
            after[name] = (phi * noise + kick).astype(noise.dtype)
        return dict(memory), after

    def _draw(self, fields: Any, name: str, key: Array | None, index: int) -> Array:
        if key is None:
            raise ValueError(
                "this model draws random numbers (AR1Noise) and got no key; "
                "pass key=jax.random.key(0) to start, rollout or simulate."
            )
        like = field(fields, name)
        return jax.random.normal(jax.random.fold_in(key, index), like.shape, like.dtype)


def _scaled(amplitude: Any, draw: Array) -> Array:
    """Return amplitude times draw, in the precision of the draw."""
    return jnp.asarray(amplitude, draw.dtype) * draw
