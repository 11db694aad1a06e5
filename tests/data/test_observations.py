import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import closura as cl
from closura.models.lorenz96 import Lorenz96State

MODEL = cl.Lorenz96(K=7, dt=0.05)


@pytest.fixture(scope="module")
def run():
    return cl.simulate(MODEL, duration=2.0, spinup=1.0, every=0.05, key=jax.random.key(1))


def test_a_network_sees_every_second_point_with_noise(run, key):
    network = cl.Observe(variables=("X",), every=0.1, stride=2, noise=0.01)
    twin = cl.observe(run, network, key=key)
    assert twin.sizes == (20, 4)
    np.testing.assert_allclose(twin.time, 0.1 * np.arange(1, 21))
    np.testing.assert_allclose(twin.values, run.X.values[0, 1::2, ::2], atol=0.05)
    assert twin.variance.tolist() == pytest.approx([1e-4] * 4)
    assert twin.operator.positions(MODEL).ravel().tolist() == [0, 2, 4, 6]


def test_noise_has_its_deviation(key):
    times = np.arange(1.0, 3001.0)
    run = xr.Dataset({"X": (("time", "k"), np.zeros((3000, 7)))}, {"time": times})
    twin = cl.observe(run, cl.Observe(variables=("X",), every=1.0, noise=2.0), key=key)
    assert abs(twin.values.std() - 2.0) < 3 * 2.0 / np.sqrt(2 * twin.values.size)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"every": 0.07}, r"every is 0.07 and the run is saved at 0.05, 0.1, \.\.\. 2"),
        ({"variables": ("Z",)}, "variables names 'Z'; the run holds X"),
        ({"noise": 0.0}, r"noise is 0.0; the error of an observation must be positive"),
        ({"variables": ()}, r"variables is \(\); give one name or more"),
    ],
)
def test_an_impossible_network_is_refused(run, key, settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        cl.observe(run, cl.Observe(**({"variables": ("X",), "every": 0.1} | settings)), key=key)


def test_a_function_of_the_variables_is_observed(run, key):
    network = cl.Observe(variables=("X",), every=0.1, stride=2, noise=1e-9)
    twin = cl.observe(run, network, operator=jnp.square, key=key)
    np.testing.assert_allclose(twin.values, run.X.values[0, 1::2, ::2] ** 2, atol=1e-6)
    found = twin.operator(Lorenz96State(jnp.arange(7.0)))
    np.testing.assert_allclose(found, [0, 4, 16, 36])
    assert twin.operator.positions(MODEL).ravel().tolist() == [0, 2, 4, 6]


def test_two_variables_are_observed_as_one_speed(key):
    values = np.random.default_rng(0).normal(size=(2, 5, 3))
    run = xr.Dataset(
        {"u": (("time", "x"), values[0]), "v": (("time", "x"), values[1])},
        {"time": np.arange(1.0, 6.0)},
    )
    network = cl.Observe(variables=("u", "v"), every=1.0, noise=1e-9)
    twin = cl.observe(run, network, operator=jnp.hypot, key=key)
    np.testing.assert_allclose(twin.values, np.hypot(*values), atol=1e-6)


@pytest.mark.parametrize(
    ("operator", "complaint"),
    [
        (jnp.sum, r"operator returns shape \(\) for 7 points; one finite number a point"),
        (lambda x: jnp.log(x - 1e9), "for 7 points, some of it not finite; one finite number"),
    ],
)
def test_an_impossible_operator_is_refused(run, key, operator, complaint):
    with pytest.raises(ValueError, match=complaint):
        cl.observe(run, cl.Observe(variables=("X",), every=0.1), operator=operator, key=key)


def test_variables_at_other_points_are_not_combined(key):
    run = xr.Dataset(
        {"u": (("time", "x"), np.ones((2, 3))), "v": (("time", "y"), np.ones((2, 4)))},
        {"time": [1.0, 2.0]},
    )
    with pytest.raises(
        ValueError, match=r"operator combines u, v, which are seen at \[3, 4\] point"
    ):
        cl.observe(run, cl.Observe(("u", "v"), every=1.0), operator=jnp.hypot, key=key)
