"""Invariants of Lorenz-96: energy, symmetry, long-run balance, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.core.rollout import member_keys, start_members
from closura.models.lorenz96 import Lorenz96State, TwoScaleState


def random_state(K: int, J: int) -> TwoScaleState:
    slow, fast = jax.random.split(jax.random.key(5))
    return TwoScaleState(5 * jax.random.normal(slow, (K,)), 0.3 * jax.random.normal(fast, (K * J,)))


def test_advection_keeps_energy():
    # dX/dt + X - F is the advection; its product with X sums to zero.
    model = cl.Lorenz96(K=7, F=3.0)
    X = random_state(7, 1).X
    advection = model.tendency(Lorenz96State(X)).X + X - 3.0
    assert abs(float(jnp.sum(X * advection))) < 1e-11


@pytest.mark.parametrize("scaling", ["lorenz", "rasp"])
def test_coupling_moves_energy_without_making_any(scaling):
    # Without damping (add back X and c Y) and forcing, d/dt of (sum X^2 + sum Y^2) / 2 is zero.
    model = cl.Lorenz96TwoScale(K=7, J=5, F=3.0, c=4.0, b=6.0, h=0.7, scaling=scaling)
    state = random_state(7, 5)
    tendency = model.tendency(state)
    slow = jnp.sum(state.X * (tendency.X + state.X - 3.0))
    fast = jnp.sum(state.Y * (tendency.Y + 4.0 * state.Y))
    assert abs(float(slow)) > 1e-3
    assert abs(float(slow + fast)) < 1e-11


def test_turning_the_ring_turns_the_tendency():
    model = cl.Lorenz96TwoScale(K=7, J=5)
    state = random_state(7, 5)
    turned = TwoScaleState(jnp.roll(state.X, 1), jnp.roll(state.Y, 5))
    tendency, after = model.tendency(state), model.tendency(turned)
    np.testing.assert_allclose(jnp.roll(tendency.X, 1), after.X, atol=1e-12)
    np.testing.assert_allclose(jnp.roll(tendency.Y, 5), after.Y, atol=1e-12)


def test_fast_ring_is_one_ring():
    # The last fast variable of the first slow point feels the first of the second one.
    model = cl.Lorenz96TwoScale(K=7, J=5)
    state = random_state(7, 5)
    kicked = state._replace(Y=state.Y.at[5].add(0.1))
    change = model.tendency(kicked).Y - model.tendency(state).Y
    assert abs(float(change[4])) > 1e-6


def test_long_run_balances_forcing_and_loss():
    # d/dt <X^2>/2 = 0: F <X> = <X^2> - <X coupling>, to the sampling error of the run.
    model = cl.Lorenz96TwoScale(K=8, J=32, F=18.0)
    keys = member_keys(jax.random.key(0), 32)
    _, spun = cl.rollout(model, start_members(model, keys), 3000, every=3000, members=True)
    states, _ = cl.rollout(model, spun, 10000, every=50, members=True)
    coupling = jax.vmap(jax.vmap(model.coupling, in_axes=-1, out_axes=-1), in_axes=0, out_axes=0)(
        states
    )
    gain = 18.0 * float(states.X.mean())
    loss = float((states.X**2).mean() - (states.X * coupling).mean())
    assert gain == pytest.approx(loss, rel=0.02)
    assert float(states.X.mean()) == pytest.approx(3.696, abs=0.12)


def test_disturbing_changes_the_fast_variables_by_a_tenth_of_their_spread():
    model = cl.Lorenz96TwoScale(K=40, J=50)
    state = random_state(40, 50)
    other = model.disturb_unresolved(state, jax.random.key(2))
    assert np.array_equal(other.X, state.X)
    # 2000 normal numbers: their deviation is known to 1.6 %.
    ratio = float(jnp.std(other.Y - state.Y) / jnp.std(state.Y))
    assert ratio == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"K": 3}, "K is 3; the advection needs a ring of at least 4 points"),
        ({"dt": 0.0}, "dt is 0.0; it must be a positive, finite number"),
        ({"stepper": "rk5"}, "stepper is 'rk5'; it must be one of euler, rk2, rk4, ab3"),
    ],
)
def test_refuses_what_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        cl.Lorenz96(**settings)


def test_refuses_an_unknown_scaling():
    with pytest.raises(ValueError, match="scaling is 'wilks'; it must be 'lorenz' or 'rasp'"):
        cl.Lorenz96TwoScale(scaling="wilks")
