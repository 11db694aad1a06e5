"""A fine atmosphere on a coarse grid: what both resolve stays what it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.models.lorenz96 import Lorenz96
from closura.models.primitive_equations import PrimitiveEquations
from closura.models.regridded import Regridded


@pytest.fixture(scope="module")
def fine():
    """A truth at T31."""
    return PrimitiveEquations("T31", levels=5, tracers=("smoke",))


def on_grid(model, m):
    """Return cos(lat)^m cos(m lon): the spherical harmonic of degree and order m."""
    latitude = np.radians(model.coordinates["lat"])[:, None]
    return np.cos(latitude) ** m * np.cos(m * np.radians(model.coordinates["lon"]))


def waving(model, m):
    """Return a state whose every field is a wave, the wind without divergence."""
    wave, still = on_grid(model, m), np.ones((model.levels.layers, 1, 1))
    latitude = np.radians(model.coordinates["lat"])[:, None]
    angle = m * np.radians(model.coordinates["lon"])
    # Wind of the stream function Y(m, m): u = -dY/dlat, v = dY/dlon / cos(lat).
    u = m * np.cos(latitude) ** (m - 1) * np.sin(latitude) * np.cos(angle)
    v = -m * np.cos(latitude) ** (m - 1) * np.sin(angle)
    fields = {
        "u": u * still, "v": v * still, "temperature": (288 + wave) * still,
        "surface_pressure": 1e5 * np.exp(0.01 * wave), "smoke": wave * still,
    }  # fmt: skip
    return {name: jnp.asarray(values) for name, values in fields.items()}


@pytest.mark.parametrize("m", [5, 10, 15, 20, 21])
def test_waves_that_the_coarse_model_resolves_are_shown_exactly(fine, m):
    coarse = PrimitiveEquations("T21", levels=5)
    found = Regridded(fine, coarse).fields(fine.state(waving(fine, m)))._asdict()
    wanted = waving(coarse, m)
    if m == 21:
        # Eastward wind of the largest degree has a part one degree further, which no model shows.
        wanted["u"] = coarse.fields(coarse.state(wanted)).u
    for name, values in wanted.items():
        scale = np.ptp(np.asarray(waving(coarse, m)[name]))
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-6 * scale, err_msg=name)


def test_waves_that_it_does_not_resolve_are_not_shown(fine):
    coarse = PrimitiveEquations("T21", levels=5)
    found = Regridded(fine, coarse).fields(fine.state(waving(fine, 25)))
    np.testing.assert_allclose(found.smoke, 0, atol=1e-6)
    np.testing.assert_allclose(found.u, 0, atol=1e-5)


def test_a_finer_grid_shows_the_same_waves(fine):
    coarse = PrimitiveEquations("T21", levels=5)
    found = Regridded(coarse, fine).fields(coarse.state(waving(coarse, 20)))
    assert not hasattr(found, "smoke")
    wanted = waving(fine, 20)["temperature"]
    np.testing.assert_allclose(found.temperature, wanted, rtol=0, atol=1e-3)


def test_levels_are_interpolated_where_they_differ(fine):
    edges = [0.0, 0.4, 0.6, 1.0]  # centres 0.2, 0.5, 0.8; of the truth 0.1, 0.3, 0.5, 0.7, 0.9
    coarse = PrimitiveEquations("T21", levels={"sigma": edges})
    fields = waving(fine, 0)
    height = 100 * fine.levels.centres[:, None, None]
    fields["temperature"] = 200 + height + 0 * fields["temperature"]
    found = Regridded(fine, coarse).fields(fine.state(fields))
    assert found.u.shape == (3, 32, 64)
    np.testing.assert_allclose(found.temperature[:, 4, 9], [220, 250, 280], rtol=1e-6)


def test_it_runs_as_the_model_inside(fine):
    coarse = PrimitiveEquations("T21", levels=5)
    shown = Regridded(fine, coarse)
    state = shown.initial_state(jax.random.key(0))
    wanted = fine.initial_state(jax.random.key(0))
    np.testing.assert_array_equal(state.temperature, wanted.temperature)
    assert shown.start(state).state.temperature.shape == wanted.temperature.shape
    assert shown.dt == fine.dt
    assert {n: v.size for n, v in shown.coordinates.items()} == {"level": 5, "lat": 32, "lon": 64}


def test_what_cannot_be_shown_is_refused(fine):
    high = PrimitiveEquations("T21", levels={"sigma": [0.0, 0.04, 0.5, 1.0]})
    with pytest.raises(ValueError, match=r"level is wanted from 0\.02 to 0\.75 and the model has"):
        Regridded(fine, high)
    with pytest.raises(TypeError, match=r"copies spherical harmonics, and Lorenz96 has none; take"):
        Regridded(Lorenz96(), high)
    with pytest.raises(TypeError, match="nothing can be added to it"):
        Regridded(fine, fine).add(None, {})
