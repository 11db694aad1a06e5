import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.core.calibrate import Measurement, Problem
from closura.core.couple import ClosuraWarning
from closura.core.members import draw_dead
from closura.core.posterior import Gaussian
from closura.core.prior import Normal, Prior
from closura.solvers import inversion
from closura.solvers.kalman_inversion import EKI, ETKI
from closura.solvers.langevin import ALDI, EKS
from closura.solvers.markov import MCMC
from closura.solvers.maximum import MAP
from closura.solvers.unscented import UKI
from solvers.linear_problem import MEASURED, SLOPES, exact, failing, line, linear_problem

MANY = 400
# A mean of N draws is off by about 1 / sqrt(N) of the posterior's deviation, a variance by
# sqrt(2 / N) of itself: tolerances are four times that.
EXACT = [
    (EKI(MANY, step=1, iterations=1), MANY),
    (EKI(MANY), MANY),
    (ETKI(MANY), MANY),
    (EKS(MANY), MANY),
    (ALDI(MANY, step=0.5), MANY),
    (UKI(20), 1e12),
    (MAP(starts=2), 1e12),
    (MCMC(draws=500, warmup=300, chains=2), 300),
    (MCMC(draws=2000, warmup=500, kernel="random-walk"), 300),
    (MCMC(draws=1000, warmup=500, kernel="mala"), 300),
]


def told(calibrator):
    return f"{type(calibrator).__name__}-{getattr(calibrator, 'kernel', '')}"


def moments(posterior):
    if isinstance(posterior, Gaussian):
        return posterior.mean, posterior.covariance
    return posterior.members.mean(axis=1), jnp.cov(posterior.members)


@pytest.mark.parametrize(("calibrator", "draws"), EXACT, ids=map(str, range(len(EXACT))))
def test_a_straight_line_has_the_posterior_of_bayes_rule(calibrator, draws, key):
    mean, covariance = moments(calibrator.solve(linear_problem(), key=key))
    wanted, spread = exact()
    deviation = np.sqrt(np.diag(spread))
    np.testing.assert_allclose((mean - wanted) / deviation, 0, atol=4 / draws**0.5 + 1e-3)
    scaled = (covariance - spread) / np.outer(deviation, deviation)
    np.testing.assert_allclose(scaled, 0, atol=4 * (2 / draws) ** 0.5 + 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "ratio"), [(EKS, 0.75), (ALDI, 1.1)])
def test_the_correction_of_aldi_gives_a_small_ensemble_its_spread(kind, ratio, key):
    keys = jax.random.split(key, 30)
    found = [jnp.cov(kind(10, step=0.2).solve(linear_problem(), key=k).members) for k in keys]
    share = np.diag(np.mean(found, axis=0)) / np.diag(exact()[1])
    np.testing.assert_allclose(share.mean(), ratio, atol=0.15)


def test_a_transform_draws_nothing_after_the_ensemble():
    calibrator = ETKI(6, step=0.5, iterations=2)
    measurement = linear_problem().measurement
    positions = jax.random.normal(jax.random.key(3), (2, 6))
    simulated = inversion.simulate_members(linear_problem(), positions, jax.random.key(0))
    first, second = (
        calibrator.move(measurement, simulated, jnp.asarray(0.0), jax.random.key(seed))[0]
        for seed in (1, 2)
    )
    np.testing.assert_array_equal(first, second)


def test_steps_chosen_by_the_misfit_add_up_to_one(key):
    history = EKI(50).solve(linear_problem(), key=key).history
    np.testing.assert_allclose(history["step"].sum(), 1.0, atol=1e-5)
    count, misfit = 3, history["misfit"][0]
    careful = max(count / 2 / misfit.mean(), (count / 2 / misfit.var(ddof=1)) ** 0.5)
    np.testing.assert_allclose(history["step"][0], careful, rtol=1e-12)


def test_too_few_iterations_are_told(key):
    with pytest.warns(ClosuraWarning, match="EKI stopped after 1 iterations at a total step of"):
        EKI(20, iterations=1).solve(linear_problem(), key=key)


