"""Sweeps of solvers that look back over windows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.core.problem import Observations

# The runs are short: whether a filter has diverged in them is part of what is compared.
pytestmark = pytest.mark.filterwarnings("ignore::closura.core.couple.ClosuraWarning")

MODEL = cl.Lorenz96(K=9, dt=0.05)
KEY = jax.random.key(4)


@pytest.fixture(scope="module")
def truth():
    return cl.simulate(MODEL, duration=1.6, spinup=5.0, every=0.1, key=jax.random.key(1))


@pytest.fixture(scope="module")
def twin(truth):
    seen = cl.observe(truth, cl.Observe(variables=("X",), every=0.1), key=jax.random.key(2))
    values = np.where(np.arange(9) == np.arange(16)[:, None] % 5, np.nan, seen.values)
    return Observations(values, seen.variance, seen.time, seen.operator, seen.positions)


@pytest.mark.parametrize(
    ("make", "name", "values"),
    [
        (
            lambda **chosen: cl.IEnKS(members=6, window=3, shift=2, **chosen),
            "inflation",
            [1.0, 1.1],
        ),
        pytest.param(
            lambda **chosen: cl.FourDVar(window=2, multiple=True, outer=2, **chosen),
            "scale",
            [0.02, 0.1],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_point_is_the_assimilation_with_that_setting(make, name, values, truth, twin):
    found = cl.sweep(
        MODEL, twin, make(), grid={name: values}, seeds=(0, 3), truth=truth, skip=0.4, key=KEY
    )
    one = cl.assimilate(
        MODEL, twin, make(**{name: values[1]}), truth=truth, key=jax.random.fold_in(KEY, 3)
    )
    late = one.sel(time=one.time > 0.4)
    point = found.sel({name: values[1], "seed": 3})
    for score in ("analysis_rmse", "forecast_rmse", "innovation_rms"):
        np.testing.assert_allclose(point[score], late[score].mean(), rtol=1e-7, err_msg=score)


def test_an_operator_without_derivative_is_refused(truth, twin):
    stepped = Observations(
        twin.values, twin.variance, twin.time, lambda fields: jnp.round(fields.X)
    )
    with pytest.raises(ValueError, match="FourDVar needs a smooth operator; use IEnKS"):
        cl.sweep(MODEL, stepped, cl.FourDVar(), grid={"scale": [0.02, 0.1]}, truth=truth, key=KEY)
