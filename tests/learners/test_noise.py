"""Noise fitted to residuals."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.closures.physical import PolynomialClosure
from closura.core.couple import ClosuraWarning, couple
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.core.rollout import member_keys, rollout, start_members
from closura.learners.linear import Polynomial
from closura.learners.noise import AR1, White, WithNoise, residual
from closura.models.lorenz96 import Lorenz96

from .conftest import pairs_of, smooth

PHI, SIGMA = 0.95, 2.0


def autoregression(phi: float = PHI, sigma: float = SIGMA, times: int = 4000) -> np.ndarray:
    """An AR(1) process (series, time, k) = (3, times, 5), from its stationary start."""
    draw = np.random.default_rng(11).normal(size=(3, times, 5))
    values = np.empty_like(draw)
    values[:, 0] = sigma * draw[:, 0]
    for time in range(1, times):
        kick = sigma * np.sqrt(1 - phi**2) * draw[:, time]
        values[:, time] = phi * values[:, time - 1] + kick
    return values


def noise_pairs(values: np.ndarray, dt: float = 0.02) -> Pairs:
    time = dt * np.arange(values.shape[1])
    return Pairs({"X": np.zeros_like(values)}, {"X": values}, time, Passport("coupling"))


def test_ar1_recovers_correlation_and_deviation(key):
    # 15 points, 4000 times: about 60000 (1 - phi) / (1 + phi) = 1540 independent values, so the
    # deviation is known to 1.8 %, and phi to sqrt((1 - phi^2) / 60000) = 0.0013.
    noise = AR1().fit(noise_pairs(autoregression()), key=key)
    assert float(noise.phi["X"]) == pytest.approx(PHI, abs=0.004)
    assert float(noise.sigma["X"]) == pytest.approx(SIGMA, rel=0.06)


def test_the_correlation_belongs_to_the_interval_of_the_pairs(key):
    pairs = noise_pairs(autoregression()).at(slice(None, None, 4))
    noise = AR1().fit(pairs, key=key)
    assert float(noise.phi["X"]) == pytest.approx(PHI**4, abs=0.015)
    assert noise.passport.dt == pytest.approx(0.08)
    with pytest.warns(ClosuraWarning, match="measured over dt = 0.08 and the model steps by dt ="):
        couple(Lorenz96(K=5, dt=0.02), noise)


def test_series_are_not_neighbours_in_time(key):
    # Each series is constant: perfectly correlated within, and not at all across.
    values = np.broadcast_to(np.array([1.0, -2.0, 3.0])[:, None, None], (3, 8, 5)).copy()
    assert float(AR1().fit(noise_pairs(values), key=key).phi["X"]) > 0.999


def test_a_cut_record_is_not_correlated_across_the_cut(key):
    values = autoregression()
    kept = np.r_[0:1000, 1500:2500, 3000:4000]
    noise = AR1().fit(noise_pairs(values).at(kept), key=key)
    assert float(noise.phi["X"]) == pytest.approx(PHI, abs=0.006)
    assert noise.passport.dt == pytest.approx(0.02)


def test_a_selection_of_times_is_refused(key):
    chosen = np.cumsum(np.arange(1, 40))
    with pytest.raises(ValueError, match="AR1 needs evenly spaced times, and the 39 times of"):
        AR1().fit(noise_pairs(autoregression(times=1000)).at(chosen), key=key)


def test_negative_correlation_is_taken_as_none(key):
    noise = AR1().fit(noise_pairs(autoregression(phi=-0.5)), key=key)
    assert float(noise.phi["X"]) == 0


def test_white_noise_has_the_deviation_alone(key):
    noise = White().fit(noise_pairs(autoregression()), key=key)
    assert float(noise.phi["X"]) == 0
    assert float(noise.sigma["X"]) == pytest.approx(SIGMA, rel=0.06)


def test_the_residual_is_target_minus_prediction():
    closure = PolynomialClosure([1.0, -2.0])
    pairs = pairs_of(PolynomialClosure([1.5, -2.0]), smooth())
    np.testing.assert_allclose(residual(pairs, closure).targets["X"], 0.5, atol=1e-12)


def test_with_noise_adds_what_the_learner_left_and_runs_in_the_model(key):
    inputs = smooth(times=3000)
    made = pairs_of(PolynomialClosure([0.4, -0.6]), inputs)
    noise = np.concatenate([autoregression(times=3000), autoregression(times=3000)], axis=2)
    targets = {"X": made.targets["X"] + noise[:, :, :7]}
    pairs = Pairs({"X": inputs}, targets, made.time, Passport("coupling"))
    closure = WithNoise(Polynomial(degree=1), AR1()).fit(pairs, key=key)
    np.testing.assert_allclose(closure.terms[0].coefficients, [0.4, -0.6], atol=0.25)
    assert float(closure.terms[1].phi["X"]) == pytest.approx(PHI, abs=0.01)
    model = couple(Lorenz96(K=7, F=8.0, dt=0.01), closure)
    keys = member_keys(key, 3)
    states, _ = rollout(model, start_members(model, keys), 50, key=keys, members=True)
    assert jnp.all(jnp.isfinite(states.X)) and jnp.std(states.X[-1], axis=-1).min() > 0


def test_noise_works_in_the_precision_of_the_model(key):
    noise = AR1().fit(noise_pairs(autoregression(times=200)), key=key)
    memory = noise.init({"X": jnp.zeros(5, jnp.float32)}, key)
    tendency, after = noise({"X": jnp.zeros(5, jnp.float32)}, None, memory, jax.random.key(1))
    assert tendency["X"].dtype == after["X"].dtype == np.float32


def test_the_residual_of_a_random_closure_is_refused(key):
    noise = White().fit(noise_pairs(autoregression(times=200)), key=key)
    with pytest.raises(ValueError, match="the residual of a random closure is another one"):
        residual(noise_pairs(autoregression(times=200)), noise)


def recorded(interval: float, dt: float) -> Pairs:
    generator = np.random.default_rng(0)
    noise = np.cumsum(generator.normal(size=(2, 4000, 3)), axis=1)
    noise = noise - 0.98 * np.concatenate([np.zeros((2, 1, 3)), noise[:, :-1]], axis=1)
    time = interval * np.arange(4000)
    return Pairs({"X": noise}, {"X": noise}, time, Passport("coupling"), model=Lorenz96(K=4, dt=dt))


def test_noise_is_fitted_to_pairs_one_time_step_apart(key):
    pairs = recorded(interval=0.1, dt=0.3)
    found = AR1().fit(pairs, key=key)
    thinned = AR1().fit(replace(pairs.at(slice(None, None, 3)), model=None), key=key)
    assert float(found.phi["X"]) == float(thinned.phi["X"])
    assert found.passport.dt == pytest.approx(0.3)


def test_pairs_further_apart_than_a_time_step_are_refused(key):
    with pytest.raises(ValueError, match=r"0\.1 apart and the model steps by dt = 0\.01"):
        AR1().fit(recorded(interval=0.1, dt=0.01), key=key)
