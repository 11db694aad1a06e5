import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.core.calibrate import Measurement, Problem, _check_types, calibrate
from closura.core.on_host import OnHost
from closura.core.prior import Normal, Prior
from closura.solvers.ensemble import ETKF
from closura.solvers.kalman_inversion import EKI

FULL = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 0.5]])


def test_whitened_noise_is_independent_and_of_variance_one(key):
    for covariance in (FULL, np.diag(FULL)):
        measurement = Measurement([1.0, 2.0, 3.0], covariance)
        white = measurement.whiten(measurement.noise(100_000, key=key))
        np.testing.assert_allclose(jnp.cov(white), np.eye(3), atol=0.02)


def test_a_missing_statistic_has_no_say():
    measurement = Measurement([1.0, np.nan, 3.0], [1.0, 4.0, 4.0])
    np.testing.assert_allclose(measurement.departure(jnp.array([0.0, 99.0, 5.0])), [1, 0, -1])
    assert int(measurement.seen) == 2


def test_the_log_likelihood_is_that_of_the_normal_distribution():
    measurement = Measurement([1.0, 2.0, 3.0], FULL)
    problem = Problem(Prior(a=Normal(0.0, 1.0)), lambda p, key: p["a"] * jnp.ones(3), measurement)
    missed = np.array([1.0, 0.5, -2.0])
    wanted = -0.5 * missed @ np.linalg.inv(FULL) @ missed
    np.testing.assert_allclose(problem.log_likelihood(jnp.array([0.0, 1.5, 5.0])), wanted)


def test_a_covariance_symmetric_up_to_rounding_is_taken():
    covariance = np.array([[1.0, 1e-17], [-1e-17, 1.0]])
    assert Measurement([0.0, 0.0], covariance).size == 2


@pytest.mark.parametrize(
    ("values", "covariance", "line"),
    [
        ([[1.0]], [1.0], r"shape \(1, 1\); give one number a statistic"),
        ([1.0, 2.0], [1.0], r"covariance has shape \(1,\); 2 statistics want \(2,\)"),
        ([np.inf], [1.0], "mark what is missing with NaN"),
        ([np.nan, 1.0], np.eye(2), "NaN beside a full covariance"),
        ([1.0, 2.0], [1.0, 0.0], "covariance is 0 for statistic 1"),
        ([1.0, 2.0], np.ones((2, 2)), "singular or not symmetric"),
        ([np.nan, np.nan], [1.0, 1.0], "nothing but NaN, so that all 2 statistics are missing"),
    ],
)
def test_a_measurement_that_cannot_be_is_refused(values, covariance, line):
    with pytest.raises(ValueError, match=line):
        Measurement(values, covariance)


def test_a_simulator_of_another_size_is_refused(key):
    with pytest.raises(ValueError, match=r"statistics of shape \(2,\) and 3 were measured"):
        calibrate(
            lambda p, key: jnp.ones(2), Prior(a=Normal(0.0, 1.0)),
            Measurement(np.zeros(3), np.ones(3)), EKI(4), key=key,
        )  # fmt: skip


PRIOR, TWO = Prior(a=Normal(0.0, 1.0)), Measurement([1.0, 2.0], [1.0, 1.0])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (({"a": 1.0}, TWO, EKI(4)), "prior is of type dict; it must be a Prior such as Prior.F="),
        ((PRIOR, np.zeros(2), EKI(4)), "measured is of type ndarray; it must be a Measurement"),
        ((PRIOR, TWO, EKI), "calibrator is the class EKI; it must be a Calibrator such as EKI.mem"),
        ((PRIOR, TWO, ETKF()), "calibrator is of type ETKF; it must be a Calibrator"),
    ],
)
def test_an_argument_of_another_type_is_refused(arguments, line):
    with pytest.raises(TypeError, match=line):
        _check_types(*arguments)


def test_members_are_the_same_in_batches_of_any_size(key):
    def simulator(parameters, key):
        return parameters["a"] + jax.random.normal(key, (2,))

    prior, measurement = Prior(a=Normal(0.0, 1.0)), Measurement(np.zeros(2), np.ones(2))
    positions = prior.draw(7, key=key)
    found = [
        Problem(prior, simulator, measurement, batch).predict(positions, key) for batch in (3, 128)
    ]
    np.testing.assert_allclose(*found, rtol=1e-12)


def run_program(parameters, seed):
    noise = np.random.default_rng(seed).normal(size=2)
    return np.array([parameters["a"], 2 * parameters["a"]]) + 0.01 * noise


@pytest.mark.parametrize("workers", [1, 3])
def test_a_simulator_on_the_host_is_calibrated(key, workers):
    prior = Prior(a=Normal(0.0, 1.0))
    measured = Measurement([0.8, 1.6], [1e-3, 1e-3])
    found = calibrate(OnHost(run_program, 2, workers=workers), prior, measured, EKI(30), key=key)
    np.testing.assert_allclose(found.parameters["a"].mean(), 0.8, atol=0.03)


def test_a_function_on_the_host_of_another_size_is_refused(key):
    bad = OnHost(lambda parameters, seed: np.zeros(3), 2)
    with pytest.raises(ValueError, match=r"an array of shape \(3,\); it must return \(2,\)"):
        bad({"a": jnp.asarray(0.0)}, key)


def test_a_function_on_the_host_refuses_compiled_code(key):
    with pytest.raises(ValueError, match="cannot run inside compiled code; use EKI, ETKI, UKI"):
        jax.jit(OnHost(run_program, 2))({"a": jnp.asarray(0.0)}, key)
