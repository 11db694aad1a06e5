"""Shares of the sphere and layers: one rule for all that weighs."""

import numpy as np
import pytest
import xarray as xr

from closura.grids.sphere import gaussian_grid
from closura.grids.weights import area_shares, layer_thickness, sigma_interfaces
from closura.metrics.budgets import area_weights
from closura.metrics.circulation import cell_weights


def test_a_gaussian_grid_has_the_weights_of_gauss_from_either_end():
    grid = gaussian_grid(6)
    np.testing.assert_allclose(area_shares(grid.latitude), grid.weights)
    np.testing.assert_allclose(area_shares(grid.latitude[::-1]), grid.weights)


def test_poles_of_an_even_grid_have_an_area():
    # Edges at 45 and 15 degrees beside the pole: caps of 1 - sin(75).
    found = area_shares(np.arange(-90.0, 91.0, 30.0))
    assert found[0] == pytest.approx((1 - np.sin(np.radians(75))) / 2)
    assert found.sum() == pytest.approx(1.0)


def test_a_region_is_weighed_as_a_part_of_the_sphere():
    found = area_shares(np.array([10.0, 20.0, 30.0]))
    edges = np.sin(np.radians([5.0, 15.0, 25.0, 35.0]))
    np.testing.assert_allclose(found, np.diff(edges) / (edges[-1] - edges[0]))
    assert area_shares(np.array([40.0])) == 1.0


def test_budgets_and_scores_weigh_alike():
    latitude = np.array([-80.0, -30.0, 0.0, 40.0, 90.0])
    lat = xr.DataArray(latitude, {"lat": latitude}, "lat")
    scored = cell_weights(xr.DataArray(np.zeros(5), {"lat": latitude}, "lat"))
    np.testing.assert_allclose(area_weights(lat), scored)
    with pytest.raises(ValueError, match="there is one latitude, and the sphere has more"):
        area_weights(lat[:1])


def test_sigma_centres_give_back_their_uneven_layers():
    interfaces = np.array([0.0, 0.1, 0.3, 0.45, 0.8, 1.0])
    centres = (interfaces[1:] + interfaces[:-1]) / 2
    np.testing.assert_allclose(layer_thickness(centres), np.diff(interfaces), atol=1e-12)
    found = sigma_interfaces(centres)
    assert found is not None
    np.testing.assert_allclose(found, interfaces, atol=1e-12)
    assert sigma_interfaces(centres[:-1]) is None


def test_pressure_levels_reach_halfway_to_their_neighbours():
    # 100, 200, 500 hPa: interfaces 50, 150, 350, 650
    np.testing.assert_allclose(layer_thickness(np.array([100.0, 200.0, 500.0])), [100, 200, 300])
