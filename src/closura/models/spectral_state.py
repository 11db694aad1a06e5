"""What a spectral core steps forward, and how its arrays lie."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Tree = TypeVar("Tree")


class SpectralState(NamedTuple):
    """Coefficients of spherical harmonics, in the units of the core.

    Attributes:
        vorticity: (level, m, l).
        divergence: (level, m, l).
        temperature: Departure from 288 K, (level, m, l).
        log_surface_pressure: (1, m, l).
        tracers: (level, m, l) each, by name.
    """

    vorticity: Float[Array, "level m l"]
    divergence: Float[Array, "level m l"]
    temperature: Float[Array, "level m l"]
    log_surface_pressure: Float[Array, "1 m l"]
    tracers: dict[str, Float[Array, "level m l"]]


def stacked(transform: Callable[[Array], Array], tree: Tree) -> Tree:
    """Return the transform of each leaf: one product of large matrices instead of several small.

    Args:
        transform: Of (level, ...), each level by itself.
        tree: Arrays that differ in their number of levels alone.
    """
    leaves, form = jax.tree.flatten(tree)
    if not leaves:
        return tree
    ends = np.cumsum([len(leaf) for leaf in leaves])[:-1]
    return jax.tree.unflatten(form, jnp.split(transform(jnp.concatenate(leaves)), ends))


def turned(values: Array) -> Array:
    """Exchange the two horizontal axes: (.., lon, lat) inside, (.., lat, lon) outside."""
    return jnp.swapaxes(values, -1, -2)


def computed_once(tree: Tree) -> Tree:
    """Return the tree as it is, in memory.

    On a CPU, XLA computes a chain of sums and products again in each place that reads its result,
    and the end of a time step is read in many. Nothing is merged across the border of a
    conditional, if its branches differ as far as XLA can see: here they differ for a number that
    is NaN and not NaN, so that both return what they get.

    Args:
        tree: Arrays, at least one; the first is not empty.
    """

    def on_cpu(tree: Tree) -> Tree:
        first = jax.tree.leaves(tree)[0].ravel()[0]

        def same(tree: Tree) -> Tree:  # for a first number that is NaN
            return jax.tree.map(lambda values: jnp.where(jnp.isnan(first), values, 0), tree)

        return jax.lax.cond(jnp.isnan(first), same, lambda tree: tree, tree)

    return jax.lax.platform_dependent(tree, cpu=on_cpu, default=lambda tree: tree)
