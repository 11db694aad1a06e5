import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.core.problem import Observed
from closura.solvers.particle import (
    OptimalParticleFilter,
    ParticleFilter,
    bandwidth,
    normalise,
    weighted_factor,
)
from closura.solvers.resampling import SCHEMES, resample

BARE = ParticleFilter(5, threshold=1e-6, regularisation=0.0)


def seeing(values, weight):
    return Observed(jnp.array(values), jnp.array(weight), lambda state: state[:2])


@pytest.fixture
def particles():
    return jax.random.normal(jax.random.key(5), (3, 5))


def test_weights_are_the_likelihood_of_what_each_particle_foresaw(particles, key):
    values, weight = [0.3, -0.2], [2.0, 0.5]
    memory = BARE.init(particles)
    after, memory = BARE(particles, seeing(values, weight), memory, key)
    departure = (np.array(values)[:, None] - particles[:2]) * np.array(weight)[:, None]
    likelihood = np.exp(-0.5 * (departure**2).sum(axis=0))
    np.testing.assert_allclose(BARE.weights(memory), likelihood / likelihood.sum(), rtol=1e-12)
    np.testing.assert_array_equal(after, particles)


def test_weights_of_two_times_multiply(particles, key):
    first, second = seeing([0.3, -0.2], [1.0, 1.0]), seeing([-0.5, 0.1], [1.0, 1.0])
    memory = BARE(particles, first, BARE.init(particles), key)[1]
    both = BARE.weights(BARE(particles, second, memory, key)[1])
    alone = BARE.weights(BARE(particles, second, BARE.init(particles), key)[1])
    product = alone * BARE.weights(memory)
    np.testing.assert_allclose(both, product / product.sum(), rtol=1e-12)


def test_the_weighted_mean_is_the_posterior_of_a_linear_problem(key):
    # Prior N(0, 4), observation 1 with variance 1: mean 4 / (4 + 1), variance 4 / 5.
    prior = 2 * jax.random.normal(key, (1, 40000))
    solver = ParticleFilter(40000, threshold=1e-6)
    observed = Observed(jnp.array([1.0]), jnp.array([1.0]), lambda state: state)
    after, memory = solver(prior, observed, solver.init(prior), key)
    weights = solver.weights(memory)
    mean = float(after[0] @ weights)
    assert abs(mean - 0.8) < 0.02
    assert abs(float((after[0] - mean) ** 2 @ weights) - 0.8) < 0.03


def test_mean_and_spread_are_those_before_members_are_drawn_anew(particles, key):
    values, weight = [0.3, -0.2], [2.0, 0.5]
    solver = ParticleFilter(5, threshold=1.0)
    after, memory = solver(particles, seeing(values, weight), solver.init(particles), key)
    mean, spread = solver.moments(after, memory)
    departure = (np.array(values)[:, None] - particles[:2]) * np.array(weight)[:, None]
    likelihood = np.exp(-0.5 * (departure**2).sum(axis=0))
    weights = likelihood / likelihood.sum()
    wanted = np.average(particles, axis=1, weights=weights)
    variance = np.average((particles - wanted[:, None]) ** 2, axis=1, weights=weights)
    np.testing.assert_allclose(mean, wanted, rtol=1e-12)
    np.testing.assert_allclose(spread, np.sqrt(variance / (1 - (weights**2).sum())), rtol=1e-12)
    assert np.abs(after @ solver.weights(memory) - mean).max() > 0.01  # the draw has moved it


def test_the_optimal_filter_without_spread_is_the_bootstrap_filter(particles, key):
    observed = seeing([0.3, -0.2], [2.0, 0.5])
    wide = OptimalParticleFilter(5, spread=0.0, threshold=1e-6)
    after, memory = wide(particles, observed, wide.init(particles), key)
    np.testing.assert_allclose(after, particles, atol=1e-14)
    other = BARE(particles, observed, BARE.init(particles), key)[1]
    np.testing.assert_allclose(wide.weights(memory), BARE.weights(other), rtol=1e-10)


