"""What lies beyond the poles and the date line."""

import jax.numpy as jnp
import numpy as np
import pytest

from closura.grids.poles import on_pole, pad_sphere
from closura.grids.sun import solar_zenith


def grid(rows, lines):
    spacing = 180 / rows
    return -90 + spacing * (np.arange(rows) + 0.5), 360 / lines * np.arange(lines)


def beyond(rows, lines):
    """Latitude and longitude of the padded grid, on past the poles."""
    latitude, longitude = grid(rows, lines)
    step = latitude[1] - latitude[0], longitude[1]
    tall = np.r_[latitude[0] - step[0], latitude, latitude[-1] + step[0]]
    wide = np.r_[-step[1], longitude, 360.0]
    return np.radians(tall)[:, None], np.radians(wide)[None]


@pytest.mark.parametrize("lines", [8, 10])
def test_a_smooth_scalar_goes_on_smoothly_across_the_pole(lines):
    # A function of the place on the sphere, x + 2 z: the angles may run on past the pole.
    place = lambda north, east: np.cos(north) * np.cos(east) + 2 * np.sin(north)  # noqa: E731
    latitude, longitude = grid(6, lines)
    inside = place(np.radians(latitude)[:, None], np.radians(longitude)[None])
    padded = pad_sphere(jnp.asarray(inside)[..., None])[..., 0]
    np.testing.assert_allclose(padded, place(*beyond(6, lines)), atol=1e-12)


def test_solid_rotation_has_no_seam_at_the_pole():
    latitude, _ = grid(6, 8)
    wind = np.cos(np.radians(latitude))[:, None, None] * np.ones((6, 8, 1))
    padded = pad_sphere(jnp.asarray(wind), signs=(-1.0,))[..., 0]
    north, east = beyond(6, 8)
    np.testing.assert_allclose(padded, np.cos(north) * np.ones_like(east), atol=1e-12)


def test_a_row_on_the_pole_is_not_its_own_neighbour():
    values = np.arange(5.0)[:, None, None] * np.ones((5, 6, 1))
    assert on_pole(np.linspace(-90, 90, 5)) == (True, True)
    assert on_pole(np.array([-60.0, 0.0, 60.0])) == (False, False)
    padded = pad_sphere(jnp.asarray(values), 2, poles=(True, False))[:, 3, 0]
    np.testing.assert_array_equal(padded, [2, 1, 0, 1, 2, 3, 4, 4, 3])


def test_an_odd_number_of_longitudes_takes_the_mean_of_the_two_nearest():
    values = jnp.arange(7.0)[None, :, None] * jnp.ones((3, 1, 1))
    # Half-way round from longitude 1 of 7 lies 4.5: between 4 and 5.
    assert pad_sphere(values)[0, 2, 0] == 4.5


def test_a_halo_wider_than_the_grid_is_refused():
    with pytest.raises(ValueError, match="a halo of 4 does not fit around a grid of 3 latitudes"):
        pad_sphere(jnp.zeros((3, 8, 1)), 4)


def test_the_sun_stands_highest_at_noon_on_the_tropic_at_the_solstice():
    lat, lon = jnp.array([23.45, -80.0]), jnp.array([30.0, 30.0])
    # Local noon at 30 degrees east is 10 h; day 172 is the solstice of this formula (within 0.01).
    noon = solar_zenith(lat, lon, jnp.asarray(172), jnp.asarray(10.0))
    np.testing.assert_allclose(noon, [1.0, 0.0], atol=1e-4)
