import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.core.problem import Background, Observed
from closura.solvers.ensemble import ETKF, DEnKF, EnKF, SerialEnSRF
from closura.solvers.finite_size import EnKFN, _spectrum, hyperprior, prior_inflation
from closura.solvers.letkf import LETKF
from closura.solvers.transform import random_rotation

MEAN = [0.209095085291, -0.038297070191, -0.115504219973, 0.177105014146]
DIAGONAL = [0.255852047816, 0.250038877157, 0.187461896329, 0.285803530989]
FILTERS = [EnKF(5), ETKF(5), SerialEnSRF(5), DEnKF(5)]
ALL = [*FILTERS, EnKFN(5), LETKF(5, radius=1e3)]


def named(solver):
    return type(solver).__name__


def prepared(solver):
    places = np.arange(4.0)[:, None]
    return solver.prepare(Background(np.zeros((4, 2)), places, places[[0, 2]], (4.0,)))


@pytest.mark.parametrize("solver", FILTERS, ids=named)
def test_mean_is_that_of_dapper(solver, ensemble, observed, key):
    analysis = solver.analyse(ensemble, observed, key)
    np.testing.assert_allclose(analysis.mean(axis=1), MEAN, atol=1e-10)


@pytest.mark.parametrize(
    ("solver", "first"),
    [
        (ETKF(5), [0.484660873229, -0.149428357274, -0.656244507924, -0.638050541916]),
        (SerialEnSRF(5), [0.494298538286, -0.139561411651, -0.652996722045, -0.642642440536]),
    ],
    ids=["ETKF", "SerialEnSRF"],
)
def test_square_root_filters_are_those_of_dapper(solver, first, ensemble, observed, key):
    analysis = solver.analyse(ensemble, observed, key)
    np.testing.assert_allclose(analysis[:, 0], first, atol=1e-10)
    np.testing.assert_allclose(np.var(analysis, axis=1, ddof=1), DIAGONAL, atol=1e-10)


@pytest.mark.parametrize(
    ("certainty", "published", "steps"), [(1.0, 1.006992363570, 3), (2.0, 1.000907436041, 2)]
)
def test_finite_size_inflation_is_that_of_dapper(certainty, published, steps, ensemble, observed):
    # DAPPER's Newton iteration leaves out a term of the second derivative and stops once a step
    # is below 1e-4: some 4e-8 before the minimum, which is where we go. The same iteration on our
    # cost gives the published number, so the cost is the same.
    squares, energy = _spectrum(*observed.whiten(ensemble))
    e, c = hyperprior(squares, 5, certainty)

    def slope(factor):
        total = factor**2 * squares + 4
        return (
            -2 * factor * (squares * energy / total**2).sum() - 2 * e / factor**3 + 2 * c / factor
        )

    def curvature(factor):
        total = factor**2 * squares + 4
        return (
            8 * factor**2 * (squares**2 * energy / total**3).sum()
            + 6 * e / factor**4
            - 2 * c / factor**2
        )

    factor = 1.0
    for _ in range(steps):
        factor = factor - slope(factor) / curvature(factor)
    found = prior_inflation(*observed.whiten(ensemble), certainty)
    assert abs(float(slope(found))) < 1e-12
    assert abs(float(found) - published) < 1e-7
    assert abs(float(factor) - published) < 1e-10


def test_deterministic_filter_has_its_known_bias(ensemble, observed, key):
    # P^a + (1/4) K H P H' K', Sakov and Oke (2008), eq. 14.
    P = np.cov(ensemble)
    H = np.eye(4)[[0, 2]]
    K = P @ H.T @ np.linalg.inv(H @ P @ H.T + np.diag([0.5, 0.25]))
    wanted = (np.eye(4) - K @ H) @ P + K @ H @ P @ H.T @ K.T / 4
    np.testing.assert_allclose(
        np.cov(DEnKF(5).analyse(ensemble, observed, key)), wanted, atol=1e-12
    )


@pytest.mark.parametrize("solver", [ETKF(5), SerialEnSRF(5), LETKF(5, radius=1e3)], ids=named)
def test_covariance_is_that_of_the_kalman_filter(solver, ensemble, observed, key):
    P, H = np.cov(ensemble), np.eye(4)[[0, 2]]
    K = P @ H.T @ np.linalg.inv(H @ P @ H.T + np.diag([0.5, 0.25]))
    analysis = prepared(solver).analyse(ensemble, observed, key)
    # A radius of 1000 leaves the taper at 1 - 2e-6 over the ring.
    tolerance = 1e-4 if isinstance(solver, LETKF) else 1e-12
    np.testing.assert_allclose(np.cov(analysis), P - K @ H @ P, atol=tolerance)