def test_the_optimal_filter_is_exact_where_one_normal_is_the_prior(key):
    # Particles at one point, each standing for N(0, q): posterior mean q / (q + 1) * 3. The first
    # two carry the variance, all others sit at 0, so the covariance stays known.
    count = 20000
    prior = 0.001 * jax.random.normal(key, (1, count))
    spread = 1000.0 / bandwidth(1, count)  # q = (1000 * 0.001)^2 = 1
    solver = OptimalParticleFilter(count, spread=spread, threshold=1e-9)
    observed = Observed(jnp.array([3.0]), jnp.array([1.0]), lambda state: state)
    after, memory = solver(prior, observed, solver.init(prior), key)
    mean = float(after[0] @ solver.weights(memory))
    assert abs(mean - 1.5) < 0.03
    assert abs(float((after[0] - mean) ** 2 @ solver.weights(memory)) - 0.5) < 0.03


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_particle_gets_the_places_it_is_worth(scheme):
    weights = jnp.array([0.05, 0.3, 0.0, 0.45, 0.2])
    keys = jax.random.split(jax.random.key(1), 4000)
    chosen = jax.vmap(lambda key: resample(weights, scheme, key))(keys)
    assert (np.diff(chosen, axis=1) >= 0).all()
    share = np.bincount(np.ravel(chosen), minlength=5) / chosen.size
    np.testing.assert_allclose(share, weights, atol=0.015)  # 4 sd of 20000 draws
    assert share[2] == 0


@pytest.mark.parametrize(
    ("scheme", "most"), [("systematic", 1), ("residual", 5), ("stratified", 2)]
)
def test_schemes_keep_close_to_what_is_expected(scheme, most):
    weights = jnp.array([0.05, 0.3, 0.0, 0.45, 0.2])
    for seed in range(40):
        chosen = resample(weights, scheme, jax.random.key(seed))
        count = np.bincount(chosen, minlength=5)
        assert (count >= np.floor(5 * np.asarray(weights) + 1e-9) - (scheme == "stratified")).all()
        assert (count < 5 * np.asarray(weights) + most).all()


def test_even_weights_keep_every_particle_once():
    for scheme in ("systematic", "residual", "stratified"):
        chosen = resample(jnp.full(7, 1 / 7), scheme, jax.random.key(3))
        np.testing.assert_array_equal(chosen, np.arange(7))


def test_resampling_waits_for_the_threshold(particles, key):
    observed = seeing([0.3, -0.2], [1.0, 1.0])
    effective = BARE(particles, observed, BARE.init(particles), key)[1].effective
    for share, kept in ((0.99 * effective / 5, True), (1.01 * effective / 5, False)):
        solver = ParticleFilter(5, threshold=float(share), regularisation=0.5)
        after, memory = solver(particles, observed, solver.init(particles), key)
        even = bool(np.allclose(solver.weights(memory), 0.2))
        assert (even, np.array_equal(after, particles)) == (not kept, kept)


def test_only_copies_are_blurred(particles, key):
    observed = seeing([0.3, -0.2], [2.0, 2.0])
    bare = ParticleFilter(5, threshold=1.0, regularisation=0.0)
    chosen = bare(particles, observed, bare.init(particles), key)[0]
    same = np.array([(np.asarray(chosen) == chosen[:, [i]]).all(axis=0).sum() for i in range(5)])
    blurred = ParticleFilter(5, threshold=1.0)(particles, observed, bare.init(particles), key)[0]
    moved = np.abs(blurred - chosen).max(axis=0) > 0
    assert 0 < (same > 1).sum() < 5
    np.testing.assert_array_equal(moved, same > 1)
    every = ParticleFilter(5, threshold=1.0, jitter_all=True)
    after = every(particles, observed, bare.init(particles), key)[0]
    assert (np.abs(after - chosen).max(axis=0) > 0).all()


