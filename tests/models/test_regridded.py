"""A fine atmosphere on a coarse grid: smooth fields stay what they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.models.primitive_equations import PrimitiveEquations
from closura.models.regridded import Regridded

TARGET = {
    "level": [0.2, 0.45, 0.7], "lat": [-60.0, -20.0, 0.0, 33.0, 70.0],
    "lon": [0.0, 50.0, 177.0, 359.0],
}  # fmt: skip


def test_linear_functions_of_the_coordinates_are_shown_exactly():
    fine = PrimitiveEquations(levels=5)
    shown = Regridded(fine, TARGET)
    level, lat, lon = np.meshgrid(*fine.coordinates.values(), indexing="ij")
    wanted = np.meshgrid(*TARGET.values(), indexing="ij")
    found = shown._show(jnp.asarray(3 * level - 0.1 * lat), ("level", "lat", "lon"))
    np.testing.assert_allclose(found, 3 * wanted[0] - 0.1 * wanted[1], atol=1e-5)
    # Around the circle: 359 degrees lies between the last longitude, 354.375, and 360.
    share = (359 - 354.375) / 5.625
    values = shown._show(jnp.asarray(lon), ("level", "lat", "lon"))[0, 0, 3]
    assert float(values) == pytest.approx(354.375 * (1 - share), rel=1e-5)


def test_it_runs_as_the_model_inside_and_shows_other_fields():
    fine = PrimitiveEquations(levels=5)
    shown = Regridded(fine, TARGET)
    state = shown.initial_state(jax.random.key(0))
    fields = shown.fields(state)
    assert fields.u.shape == (3, 5, 4)
    assert fields.surface_pressure.shape == (5, 4)
    assert shown.dt == fine.dt
    assert 280 < float(fields.temperature.mean()) < 296


def test_what_lies_outside_is_refused():
    with pytest.raises(ValueError, match=r"level is wanted from 0\.02 to 0\.7 and the model"):
        Regridded(PrimitiveEquations(levels=5), TARGET | {"level": [0.02, 0.7]})
    with pytest.raises(TypeError, match="nothing can be added to it"):
        Regridded(PrimitiveEquations(levels=5), TARGET).add(None, {})
