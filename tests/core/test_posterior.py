import jax.numpy as jnp
import numpy as np

from closura.core.posterior import Ensemble, Gaussian, Sampler
from closura.core.prior import LogNormal, Normal, Prior

PRIOR = Prior(F=Normal(8.0, 2.0), c=LogNormal(10.0, 1.0))


def test_draws_of_a_gaussian_have_its_mean_and_covariance(key):
    covariance = jnp.array([[0.5, 0.2], [0.2, 0.3]])
    draws = Gaussian(PRIOR, jnp.array([1.0, -2.0]), covariance).draw(100_000, key=key)
    np.testing.assert_allclose(draws.mean(axis=1), [1.0, -2.0], atol=0.01)
    np.testing.assert_allclose(jnp.cov(draws), covariance, atol=0.01)


def test_an_ensemble_draws_its_members(key):
    members = jnp.arange(6.0).reshape(2, 3)
    drawn = Ensemble(PRIOR, members).draw(50, key=key)
    assert set(map(tuple, drawn.T.tolist())) == {(0.0, 3.0), (1.0, 4.0), (2.0, 5.0)}


def test_a_sampler_asks_its_function(key):
    def drawer(count, key):
        return jnp.full((2, count), 0.0)

    sample = Sampler(PRIOR, drawer).sample(3, key=key)
    np.testing.assert_allclose(sample["F"], [8.0, 8.0, 8.0])


def test_a_posterior_prints_mean_and_deviation():
    members = jnp.array([[-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    lines = repr(Ensemble(PRIOR, members)).splitlines()
    assert lines[0] == "Ensemble (3 draws)"
    # F: 6, 10, 8 have mean 8 and deviation sqrt(8 / 3) = 1.63
    assert lines[1].split() == ["F", "8", "±", "1.6"]
