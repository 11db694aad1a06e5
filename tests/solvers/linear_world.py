"""A linear model with normal errors, and the filter and smoother that are exact for it."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import closura as cl
from closura.core.assimilate import run_cycles
from closura.core.model import AbstractModel, Snapshot
from closura.core.problem import Background, Observations
from closura.core.rollout import member_keys, start_members

SIZE, MEMBERS, DT = 5, 7, 0.5
SEEN = np.array([[1.0, 0, 0, 0.5, 0], [0, 1, 0, 0, -1], [0, 0, 2, 0, 0]])
STEPS = np.array([1, 2, 4, 5, 6, 9])  # uneven, in steps of the model
RANDOM = np.random.default_rng(5)
MATRIX = 0.95 * np.linalg.qr(RANDOM.normal(size=(SIZE, SIZE)))[0] + 0.05 * np.eye(SIZE)
VALUES = RANDOM.normal(size=(len(STEPS), len(SEEN))) * 2
VARIANCE = RANDOM.uniform(0.3, 2.0, VALUES.shape)
ENSEMBLE = RANDOM.normal(size=(SIZE, MEMBERS)) * np.linspace(1, 2, SIZE)[:, None]
MEAN, COVARIANCE = ENSEMBLE.mean(axis=1), np.cov(ENSEMBLE)


class LinearState(NamedTuple):
    """Five numbers without meaning."""

    x: jax.Array


class LinearModel(AbstractModel):
    """x becomes A x in each step."""

    matrix: np.ndarray
    dt: float = DT

    @property
    def variables(self):
        return (cl.Variable("x", "1", ("n",), "five numbers"),)

    def initial_state(self, key):
        return LinearState(jax.random.normal(key, (SIZE,)))

    def start(self, state, key=None, inputs=None):
        return Snapshot(state, jnp.asarray(0, jnp.int32), ())

    def step(self, snapshot, inputs=None, key=None):
        return Snapshot(LinearState(self.matrix @ snapshot.state.x), snapshot.step + 1, ())


class Mixed(eqx.Module):
    """Some sums of the five numbers."""

    def __call__(self, fields):
        return jnp.asarray(SEEN) @ fields.x


OBSERVATIONS = Observations(VALUES, VARIANCE, STEPS * DT, Mixed())
BACKGROUND = Background(ENSEMBLE)  # its mean and covariance are those of the ensemble


def run(solver, observations=OBSERVATIONS, **options):
    """Return what happened, from the ensemble or from its mean."""
    key, model = jax.random.key(1), LinearModel(MATRIX)
    solver = solver.prepare(BACKGROUND)
    states = ENSEMBLE if solver.members > 1 else MEAN[:, None]
    keys = member_keys(key, solver.members)
    start = start_members(model, keys, states=LinearState(jnp.asarray(states)))
    return run_cycles(model, start, observations, solver, keys=keys, key=key, **options)


def exact(last, *, noise=0.0, precision=None):
    """Return means and covariances of the state at every time, given the first `last` times.

    Kalman filter and Rauch-Tung-Striebel smoother.

    Args:
        last: Number of times whose observations are known.
        noise: Variance of the model's error after one unit of time.
        precision: Factor on the precision of the observations of each time.
    """
    precision = np.ones(len(STEPS)) if precision is None else precision
    mean, covariance = MEAN, COVARIANCE
    foreseen, found = [], []
    for number, gap in enumerate(np.diff(STEPS, prepend=0)):
        carry = np.linalg.matrix_power(MATRIX, gap)
        mean = carry @ mean
        covariance = carry @ covariance @ carry.T + noise * gap * DT * np.eye(SIZE)
        foreseen.append((carry, mean, covariance))
        if number < last and precision[number] > 0:
            error = np.diag(VARIANCE[number] / precision[number])
            gain = covariance @ SEEN.T @ np.linalg.inv(SEEN @ covariance @ SEEN.T + error)
            mean = mean + gain @ (VALUES[number] - SEEN @ mean)
            covariance = covariance - gain @ SEEN @ covariance
        found.append((mean, covariance))
    smoothed = [found[-1]]
    for number in range(len(STEPS) - 2, -1, -1):
        (mean, covariance), (carry, later, spread) = found[number], foreseen[number + 1]
        back = covariance @ carry.T @ np.linalg.inv(spread)
        mean = mean + back @ (smoothed[0][0] - later)
        covariance = covariance + back @ (smoothed[0][1] - spread) @ back.T
        smoothed.insert(0, (mean, covariance))
    return smoothed


def known_at(known, **options):
    """Return means and deviations at every time, time t given the first known[t] times."""
    pairs = [exact(last, **options)[number] for number, last in enumerate(known)]
    deviations = [np.sqrt(np.diag(covariance)) for _, covariance in pairs]
    return np.array([mean for mean, _ in pairs]), np.array(deviations)
