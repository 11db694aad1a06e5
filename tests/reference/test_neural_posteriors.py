"""Posteriors against closed forms, exact draws, and the two-scale Lorenz-96 case."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.metrics import c2st, calibration_ranks, expected_coverage, rank_uniformity

GAIN = np.array([[1.0, 0.5, -0.3], [0, 1, 0.4], [0.7, -0.2, 1], [0.3, 0.3, 0.3], [-0.5, 1, 0]])
ERROR = np.diag([0.3, 0.5, 0.4, 0.2, 0.6]) + 0.1
LORENZ96 = cl.Prior(
    F=cl.Uniform(6.0, 14.0),
    h=cl.Uniform(0.0, 2.0),
    c=cl.Uniform(5.0, 15.0),
    b=cl.Uniform(5.0, 15.0),
)
TRUTH = {"F": 10.0, "h": 1.0, "c": 10.0, "b": 10.0}
# Standard deviations of the five means over runs of 20 time units at the truth (128 runs), a
# tenth of which is taken for the error of the measurement: the rest the simulator draws itself.
INTERNAL = np.array([0.113, 0.0035, 0.893, 0.0241, 0.00078])


def linear(parameters, key):
    return GAIN @ jnp.stack([parameters["x"], parameters["y"], parameters["z"]])


@pytest.fixture(scope="module")
def gaussian():
    """A linear problem, and 2000 exact draws of the positions of its posterior."""
    scale = np.array([1.0, 2.0, 0.5])
    prior = cl.Prior(x=cl.Normal(0.0, 1.0), y=cl.Normal(1.0, 2.0), z=cl.Normal(-1.0, 0.5))
    values = np.array([-1.2, -0.5, -1.6, -0.3, -0.6])
    gain, precision = GAIN * scale, np.linalg.inv(ERROR)
    covariance = np.linalg.inv(np.eye(3) + gain.T @ precision @ gain)
    mean = covariance @ gain.T @ precision @ (values - GAIN @ np.array([0.0, 1.0, -1.0]))
    exact = np.random.default_rng(0).multivariate_normal(mean, covariance, 2000).T
    return cl.Problem(prior, linear, cl.Measurement(values, ERROR), 1000), exact


@pytest.mark.slow
def test_the_neural_posterior_of_a_linear_problem_is_the_closed_form(gaussian):
    problem, exact = gaussian
    found = cl.NPE(simulations=20_000, batch=200).solve(problem, key=jax.random.key(1))
    score = c2st(found.draw(2000, key=jax.random.key(2)), exact, seed=0)
    print(f"C2ST of NPE on the linear problem: {score:.3f}")
    assert score <= 0.55


@pytest.mark.slow
def test_the_emulated_posterior_of_a_linear_problem_is_the_closed_form(gaussian):
    problem, exact = gaussian
    found = cl.CES(rounds=1, members=1000).solve(problem, key=jax.random.key(1))
    score = c2st(found.members, exact, seed=0)
    print(f"C2ST of CES on the linear problem: {score:.3f}")
    assert score <= 0.55


def crescent(key, shape=()):
    """A point on the right half of a fuzzy circle of radius 0.1 about (0.25, 0)."""
    first, second = jax.random.split(key)
    angle = jax.random.uniform(first, shape, minval=-np.pi / 2, maxval=np.pi / 2)
    radius = 0.1 + 0.01 * jax.random.normal(second, shape)
    return jnp.stack([radius * jnp.cos(angle) + 0.25, radius * jnp.sin(angle)])


def two_moons(parameters, key):
    a, b = parameters["a"], parameters["b"]
    return crescent(key) + jnp.stack([-jnp.abs(a + b), b - a]) / np.sqrt(2)


@pytest.mark.slow
def test_the_neural_posterior_finds_both_moons():
    prior = cl.Prior(a=cl.Uniform(-1.0, 1.0), b=cl.Uniform(-1.0, 1.0))
    measured = cl.Measurement(np.zeros(2), np.full(2, 1e-10))
    problem = cl.Problem(prior, two_moons, measured, 1000)
    # The crescent is the whole error: nothing is added.
    solver = cl.NPE(simulations=10_000, batch=200, noise=False)
    found = solver.solve(problem, key=jax.random.key(1))
    drawn = found.sample(2000, key=jax.random.key(2))
    drawn = jnp.stack([drawn["a"], drawn["b"]])
    # Exact draws: the measured (0, 0) less a point of the crescent is (-|a + b|, b - a) / sqrt 2.
    along, across = crescent(jax.random.key(9), (2000,))
    along = along * jax.random.choice(jax.random.key(10), jnp.array([-1.0, 1.0]), (2000,))
    exact = jnp.stack([along + across, along - across]) / np.sqrt(2)
    score, right = c2st(drawn, exact, seed=0), float((drawn.sum(axis=0) > 0).mean())
    print(f"two moons: C2ST {score:.3f}, share of the right moon {right:.2f}")
    assert score <= 0.62
    assert 0.38 < right < 0.62


@pytest.mark.slow
def test_the_neural_posterior_of_lorenz96_covers_the_truth_as_often_as_it_says():
    model = cl.Lorenz96TwoScale(K=36, J=10, dt=0.005)
    means = ["X", "Y", "X*X", "X*Y", "Y*Y"]
    simulator = cl.TimeMeans(model, duration=20.0, spinup=5.0, statistics=means)
    known = LORENZ96.position(TRUTH)[:, None]
    blank = cl.Problem(LORENZ96, simulator, cl.Measurement(np.zeros(5), (0.1 * INTERNAL) ** 2), 256)
    positions = jnp.concatenate([known, LORENZ96.draw(200, key=jax.random.key(20))], axis=1)
    noise = blank.measurement.noise(201, key=jax.random.key(22))
    values = blank.predict(positions, jax.random.key(21)) + noise
    measured = cl.Measurement(values[:, 0], (0.1 * INTERNAL) ** 2)
    problem = cl.Problem(LORENZ96, simulator, measured, 256)
    with pytest.warns(cl.ClosuraWarning, match="own randomness is added"):  # and so it shall
        posterior = cl.NPE(simulations=3000).solve(problem, key=jax.random.key(0))

    each = posterior.draw_each(values[:, 1:], 400, key=jax.random.key(6))
    cover = expected_coverage(each, positions[:, 1:]).sel(estimate="coverage")
    ranks = rank_uniformity(calibration_ranks(each, positions[:, 1:]), draws=400)
    drawn = posterior.sample(4000, key=jax.random.key(3))
    spread = {"F": 8 / 12**0.5, "h": 2 / 12**0.5, "c": 10 / 12**0.5, "b": 10 / 12**0.5}
    for number, name in enumerate(LORENZ96.names):
        mean, deviation = float(drawn[name].mean()), float(drawn[name].std())
        print(
            f"{name}: {mean:.2f} ± {deviation:.2f}, {deviation / spread[name]:.2f} of the prior's "
            f"spread; coverage 50 % {cover[number, 0]:.2f}, 90 % {cover[number, 1]:.2f}; "
            f"p of ranks {ranks[number].sel(statistic='p_value'):.2f}"
        )
        lower, upper = np.quantile(drawn[name], [0.005, 0.995])
        assert lower < TRUTH[name] < upper
    assert (cover.sel(level=0.9) >= 0.83).all() and (cover.sel(level=0.9) <= 0.95).all()
