import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.closures.stochastic import AR1Noise
from closura.core.closure import AbstractMemorylessClosure
from closura.core.couple import couple
from closura.core.parameters import with_parameters
from closura.core.rollout import INITIAL, rollout
from closura.core.time_means import TimeMeans, _count_in
from closura.models.lorenz96 import Lorenz96, Lorenz96TwoScale

TWO = Lorenz96TwoScale(K=5, J=3, F=10.0, dt=0.01)
F = {"F": jnp.asarray(9.0)}


class Push(AbstractMemorylessClosure):
    strength: float

    def tendency(self, fields, inputs=None):
        return {"X": jnp.full_like(fields.X, self.strength)}


def stored(model, steps, every, key, skip):
    """The same run, stored whole."""
    begin = model.start(model.initial_state(jax.random.fold_in(key, INITIAL)), key)
    states, _ = rollout(model, begin, steps, every=every, key=key)
    return jax.tree.map(lambda leaf: leaf[skip:], states)


def test_moments_are_those_of_the_stored_run(key):
    found = TimeMeans(TWO, duration=0.6, spinup=0.2, every=0.02)(F, key)
    run = stored(with_parameters(TWO, F), 80, 2, key, skip=10)
    X, Y = run.X, run.Y.reshape(-1, 5, 3).mean(axis=2)
    wanted = [X.mean(), Y.mean(), (X * X).mean(), (X * Y).mean(), (Y * Y).mean()]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_named_products_are_taken_at_every_site(key):
    found = TimeMeans(TWO, duration=0.5, statistics=["Y", "X*Y*Y"], sites=True)(F, key)
    run = stored(with_parameters(TWO, F), 50, 1, key, skip=0)
    X, Y = run.X, run.Y.reshape(-1, 5, 3).mean(axis=2)
    np.testing.assert_allclose(found, np.r_[Y.mean(axis=0), (X * Y * Y).mean(axis=0)], rtol=1e-12)


@pytest.mark.parametrize("sites", [False, True])
def test_variances_are_those_of_each_window(key, sites):
    model = Lorenz96(K=5, F=9.0, dt=0.01)
    found = TimeMeans(model, duration=0.8, statistics="variances", windows=2, sites=sites)(F, key)
    windows = stored(model, 80, 1, key, skip=0).X.reshape(2, 40, 5)
    wanted = windows.var(axis=1) if sites else windows.var(axis=(1, 2))
    np.testing.assert_allclose(found, wanted.ravel(), rtol=1e-10)


def test_variances_beside_a_large_mean_keep_their_digits():
    means, squares = [jnp.float32(0)], [jnp.float32(0)]
    values = np.float32(280.0) + np.array([-0.01, 0.02, -0.01, 0.0], np.float32)
    for number, value in enumerate(values):
        means, squares = _count_in((means, squares), [jnp.asarray(value)], jnp.asarray(number + 1))
    np.testing.assert_allclose(squares[0] / 4, values.astype(float).var(), rtol=1e-2)


def test_any_function_of_the_fields_is_averaged(key):
    found = TimeMeans(TWO, duration=0.5, statistics=lambda fields: fields.X.max())(F, key)
    run = stored(with_parameters(TWO, F), 50, 1, key, skip=0)
    np.testing.assert_allclose(found, [run.X.max(axis=1).mean()], rtol=1e-12)


def test_a_run_that_blows_up_is_nan(key):
    unstable = TimeMeans(Lorenz96(K=5, dt=0.5), duration=50.0)
    assert jnp.isnan(unstable({"F": jnp.asarray(500.0)}, key)).all()


def test_every_key_is_another_run(key):
    simulate = TimeMeans(TWO, duration=0.1)
    assert not np.allclose(simulate(F, key), simulate(F, jax.random.key(1)), rtol=1e-3)


def test_parameters_of_a_closure_are_replaced():
    model = couple(couple(Lorenz96(K=5, F=8.0), Push(0.0)), AR1Noise({"X": 0.5}, {"X": 1.0}))
    changed = with_parameters(model, {"strength": jnp.asarray(3.0), "F": jnp.asarray(2.0)})
    assert changed.terms[0].closure.strength == 3.0
    assert changed.model.F == 2.0


def test_a_parameter_that_two_closures_have_is_named_by_its_class():
    named = with_parameters(couple(Lorenz96(K=5), Push(1.0)), {"Push.strength": jnp.asarray(5.0)})
    assert named.terms[0].closure.strength == 5.0
    pushed = couple(couple(Lorenz96(K=5), Push(1.0)), Push(2.0))
    with pytest.raises(ValueError, match=r"'strength' may be one of Push.strength, Push.strength"):
        with_parameters(pushed, {"strength": jnp.asarray(0.0)})


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("G", 1.0, r"there is no parameter 'G'; there are: Lorenz96TwoScale.F"),
        ("dt", 1.0, "there is no parameter 'dt'"),
        ("F", [1.0, 2.0], r"F of Lorenz96TwoScale has shape \(\) and the parameter \(2,\)"),
    ],
)
def test_a_parameter_that_cannot_be_replaced_is_refused(name, value, line):
    with pytest.raises(ValueError, match=line):
        with_parameters(TWO, {name: jnp.asarray(value)})


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"duration": 0.105}, r"duration is 0.105, not a multiple of every, 0.01; choose 0.1"),
        ({"duration": 0.3, "windows": 7}, "duration / windows is"),
        ({"duration": 1.0, "statistics": "means"}, "must be 'moments', 'variances'"),
        ({"duration": 1.0, "windows": 0}, "windows is 0; it must be 1 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, line):
    with pytest.raises(ValueError, match=line):
        TimeMeans(TWO, **settings)


def test_a_product_of_an_unknown_field_is_refused(key):
    with pytest.raises(ValueError, match="the model has no field 'Z'; it has X, Y"):
        TimeMeans(TWO, duration=0.1, statistics=["X*Z"])(F, key)
