"""A problem whose posterior is known: a straight line, normal errors, normal prior."""

import jax
import jax.numpy as jnp
import numpy as np

from closura.core.calibrate import Measurement, Problem
from closura.core.prior import Normal, Prior

SLOPES = np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]])
MEASURED = np.array([0.0, 2.0, 6.0])
VARIANCE = np.array([1.0, 0.5, 2.0])


def line(parameters, key):
    return jnp.asarray(SLOPES) @ jnp.stack([parameters["b"], parameters["a"]])


def linear_problem(simulator=line, variance=VARIANCE):
    prior = Prior(b=Normal(1.0, 2.0), a=Normal(0.0, 1.0))
    return Problem(prior, simulator, Measurement(MEASURED, variance))


def exact():
    """Return mean and covariance of the positions: Bayes' rule for b = 1 + 2 u, a = v."""
    operator, middle = SLOPES @ np.diag([2.0, 1.0]), SLOPES @ [1.0, 0.0]
    precision = np.eye(2) + operator.T @ np.diag(1 / VARIANCE) @ operator
    covariance = np.linalg.inv(precision)
    return covariance @ operator.T @ ((MEASURED - middle) / VARIANCE), covariance


def failing(share):
    """The line, of which every run fails with this probability."""

    def simulator(parameters, key):
        dead = jax.random.uniform(key) < share
        return jnp.where(dead, jnp.nan, line(parameters, key))

    return simulator
