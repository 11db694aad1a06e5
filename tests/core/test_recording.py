"""Recorded terms: what they saw, what they gave, and that looking changes nothing."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl

KEY = jax.random.key(7)
SERIES = np.random.default_rng(3).normal(size=(41, 7))


class Toward(cl.AbstractMemorylessClosure):
    """Relaxes X toward its inputs."""

    def tendency(self, fields, inputs=None):
        return {"X": (inputs - fields.X) / 0.3}


class Counting(cl.AbstractClosure):
    """Adds how often it acted."""

    def init(self, fields, key=None):
        return jnp.asarray(0.0)

    def __call__(self, fields, inputs, memory, key):
        return {"X": jnp.full_like(fields.X, memory)}, memory + 1


class Broken(cl.AbstractMemorylessClosure):
    """Gives NaN."""

    def tendency(self, fields, inputs=None):
        return {"X": jnp.full_like(fields.X, jnp.nan)}


def bare(stepper="rk4"):
    return cl.Lorenz96(K=7, dt=0.01, stepper=stepper)


def inputs():
    return cl.Series(jnp.asarray(SERIES))


def test_the_record_is_the_stepped_state_before_the_term_and_its_tendency():
    ode = bare()
    model = cl.couple(ode, Toward(), at="step", record=True)
    start = model.start(model.initial_state(KEY), inputs=inputs().at(0))
    after = model.step(start, inputs().at(0))
    stepped = ode.step(ode.start(start.state)).state.X
    (record,) = model.recorded(after)
    np.testing.assert_array_equal(record.before.X, stepped)
    np.testing.assert_allclose(record.added["X"], (SERIES[0] - stepped) / 0.3, rtol=1e-14)
    np.testing.assert_allclose(after.state.X, stepped + 0.01 * record.added["X"], rtol=1e-14)


def test_inside_the_tendency_the_record_is_of_the_first_stage():
    model = cl.couple(bare(), Toward(), at="tendency", record=True)
    start = model.start(model.initial_state(KEY), inputs=inputs().at(0))
    (record,) = model.recorded(model.step(start, inputs().at(0)))
    np.testing.assert_array_equal(record.before.X, start.state.X)
    np.testing.assert_allclose(record.added["X"], (SERIES[0] - start.state.X) / 0.3, rtol=1e-14)


@pytest.mark.parametrize("at", ["tendency", "step"])
@pytest.mark.parametrize("every", [1, 3])
def test_recording_changes_no_bit_of_the_run(at, every):
    plain = cl.couple(bare(), Toward(), at=at, every=every)
    watched = cl.couple(bare(), Toward(), at=at, every=every, record=True)
    state = plain.initial_state(KEY)
    first = inputs().at(0)
    one, _ = cl.rollout(plain, plain.start(state, inputs=first), 20, inputs=inputs())
    two, _ = cl.rollout(watched, watched.start(state, inputs=first), 20, inputs=inputs())
    np.testing.assert_array_equal(one.X, two.X)


@pytest.mark.parametrize("at", ["tendency", "step"])
def test_a_cadence_keeps_the_record_of_the_last_call(at):
    model = cl.couple(bare(), Counting(), at=at, every=3, record=True)
    seen, _ = cl.rollout(
        model,
        model.start(model.initial_state(KEY)),
        7,
        observe=lambda m, s, i: m.recorded(s)[0].added["X"][0],
    )
    np.testing.assert_array_equal(seen, [0, 0, 0, 1, 1, 1, 2])


@pytest.mark.parametrize("at", ["tendency", "step"])
@pytest.mark.parametrize("closure", [Toward(), Broken()], ids=["toward", "broken"])
def test_a_closure_that_rides_along_changes_no_bit_of_the_run(at, closure):
    noise = cl.AR1Noise({"X": 0.5}, {"X": 1.0})
    plain = cl.couple(bare(), noise)
    beside = cl.couple(cl.couple(bare(), closure, at=at, record=True, apply=False), noise)
    state = plain.initial_state(KEY)
    first = inputs().at(0)
    one, _ = cl.rollout(plain, plain.start(state, KEY), 20, inputs=inputs(), key=KEY)
    two, last = cl.rollout(beside, beside.start(state, KEY, first), 20, inputs=inputs(), key=KEY)
    np.testing.assert_array_equal(one.X, two.X)
    assert np.any(np.asarray(beside.recorded(last)[0].added["X"]) != 0)


def test_a_recorded_run_goes_on_bit_for_bit_from_a_snapshot():
    model = cl.couple(bare(), Toward(), at="step", every=3, record=True)
    start = model.start(model.initial_state(KEY), inputs=inputs().at(0))
    _, whole = cl.rollout(model, start, 20, inputs=inputs())
    _, half = cl.rollout(model, start, 10, inputs=inputs())
    _, joined = cl.rollout(model, half, 10, inputs=inputs())
    assert eqx.tree_equal(whole, joined)


def test_the_model_says_what_is_recorded_and_what_rides_along():
    model = cl.couple(cl.couple(bare(), Toward(), record=True), Counting(), apply=False)
    assert "+ Toward() at 'tendency', recorded" in repr(model)
    assert "beside Counting() at 'tendency'" in repr(model)