def test_the_root_leaves_a_part_of_the_weights(particles, key):
    observed = seeing([0.3, -0.2], [2.0, 0.5])
    solver = ParticleFilter(5, threshold=1.0, regularisation=0.0, root=2.0)
    after, memory = solver(particles, observed, solver.init(particles), key)
    full = BARE.weights(BARE(particles, observed, BARE.init(particles), key)[1])
    source = [int(np.flatnonzero((particles == after[:, [i]]).all(axis=0))[0]) for i in range(5)]
    left = np.sqrt(full[np.array(source)])  # w / w^(1/2)
    np.testing.assert_allclose(solver.weights(memory), left / left.sum(), rtol=1e-10)


def test_the_covariance_of_weighed_particles_is_that_of_numpy(particles):
    weights = jnp.array([0.1, 0.3, 0.05, 0.35, 0.2])
    factor = weighted_factor(particles, weights)
    wanted = np.cov(particles, aweights=weights)
    np.testing.assert_allclose(factor @ factor.T, wanted, rtol=1e-10)
    alone = weighted_factor(particles, jnp.array([0.0, 1.0, 0.0, 0.0, 0.0]))
    np.testing.assert_allclose(alone @ alone.T, np.cov(particles), rtol=1e-10)


@pytest.mark.parametrize("solver", [ParticleFilter(5), OptimalParticleFilter(5)], ids=repr)
@pytest.mark.parametrize("far", [1e3, 1e200], ids=["far", "beyond numbers"])
def test_particles_far_from_what_is_seen_are_reported(solver, far, particles, key):
    observed = seeing([far, -far], [1e3, 1e3])
    after, memory = solver(particles, observed, solver.init(particles), key)
    assert bool(solver.report(memory)["lost"])
    assert np.isfinite(after).all() or far > 1e100
    np.testing.assert_allclose(solver.weights(memory).sum(), 1.0, rtol=1e-10)
    near = seeing([0.0, 0.0], [1.0, 1.0])
    assert not bool(solver.report(solver(particles, near, memory, key)[1])["lost"])


def test_a_run_that_lost_every_particle_says_so():
    model = cl.Lorenz63(dt=0.01)
    truth = cl.simulate(model, duration=5.0, spinup=5.0, every=0.25, key=jax.random.key(1))
    network = cl.Observe(("x", "y", "z"), every=0.25, noise=0.1)
    twin = cl.observe(truth, network, key=jax.random.key(2))
    solver = ParticleFilter(3, regularisation=0.0)
    lost = pytest.warns(cl.ClosuraWarning, match=r"ParticleFilter: at \d+ of 20 times \(first")
    with pytest.warns(cl.ClosuraWarning, match="ParticleFilter diverged"), lost:
        found = cl.assimilate(model, twin, solver, truth=truth, key=jax.random.key(3))
    assert np.isfinite(found.analysis_x).all()
    assert found.effective_members.max() <= 3


def test_no_weight_at_all_is_seen():
    log, any_left = normalise(jnp.full(4, -jnp.inf))
    assert not bool(any_left)
    log, any_left = normalise(jnp.array([-1e5, jnp.nan, -1e5 - np.log(3.0), -jnp.inf]))
    np.testing.assert_allclose(np.exp(log), [0.75, 0, 0.25, 0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"members": 1}, "members is 1; weights need 2 particles"),
        ({"scheme": "lucky"}, "scheme is 'lucky'; it must be one of systematic, stratified"),
        ({"threshold": 1.2}, "threshold is 1.2; it is a share of the members"),
        ({"regularisation": -1.0}, "regularisation is -1.0; it must be 0"),
        ({"root": 0.5}, "root is 0.5; it must be 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ParticleFilter(**settings)


def test_a_negative_spread_is_refused():
    with pytest.raises(ValueError, match=r"OptimalParticleFilter: spread is -0\.1; it must be 0"):
        OptimalParticleFilter(spread=-0.1)
