"""Coupling: once per step, held between, after the step, and what it warns about."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.core.model import AbstractModel
from closura.core.passport import Passport

KEY = jax.random.key(4)


class Counter(cl.AbstractClosure):
    """Adds nothing and counts how often its memory advances."""

    def init(self, fields, key=None):
        return jnp.asarray(0)

    def __call__(self, fields, inputs, memory, key):
        return {}, memory + 1


class Clock(cl.AbstractClosure):
    """Adds the number of times that it acted."""

    def init(self, fields, key=None):
        return jnp.asarray(0.0)

    def __call__(self, fields, inputs, memory, key):
        return {"X": jnp.full_like(fields.X, memory)}, memory + 1


class Still(AbstractModel):
    """A model of its own kind that never moves: no tendency to add to."""

    dt: float = 0.5

    @property
    def variables(self):
        return cl.Lorenz96(K=5).variables

    def initial_state(self, key):
        return cl.Lorenz96(K=5).initial_state(key)

    def start(self, state, key=None, inputs=None):
        return cl.Snapshot(state, jnp.asarray(0, jnp.int32), ())

    def step(self, snapshot, inputs=None, key=None):
        return snapshot._replace(step=snapshot.step + 1)


@pytest.mark.parametrize("stepper", ["euler", "rk2", "rk4", "ab3"])
@pytest.mark.parametrize("at", ["tendency", "step"])
def test_memory_advances_once_per_time_step(stepper, at):
    model = cl.couple(cl.Lorenz96(K=5, dt=0.01, stepper=stepper), Counter(), at=at)
    state = model.initial_state(KEY)
    _, last = cl.rollout(model, model.start(state), 7)
    assert int(last.memory.terms[0]) == 7


def test_process_split_adds_dt_times_the_tendency():
    # Steps add 0.5 * (0, 1, 2, 3): the sum is 3 after four steps.
    model = cl.couple(Still(), Clock())
    state = model.initial_state(KEY)
    states, _ = cl.rollout(model, model.start(state), 4)
    np.testing.assert_allclose(states.X[-1] - state.X, 3.0)


def test_every_third_step_holds_the_tendency_between():
    # Tendencies 0 0 0 1 1 1 2: the sum of 0.5 times them is 2.5 after seven steps.
    model = cl.couple(Still(), Clock(), every=3)
    state = model.initial_state(KEY)
    states, last = cl.rollout(model, model.start(state), 7)
    np.testing.assert_allclose(states.X[-1] - state.X, 2.5)
    assert float(last.memory.terms[0].memory) == 3


def test_holding_inside_the_tendency_uses_the_fields_of_the_step_that_refreshed_it():
    # Euler: x1 = x0 + dt (f(x0) - x0); x2 = x1 + dt (f(x1) - x0): the damping is held.
    ode = cl.Lorenz96(K=5, dt=0.01, stepper="euler")
    damping = cl.PolynomialClosure((0.0, -1.0))
    model = cl.couple(ode, damping, every=2)
    state = model.initial_state(KEY)
    states, _ = cl.rollout(model, model.start(state), 2)
    one = state.X + 0.01 * (ode.tendency(state).X - state.X)
    two = one + 0.01 * (ode.tendency(state._replace(X=one)).X - state.X)
    np.testing.assert_allclose(states.X, jnp.stack([one, two]), rtol=1e-14)


def test_random_closure_without_a_key_says_so():
    model = cl.couple(cl.Lorenz96(K=5), cl.AR1Noise({"X": 0.5}, {"X": 1.0}))
    with pytest.raises(ValueError, match=r"draws random numbers .* got no key"):
        model.start(model.initial_state(KEY))


def test_noise_is_the_same_in_every_stage():
    # With white noise held over the step, RK4 on a still model adds exactly dt * e.
    class Rest(cl.Lorenz96):
        def tendency(self, state, inputs=None):
            return state._replace(X=jnp.zeros_like(state.X))

    noise = cl.AR1Noise({"X": 0.3}, {"X": 2.0})
    model = cl.couple(Rest(K=5, dt=0.1), noise)
    snapshot = model.start(model.initial_state(KEY), KEY)
    after = model.step(snapshot, None, KEY)
    np.testing.assert_allclose(
        after.state.X - snapshot.state.X, 0.1 * snapshot.memory.terms[0]["X"], rtol=1e-12
    )


def test_ar1_noise_has_the_variance_and_memory_that_it_states():
    model = cl.couple(Still(), cl.AR1Noise({"X": 0.9}, {"X": 2.0}))
    start = model.start(model.initial_state(KEY), KEY)
    seen, _ = cl.rollout(
        model, start, 20_000, key=KEY, observe=lambda m, s, i: s.memory.terms[0]["X"]
    )
    # 5 points x 20 000 steps with phi = .9 hold about 5000 independent values: 3 % of the variance.
    assert float(jnp.std(seen)) == pytest.approx(2.0, rel=0.04)
    lagged = jnp.sum(seen[1:] * seen[:-1]) / jnp.sum(seen[1:] ** 2)
    assert float(lagged) == pytest.approx(0.9, abs=0.01)


def test_two_terms_draw_different_noise():
    noise = cl.AR1Noise({"X": 0.0}, {"X": 1.0})
    model = cl.couple(Still(), noise + noise)
    first, second = model.start(model.initial_state(KEY), KEY).memory.terms
    assert not np.allclose(first["X"], second["X"])


class Fitted(cl.AbstractMemorylessClosure):
    """A closure with a passport and nothing else."""

    paper: Passport

    @property
    def passport(self):
        return self.paper

    def tendency(self, fields, inputs=None):
        return {}


@pytest.mark.parametrize(
    ("passport", "message"),
    [
        (Passport("difference", dt=0.01), "measured over dt = 0.01 and the model steps by dt"),
        (Passport("difference", stepper_order=1), "does not match the integrator"),
    ],
)
def test_coupling_warns_when_passport_and_model_disagree(passport, message):
    with pytest.warns(cl.ClosuraWarning, match=message):
        cl.couple(cl.Lorenz96(dt=0.05), Fitted(passport))


def test_instantaneous_target_is_wrong_for_forward_euler():
    with pytest.warns(cl.ClosuraWarning, match="its own error|own error it leaves uncorrected"):
        cl.couple(cl.Lorenz96(stepper="euler"), Fitted(Passport("coupling")))


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (Still(), {"at": "tendency"}, "Still has no tendency to add to; use at='step'"),
        (cl.Lorenz96(), {"at": "stage"}, "at is 'stage'; it must be 'tendency' or 'step'"),
        (cl.Lorenz96(), {"every": 0}, "every is 0; it counts time steps"),
    ],
)
def test_coupling_refuses_what_cannot_be(model, settings, message):
    with pytest.raises(ValueError, match=message):
        cl.couple(model, cl.Zero(), **settings)


def test_coupled_models_never_nest():
    model = cl.couple(cl.couple(cl.Lorenz96(), Clock()), Counter() + cl.Zero())
    assert isinstance(model.model, cl.Lorenz96)
    assert [type(term.closure).__name__ for term in model.terms] == ["Clock", "Counter", "Zero"]
