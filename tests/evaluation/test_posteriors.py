"""Scores of posteriors that are known in closed form."""

import jax.numpy as jnp
import numpy as np
import pytest

from closura.core.prior import Normal, Prior
from closura.data.inferences import measurement_record, posterior_record
from closura.evaluation.posteriors import score_posteriors

SLOPES = np.array([[1.0, 0.5], [0.0, 2.0], [1.0, -1.0]])
VARIANCE = np.array([0.5, 2.0, 0.8])  # of the scatter of one run
PRIOR = Prior(a=Normal(0.0, 1.0), b=Normal(0.0, 1.0))


def misfit(rng, *, random):
    """Return the predictive misfit of the exact posterior of one measured run, or instrument."""
    truth, scatter = rng.normal(size=2), np.sqrt(VARIANCE)
    value = SLOPES @ truth + scatter * rng.normal(size=3)
    spread = np.linalg.inv(np.eye(2) + SLOPES.T @ np.diag(1 / VARIANCE) @ SLOPES)
    draws = rng.multivariate_normal(spread @ SLOPES.T @ (value / VARIANCE), spread, 100).T
    runs = SLOPES @ draws + random * scatter[:, None] * rng.normal(size=(3, 100))
    measured = measurement_record(value, (1 + random) * VARIANCE, prior=PRIOR)
    found = posterior_record(PRIOR, jnp.asarray(draws), predicted=runs)
    scores = score_posteriors({"prior": found}, measured, level=0.9)  # the first is never missing
    return float(scores["predictive_misfit"].item())


@pytest.mark.parametrize("random", [True, False], ids=["weather", "instrument"])
def test_the_predictive_misfit_of_the_exact_posterior_is_one_on_average(random):
    rng = np.random.default_rng(0)
    found = [misfit(rng, random=random) for _ in range(150)]
    print(np.mean(found), np.std(found) / 150**0.5)
    # One value scatters by about 0.5: 0.04 on the mean of 150, of which three are allowed.
    assert abs(np.mean(found) - 1.0) < 0.13
