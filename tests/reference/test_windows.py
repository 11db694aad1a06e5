"""Scores of DAPPER's iterative smoother on Lorenz-63; those on Lorenz-96 are bundled experiments.

Expected values are those beside the settings in DAPPER (`mods/Lorenz63/sakov2012.py`,
`bocquet2012.py`), to two digits.
"""

from functools import cache

import jax
import jax.numpy as jnp
import pytest

import closura as cl
from closura.models.lorenz63 import Lorenz63State

pytestmark = pytest.mark.slow

BUTTERFLY = cl.Lorenz63(dt=0.01)


def near_the_start(key, *members):
    """Draws from the normal distribution that truth and members start from in DAPPER."""
    noise = jax.random.normal(key, (3, *members)) * 2**0.5
    start = jnp.reshape(jnp.array([1.509, -1.531, 25.46]), (3, *(1 for _ in members)))
    return Lorenz63State(*(start + noise))


@cache
def twin(every, variance):
    start = near_the_start(jax.random.key(7))
    truth = cl.simulate(
        BUTTERFLY, duration=4000 * every, every=every, state=start, key=jax.random.key(0)
    )
    names = tuple(variable.name for variable in BUTTERFLY.variables)
    network = cl.Observe(variables=names, every=every, noise=variance**0.5)
    return truth, cl.observe(truth, network, key=jax.random.key(8))


def error(solver, every, variance):
    """Return the mean error of the analysis after 16 time units."""
    truth, seen = twin(every, variance)
    start = near_the_start(jax.random.key(9), solver.members)
    found = cl.assimilate(
        BUTTERFLY, seen, solver, truth=truth, initial=start, key=jax.random.key(10)
    )
    late = found.sel(time=slice(16.0, None)).mean()
    print(f"analysis {float(late.analysis_rmse):.3f}, smoothed {float(late.smoothed_rmse):.3f}")
    assert found.attrs["diverged"] == 0
    return float(late.analysis_rmse)


@pytest.mark.parametrize(
    ("solver", "every", "variance", "wanted"),
    [
        (cl.IEnKS(members=10, inflation=1.02, rotation=True), 0.25, 2.0, 0.31),
        (cl.IEnKS(members=10, inflation=1.02, rotation=True), 0.25, 1.0, 0.22),
        (cl.IEnKS(members=3, inflation=1.04), 0.25, 1.0, 0.23),
        (cl.IEnKS(members=3, certainty=1.0), 0.25, 1.0, 0.22),
        (cl.IEnKS(members=10, inflation=1.02, rotation=True), 0.05, 1.0, 0.13),
        (cl.IEnKS(members=3, inflation=1.02), 0.05, 1.0, 0.13),
        (cl.IEnKS(members=3, certainty=1.0), 0.05, 1.0, 0.15),
        (cl.IEnKS(members=3, certainty=2.0), 0.05, 1.0, 0.14),
        (cl.IEnKS(members=3, certainty=1.0), 0.25, 8.0, 0.70),
    ],
)
def test_butterfly(solver, every, variance, wanted):
    assert abs(error(solver, every, variance) - wanted) < 0.04
