"""The contract of a model: it knows its variables and its time step, and steps a snapshot."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from closura.core.steppers import AbstractStepper
from closura.core.variable import Variable


class Snapshot(NamedTuple):
    """All that a model needs to go on: also what a restart file holds.

    Attributes:
        state: The model's State, a NamedTuple of arrays.
        step: Number of steps since the start; the only clock.
        memory: What steppers and closures remember (past tendencies, AR(1) noise), any pytree.
    """

    state: Any
    step: Int[Array, ""]
    memory: Any


class AbstractModel(eqx.Module):
    """A numerical model that steps forward in time.

    To write one whose law is dx/dt = f(x), derive from `AbstractODE` instead. Otherwise:
    (1) declare a State, a NamedTuple of arrays; (2) set `dt` and `variables`; (3) write
    `initial_state`, `start` and `step`; (4) if people look at other fields than the prognostic
    ones, write `fields` and `add`. Then `closura.testing.check_model` tries the laws on it.
    """

    dt: eqx.AbstractVar[float]

    @property
    @abstractmethod
    def variables(self) -> tuple[Variable, ...]:
        """The variables of `fields(state)`, in order."""

    @property
    def time_units(self) -> str:
        """Unit of `dt`; seconds unless the model says otherwise."""
        return "s"

    @property
    def coordinates(self) -> Mapping[str, Any]:
        """Values along each dimension that has a meaning beyond counting, e.g. latitudes."""
        return {}

    @property
    def places(self) -> Mapping[str, Any]:
        """Where the points of each variable lie, ``(*dims, coordinate)``; empty if nowhere."""
        return {}

    @property
    def periods(self) -> tuple[float, ...]:
        """Length of each coordinate of `places` that closes on itself; 0 for one that does not."""
        return ()

    @property
    def sphere_radius(self) -> float:
        """Radius of the sphere, where `places` begin with longitude and latitude [degrees].

        Distances, and so the radius of localisation, are in its unit; 0 where there is no sphere.
        """
        return 0.0

    @abstractmethod
    def initial_state(self, key: Array) -> Any:
        """Return a State to start from, random where the key makes it so."""

    @abstractmethod
    def start(self, state: Any, key: Array | None = None, inputs: Any = None) -> Snapshot:
        """Wrap a State into the Snapshot of step 0."""

    @abstractmethod
    def step(self, snapshot: Snapshot, inputs: Any = None, key: Array | None = None) -> Snapshot:
        """Advance by `dt`. Fold the step count into the run's key; never split it."""

    def fields(self, state: Any) -> Any:
        """Return what closures, metrics and files see: the State itself by default."""
        return state

    def add(self, state: Any, increments: Mapping[str, Array]) -> Any:
        """Return the State with increments of some of its fields added."""
        return state._replace(**{name: getattr(state, name) + d for name, d in increments.items()})


class AbstractWrapper(AbstractModel):
    """A model around another: time and geometry are those of the model inside.

    To write one: hold the other as `model`, give `dt`, and write what differs.
    """

    model: eqx.AbstractVar[AbstractModel]

    @property
    def time_units(self) -> str:
        return self.model.time_units

    @property
    def coordinates(self) -> Mapping[str, Any]:
        return self.model.coordinates

    @property
    def places(self) -> Mapping[str, Any]:
        return self.model.places

    @property
    def periods(self) -> tuple[float, ...]:
        return self.model.periods

    @property
    def sphere_radius(self) -> float:
        return self.model.sphere_radius


class AbstractODE(AbstractModel):
    """A model that is an ordinary differential equation, dx/dt = f(x, inputs).

    To write one: (1) declare a State; (2) set `dt` and `stepper`; (3) write `variables`,
    `initial_state` and `tendency`. Stepping, coupling and files come with it.
    """

    stepper: eqx.AbstractVar[AbstractStepper]

    @abstractmethod
    def tendency(self, state: Any, inputs: Any = None) -> Any:
        """Return dx/dt, the same NamedTuple as the State, in units of the State per time unit."""

    def start(self, state: Any, key: Array | None = None, inputs: Any = None) -> Snapshot:
        memory = self.stepper.start(lambda x: self.tendency(x, inputs), state, self.dt)
        return Snapshot(state, jnp.asarray(0, jnp.int32), memory)

    def step(self, snapshot: Snapshot, inputs: Any = None, key: Array | None = None) -> Snapshot:
        state, memory = self.stepper.step(
            lambda x: self.tendency(x, inputs), snapshot.state, snapshot.memory, self.dt
        )
        return Snapshot(state, snapshot.step + 1, memory)


def check_positive(owner: str, **values: float | Array) -> None:
    """Raise unless every named number is finite and positive (for `__check_init__`)."""
    for name, value in values.items():
        concrete = not isinstance(value, jax.core.Tracer)
        if concrete and not (0 < value < float("inf")):
            raise ValueError(f"{owner}: {name} is {value}; it must be a positive, finite number.")
