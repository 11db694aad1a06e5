"""Rollout: what is kept, one compilation, inputs that end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.core.model import AbstractODE
from closura.core.rollout import member_keys, start_members

KEY = jax.random.key(0)
TRACES = []


class Forced(cl.Lorenz96):
    """Lorenz-96 whose forcing is an input; it notes each time that it is traced."""

    def tendency(self, state, inputs=None):
        TRACES.append(1)
        forcing = 0.0 if inputs is None else inputs["F"]
        return super().tendency(state)._replace(X=super().tendency(state).X + forcing)


def test_keeps_every_nth_state_after_the_start():
    model = cl.Lorenz96(K=5, dt=0.01)
    start = model.start(model.initial_state(KEY))
    dense, end = cl.rollout(model, start, 12)
    sparse, last = cl.rollout(model, start, 12, every=4)
    assert sparse.X.shape == (3, 5)
    np.testing.assert_array_equal(sparse.X, dense.X[3::4])
    np.testing.assert_array_equal(last.state.X, end.state.X)
    assert int(last.step) == 12


def test_steps_must_be_a_multiple_of_every():
    model = cl.Lorenz96(K=5)
    with pytest.raises(ValueError, match="steps is 10 and every is 3"):
        cl.rollout(model, model.start(model.initial_state(KEY)), 10, every=3)


def test_running_again_does_not_trace_again():
    model = Forced(K=6, dt=0.01)
    snapshot = model.start(model.initial_state(KEY))
    _, snapshot = cl.rollout(model, snapshot, 8, every=2)
    before = len(TRACES)
    for _ in range(3):
        _, snapshot = cl.rollout(Forced(K=6, dt=0.01), snapshot, 8, every=2)
    assert len(TRACES) == before


def test_a_member_does_not_depend_on_how_many_run_with_it():
    model = cl.Lorenz96(K=6, dt=0.01)
    few, many = (start_members(model, member_keys(KEY, count)) for count in (2, 5))
    np.testing.assert_array_equal(few.state.X, many.state.X[:, :2])
    later = start_members(model, member_keys(KEY, 2, first=3))
    np.testing.assert_array_equal(later.state.X, many.state.X[:, 3:])


def test_inputs_are_interpolated_at_each_step():
    # Euler, one step each from F = 0, 5, 10 (linear between 0 at step 0 and 10 at step 2).
    model = Forced(K=6, F=0.0, dt=0.01, stepper="euler")
    series = cl.Series({"F": jnp.array([0.0, 10.0])}, every=2)
    start = model.start(model.initial_state(KEY), inputs=series.at(0))
    states, _ = cl.rollout(model, start, 2, inputs=series)
    state = start.state
    for forcing in (0.0, 5.0):
        state = state._replace(
            X=state.X + 0.01 * (cl.Lorenz96(K=6, F=0.0).tendency(state).X + forcing)
        )
    np.testing.assert_allclose(states.X[-1], state.X, rtol=1e-13)


def test_an_input_is_never_held_beyond_its_data():
    model = Forced(K=6, dt=0.01)
    series = cl.Series({"F": jnp.array([0.0, 10.0])}, every=2)
    start = model.start(model.initial_state(KEY))
    with pytest.raises(ValueError, match="from step 0 to 3 and its inputs cover steps 0 to 2"):
        cl.rollout(model, start, 3, inputs=series)


def test_series_refuses_unequal_lengths():
    with pytest.raises(ValueError, match=r"lengths \[2, 3\] in time"):
        cl.Series({"a": jnp.zeros(2), "b": jnp.zeros((3, 4))})


def test_parameters_can_be_arrays_and_are_not_compiled_in():
    @jax.jit
    def end(forcing):
        model = cl.Lorenz96(K=6, F=forcing, dt=0.01)
        start = model.start(cl.Lorenz96(K=6).initial_state(KEY))
        return cl.rollout(model, start, 20)[0].X[-1].sum()

    slope = jax.grad(end)(8.0)
    numeric = (end(8.0 + 1e-5) - end(8.0 - 1e-5)) / 2e-5
    assert float(slope) == pytest.approx(float(numeric), rel=1e-6)


def test_every_ode_is_a_model_with_a_tendency():
    assert issubclass(cl.Lorenz63, AbstractODE)
