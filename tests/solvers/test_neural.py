"""Neural posteriors: what is drawn, dropped, refused and remembered. Small and fast."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.core import progress
from closura.solvers.density import _begin
from closura.solvers.neural import _Pairs, _warn_where_unseen

FAST = {"simulations": 600, "layers": 2, "width": 16, "epochs": 60, "learning_rate": 5e-3}


def line(parameters, key):
    """Two statistics of two parameters, one of which is bounded; fails where a is far below."""
    a, b = parameters["a"], parameters["b"]
    return jnp.where(a < -2.0, jnp.nan, jnp.stack([a + b, 2 * a, a - b]))


@pytest.fixture(scope="module")
def problem():
    prior = cl.Prior(a=cl.Normal(0.0, 1.0), b=cl.Uniform(-1.0, 3.0))
    measured = cl.Measurement(np.array([1.5, 1.0, -0.5]), np.array([0.09, 0.04, 0.25]))
    return cl.Problem(prior, line, measured, 300)


@pytest.fixture(scope="module")
def posterior(problem):
    return cl.NPE(**FAST).solve(problem, key=jax.random.key(1))


def test_draws_stay_within_the_bounds_of_the_prior(posterior):
    drawn = posterior.sample(4000, key=jax.random.key(2))
    assert drawn["b"].min() >= -1.0 and drawn["b"].max() <= 3.0
    assert jnp.isfinite(drawn["a"]).all()


def test_the_posterior_is_nearer_to_the_truth_than_the_prior(posterior):
    # Without the bounds on b: precision of a: 1 + 1/.09 + 4/.04 + 1/.25, so a deviation below 0.1.
    drawn = posterior.sample(4000, key=jax.random.key(2))
    assert abs(float(drawn["a"].mean()) - 0.5) < 0.2
    assert float(drawn["a"].std()) < 0.35


def test_failed_simulations_are_counted_and_not_learned_from(posterior, problem):
    # P(a < -2) = 0.0228: 13.7 of 600 on average, deviation 3.7.
    failed = posterior.history["failed"]
    assert failed.shape == (1,) and 3 <= failed[0] <= 27
    assert posterior.history["statistics"].shape == (3, 600 - failed[0])
    assert jnp.isfinite(posterior.history["statistics"]).all()


def test_errors_of_the_measurement_are_in_the_simulated_statistics(posterior, problem):
    history = posterior.history
    clean = problem.measurement.whiten(problem.predict(history["positions"], jax.random.key(0)))
    noise = history["statistics"] - clean
    assert np.allclose(noise.std(axis=1), 1.0, atol=0.1)  # in units of the error
    assert np.allclose(np.corrcoef(noise), np.eye(3), atol=0.15)


def test_the_same_key_gives_the_same_posterior(posterior, problem):
    again = cl.NPE(**FAST).solve(problem, key=jax.random.key(1))
    drawn = [p.draw(5, key=jax.random.key(0)) for p in (posterior, again)]
    assert jnp.array_equal(*drawn)


def test_networks_are_in_single_precision_and_positions_in_double(posterior):
    networks = jax.tree.leaves(eqx.filter(posterior.density.bijection, eqx.is_inexact_array))
    assert {array.dtype for array in networks} == {jnp.dtype("float32")}
    assert posterior.draw(3, key=jax.random.key(0)).dtype == jnp.float64


def test_the_density_integrates_to_one_and_belongs_to_the_draws(posterior):
    axis = jnp.linspace(-6, 6, 401)
    grid = jnp.stack([a.ravel() for a in jnp.meshgrid(axis, axis)])
    density = jnp.exp(posterior.log_density(grid))
    cell = float(axis[1] - axis[0]) ** 2
    assert abs(float(density.sum()) * cell - 1.0) < 0.02
    mean = (grid * density).sum(axis=1) * cell
    drawn = posterior.draw(8000, key=jax.random.key(3))
    assert np.allclose(mean, drawn.mean(axis=1), atol=0.03)


def test_another_measurement_needs_no_simulation(posterior, problem):
    moved = cl.Measurement(np.array([-0.5, -1.0, -0.5]), np.array([0.09, 0.04, 0.25]))
    found = posterior.given(moved).sample(2000, key=jax.random.key(2))
    assert abs(float(found["a"].mean()) + 0.5) < 0.25
    values = jnp.stack([problem.measurement.values, moved.values], axis=1)
    each = posterior.draw_each(values, 2000, key=jax.random.key(4))
    assert each.shape == (2, 2000, 2)
    assert np.allclose(each[0].mean(axis=0), [0.5, -0.5], atol=0.25)


def test_epochs_are_traced_once_and_reported(problem):
    from closura.solvers import density

    traces, heard = [], []
    whole = density._loss

    def counted(*arguments):
        traces.append(1)
        return whole(*arguments)

    with pytest.MonkeyPatch.context() as patch, progress.listen(lambda *told: heard.append(told)):
        patch.setattr(density, "_loss", counted)
        settings = FAST | {"epochs": 6}
        found = cl.NPE(**settings).solve(problem, key=jax.random.key(1))
    assert len(traces) == 2  # a training epoch, and the held-out loss
    epochs = [values["epoch"] for event, values in heard if event == "train"]
    assert epochs == list(range(1, len(found.history["loss"]) + 1))


@pytest.mark.parametrize(
    "proposal", ["truncated", pytest.param("contrastive", marks=pytest.mark.slow)]
)
def test_later_rounds_simulate_near_the_measurement(problem, proposal):
    settings = FAST | {"rounds": 2, "proposal": proposal, "simulations": 801}
    found = cl.NPE(**settings).solve(problem, key=jax.random.key(1))
    positions, first = found.history["positions"], 401 - int(found.history["failed"][0])
    assert positions.shape[1] == 801 - found.history["failed"].sum()
    assert positions[0, first:].std() < 0.8 * positions[0, :first].std()
    assert abs(float(found.sample(2000, key=jax.random.key(2))["a"].mean()) - 0.5) < 0.25
    with pytest.raises(ValueError, match="several rounds around one measurement"):
        found.given(problem.measurement)


def noisy(parameters, key):
    return line(parameters, key) + 0.1 * jax.random.normal(key, (3,))


@pytest.mark.filterwarnings("ignore:CES. at points held out")
@pytest.mark.parametrize(
    "solver",
    [cl.NPE(**FAST | {"simulations": 150, "epochs": 2}), cl.CES(draws=40, rounds=0, members=40)],
    ids=["NPE", "CES"],
)
def test_randomness_beside_the_covariance_is_pointed_out(problem, solver):
    scattered = cl.Problem(problem.prior, noisy, problem.measurement)
    words = "own randomness is added to the covariance; pass noise=False if the covariance holds it"
    with pytest.warns(cl.ClosuraWarning, match=words):
        solver.solve(scattered, key=jax.random.key(0))


def test_a_simulator_that_draws_the_error_is_learned_from_as_it_is(problem):
    scattered = cl.Problem(problem.prior, noisy, problem.measurement)
    solver = cl.NPE(**FAST | {"simulations": 150, "epochs": 2, "noise": False})
    assert solver.solve(scattered, key=jax.random.key(0)).density is not None


def test_an_inference_without_any_error_is_refused(problem):
    with pytest.raises(ValueError, match="two runs with the same parameters are alike, so that no"):
        cl.NPE(noise=False).solve(problem, key=jax.random.key(0))


def test_a_missing_statistic_tells_nothing(problem):
    values = np.array([1.5, np.nan, -0.5])
    partial = cl.Problem(problem.prior, line, cl.Measurement(values, np.array([0.09, 0.04, 0.25])))
    positions = problem.prior.draw(50, key=jax.random.key(0))
    none = _Pairs(jnp.zeros((2, 0)), jnp.zeros((3, 0)))
    pairs, _ = cl.NPE()._simulate(partial, positions, none, jax.random.key(1))
    assert not pairs.statistics[1].any()
    # A statistic that never changes reaches the network as zero, not as a division by zero.
    seen = _begin(None, pairs.positions, pairs.statistics).condition(pairs.statistics)
    assert jnp.isfinite(seen).all()
    assert np.linalg.matrix_rank(np.cov(seen)) == 2


def test_what_the_network_sees_is_uncorrelated_however_alike_the_statistics(problem):
    drawn = jax.random.normal(jax.random.key(0), (3, 400))
    alike = jnp.stack([drawn[0], drawn[0] + 1e-3 * drawn[1], 50 * drawn[2]])
    seen = _begin(None, drawn[:2], alike).condition(alike)
    assert np.allclose(np.cov(seen), np.eye(3), atol=0.01)


def test_a_measurement_that_no_simulation_reaches_is_pointed_out():
    far = cl.Measurement(np.array([1.5, 60.0, -0.5]), np.array([0.09, 0.04, 0.25]))
    pairs = _Pairs(jnp.zeros((2, 50)), 10 * jax.random.normal(jax.random.key(0), (3, 50)))
    with pytest.warns(cl.ClosuraWarning, match="statistic 1 was measured outside of all 50 sim"):
        _warn_where_unseen(far, pairs)


WRONG = {
    "rounds": ({"rounds": 0}, "NPE: rounds is 0; it must be 1 or more."),
    "held_out": ({"held_out": 1.5}, "NPE: held_out is 1.5; it is a share, between 0 and 1."),
    "learning_rate": (
        {"learning_rate": 0.0},
        "NPE: learning_rate is 0.0; it must be positive and finite.",
    ),
    "proposal": (
        {"proposal": "prior"},
        "NPE: proposal is 'prior'; it must be one of truncated, contrastive.",
    ),
}


@pytest.mark.parametrize("settings, words", WRONG.values(), ids=WRONG)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValueError) as caught:
        cl.NPE(**settings)
    assert str(caught.value) == words


def test_too_few_simulations_are_refused(problem):
    with pytest.raises(ValueError, match="simulations succeeded, of which 6 are held out"):
        cl.NPE(simulations=60).solve(problem, key=jax.random.key(0))


def test_another_covariance_is_refused(posterior):
    other = cl.Measurement(np.zeros(3), np.ones(3))
    with pytest.raises(ValueError, match="differs from the one that was trained with"):
        posterior.given(other)


def test_a_missing_library_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"NPE needs flowjax: pip install 'closura\[uq\]'"):
        cl.NPE()
