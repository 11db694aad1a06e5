"""Weights, jets and eddies of a circulation, each against numbers worked out by hand."""

import numpy as np
import pytest
import xarray as xr

from closura.metrics.circulation import (
    cell_weights,
    eddy_kinetic_energy,
    jets,
    zonal_spectrum,
)


def test_weights_are_area_times_thickness_and_add_up_to_one():
    field = xr.DataArray(
        np.zeros((2, 3, 4)), {"level": [0.25, 0.75], "lat": [-60.0, 0.0, 60.0]},
        ("level", "lat", "lon"),
    )  # fmt: skip
    weights = cell_weights(field)
    assert float(weights.sum()) == pytest.approx(1.0)
    # Edges at 30 degrees: 1/4, 1/2, 1/4 of the area, in two equal layers.
    np.testing.assert_allclose(weights.transpose("level", "lat")[0], [0.125, 0.25, 0.125])


def test_a_ring_without_coordinates_weighs_all_alike():
    assert cell_weights(xr.DataArray(np.zeros(5), dims="k")).item() == 1.0


def test_a_jet_between_two_latitudes_is_found_by_its_parabola():
    lat = np.arange(-85.0, 86.0, 10.0)
    wind = 30 - 0.02 * (abs(lat) - 42.0) ** 2 + np.where(lat > 0, 5.0, 0.0)
    both = xr.DataArray(np.stack([wind, wind - 9]), {"lat": lat}, ("level", "lat"))
    found = jets(both)
    np.testing.assert_allclose(found["jet_latitude"], [-42.0, 42.0], atol=1e-9)
    np.testing.assert_allclose(found["jet_strength"], [30.0, 35.0], atol=1e-9)


def test_eddies_are_what_departs_from_the_time_mean():
    # sin^2 has the mean 1/2: a wave of amplitude 6 about 10 has the energy 36 / 4 = 9
    phase = 2 * np.pi * np.arange(8) / 8
    wind = xr.DataArray(10 + 6 * np.sin(phase)[:, None] * np.ones(5), dims=("time", "lon"))
    found = eddy_kinetic_energy((wind**2).mean("time"), wind.mean("time"))
    assert float(found) == pytest.approx(9.0)


def test_the_spectrum_of_a_wave_lies_at_its_number_and_counts_area():
    lon = 2 * np.pi * np.arange(12) / 12
    lat = [0.0, 60.0]
    values = np.stack([2 * np.cos(3 * lon), 4 * np.cos(5 * lon)])
    field = xr.DataArray(values, {"lat": lat}, ("lat", "lon"))
    found = zonal_spectrum(field, "lon")
    # variances 2 and 8, areas 2/3 and 1/3
    assert float(found.sel(wave_number=3)) == pytest.approx(4 / 3)
    assert float(found.sel(wave_number=5)) == pytest.approx(8 / 3)
    assert float(found.sum()) == pytest.approx(4.0)
