"""The posterior that a trained flow gives, of any measurement or of one."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from closura.core.calibrate import Measurement
from closura.core.posterior import AbstractPosterior
from closura.core.prior import Prior
from closura.solvers.density import Density


class NeuralPosterior(AbstractPosterior):
    """What a flow, trained on simulations, says of the parameters given what was measured.

    Draws lie inside the prior's bounds, because positions have none.

    Attributes:
        density: Log density of positions given statistics, and draws from it.
        measurement: What was measured; `given` puts another in its place.
        amortised: Whether the flow knows the whole prior, and so any measurement.
        history: ``loss`` and ``validation`` by epoch (the rounds one after the other), ``epochs``
            and ``seconds`` and ``failed`` by round, ``acceptance`` of each round's proposal, and
            ``positions`` (number, simulation) with ``statistics`` (statistic, simulation), errors
            added, in units of the error.
    """

    prior: Prior
    density: Density
    measurement: Measurement
    amortised: bool = eqx.field(static=True)
    history: Mapping[str, Any] = eqx.field(default_factory=dict)

    def draw(self, count, *, key):
        observed = self.measurement.whiten(self.measurement.values)
        return self.density.draw(observed, count, key)

    def log_density(self, positions: Float[Array, "number member"]) -> Float[Array, "member"]:
        """Return the log density of positions: of its own normal measure, not of parameters."""
        observed = self.measurement.whiten(self.measurement.values)
        return self.density.log_density(positions, observed)

    def given(self, measurement: Measurement) -> "NeuralPosterior":
        """Return the posterior for another measurement of the same error: no simulation is run.

        Raises:
            ValueError: The flow was trained near one measurement only, or the error differs.
        """
        if not self.amortised:
            raise ValueError(
                "the posterior was trained in several rounds around one measurement; for others "
                "train with rounds=1."
            )
        if measurement.root.shape != self.measurement.root.shape or not np.allclose(
            measurement.root, self.measurement.root
        ):
            raise ValueError(
                "the covariance of this measurement differs from the one that was trained with; "
                "solve the problem anew with it."
            )
        return eqx.tree_at(lambda posterior: posterior.measurement, self, measurement)

    def draw_each(
        self, values: Float[Array, "statistic case"], count: int, *, key: Array
    ) -> Float[Array, "number draw case"]:
        """Return positions drawn from the posterior of each of many measurements.

        This is what the checks of a posterior want (see `closura.metrics.expected_coverage`).

        Raises:
            ValueError: The flow was trained near one measurement only.
        """
        self.given(self.measurement)
        return _draw_each(self.density, self.measurement.whiten(values), count, key)


@eqx.filter_jit
def _draw_each(density: Density, whitened: Array, count: int, key: Array) -> Array:
    keys = jax.random.split(key, whitened.shape[-1])
    drawn = lax.map(lambda pair: density.draw(pair[0], count, pair[1]), (whitened.T, keys))
    return jnp.moveaxis(drawn, 0, -1)
