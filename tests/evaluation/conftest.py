"""Runs to score against, made in memory, and models whose scores are known by hand."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from jaxtyping import Array, Float

from closura.core.model import AbstractModel, AbstractODE
from closura.core.rollout import member_keys, rollout, start_members
from closura.core.steppers import RK4, AbstractStepper
from closura.core.variable import Variable


class PointState(NamedTuple):
    """One value at each of five points."""

    x: Float[Array, "point"]


class Relaxation(AbstractODE):
    """dx/dt = -rate x: nothing happens at rate 0."""

    rate: float = 0.0
    dt: float = 0.05
    stepper: AbstractStepper = RK4()

    @property
    def variables(self) -> tuple[Variable, ...]:
        return (Variable("x", "m", ("point",), "height"),)

    @property
    def time_units(self) -> str:
        return "1"

    def initial_state(self, key: Array) -> PointState:
        return PointState(jax.random.normal(key, (5,)))

    def tendency(self, state: PointState, inputs: None = None) -> PointState:
        return PointState(-self.rate * state.x)


def run_of(
    model: AbstractModel, *, members: int, duration: float, every: float, key: Array, spinup=0.0
) -> xr.Dataset:
    """A run as `simulate` makes it: (member, time, *field), attributes and all."""
    snapshot = start_members(model, member_keys(key, members))
    if spinup:
        steps = round(spinup / model.dt)
        _, snapshot = rollout(model, snapshot, steps, every=steps, members=True)
    thin, steps = round(every / model.dt), round(duration / model.dt)
    fields, _ = rollout(model, snapshot, steps, every=thin, members=True)
    arrays = {}
    for variable in model.variables:
        values = np.moveaxis(np.asarray(getattr(fields, variable.name)), -1, 0)
        attributes = {"units": variable.units, "long_name": variable.long_name}
        arrays[variable.name] = (("member", "time", *variable.dims), values, attributes)
    time = every * (1 + jnp.arange(steps // thin))
    attributes = {"model": type(model).__name__, "dt": model.dt, "every": every, "run": "this run"}
    return xr.Dataset(arrays, {"time": ("time", np.asarray(time), {"units": "1"})}, attributes)


@pytest.fixture(scope="session")
def make_run():
    return run_of


@pytest.fixture(scope="session")
def relaxation():
    return Relaxation


@pytest.fixture(scope="session")
def resting_run():
    """Three members that rest where they began."""
    return run_of(Relaxation(), members=3, duration=20.0, every=0.05, key=jax.random.key(3))