def test_members_that_still_remember_the_prior_are_told(key):
    with pytest.warns(ClosuraWarning, match="ALDI stopped at a time of 0.0.+ after 2 iterations"):
        ALDI(20, iterations=2).solve(linear_problem(), key=key)


def test_full_steps_shrink_below_the_posterior_and_the_prior_holds_them(key):
    problem, mean = linear_problem(), exact()[0]
    free = EKI(200, iterations=15, step=1.0).solve(problem, key=key).members
    held = EKI(200, iterations=15, step=1.0, regularised=True).solve(problem, key=key).members
    least_squares = np.linalg.lstsq(
        SLOPES / np.sqrt([[1.0], [0.5], [2.0]]), MEASURED / np.sqrt([1.0, 0.5, 2.0]), rcond=None
    )[0]
    assert free.std(axis=1).max() < 0.5 * np.sqrt(np.diag(exact()[1])).max()
    np.testing.assert_allclose(held.mean(axis=1), mean, atol=0.03)
    np.testing.assert_allclose(1 + 2 * free[0].mean(), least_squares[0], atol=0.05)


def test_a_prior_that_would_count_twice_is_refused():
    with pytest.raises(ValueError, match="EKI: regularised=True counts the prior once more, which"):
        EKI(20, regularised=True)


class Loose(eqx.Module):
    """Settings of any type: those of calibrators are checked by their annotations in tests."""

    members: Any


@pytest.mark.parametrize("members", [2.5, 2e3, True])
def test_a_part_of_a_member_is_refused(members):
    words = f"Loose: members is {members}; it must be a whole number, 2 or more."
    with pytest.raises(ValueError, match=words):
        inversion.check_counts(Loose(members), members=2)


FORGIVING = [EKI(50), ETKI(50), EKS(50), ALDI(50), UKI(20)]


@pytest.mark.parametrize("calibrator", FORGIVING, ids=told)
def test_a_tenth_of_failed_members_is_survived_and_counted(calibrator, key):
    found = calibrator.solve(linear_problem(failing(0.1)), key=key)
    mean, covariance = moments(found)
    wanted, spread = exact()
    assert found.history["failed"].sum() > 0
    np.testing.assert_allclose((mean - wanted) / np.sqrt(np.diag(spread)), 0, atol=0.8)
    assert (np.linalg.eigvalsh(covariance) > 0).all()


@pytest.mark.parametrize("calibrator", FORGIVING, ids=told)
def test_an_ensemble_that_is_all_dead_is_one_clear_line(calibrator, key):
    with pytest.raises(ValueError, match=r"0 of \d+ simulations of iteration 1 gave finite"):
        calibrator.solve(linear_problem(failing(1.0)), key=key)


def test_a_failed_member_is_drawn_like_the_others(key):
    alive = jnp.arange(4000) % 4 > 0
    truth = jax.random.multivariate_normal(
        key, jnp.array([1.0, -2.0]), jnp.array([[2.0, 0.6], [0.6, 0.5]]), (4000,)
    ).T
    renewed = draw_dead(jnp.where(alive, truth, jnp.nan), alive, key)
    np.testing.assert_array_equal(renewed[:, alive], truth[:, alive])
    dead = renewed[:, ~alive]
    np.testing.assert_allclose(dead.mean(axis=1), [1.0, -2.0], atol=0.15)
    np.testing.assert_allclose(jnp.cov(dead), [[2.0, 0.6], [0.6, 0.5]], atol=0.2)


@pytest.mark.parametrize("calibrator", [EKI(11), ALDI(13), UKI(6)], ids=told)
def test_every_iteration_runs_the_code_compiled_for_the_first(calibrator, key):
    traced = []

    def simulator(parameters, key):
        traced.append(1)
        return line(parameters, key)

    calibrator.solve(linear_problem(simulator), key=key)
    assert len(traced) <= 2  # lax.map traces its body for the whole batch and for what is left