@pytest.mark.parametrize("kind", [EnKF, EnKFN], ids=lambda kind: kind.__name__)
def test_many_members_reach_the_kalman_filter(kind, key):
    # Prior N(0, P), P = [[2, 1], [1, 1]], y = 1.5 on the first with R = 1: K = (2/3, 1/3).
    factor = np.linalg.cholesky([[2.0, 1.0], [1.0, 1.0]])
    prior = jnp.asarray(factor) @ jax.random.normal(key, (2, 4000 if kind is EnKF else 400))
    seen = Observed(jnp.array([1.5]), jnp.ones(1), lambda state: state[:1])
    analysis = kind(prior.shape[1]).analyse(prior, seen, key)
    sampling = 4 / np.sqrt(prior.shape[1])
    np.testing.assert_allclose(analysis.mean(axis=1), [1.0, 0.5], atol=sampling)
    np.testing.assert_allclose(np.cov(analysis), [[2 / 3, 1 / 3], [1 / 3, 2 / 3]], atol=sampling)


@pytest.mark.parametrize("solver", ALL, ids=named)
def test_infinite_noise_returns_the_prior(solver, ensemble, observed, key):
    blind = Observed(observed.values, jnp.zeros(2), observed.operator)
    analysis = prepared(solver).analyse(ensemble, blind, key)
    if isinstance(solver, EnKFN):  # its hyper-prior moves the spread even without data
        np.testing.assert_allclose(analysis.mean(axis=1), ensemble.mean(axis=1), atol=1e-12)
    else:
        np.testing.assert_allclose(analysis, ensemble, atol=1e-12)


@pytest.mark.parametrize("solver", ALL, ids=named)
def test_vanishing_noise_returns_the_truth(solver, ensemble, observed, key):
    sharp = Observed(observed.values, jnp.full(2, 1e5), observed.operator)
    analysis = prepared(solver).analyse(ensemble, sharp, key)
    tolerance = 1e-3 if isinstance(solver, LETKF) else 1e-4
    np.testing.assert_allclose(
        analysis.mean(axis=1)[jnp.array([0, 2])], [0.3, -0.2], atol=tolerance
    )


def test_missing_observation_has_no_effect(ensemble, key):
    variance = jnp.array([0.5, 0.25, 0.1])
    with_gap = Observed.at_one_time(
        jnp.array([0.3, -0.2, jnp.nan]), variance, lambda state: state[jnp.array([0, 2, 3])]
    )
    without = Observed.at_one_time(
        jnp.array([0.3, -0.2]), variance[:2], lambda state: state[jnp.array([0, 2])]
    )
    for solver in (ETKF(5), SerialEnSRF(5), DEnKF(5)):
        np.testing.assert_allclose(
            solver.analyse(ensemble, with_gap, key),
            solver.analyse(ensemble, without, key),
            atol=1e-12,
        )


def test_inflation_multiplies_the_anomalies_of_the_analysis(ensemble, observed, key):
    plain = ETKF(5).analyse(ensemble, observed, key)
    wide = ETKF(5, inflation=1.2).analyse(ensemble, observed, key)
    mean = plain.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(wide, mean + 1.2 * (plain - mean), atol=1e-12)


def test_full_relaxation_gives_back_the_prior_spread(ensemble, observed, key):
    anomalies = ensemble - ensemble.mean(axis=1, keepdims=True)
    perturbations = ETKF(5, rtpp=1.0).analyse(ensemble, observed, key)
    np.testing.assert_allclose(
        perturbations - perturbations.mean(axis=1, keepdims=True), anomalies, atol=1e-12
    )
    spread = ETKF(5, rtps=1.0).analyse(ensemble, observed, key)
    np.testing.assert_allclose(np.std(spread, axis=1), np.std(ensemble, axis=1), atol=1e-12)


def test_rotation_keeps_mean_and_covariance(ensemble, observed, key):
    plain = ETKF(5).analyse(ensemble, observed, key)
    turned = ETKF(5, rotation=True).analyse(ensemble, observed, key)
    assert not np.allclose(turned, plain)
    np.testing.assert_allclose(turned.mean(axis=1), MEAN, atol=1e-10)
    np.testing.assert_allclose(np.cov(turned), np.cov(plain), atol=1e-12)


def test_random_rotation_is_orthogonal_and_keeps_the_sum(key):
    matrix = random_rotation(key, 7)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(7), atol=1e-12)
    np.testing.assert_allclose(matrix.sum(axis=0), 1.0, atol=1e-12)


def test_ensemble_of_one_is_refused():
    with pytest.raises(ValueError, match="EnKF: members is 1; an ensemble needs 2 or more"):
        EnKF(1)


def test_impossible_inflation_is_refused():
    with pytest.raises(ValueError, match=r"ETKF: inflation is 0.0; it must be positive, where 1"):
        ETKF(20, inflation=0.0)


def test_impossible_relaxation_is_refused():
    with pytest.raises(ValueError, match=r"ETKF: rtpp is 1.5; it must lie between 0 and 1"):
        ETKF(20, rtpp=1.5)
