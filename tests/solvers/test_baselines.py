import jax.numpy as jnp
import numpy as np
import pytest

from closura.core.problem import Background, Observed
from closura.solvers.baselines import Climatology, OptimalInterpolation, Persistence, ThreeDVar


@pytest.fixture
def sample():
    return np.random.default_rng(0).normal(size=(4, 30)) * [[1.0], [2.0], [0.5], [1.5]] + 1


def test_static_correction_is_the_kalman_update(sample, ensemble, observed, key):
    B, H, R = 0.3 * np.cov(sample), np.eye(4)[[0, 2]], np.diag([0.5, 0.25])
    forecast = np.asarray(ensemble[:, 1])
    K = B @ H.T @ np.linalg.inv(H @ B @ H.T + R)
    wanted = forecast + K @ ([0.3, -0.2] - H @ forecast)
    solver = ThreeDVar(scale=0.3).prepare(Background(sample))
    found = solver.analyse(ensemble[:, 1:2], observed, key)
    np.testing.assert_allclose(found[:, 0], wanted, atol=1e-12)


def test_interpolation_starts_from_the_climate(sample, ensemble, observed, key):
    for kind in (OptimalInterpolation, Persistence):
        solver = kind().prepare(Background(sample))
        first = solver.analyse(ensemble[:, :1], observed, key)
        second = solver.analyse(ensemble[:, 1:2], observed, key)
        np.testing.assert_array_equal(first, second)


def test_climatology_sees_nothing(sample, ensemble, observed, key):
    solver = Climatology().prepare(Background(sample))
    found = solver.analyse(ensemble[:, :1], observed, key)
    np.testing.assert_allclose(found[:, 0], sample.mean(axis=1))
    assert solver.known_climate().covariance.shape == ()  # no (state, state)


def test_the_identity_needs_no_matrix_of_the_climate(sample, ensemble, observed, key):
    H, R = np.eye(4)[[0, 2]], np.diag([0.5, 0.25])
    forecast = np.asarray(ensemble[:, 1])
    gain = 0.3 * H.T @ np.linalg.inv(0.3 * H @ H.T + R)
    solver = ThreeDVar(scale=0.3, covariance="identity").prepare(Background(sample))
    assert solver.known_climate().covariance.shape == ()
    found = solver.analyse(ensemble[:, 1:2], observed, key)
    wanted = forecast + gain @ ([0.3, -0.2] - H @ forecast)
    np.testing.assert_allclose(found[:, 0], wanted, atol=1e-12)


def test_noise_bounds_the_static_correction(sample, ensemble, observed, key):
    solver = ThreeDVar(scale=1.0).prepare(Background(sample))
    blind = Observed(observed.values, jnp.zeros(2), observed.operator)
    sharp = Observed(observed.values, jnp.full(2, 1e6), observed.operator)
    forecast = ensemble[:, :1]
    np.testing.assert_allclose(solver.analyse(forecast, blind, key), forecast)
    found = solver.analyse(forecast, sharp, key)[jnp.array([0, 2]), 0]
    np.testing.assert_allclose(found, [0.3, -0.2], atol=1e-8)


def test_a_sample_of_one_state_is_refused():
    with pytest.raises(ValueError, match="ThreeDVar: the climatology holds 1 states"):
        ThreeDVar().prepare(Background(np.zeros((4, 1))))
