import numpy as np

from closura.grids.distance import distance, gaspari_cohn, nearby

# Reference §2.5, half-width 5, distances 0 to 8.
TAPER = [
    1, 0.939053333333, 0.783573333333, 0.58036, 0.376213333333, 0.208333333333, 0.095004444444,
    0.032862857143, 0.007013333333,
]  # fmt: skip


def test_taper_is_that_of_gaspari_and_cohn():
    np.testing.assert_allclose(gaspari_cohn(np.arange(9.0), 5.0), TAPER, atol=1e-10)


def test_taper_ends_at_twice_the_half_width():
    found = gaspari_cohn(np.array([9.999, 10.0, 11.0, np.inf]), 5.0)
    assert 0 < found[0] < 1e-10
    np.testing.assert_array_equal(found[1:], 0.0)


def test_a_ring_is_measured_the_shorter_way():
    # On a ring of 7: from 6 to 1 are 2 steps, not 5; the second coordinate is a line.
    found = distance(np.array([6.0, 3.0]), np.array([1.0, -1.0]), (7.0,))
    np.testing.assert_allclose(found, np.hypot(2, 4))


def test_near_points_are_those_of_the_full_matrix():
    random = np.random.default_rng(1)
    points, others = random.uniform(0, 9, (13, 2)), random.uniform(0, 9, (31, 2))
    index, apart = nearby(points, others, 2.5, (9.0, 0.0))
    full = distance(points[:, None], others[None], (9.0, 0.0))
    for row, (numbers, far) in enumerate(zip(index, apart, strict=True)):
        assert set(numbers[np.isfinite(far)]) == set(np.flatnonzero(full[row] <= 2.5))
    assert index.shape[1] == (full <= 2.5).sum(axis=1).max()


def test_great_circles_are_those_of_geography():
    # A quarter of the equator; from the pole to 30 degrees north; across the date line.
    first = np.array([[10.0, 0.0], [77.0, 90.0], [179.0, 0.0]])
    second = np.array([[100.0, 0.0], [-5.0, 30.0], [-179.0, 0.0]])
    found = distance(first, second, (), 6371.0)
    np.testing.assert_allclose(found, 6371 * np.deg2rad([90.0, 60.0, 2.0]), rtol=1e-12)


def test_height_above_a_sphere_adds_at_right_angles():
    found = distance(np.array([0.0, 0.0, 3.0]), np.array([0.0, 1.0, 7.0]), (), 180 / np.pi * 3)
    np.testing.assert_allclose(found, 5.0, rtol=1e-12)  # 3 along the meridian, 4 up


def test_near_points_on_a_sphere_are_those_of_the_full_matrix():
    random = np.random.default_rng(2)
    points = np.stack([random.uniform(-180, 180, 23), random.uniform(-90, 90, 23)], axis=1)
    others = np.stack([random.uniform(0, 360, 37), random.uniform(-90, 90, 37)], axis=1)
    index, apart = nearby(points, others, 2.0, (), 3.0)
    full = distance(points[:, None], others[None], (), 3.0)
    for row, (numbers, far) in enumerate(zip(index, apart, strict=True)):
        near = np.isfinite(far)
        assert set(numbers[near]) == set(np.flatnonzero(full[row] <= 2.0))
        np.testing.assert_allclose(far[near], full[row, numbers[near]])


def test_a_place_just_before_zero_lies_on_the_ring():
    index, apart = nearby(np.array([[-1e-17]]), np.array([[6.5]]), 1.0, (7.0,))
    assert (index[0, 0], apart[0, 0]) == (0, 0.5)
