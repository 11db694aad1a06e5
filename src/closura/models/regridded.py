"""A model that shows its fields on the grid of another: a fine truth as a coarse model sees it."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.core.model import AbstractModel, AbstractWrapper, Snapshot
from closura.core.variable import Variable

DIMS = ("level", "lat", "lon")
TURN = 360.0  # [degrees]


class Regridded(AbstractWrapper):
    """A model whose fields are interpolated to other levels, latitudes and longitudes.

    Linear along each dimension. It runs as it did: only what it shows is another, and nothing can
    be added to it. Levels are compared by their coordinate (sigma), so over mountains that one
    model has and the other has not the same level lies at another pressure.

    Args:
        model: What runs; its fields have dimensions (level, lat, lon) or (lat, lon).
        shown: Coordinates that fields are shown on.
        weights: For each dimension, the share of each old point in each new one.

    Raises:
        ValueError: A latitude or level that is wanted lies outside those of the model.
    """

    model: AbstractModel
    dt: float = eqx.field(static=True)
    shown: tuple[tuple[str, tuple[float, ...]], ...] = eqx.field(static=True)
    weights: dict[str, Float[Array, "new old"]]

    def __init__(self, model: AbstractModel, coordinates: Mapping[str, Any]):
        self.model, self.dt = model, model.dt
        self.shown = tuple((dim, tuple(map(float, coordinates[dim]))) for dim in DIMS)
        own = model.coordinates
        self.weights = {
            dim: jnp.asarray(_weights(dim, np.asarray(own[dim], float), np.asarray(values)))
            for dim, values in self.shown
        }

    @property
    def variables(self) -> tuple[Variable, ...]:
        return self.model.variables

    @property
    def coordinates(self) -> dict[str, np.ndarray]:
        return {dim: np.array(values) for dim, values in self.shown}

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
        fine = self.model.fields(state)
        dims = {variable.name: variable.dims for variable in self.variables}
        return fine._replace(**{n: self._show(a, dims[n]) for n, a in fine._asdict().items()})

    def add(self, state: Any, increments: Mapping[str, Array]) -> Any:
        raise TypeError(
            "Regridded shows a model on another grid and nothing can be added to it; couple "
            "closures to the model inside."
        )

    def _show(self, values: Array, dims: tuple[str, ...]) -> Array:
        for axis, dim in enumerate(dims):
            weights = self.weights[dim].astype(values.dtype)
            values = jnp.moveaxis(jnp.tensordot(weights, values, axes=(1, axis)), 0, axis)
        return values


def _weights(dim: str, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return linear weights (new, old); around the circle for longitudes."""
    unit = np.eye(old.size)
    if dim == "lon":
        around = np.concatenate([old, [old[0] + TURN]])
        unit = np.concatenate([unit, unit[:1]])
        old = around
    elif new.min() < old.min() - 1e-9 or new.max() > old.max() + 1e-9:
        raise ValueError(
            f"Regridded: {dim} is wanted from {new.min():g} to {new.max():g} and the model has it "
            f"from {old.min():g} to {old.max():g}; take a finer model, or more levels."
        )
    columns = [np.interp(new, old, column) for column in unit.T]
    return np.stack(columns, axis=1)