def test_missing_statistics_do_not_count(key):
    prior = Prior(b=Normal(1.0, 2.0), a=Normal(0.0, 1.0))
    holes = Measurement(np.array([0.0, np.nan, np.nan]), np.ones(3))
    found = UKI(20).solve(Problem(prior, line, holes), key=key)
    few = Problem(prior, lambda p, key: line(p, key)[:1], Measurement(np.zeros(1), np.ones(1)))
    alone = UKI(20).solve(few, key=key)
    np.testing.assert_allclose(found.mean, alone.mean, atol=1e-8)
    np.testing.assert_allclose(found.covariance, alone.covariance, atol=1e-8)


def bent(parameters, key):
    return jnp.stack([jnp.exp(parameters["a"]), parameters["a"] ** 2])


def test_the_most_probable_parameter_solves_its_equation():
    problem = Problem(
        Prior(a=Normal(0.0, 1.0)), bent, Measurement(np.array([2.0, 0.6]), np.array([0.1, 0.1]))
    )
    found = MAP().solve(problem, key=jax.random.key(1))
    grid = np.linspace(-3, 3, 600_001)
    objective = grid**2 / 2 + ((2 - np.exp(grid)) ** 2 + (0.6 - grid**2) ** 2) / 0.2
    best = grid[objective.argmin()]
    np.testing.assert_allclose(found.mean, [best], atol=2e-5)
    precision = 1 + (np.exp(best) ** 2 + 4 * best**2) / 0.1
    np.testing.assert_allclose(found.covariance, [[1 / precision]], rtol=1e-4)


def test_a_search_refuses_a_noisy_simulator(key):
    noisy = linear_problem(lambda p, key: line(p, key) + jax.random.normal(key, (3,)))
    with pytest.raises(ValueError, match="MAP: two keys give statistics that differ by"):
        MAP().solve(noisy, key=key)


@pytest.mark.parametrize("calibrator", [MAP(), MCMC()], ids=told)
def test_a_simulator_without_derivative_is_refused(calibrator, key):
    def host(parameters, key):
        shape = jax.ShapeDtypeStruct((3,), jnp.result_type(float))
        return jax.pure_callback(lambda p: np.zeros(3), shape, parameters)

    with pytest.raises(ValueError, match="the simulator cannot be differentiated; use"):
        calibrator.solve(linear_problem(host), key=key)


def test_chains_that_have_not_converged_are_told(key):
    with pytest.warns(ClosuraWarning, match="MCMC has not converged: for [ab] r-hat is"):
        MCMC(draws=20, warmup=20, kernel="random-walk").solve(linear_problem(), key=key)


def test_no_finite_draw_of_the_prior_stops_the_chains(key):
    with pytest.raises(ValueError, match="MCMC: no draw of the prior has a finite simulation"):
        MCMC(kernel="random-walk").solve(linear_problem(failing(1.1)), key=key)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: EKI(members=1), "EKI: members is 1; it must be 2 or more"),
        (lambda: EKI(step="careful"), "EKI: step is 'careful'; it must be 'misfit', or a positive"),
        (lambda: ETKI(step=0.0), "ETKI: step is 0.0; it must be 'misfit'"),
        (lambda: EKS(step=1.5), "EKS: step is 1.5; it must lie above 0 and not above 1"),
        (lambda: UKI(iterations=0), "UKI: iterations is 0; it must be 1 or more"),
        (lambda: MAP(starts=0), "MAP: starts is 0; it must be 1 or more"),
        (lambda: MCMC(kernel="gibbs"), "MCMC: kernel is 'gibbs'; it must be one of nuts, mala"),
        (lambda: MCMC(chains=1), "MCMC: chains is 1; it must be 2 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, line):
    with pytest.raises(ValueError, match=line):
        make()


def test_a_missing_library_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'closura\[uq\]'"):
        MCMC()


def test_the_same_key_gives_the_same_members(key):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ClosuraWarning)
        first, second = (EKI(9).solve(linear_problem(), key=key).members for _ in range(2))
    np.testing.assert_array_equal(first, second)
