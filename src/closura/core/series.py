"""Inputs that change in time: forcings, a reanalysis to nudge to, surface fluxes."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from closura.core.inputs import AbstractInputs


class Series(AbstractInputs):
    """Values at regular steps, interpolated linearly in between.

    The run stops with an error where the series begins later or ends earlier than the run: an
    input is never held beyond its data.

    Args:
        values: Any pytree of arrays, time on the first axis, at least two times.
        first: Time step of the first value.
        every: Time steps between two values.
    """

    values: Any
    first: int = eqx.field(static=True, default=0)
    every: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        lengths = {jnp.shape(leaf)[0] for leaf in jax.tree.leaves(self.values)}
        if len(lengths) != 1 or min(lengths) < 2:
            raise ValueError(
                f"the arrays of a Series have lengths {sorted(lengths)} in time; "
                "all need the same length, of two or more."
            )
        if self.every < 1:
            raise ValueError(f"every is {self.every}; it counts time steps and must be 1 or more.")

    @property
    def last(self) -> int:
        """Last time step that the series covers."""
        return self.first + self.every * (jax.tree.leaves(self.values)[0].shape[0] - 1)

    def at(self, step: Int[Array, ""] | int) -> Any:
        """Return the values at a time step, as one instant of the pytree."""
        elapsed = jnp.clip(jnp.asarray(step), self.first, self.last) - self.first
        index = jnp.clip(elapsed // self.every, 0, (self.last - self.first) // self.every - 1)
        weight = elapsed / self.every - index

        def between(leaf: Array) -> Array:
            return (1 - weight).astype(leaf.dtype) * leaf[index] + weight.astype(leaf.dtype) * leaf[
                index + 1
            ]

        return jax.tree.map(between, self.values)

    def check_covers(self, first: int, last: int) -> None:
        """Raise ValueError unless every step from first to last lies within the series."""
        if first < self.first or last > self.last:
            raise ValueError(
                f"the run goes from step {first} to {last} and its inputs cover steps "
                f"{self.first} to {self.last}; give a longer series or a shorter run."
            )
