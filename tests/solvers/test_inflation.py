import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.core.problem import Background, Observed
from closura.solvers.inflation import AdaptiveInflation


def run(inflation, ensemble, departure, times, near=None, weight=1.0):
    """The factor on the anomalies after some times of the same forecast and departure."""
    size = ensemble.shape[0]
    mean = ensemble.mean(axis=1)
    observed = Observed(mean + departure, jnp.full(size, weight), lambda state: state)
    memory = inflation.init(ensemble)
    for _ in range(times):
        _, memory = inflation(ensemble, observed, memory, near)
    return inflation.report(memory)["inflation"]


@pytest.fixture
def ensemble(key):
    return jax.random.normal(key, (30, 8))


def test_one_step_is_that_of_the_formula(ensemble):
    # By hand: b = 1, p = 30, t = sum of variances, d'd = 30 x 9; a and v as in the docstring.
    t, p, known = float(np.var(ensemble, axis=1, ddof=1).sum()), 30, 0.3**2
    a, v = (p * 9 - p) / t, 2 / p * ((t + p) / t) ** 2
    wanted = 1 + known / (known + v) * (a - 1)
    found = run(AdaptiveInflation(deviation=0.3), ensemble, 3.0, 1)
    np.testing.assert_allclose(found, np.sqrt(wanted), rtol=1e-12)


def test_inflation_settles_where_innovations_are_explained(ensemble):
    # d'd / p = 1 + factor x variance: departures of sqrt(1 + 2 x variance) call for a factor of 2.
    variance = jnp.var(ensemble, axis=1, ddof=1).mean()
    found = run(AdaptiveInflation(deviation=1.0), ensemble, jnp.sqrt(1 + 2 * variance), 200)
    np.testing.assert_allclose(found, jnp.sqrt(2.0), rtol=1e-3)


def test_nothing_seen_changes_nothing(ensemble):
    found = run(AdaptiveInflation(start=1.3), ensemble, 5.0, 3, weight=0.0)
    np.testing.assert_allclose(found, 1.3)


def test_the_limits_hold(ensemble):
    wide = run(AdaptiveInflation(deviation=3.0, highest=1.5), ensemble, 30.0, 50)
    narrow = run(AdaptiveInflation(deviation=3.0), ensemble, 0.0, 50)
    assert (float(wide), float(narrow)) == (1.5, pytest.approx(0.9))


def test_the_forecast_is_widened_about_its_mean(ensemble, key):
    solver = cl.ETKF(members=8, inflation=AdaptiveInflation(start=1.4))
    blind = Observed(jnp.zeros(30), jnp.zeros(30), lambda state: state)
    found, _ = solver(ensemble, blind, solver.init(ensemble), key)
    mean = ensemble.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found, mean + 1.4 * (ensemble - mean), atol=1e-12)


@pytest.mark.parametrize("kind", [cl.LETKF, cl.LocalEnKF], ids=lambda kind: kind.__name__)
def test_varying_inflation_rises_where_the_model_is_wrong(kind, ensemble, key):
    places = np.arange(30.0)[:, None]
    varying = AdaptiveInflation(deviation=0.5, varying=True)
    solver = kind(8, radius=2.0, convention="half-width", inflation=varying).prepare(
        Background(np.zeros((30, 2)), places, places)
    )
    wrong = jnp.where(jnp.arange(30) < 10, 6.0, 1.0)
    found = run(varying, ensemble, wrong, 40, near=solver.vicinity)
    assert found.shape == (30,)
    assert found[:7].min() > 1.5 > found[16:].max()


def test_varying_inflation_needs_a_localised_filter(ensemble, key):
    solver = cl.ETKF(8, inflation=AdaptiveInflation(varying=True))
    seen = Observed(jnp.zeros(30), jnp.ones(30), lambda state: state)
    with pytest.raises(ValueError, match="varying is True and this filter is not localised"):
        solver(ensemble, seen, solver.init(ensemble), key)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"deviation": 0.0}, r"deviation is 0.0; it must be positive\. For an inflation that stay"),
        ({"start": 5.0}, r"lowest, start and highest are 0.9, 5.0 and 4.0; they must be positive"),
    ],
)
def test_impossible_settings_are_refused(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        AdaptiveInflation(**settings)


def test_a_wrong_model_calls_for_more_inflation():
    perfect = cl.Lorenz96(K=12, dt=0.05)
    truth = cl.simulate(perfect, duration=15.0, spinup=5.0, every=0.05, key=jax.random.key(1))
    twin = cl.observe(truth, cl.Observe(variables=("X",), every=0.05), key=jax.random.key(2))
    solver = cl.ETKF(members=14, inflation=AdaptiveInflation(deviation=0.2))
    late = [
        cl.assimilate(model, twin, solver, truth=truth, key=jax.random.key(3)).isel(
            time=slice(100, None)
        )
        for model in (perfect, cl.Lorenz96(K=12, F=5.0, dt=0.05))
    ]
    right, wrong = (float(found.inflation.mean()) for found in late)
    assert 1.0 < right < 1.2
    assert wrong > 1.15 * right
    assert float(late[0].analysis_rmse.mean()) < 0.35
