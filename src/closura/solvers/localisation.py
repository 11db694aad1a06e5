"""Which observations each point of the state may feel, and how much."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from closura.core.problem import Background
from closura.grids.distance import gaspari_cohn, nearby

# Half-width of the Gaspari-Cohn taper over the distance at which it has fallen to exp(-1/2), as
# DAPPER rounds it (dapper.tools.localization; Sakov and Bertino (2011) have 1.7386).
HALF_WIDTH_PER_RADIUS = 1.82


class Local(NamedTuple):
    """Lists of equal length of the observations near each point.

    Attributes:
        number: Number of the observation.
        root: Square root of its taper, 0 where the list is filled up.
    """

    number: Int[Array, "point near"]
    root: Float[Array, "point near"]


def half_width(radius: float, convention: str) -> float:
    """Return the half-width of the Gaspari-Cohn taper that a radius stands for.

    Args:
        radius: Distance in the units of the model's `places`.
        convention: ``"decay"``: the taper is about exp(-1/2) at the radius, as in DAPPER;
            ``"half-width"``: the radius is the half-width, the taper 5/24 there. Both are zero
            at twice the half-width.
    """
    return radius * HALF_WIDTH_PER_RADIUS if convention == "decay" else radius


def find_local(background: Background, radius: float, convention: str, owner: str) -> Local:
    """Return the observations near each point of the state, with their tapers.

    Raises:
        ValueError: The model or the observations do not say where they lie.
    """
    for what, places in (("state", background.places), ("observations", background.observed)):
        if places is None:
            raise ValueError(
                f"{owner}: the {what} has no places, and localisation needs distances. Give the "
                "model `places`, the observations `positions`, or use a solver without radius "
                "such as ETKF."
            )
    width = half_width(radius, convention)
    assert background.places is not None and background.observed is not None
    index, apart = nearby(background.places, background.observed, 2 * width, background.periods)
    taper = np.asarray(gaspari_cohn(jnp.asarray(apart), width))
    return Local(jnp.asarray(index), jnp.sqrt(jnp.maximum(taper, 0.0)))
