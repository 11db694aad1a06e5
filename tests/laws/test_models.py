"""The laws of DESIGN run on every registered model, hybrid ones included."""

import jax
import jax.numpy as jnp
import pytest

import closura as cl
from closura.testing import check_closure, check_model

MODELS = {
    "Lorenz63": cl.Lorenz63(),
    "Lorenz96": cl.Lorenz96(K=7, dt=0.01),
    "Lorenz96 AB3": cl.Lorenz96(K=7, dt=0.01, stepper="ab3"),
    "Lorenz96TwoScale": cl.Lorenz96TwoScale(K=7, J=5),
    "Lorenz96TwoScale rasp, Euler": cl.Lorenz96TwoScale(K=7, J=5, scaling="rasp", stepper="euler"),
    "ShallowWater": cl.ShallowWater(nx=7, ny=5, wind_stress=0.1, drag=2e-3, viscosity=300.0),
    "PrimitiveEquations": cl.PrimitiveEquations(levels=5),
}
HYBRIDS = {
    "polynomial": cl.PolynomialClosure((-0.3, -1.3, 0.01)),
    "noise": cl.AR1Noise({"X": 0.9}, {"X": 1.0}),
    "sum": cl.PolynomialClosure((-0.3, -1.3)) + cl.AR1Noise({"X": 0.9}, {"X": 1.0}),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_model_keeps_the_laws(model):
    check_model(model)


@pytest.mark.parametrize(
    ("name", "stepper", "at"),
    [
        ("polynomial", "rk4", "tendency"),
        ("noise", "rk4", "step"),
        ("sum", "rk4", "tendency"),
        ("sum", "ab3", "tendency"),
    ],
)
def test_a_hybrid_keeps_the_laws_of_a_model(name, stepper, at):
    closure = HYBRIDS[name]
    check_model(cl.couple(cl.Lorenz96(K=7, dt=0.01, stepper=stepper), closure, at=at))


@pytest.mark.parametrize("closure", HYBRIDS.values(), ids=HYBRIDS)
def test_every_closure_keeps_the_laws(closure):
    check_closure(closure, cl.Lorenz96(K=7, dt=0.01))


def test_registry_and_this_list_agree():
    from closura.registry import REGISTRY

    assert set(REGISTRY["models"]) == {name.split()[0] for name in MODELS}


class Forgetful(cl.Lorenz96):
    """Broken on purpose: its step depends on something that is not in the snapshot."""

    def step(self, snapshot, inputs=None, key=None):
        after = super().step(snapshot, inputs, key)
        return after._replace(step=jnp.asarray(1, jnp.int32))


class Shrinking(cl.Lorenz96):
    """Broken on purpose: loses precision at every step."""

    def step(self, snapshot, inputs=None, key=None):
        after = super().step(snapshot, inputs, key)
        return after._replace(state=jax.tree.map(lambda x: x.astype(jnp.float32), after.state))


class Misnamed(cl.Lorenz96):
    """Broken on purpose: describes a variable that it does not have."""

    @property
    def variables(self):
        return (cl.Variable("T", "K", ("k",), "temperature"),)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Forgetful(K=7), "step count does not count the steps"),
        (Shrinking(K=7), "a step changes shapes or dtypes"),
        (Misnamed(K=7), "variables are .'T',. and fields are .'X',."),
    ],
)
def test_a_broken_model_is_found_out(model, message):
    with pytest.raises(AssertionError, match=message):
        check_model(model)
