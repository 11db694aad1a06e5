"""Published and small cases of parameters found again from statistics or from a short run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.core.calibrate import Measurement, calibrate
from closura.core.closure import AbstractClosure
from closura.core.couple import couple
from closura.core.model import Snapshot
from closura.core.prior import LogNormal, Prior
from closura.core.rollout import rollout
from closura.core.time_means import TimeMeans
from closura.models.lorenz63 import Lorenz63, Lorenz63State
from closura.models.lorenz96 import Lorenz96
from closura.solvers.kalman_inversion import EKI
from closura.solvers.markov import MCMC
from closura.solvers.maximum import MAP


class Season(AbstractClosure):
    """Add A sin(2 pi t / 72) to the forcing: a year of 360 days of a fifth of a time unit."""

    amplitude: float
    dt: float = 1 / 64

    def init(self, fields, key=None):
        return jnp.asarray(0)

    def __call__(self, fields, inputs, memory, key):
        forcing = self.amplitude * jnp.sin(2 * jnp.pi * memory * self.dt / 72)
        return {"X": jnp.broadcast_to(forcing, fields.X.shape)}, memory + 1


@pytest.mark.slow
def test_forcing_and_its_season_are_found_from_variances_of_thirty_days(key):
    """The Lorenz-96 case of EnsembleKalmanProcesses.jl: 20 members, 5 full steps, 12 variances."""
    model = couple(Lorenz96(K=36, F=8.0, dt=1 / 64), Season(2.5))
    simulate = TimeMeans(
        model, duration=72.0, spinup=18.0, windows=12, statistics="variances", every=1 / 16
    )
    truth = {"F": jnp.asarray(8.0), "amplitude": jnp.asarray(2.5)}
    years = jax.jit(jax.vmap(lambda k: simulate(truth, k)))(jax.random.split(key, 43))
    prior = Prior(F=LogNormal(9.0, 2.0), amplitude=LogNormal(3.0, 1.25))
    for seed in range(3):
        measured = Measurement(years[seed], np.cov(np.asarray(years[3:]).T))
        calibrator = EKI(20, iterations=5, step=1.0)
        found = calibrate(simulate, prior, measured, calibrator, key=jax.random.key(seed))
        np.testing.assert_allclose(found.parameters["F"].mean(), 8.0, rtol=0.05)
        np.testing.assert_allclose(found.parameters["amplitude"].mean(), 2.5, rtol=0.15)


def short_run(parameters, key):
    """A run of one time unit, seen every tenth."""
    model = Lorenz63(**parameters)
    begin = model.start(Lorenz63State(*jnp.array([1.5, -1.5, 25.5])))
    states, _ = rollout(model, Snapshot(*begin), 100, every=10)
    return jnp.stack(states).ravel()


TRUTH = {"sigma": jnp.asarray(10.0), "rho": jnp.asarray(28.0), "beta": jnp.asarray(8 / 3)}
PRIOR = Prior(sigma=LogNormal(12.0, 3.0), rho=LogNormal(30.0, 4.0), beta=LogNormal(3.0, 1.0))


def seen(key):
    noise = 0.5 * jax.random.normal(key, (30,))
    return Measurement(short_run(TRUTH, key) + noise, np.full(30, 0.25))


def test_derivatives_find_the_parameters_of_a_short_run(key):
    found = calibrate(short_run, PRIOR, seen(key), MAP(starts=4), key=key)
    deviation = jnp.sqrt(jnp.diagonal(found.covariance))
    departure = (found.mean - PRIOR.position(TRUTH)) / deviation
    assert jnp.abs(departure).max() < 3
    assert deviation.max() < 0.2  # of the prior's


@pytest.mark.slow
def test_chains_and_the_normal_posterior_of_a_short_run_agree(key):
    measured = seen(key)
    normal = calibrate(short_run, PRIOR, measured, MAP(starts=4), key=key)
    chains = calibrate(short_run, PRIOR, measured, MCMC(draws=500, warmup=500), key=key)
    deviation = np.sqrt(np.diag(normal.covariance))
    np.testing.assert_allclose((chains.members.mean(axis=1) - normal.mean) / deviation, 0, atol=0.2)
    np.testing.assert_allclose(chains.members.std(axis=1) / deviation, 1, atol=0.15)
