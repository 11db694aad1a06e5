import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from closura.core.batch import any_in_batch, stack
from closura.solvers.ensemble import ETKF, EnKF


def test_a_stack_holds_once_what_all_share():
    trees = [{"a": np.arange(3.0), "b": 1.5}, {"a": np.arange(3.0), "b": 2.5}]
    stacked = stack(trees)
    assert stacked.varying["a"] is None and stacked.shared["b"] is None
    np.testing.assert_array_equal(stacked[1]["b"], 2.5)
    np.testing.assert_array_equal(stacked[1]["a"], [0, 1, 2])


def test_a_number_that_all_share_stays_a_number():
    assert stack([ETKF(5, rtps=0.5, inflation=i) for i in (1.0, 1.1)])[0].rtps == 0.5


def test_shorter_arrays_are_filled_up_with_zeros():
    stacked = stack([np.ones((2, 1)), np.full((2, 3), 2.0)])
    np.testing.assert_array_equal(stacked[0], [[1, 0, 0], [1, 0, 0]])


def test_trees_of_other_settings_are_refused():
    with pytest.raises(ValueError, match="the trees differ in structure or in static settings"):
        stack([ETKF(5), ETKF(6)])
    with pytest.raises(ValueError, match="the trees differ in structure"):
        stack([ETKF(5), EnKF(5)])
    with pytest.raises(ValueError, match="3 is not the same in all trees, and no number or array"):
        stack([{"a": 3}, {"a": 4}])


def test_a_rare_branch_stays_a_branch_in_a_batch():
    def rarely(flag, value):
        return lax.cond(any_in_batch(flag), jnp.sin, lambda x: x, value)

    flags, values = jnp.array([False, True, False]), jnp.arange(3.0)
    np.testing.assert_allclose(jax.vmap(rarely)(flags, values), jnp.sin(values))
    np.testing.assert_allclose(jax.vmap(rarely)(flags & False, values), values)
    assert "cond" in str(jax.make_jaxpr(jax.vmap(rarely))(flags, values))
