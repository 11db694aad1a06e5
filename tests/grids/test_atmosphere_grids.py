"""Geometry of an atmosphere: Gaussian weights, levels, mountains, columns, other grids."""

import numpy as np
import pytest

from closura.grids.columns import (
    fill_below,
    height_at_pressure,
    interpolate_columns,
    pressure_at_height,
)
from closura.grids.levels import Levels, as_levels, even_levels, thinned
from closura.grids.mountains import bell, height_of_ground, waves
from closura.grids.regrid import regrid
from closura.grids.sphere import gaussian_grid


def test_gaussian_weights_integrate_polynomials_of_the_sine_exactly():
    grid = gaussian_grid(6)
    sine = np.sin(np.radians(grid.latitude))
    # The mean of sine^n over the sphere is 1 / (n + 1) for even n, up to 2 * 6 - 1.
    for power in (0, 2, 4, 10):
        assert (grid.weights * sine**power).sum() == pytest.approx(1 / (power + 1), rel=1e-13)
    assert (np.diff(grid.latitude) > 0).all() and grid.longitude.size == 12


def test_levels_fill_the_column():
    levels = Levels((0.0, 1e4, 5e3, 0.0), (0.0, 0.05, 0.4, 1.0))
    surface = np.array([[9e4, 1e5, 7e4]])
    thickness = levels.thickness(surface)
    assert thickness.shape == (3, 1, 3)
    np.testing.assert_allclose(thickness.sum(axis=0), surface)
    np.testing.assert_allclose(levels.pressure(1e5), [7.5e3, 3e4, 7.25e4])
    np.testing.assert_allclose(even_levels(4).centres, [0.125, 0.375, 0.625, 0.875])


def test_fewer_levels_of_a_set_keep_its_top_and_its_ground():
    few = thinned(even_levels(9), 3)
    np.testing.assert_allclose(few.b, [0, 1 / 3, 2 / 3, 1])
    assert as_levels({"nine": 3}, {"nine": lambda: even_levels(9)}) == few
    with pytest.raises(ValueError, match="asks for 10 of a set of 9; take 2 to 9"):
        thinned(even_levels(9), 10)


def test_mountains_stand_where_they_are_put():
    latitude, longitude = np.array([-30.0, 20.0, 45.0]), np.array([0.0, 90.0, 180.0, 350.0])
    one = bell(latitude[:, None], longitude, height=1000.0, at_latitude=20.0, at_longitude=350.0)
    assert one.argmax() == 7 and one[1, 3] == pytest.approx(1000.0)
    # 10 degrees of longitude at 20 N are 9.394 degrees of a great circle; width 15.
    assert one[1, 0] == pytest.approx(1000 * np.exp(-((9.394 / 15) ** 2)), rel=1e-3)
    crests = waves(latitude[:, None], longitude, height=500.0, number=2)
    assert crests[2].tolist() == pytest.approx([500.0, -500.0, 500.0, 500 * np.cos(np.pi / 9)])
    assert (crests[:2] == 0).all()


def test_heights_without_a_number_are_refused():
    with pytest.raises(ValueError, match="orography holds NaN"):
        height_of_ground(np.full((2, 3), np.nan), np.zeros(2), np.zeros(3))


def test_columns_are_linear_between_levels_and_nearest_or_missing_outside():
    old = np.array([[1.0, 10.0], [2.0, 30.0], [4.0, 40.0]])
    values = np.array([[0.0, 5.0], [1.0, 7.0], [5.0, 9.0]])
    new = np.array([[3.0, 20.0], [0.5, 50.0]])
    np.testing.assert_allclose(interpolate_columns(values, old, new), [[3.0, 6.0], [0.0, 9.0]])
    gaps = interpolate_columns(values, old, new, outside="missing")
    assert np.isnan(gaps[1]).all() and np.isfinite(gaps[0]).all()


def test_gaps_below_are_filled_from_above_then_from_below():
    gap = np.nan
    values = np.array([[gap, 1.0, gap], [2.0, gap, gap], [gap, gap, 4.0]])
    wanted = [[2.0, 1.0, 4.0], [2.0, 1.0, 4.0], [2.0, 1.0, 4.0]]
    np.testing.assert_array_equal(fill_below(values), wanted)


def test_height_and_pressure_of_a_column_are_inverse_below_the_ground_too():
    pressures = np.array([2e4, 5e4, 9e4])
    heights = np.array([[12000.0, 11800.0], [5600.0, 5500.0], [900.0, 1000.0]])
    temperature = np.array([[210.0, 215.0], [250.0, 255.0], [280.0, 284.0]])
    ground = np.array([3000.0, -150.0])
    found = pressure_at_height(ground, heights, pressures, temperature)
    assert 5e4 < found[0] < 9e4 < found[1] < 1.05e5
    np.testing.assert_allclose(
        height_at_pressure(found, heights, pressures, temperature), ground, atol=1e-8
    )
    # 1150 m below 1000 m and 284 K: p = 9e4 (1 + 0.0065 * 1150 / 284)^(g / (R 0.0065)) = 103048.
    exponent = 9.80616 / (1004 * 2 / 7 * 0.0065)
    assert found[1] == pytest.approx(9e4 * (1 + 0.0065 * 1150 / 284) ** exponent)


def test_another_grid_sees_across_the_poles_and_the_date_line():
    latitude, longitude = np.linspace(-85, 85, 18), np.arange(0, 360, 10.0)
    radians = np.radians(longitude)
    # A vector of one direction over the pole: u turns once around it.
    u = np.sin(radians) * np.ones((18, 1))
    scalar = np.cos(radians) * np.cos(np.radians(latitude))[:, None]
    new = np.array([-89.0, 89.5]), np.array([-5.0, 92.0])
    found = regrid(u, latitude, longitude, *new, vector=True)
    np.testing.assert_allclose(found, np.sin(np.radians(new[1])) * np.ones((2, 1)), atol=0.01)
    found = regrid(scalar, latitude, longitude, *new)
    wanted = np.cos(np.radians(new[1])) * np.cos(np.radians(new[0]))[:, None]
    np.testing.assert_allclose(found, wanted, atol=0.01)
