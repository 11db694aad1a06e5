"""The forcing of Lorenz-96 from sparse, noisy observations: setting of CODA (arXiv:2409.07137).

40 points, dt 0.01, observed at every step with errors of deviation 1, three quarters of them
missing at random; F is believed to be 8 with a deviation of 2.5. CODA, which learns a network for
it, finds F 1 to 2 % too large.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.core.problem import Observations

pytestmark = pytest.mark.slow

GUESS = cl.Lorenz96(K=40, F=8.0, dt=0.01)
GUESS_DEVIATION = 2.5
UNKNOWN = cl.augment(GUESS, F=(8.0, GUESS_DEVIATION))
SOLVER = cl.EnKFN(members=40, rotation=True)
DURATION = 20.0


@pytest.fixture(scope="module")
def climatology():
    """What is known beforehand: the climate at F = 8, whatever the truth is."""
    return cl.simulate(GUESS, duration=100.0, spinup=10.0, every=1.0, key=jax.random.key(1))


@pytest.mark.parametrize("forcing", range(4, 13))
def test_forcing_is_found_within_half_a_per_cent(forcing, climatology):
    ring = cl.Lorenz96(K=40, F=jnp.asarray(float(forcing)), dt=0.01)
    key = jax.random.fold_in(jax.random.key(2), forcing)
    truth = cl.simulate(ring, duration=DURATION, spinup=10.0, every=0.01, key=key)
    seen = cl.observe(truth, cl.Observe(variables=("X",), every=0.01, noise=1.0), key=key)
    missing = np.random.default_rng(forcing).random(seen.values.shape) < 0.75
    sparse = Observations(
        np.where(missing, np.nan, seen.values), seen.variance, seen.time, seen.operator
    )
    found = cl.assimilate(
        UNKNOWN, sparse, SOLVER, truth=truth, climatology=climatology, key=jax.random.key(3)
    )
    late = found.sel(time=slice(DURATION / 2, None)).mean()
    estimate = float(UNKNOWN.value_of("F", late.analysis_F))
    spread = GUESS_DEVIATION * float(late.analysis_spread_F)
    print(f"F {forcing}: {estimate:.4f}, spread {spread:.4f}, X {float(late.analysis_rmse):.3f}")
    assert abs(estimate / forcing - 1) < 0.005
    assert found.attrs["diverged"] == 0
