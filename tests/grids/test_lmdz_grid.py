import numpy as np
import pytest

from closura.grids.lmdz_grid import (
    LmdzGrid,
    covariant_wind,
    from_columns,
    physical_wind,
    pole_wind,
    to_centres,
    to_columns,
    to_u_points,
    to_v_points,
    u_to_centres,
    v_to_centres,
)

CMIP6 = LmdzGrid(144, 142)


def test_the_grid_of_144_by_142_has_20306_columns():
    assert CMIP6.columns == 20306  # 144 * 141 + 2
    assert CMIP6.latitude_u.shape == (143,) and CMIP6.latitude_v.shape == (142,)
    assert CMIP6.longitude_u.shape == CMIP6.longitude_v.shape == (145,)


def test_rows_run_from_north_to_south_and_the_first_meridian_is_there_twice():
    grid = LmdzGrid(6, 4)
    np.testing.assert_allclose(grid.latitude_u, [90, 45, 0, -45, -90], atol=1e-12)
    np.testing.assert_allclose(grid.latitude_v, [67.5, 22.5, -22.5, -67.5], atol=1e-12)
    np.testing.assert_allclose(grid.longitude_v, [-180, -120, -60, 0, 60, 120, 180], atol=1e-12)
    np.testing.assert_allclose(grid.longitude_u, [-150, -90, -30, 30, 90, 150, 210], atol=1e-12)


def test_cu_and_cv_are_the_lengths_of_a_cell():
    # At 45 N: 100 km * 2 pi / 6 * cos 45 * cos(45 / 4); cv = 100 km * pi / 4.
    grid = LmdzGrid(6, 4, radius=1e5)
    wanted = 1e5 * 1.0471975511965976 * 0.7071067811865476 * 0.9807852804032304
    np.testing.assert_allclose(grid.cu[1], wanted, rtol=1e-12)
    np.testing.assert_array_equal(grid.cu[[0, -1]], 0.0)
    np.testing.assert_allclose(grid.cv, 78539.81633974483, rtol=1e-12)


def test_covariant_winds_come_back_and_the_poles_stay_zero():
    grid = LmdzGrid(6, 4)
    wind = np.random.default_rng(0).normal(size=(3, 5, 7))
    wind[:, [0, -1]] = 0.0
    found = physical_wind(covariant_wind(wind, grid.cu), grid.cu)
    np.testing.assert_allclose(found, wind, atol=1e-12)


def test_eastward_wind_at_a_centre_is_the_mean_of_its_two_sides_around_the_globe():
    # Points of one row: 1, 2, 4, 8 at 30 degrees east of the scalars; the scalar at -180 lies
    # between the last and the first: (8 + 1) / 2.
    row = np.array([1.0, 2.0, 4.0, 8.0, 1.0])
    wind = np.stack([0 * row, row, 10 * row, 0 * row])
    found = u_to_centres(wind)
    np.testing.assert_allclose(found, [[4.5, 1.5, 3, 6], [45, 15, 30, 60]], atol=1e-12)


def test_northward_wind_at_a_centre_is_the_mean_of_north_and_south():
    wind = np.array([[1.0, 2, 3, 4, 1], [3, 6, 9, 12, 3], [5, 5, 5, 5, 5]])
    np.testing.assert_allclose(v_to_centres(wind), [[2, 4, 6, 8], [4, 5.5, 7, 8.5]], atol=1e-12)


def test_eastward_wind_goes_back_between_the_centres_with_zero_poles():
    found = to_u_points(np.array([[1.0, 2.0, 4.0, 8.0], [0.0, 0.0, 0.0, 2.0]]))
    wanted = [[0] * 5, [1.5, 3, 6, 4.5, 1.5], [0, 0, 1, 1, 0], [0] * 5]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize("pole", [1, -1])
def test_a_flow_across_a_pole_is_a_vector_there(pole):
    # A uniform flow of 3 m/s along the meridian of 0 degrees, seen from each longitude:
    # towards the pole on one side, away from it on the other.
    longitude = np.arange(8) * 45.0
    east = -3 * np.sin(np.radians(longitude))
    north = -pole * 3 * np.cos(np.radians(longitude))
    found = pole_wind(east, north, longitude, pole=pole)
    np.testing.assert_allclose(found, north, atol=1e-12)


def test_the_row_of_points_next_to_a_pole_keeps_a_flow_across_it():
    longitude = np.arange(8) * 45.0
    east = np.tile(-3 * np.sin(np.radians(longitude)), (3, 1))
    north = np.tile(-3 * np.cos(np.radians(longitude)), (3, 1))
    found = to_v_points(east, north, longitude)
    assert found.shape == (4, 9)
    np.testing.assert_allclose(found[0, :-1], north[0], atol=1e-12)
    np.testing.assert_array_equal(found[:, -1], found[:, 0])


def test_a_zonal_flow_has_no_wind_at_the_pole():
    found = pole_wind(np.full(8, 5.0), np.zeros(8), np.arange(8) * 45.0, pole=1)
    np.testing.assert_allclose(found, 0.0, atol=1e-12)


def test_columns_are_north_pole_rows_and_south_pole():
    grid = LmdzGrid(4, 3)
    scalar = np.array([[9.0] * 5, [1, 2, 3, 4, 1], [5, 6, 7, 8, 5], [0.5] * 5])
    columns = to_columns(scalar)
    np.testing.assert_array_equal(columns, [9, 1, 2, 3, 4, 5, 6, 7, 8, 0.5])
    np.testing.assert_array_equal(from_columns(columns, grid), scalar)
    np.testing.assert_array_equal(to_centres(scalar), [[1, 2, 3, 4], [5, 6, 7, 8]])


def test_columns_of_another_grid_are_refused():
    with pytest.raises(ValueError, match=r"there are 11 columns and a grid of 4 x 3 has 10 = 4 x"):
        from_columns(np.zeros(11), LmdzGrid(4, 3))


def test_a_grid_with_no_inside_is_refused():
    with pytest.raises(ValueError, match=r"a grid of 2 x 2 has no inside; give 4 x 3 or more"):
        LmdzGrid(2, 2)
