import jax.numpy as jnp
import numpy as np
import pytest

from closura.core.posterior import Ensemble
from closura.core.prior import Normal, Prior
from closura.data.posterior import posterior_dataset


def test_draws_and_notes_have_names(key):
    prior = Prior(F=Normal(8.0, 2.0), h=Normal(jnp.zeros(3), 1.0))
    history = {"positions": jnp.zeros((2, 4, 5)), "failed": jnp.array([0, 1]), "odd": jnp.ones(7)}
    found = posterior_dataset(Ensemble(prior, jnp.zeros((4, 5)), history), 6, key)
    assert dict(found.sizes) == {
        "draw": 6, "h_0": 3, "iteration": 2, "parameter": 4, "member": 5, "odd_0": 7,
    }  # fmt: skip
    np.testing.assert_array_equal(found["F"], np.full(6, 8.0))
    assert found["h"].dims == ("h_0", "draw")
    assert list(found["parameter"].values) == ["F", "h[0]", "h[1]", "h[2]"]
    assert found.attrs["posterior"] == "Ensemble"


def test_a_name_that_the_dataset_needs_is_refused(key):
    posterior = Ensemble(Prior(draw=Normal(0.0, 1.0)), jnp.zeros((1, 2)))
    with pytest.raises(ValueError, match="a parameter is named 'draw', which the Dataset needs"):
        posterior_dataset(posterior, 3, key)
