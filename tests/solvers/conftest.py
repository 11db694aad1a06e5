import jax.numpy as jnp
import pytest

from closura.core.problem import Observed


@pytest.fixture
def ensemble():
    """DAPPER's single-analysis example, reference §2.5: 4 numbers, 5 members."""
    j, i = jnp.arange(4.0)[:, None], jnp.arange(5.0)[None]
    return jnp.cos(1 + 1.7 * i + 0.9 * j) + 0.1 * i * j


@pytest.fixture
def observed():
    deviation = jnp.sqrt(jnp.array([0.5, 0.25]))
    return Observed(jnp.array([0.3, -0.2]), 1 / deviation, lambda state: state[jnp.array([0, 2])])
