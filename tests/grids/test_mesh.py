"""Neighbours on the sphere, and winds carried between them."""

import numpy as np
import pytest

from closura.grids.mesh import around_grid, look_around, nearest_points


def test_beyond_a_pole_follow_the_points_half_way_round():
    # 3 rows of 6: point 13 is row 2, longitude 1; half-way round lie longitudes 3, 4, 5.
    found = around_grid(3, 6)
    assert sorted(found[13]) == [6, 7, 8, 12, 14, 15, 16, 17]
    assert sorted(found[0]) == [1, 2, 3, 4, 5, 6, 7, 11]  # 11: north-west across the date line
    # Where the last row is the pole itself, the row before it follows.
    assert sorted(around_grid(3, 6, (False, True))[13]) == [6, 7, 8, 9, 10, 11, 12, 14]


def test_nearest_points_are_the_nearest_and_not_the_point_itself():
    latitude, longitude = np.array([0.0, 0.0, 10.0, -40.0]), np.array([359.0, 3.0, 0.0, 0.0])
    assert nearest_points(latitude, longitude, 2).tolist() == [[1, 2], [0, 2], [0, 1], [0, 1]]
    with pytest.raises(ValueError, match="4 nearest points were asked for and there are 4 in all"):
        nearest_points(latitude, longitude, 4)


def test_a_wind_turns_over_on_the_way_across_the_pole():
    latitude, longitude = np.array([80.0, 80.0]), np.array([30.0, 210.0])
    found = look_around(latitude, longitude, np.array([[1], [0]]))
    np.testing.assert_allclose(found.turn[:, 0], [[-1, 0], [-1, 0]], atol=1e-12)


def test_a_wind_turns_by_the_angle_between_meridians():
    # Along a great circle between equal latitudes the angle is 2 atan(tan(dlon / 2) sin(lat)).
    latitude, longitude = np.array([60.0, 60.0]), np.array([0.0, 20.0])
    found = look_around(latitude, longitude, np.array([[1], [0]]))
    angle = 2 * np.arctan(np.tan(np.radians(10)) * np.sin(np.radians(60)))
    # A wind from the west at 20 E blows, seen from 0 E, also towards the north: counter-clockwise.
    np.testing.assert_allclose(found.turn[0, 0], [np.cos(angle), np.sin(angle)], atol=1e-12)
    np.testing.assert_allclose(found.turn[1, 0], [np.cos(angle), -np.sin(angle)], atol=1e-12)


def test_a_flow_along_a_great_circle_keeps_its_direction():
    draw = np.random.default_rng(0)
    latitude, longitude = 180 * draw.random(9) - 90, 360 * draw.random(9)
    which = nearest_points(latitude, longitude, 3)
    found = look_around(latitude, longitude, which)
    back = look_around(latitude, longitude, np.stack([np.arange(9)] * 9))
    for point in range(9):
        for place, other in enumerate(which[point]):
            here = -found.step[point, place, :2]  # on from the neighbour, past the point
            there = back.step[other, point, :2]  # from the neighbour towards the point
            cosine, sine = found.turn[point, place]
            carried = np.array([[cosine, -sine], [sine, cosine]]) @ there
            both = carried / np.linalg.norm(carried), here / np.linalg.norm(here)
            np.testing.assert_allclose(*both, atol=1e-9)


def test_a_neighbour_on_the_same_point_is_not_there():
    found = look_around(
        np.array([90.0, 90.0, 0.0]), np.zeros(3), np.array([[1, 2], [0, 2], [0, 1]])
    )
    assert found.there.tolist() == [[0, 1], [0, 1], [1, 1]]
