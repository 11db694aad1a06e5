"""On a linear model with normal errors every solver must return what is exact there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.core.problem import Observations, Observed
from closura.solvers.variational import cost, find_increment, find_share
from solvers.linear_world import (
    BACKGROUND,
    ENSEMBLE,
    MATRIX,
    MEAN,
    SEEN,
    STEPS,
    VALUES,
    VARIANCE,
    Mixed,
    known_at,
    run,
)

TIMES = len(STEPS)
FILTERED = np.arange(1, TIMES + 1)


def lagged(lag):
    return np.minimum(FILTERED + lag, TIMES)


@pytest.mark.parametrize(
    "solver",
    [
        cl.ETKF(members=7),
        cl.SerialEnSRF(members=7),
        cl.EnKS(cl.ETKF(members=7), lag=2),
        cl.IEnKS(members=7, iterations=1),
        cl.IEnKS(members=7, window=3, iterations=1),
        cl.IEnKS(members=7, window=4, iterations=5, tolerance=0.0),
        cl.IEnKS(members=7, window=6, rotation=True),
    ],
)
def test_analyses_are_those_of_the_kalman_filter(solver):
    found, _ = run(solver)
    mean, deviation = known_at(FILTERED)
    np.testing.assert_allclose(found.analysis, mean, atol=1e-10)
    np.testing.assert_allclose(found.analysis_spread, deviation, atol=1e-10)


@pytest.mark.parametrize("lag", [1, 3])
def test_smoothed_states_are_those_of_the_kalman_smoother(lag):
    mean, deviation = known_at(lagged(lag))
    for solver in (
        cl.EnKS(cl.ETKF(members=7, rotation=True), lag=lag),
        cl.IEnKS(members=7, window=lag, rotation=True),
    ):
        found, _ = run(solver)
        np.testing.assert_allclose(found.smoothed[0], mean, atol=1e-10)
        np.testing.assert_allclose(found.smoothed[1], deviation, atol=1e-10)


def test_a_window_that_shifts_by_two_analyses_two_times_together():
    # Windows of 4 that end at times 2, 4, 6 begin at the start, the start and time 2.
    found, _ = run(cl.IEnKS(members=7, window=4, shift=2))
    np.testing.assert_allclose(found.analysis, known_at([2, 2, 4, 4, 6, 6])[0], atol=1e-10)
    np.testing.assert_allclose(found.forecast, known_at([0, 0, 2, 2, 4, 4])[0], atol=1e-10)
    np.testing.assert_allclose(found.smoothed[0], known_at([4, 6, 6, 6, 6, 6])[0], atol=1e-10)


def test_times_that_fill_no_whole_number_of_shifts_come_first():
    # 6 times in shifts of 4: the first window has 2 empty places.
    found, last = run(cl.IEnKS(members=7, window=5, shift=4))
    np.testing.assert_allclose(found.analysis, known_at([2, 2, 6, 6, 6, 6])[0], atol=1e-10)
    assert int(last.step) == STEPS[4]


def test_observations_that_count_in_parts_count_once():
    # Of a window of 3, the times 1, 2, 3 after its beginning were in 3, 2, 1 windows up to now.
    found, _ = run(cl.IEnKS(members=7, window=3, multiple=True))
    precision = np.array([1, 1, 3 / 3, 2 / 3, 1 / 3, 0])
    wanted = known_at(np.full(TIMES, TIMES), precision=precision)[0][1]
    np.testing.assert_allclose(found.smoothed[0][1], wanted, atol=1e-10)


def test_one_window_of_4dvar_is_the_kalman_smoother():
    solver = cl.FourDVar(scale=1.0, window=TIMES, shift=TIMES)
    found, last = run(solver)
    mean = known_at(np.full(TIMES, TIMES))[0]
    np.testing.assert_allclose(found.analysis, mean, atol=1e-10)
    np.testing.assert_allclose(found.smoothed[0], mean, atol=1e-10)
    np.testing.assert_allclose(last.state.x[:, 0], known_at(FILTERED)[0][-1], atol=1e-10)
    assert int(last.step) == STEPS[-1]


def test_weak_constraint_4dvar_is_the_kalman_smoother_with_model_noise():
    found, _ = run(cl.FourDVar(scale=1.0, window=TIMES, shift=TIMES, model_error=0.6))
    mean = known_at(np.full(TIMES, TIMES), noise=0.36)[0]
    np.testing.assert_allclose(found.analysis, mean, atol=1e-10)
    filtered = known_at(FILTERED, noise=0.36)[0]
    np.testing.assert_allclose(found.analysis[-1], filtered[-1], atol=1e-10)
    assert np.abs(mean[-1] - known_at(FILTERED)[0][-1]).max() > 0.1  # the noise matters


def test_the_error_of_the_model_leads_from_one_state_to_the_next():
    found, _ = run(cl.FourDVar(scale=1.0, window=TIMES, shift=TIMES, model_error=0.6))
    carried = MATRIX @ found.analysis[0]  # times 0 and 1 are one step apart
    np.testing.assert_allclose(found.analysis[1], carried + found.model_error[1], atol=1e-10)
    assert np.abs(found.model_error[1]).max() > 0.01


def test_the_first_analysis_is_the_same_by_every_road():
    first = Observations(VALUES[:1], VARIANCE[:1], np.array([0.5]), Mixed())
    found, _ = run(cl.FourDVar(scale=1.0), first)
    ensemble, _ = run(cl.ETKF(members=7), first)
    np.testing.assert_allclose(found.analysis, ensemble.analysis, atol=1e-10)


def test_4dvar_of_one_time_is_3dvar():
    observed = Observed(
        jnp.asarray(VALUES[0]), jnp.asarray(1 / np.sqrt(VARIANCE[0])), lambda x: jnp.sin(SEEN @ x)
    )
    state, key = jnp.asarray(MEAN[:, None]), jax.random.key(0)
    wanted = cl.ThreeDVar(scale=0.3).prepare(BACKGROUND)(state, observed, (), key)[0]
    # Both make the operator linear at the forecast, and the step lowers the cost.
    once = cl.FourDVar(scale=0.3, outer=1).prepare(BACKGROUND)
    np.testing.assert_allclose(once(state, observed, (), key)[0], wanted, atol=1e-10)
    often = cl.FourDVar(scale=0.3).prepare(BACKGROUND)
    assert np.abs(often(state, observed, (), key)[0] - wanted).max() > 1e-3


def test_the_stochastic_filter_comes_near_with_many_members():
    start = np.random.default_rng(0).multivariate_normal(MEAN, np.cov(ENSEMBLE), 4000).T
    observed = Observed(
        jnp.asarray(VALUES[0]), jnp.asarray(1 / np.sqrt(VARIANCE[0])), lambda x: SEEN @ x
    )
    key = jax.random.key(2)
    many, _ = cl.EnKF(members=4000)(jnp.asarray(start), observed, (), key)
    few, _ = cl.ETKF(members=7)(jnp.asarray(ENSEMBLE), observed, (), key)
    error = 2.0 / np.sqrt(4000)  # of the mean of numbers with deviations up to 2
    np.testing.assert_allclose(many.mean(axis=1), few.mean(axis=1), atol=4 * error)


def test_conjugate_gradients_find_what_the_matrix_gives():
    exactly, _ = run(cl.FourDVar(scale=1.0, window=3))
    searched, _ = run(cl.FourDVar(scale=1.0, window=3, inner=9))
    np.testing.assert_allclose(searched.analysis, exactly.analysis, atol=1e-6)
    early, _ = run(cl.FourDVar(scale=1.0, window=3, inner=1, outer=1))
    assert np.abs(early.analysis - exactly.analysis).max() > 1e-3


def test_a_step_that_raises_the_cost_is_halved():
    # From x = 3 the Gauss-Newton step for atan(x) = 0 with a wide background overshoots.
    def departures(control):
        return 100 * jnp.arctan(3 + control)

    here = jnp.zeros(1)
    move = find_increment(departures, here, None)
    assert cost(departures, here + move) > cost(departures, here)
    share = find_share(departures, here, move)
    assert 0 < share < 1
    assert cost(departures, here + share * move) < cost(departures, here)
