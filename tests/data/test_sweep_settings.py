"""What a grid may name, and which values share a compiled program."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.data import runs

# The runs are short: whether a filter has diverged in them is part of what is compared.
pytestmark = pytest.mark.filterwarnings("ignore::closura.core.couple.ClosuraWarning")

MODEL = cl.Lorenz96(K=8, dt=0.05)
KEY = jax.random.key(4)


@pytest.fixture(scope="module")
def truth():
    return cl.simulate(MODEL, duration=1.0, spinup=5.0, every=0.1, key=jax.random.key(1))


@pytest.fixture(scope="module")
def twin(truth):
    return cl.observe(truth, cl.Observe(variables=("X",), every=0.1), key=jax.random.key(2))


@pytest.fixture
def programs(monkeypatch):
    """Return a list that grows by one with each program that is compiled."""
    traced, cycle = [], runs.run_cycles

    def note(*arguments, **named):
        traced.append(1)
        return cycle(*arguments, **named)

    monkeypatch.setattr(runs, "run_cycles", note)
    return traced


def sweep(solver, grid, truth, twin):
    return cl.sweep(MODEL, twin, solver, grid=grid, truth=truth, key=KEY)


def error(solver, truth, twin):
    found = cl.assimilate(MODEL, twin, solver, truth=truth, key=jax.random.fold_in(KEY, 0))
    return float(found.analysis_rmse.mean())


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        pytest.param(cl.LocalEnKF, {"members": 5, "inflation": 1.1}, marks=pytest.mark.slow),
        (cl.LocalSerialEnSRF, {"members": 5, "inflation": 1.1}),
        (cl.HybridEnKF, {"members": 5, "radius": 1.0}),
    ],
)
def test_radii_share_a_program_and_give_what_they_give_alone(kind, settings, truth, twin, programs):
    found = sweep(kind(**settings), {"radius": [0.4, 1.2]}, truth, twin)
    assert len(programs) == 1
    for radius in (0.4, 1.2):
        wanted = error(kind(**settings | {"radius": radius}), truth, twin)
        np.testing.assert_allclose(found.analysis_rmse.sel(radius=radius), wanted, rtol=1e-7)


@pytest.mark.parametrize(
    ("solver", "name", "values"),
    [
        (cl.IEnKS(members=5), "certainty", [1.0, 2.0]),
        pytest.param(
            cl.FourDVar(window=2, outer=1), "model_error", [0.1, 0.3], marks=pytest.mark.slow
        ),
        pytest.param(cl.HybridEnKF(members=5), "radius", [None, 0.8], marks=pytest.mark.slow),
    ],
)
def test_settings_that_are_none_unless_given_can_be_varied(solver, name, values, truth, twin):
    found = sweep(solver, {name: values}, truth, twin).analysis_rmse.values.squeeze()
    last = replace(solver, **{name: values[-1]})
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.atleast_1d(found)[-1], error(last, truth, twin), rtol=1e-7)


@pytest.mark.parametrize(
    ("solver", "name", "listed"),
    [
        (cl.LETKF(), "local", "members, radius, convention, inflation, rtpp, rtps, rotation"),
        (cl.FourDVar(), "root", "scale, covariance, window, shift, multiple, model_error"),
        (cl.Climatology(), "climate", ""),
    ],
)
def test_what_preparing_fills_is_no_setting(solver, name, listed, truth, twin):
    with pytest.raises(ValueError, match=f"has no setting {name!r}. It takes: {listed}"):
        sweep(solver, {name: [1.0]}, truth, twin)


def test_arrays_of_one_number_are_numbers(truth, twin, programs):
    solver = cl.ETKF(members=7, inflation=jnp.asarray(1.04))
    found = sweep(solver, {"inflation": jnp.array([1.0, 1.1]), "rtps": [0.0, 0.3]}, truth, twin)
    assert len(programs) == 1
    assert found.inflation.values.tolist() == [1.0, 1.1]
    wanted = error(cl.ETKF(members=7, inflation=1.1, rtps=0.3), truth, twin)
    np.testing.assert_allclose(found.analysis_rmse.sel(inflation=1.1, rtps=0.3), wanted, rtol=1e-7)


def test_a_number_in_an_array_stays_where_the_grid_varies_another(truth, twin):
    solver = cl.ETKF(members=7, inflation=jnp.asarray(1.1))
    found = sweep(solver, {"rtps": [0.0, 0.3]}, truth, twin)
    wanted = error(cl.ETKF(members=7, inflation=1.1, rtps=0.3), truth, twin)
    np.testing.assert_allclose(found.analysis_rmse.sel(rtps=0.3), wanted, rtol=1e-7)
