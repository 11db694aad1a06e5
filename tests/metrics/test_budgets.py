"""What an atmosphere holds, against columns and spheres that can be integrated by hand."""

import numpy as np
import pytest
import xarray as xr

from closura.grids.levels import Levels
from closura.grids.sphere import GRAVITY, RADIUS, ROTATION, gaussian_grid
from closura.metrics.budgets import (
    angular_momentum,
    area_weights,
    energy,
    mass_weights,
    total_mass,
    zonal_mean,
)

AREA = 4 * np.pi * RADIUS**2


def turning(speed: float = 7.0) -> xr.Dataset:
    """Air of 250 K that turns as a solid body, on four sigma levels, at 1000 hPa."""
    grid = gaussian_grid(6)
    level = [0.125, 0.375, 0.625, 0.875]
    u = speed * np.cos(np.radians(grid.latitude))[:, None] * np.ones((2, 4, 6, 12))
    dims = ("time", "level", "lat", "lon")
    return xr.Dataset(
        {
            "u": (dims, u),
            "v": (dims, 0 * u),
            "temperature": (dims, 250.0 + 0 * u),
            "surface_pressure": (("time", "lat", "lon"), 1e5 + 0 * u[:, 0]),
        },
        {"time": [0.0, 1.0], "level": level, "lat": grid.latitude, "lon": grid.longitude},
    )


def test_mass_is_pressure_over_gravity_times_area():
    wanted = 1e5 / GRAVITY * AREA
    np.testing.assert_allclose(total_mass(turning()), wanted, rtol=1e-13)
    weights = mass_weights(turning())
    assert weights.dims == ("level", "time", "lat", "lon")
    np.testing.assert_allclose(weights.sum(("level", "lat", "lon")), wanted, rtol=1e-13)


def test_levels_of_the_model_may_be_hybrid():
    levels = Levels((0.0, 1e4, 0.0), (0.0, 0.1, 1.0))
    run = turning().isel(level=[0, 1])
    share = mass_weights(run, levels).sum(("lat", "lon")) / total_mass(run)
    np.testing.assert_allclose(share.transpose("level", ...)[:, 0], [0.2, 0.8])


def test_energy_of_a_solid_rotation():
    # The mean of cos^2 over the sphere is 2 / 3.
    mass = 1e5 / GRAVITY * AREA
    found = energy(turning(), orography=300.0).isel(time=1)
    assert float(found["kinetic"]) == pytest.approx(mass * 7.0**2 * 2 / 3 / 2)
    assert float(found["potential"]) == pytest.approx(mass * (1004 * 250 + GRAVITY * 300))
    assert found["kinetic"].attrs["units"] == "J"


def test_angular_momentum_of_a_solid_rotation():
    mass = 1e5 / GRAVITY * AREA
    found = angular_momentum(turning()).isel(time=0)
    assert float(found["relative"]) == pytest.approx(mass * 7.0 * RADIUS * 2 / 3)
    assert float(found["planetary"]) == pytest.approx(mass * ROTATION * RADIUS**2 * 2 / 3)


@pytest.mark.parametrize("sign", [1, -1])
def test_weights_of_any_latitudes_add_up_to_the_sphere(sign):
    even = xr.DataArray(sign * np.array([-60.0, 0.0, 60.0]), dims="lat")
    # Edges at 30 degrees: (1 - sin 30) / 2 = 1 / 4 for each cap.
    np.testing.assert_allclose(area_weights(even.assign_coords(lat=even)), [0.25, 0.5, 0.25])
    gauss = xr.DataArray(sign * gaussian_grid(6).latitude, dims="lat")
    found = area_weights(gauss.assign_coords(lat=gauss))
    np.testing.assert_allclose(found, gaussian_grid(6).weights)


def test_the_zonal_mean_keeps_units():
    run = turning().assign(u=turning()["u"].assign_attrs(units="m s-1"))
    found = zonal_mean(run)["u"]
    assert found.dims == ("time", "level", "lat") and found.attrs["units"] == "m s-1"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: d.drop_vars("surface_pressure"), "the dataset has no 'surface_pressure'"),
        (lambda d: d.isel(level=[0, 1]), "does not hold the centres of sigma levels"),
        (lambda d: d.isel(lat=[0, 2, 1]), "latitudes do not run one way; sort them"),
    ],
)
def test_what_is_missing_is_said(spoil, message):
    with pytest.raises(ValueError, match=message):
        mass_weights(spoil(turning()))
