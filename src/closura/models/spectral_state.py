"""What a spectral core steps forward, and how its arrays lie."""

from collections.abc import Callable
from functools import partial
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


@jax.jit
def computed_once(tree: Tree) -> Tree:
    """Return the tree as it is, in memory.

    On a CPU, XLA computes a chain of sums and products again in each place that reads its result,
    and the results of a stage are read in many. It merges nothing across the border of a
    conditional. This one's condition is always true, which XLA finds out after it has merged.
    """

    def on_cpu(tree: Tree) -> Tree:
        always = jax.lax.optimization_barrier(True)
        never = partial(jax.tree.map, jnp.negative)
        return jax.lax.cond(always, lambda tree: tree, never, tree)

    return jax.lax.platform_dependent(tree, cpu=on_cpu, default=lambda tree: tree)
