"""A model that shows its fields on the grid of another: a fine truth as a coarse model sees it."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array

from closura.core.model import AbstractModel, AbstractWrapper, Snapshot
from closura.core.variable import Variable
from closura.grids.levels import between_levels
from closura.models.primitive_equations import PrimitiveEquations


class Regridded(AbstractWrapper):
    """A spectral atmosphere whose fields are shown at the truncation and levels of another.

    Exact where both resolve: the coefficients of the spherical harmonics are copied (of wind those
    of vorticity and divergence), none are beyond the smaller truncation. It runs as it did: only
    what it shows is another, and nothing can be added to it.

    Levels, where they differ, are interpolated linearly in their coordinate (sigma), so over
    mountains that one model has and the other has not the same level lies at another pressure.

    Args:
        model: What runs.
        like: Whose truncation, grid and levels are shown.

    Raises:
        TypeError: One of the two has no spherical harmonics.
        ValueError: A level that is wanted lies outside those of the model.
    """

    model: PrimitiveEquations
    dt: float = eqx.field(static=True)
    like: PrimitiveEquations

    def __init__(self, model: AbstractModel, like: AbstractModel):
        self.model, self.dt, self.like = _spectral(model), model.dt, _spectral(like)
        between_levels(self.model.levels, self.like.levels)

    @property
    def variables(self) -> tuple[Variable, ...]:
        return self.model.variables

    @property
    def coordinates(self) -> dict[str, np.ndarray]:
        return self.like.coordinates

    @property
    def places(self) -> Mapping[str, Any]:
        """Nothing: it is not for assimilation."""
        return {}

    def initial_state(self, key: Array) -> Any:
        return self.model.initial_state(key)

    def start(self, state: Any, key: Array | None = None, inputs: Any = None) -> Snapshot:
        return self.model.start(state, key, inputs)

    def step(self, snapshot: Snapshot, inputs: Any = None, key: Array | None = None) -> Snapshot:
        return self.model.step(snapshot, inputs, key)

    def fields(self, state: Any) -> Any:
        return self.model.fields_like(self.like, state)

    def add(self, state: Any, increments: Mapping[str, Array]) -> Any:
        raise TypeError(
            "Regridded shows a model on another grid and nothing can be added to it; couple "
            "closures to the model inside."
        )


def _spectral(model: AbstractModel) -> PrimitiveEquations:
    if isinstance(model, PrimitiveEquations):
        return model
    raise TypeError(
        f"Regridded copies spherical harmonics, and {type(model).__name__} has none; take truth "
        "and model on the same grid."
    )
