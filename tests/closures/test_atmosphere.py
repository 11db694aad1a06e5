"""Features of an atmosphere: what a column, its neighbourhood and an image hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.closures.atmosphere import Column, ColumnNeighbourhood, LatLonImage
from made_atmosphere import made_pairs

EVERY = [Column, ColumnNeighbourhood, LatLonImage]


def instant(pairs, number=3):
    fields, given = pairs.instants(0, slice(number, number + 1))
    return jax.tree.map(lambda a: jnp.asarray(a[0]), (fields, given))


@pytest.mark.parametrize("kind", EVERY)
def test_outputs_undo_collect(kind, pairs):
    features = kind().bind(pairs)
    targets = {name: jnp.asarray(a[0, 2]) for name, a in pairs.targets.items()}
    back = features.outputs(features.collect(targets))
    for name, values in targets.items():
        np.testing.assert_array_equal(back[name], values)


@pytest.mark.parametrize("kind", EVERY)
def test_levels_that_are_not_predicted_get_zero(kind, pairs):
    features = kind(output_levels=(1, 4)).bind(pairs)
    targets = {name: jnp.asarray(a[0, 2]) for name, a in pairs.targets.items()}
    back = features.outputs(features.collect(targets))
    np.testing.assert_array_equal(back["v"][1:4], targets["v"][1:4])
    assert not np.any(back["v"][0]) and not np.any(back["v"][4])


def test_a_column_is_its_levels_then_what_its_place_knows(pairs):
    scalars = ("latitude", "orography", "solar_zenith", "hour")
    features = Column(scalars=scalars, input_levels=(3, 5)).bind(pairs)
    fields, given = instant(pairs)
    table = features.inputs(fields, given)
    assert features.layout.names == (
        "u[3]", "u[4]", "v[3]", "v[4]", "temperature[3]", "temperature[4]", "surface_pressure",
        "sin latitude", "cos latitude", "orography", "solar_zenith", "sin hour", "cos hour",
    )  # fmt: skip
    row = table[2 * 8 + 5]  # latitude -15, longitude 225
    np.testing.assert_allclose(row[:2], fields["u"][3:, 2, 5])
    np.testing.assert_allclose(row[6], fields["surface_pressure"][2, 5])
    np.testing.assert_allclose(row[7:9], [np.sin(np.radians(-15)), np.cos(np.radians(-15))])
    np.testing.assert_allclose(row[9], pairs.static["orography"][2, 5])
    # Sample 3 is hour 18: at 225 degrees east it is 33 h = 9 h solar time, 45 degrees before noon.
    # Day 172: declination 23.45 sin(2 pi 456 / 365) = 23.45.
    north, tilt = np.radians(-15.0), np.radians(23.45 * np.sin(2 * np.pi * 456 / 365))
    height = np.sin(north) * np.sin(tilt) + np.cos(north) * np.cos(tilt) * np.cos(np.pi / 4)
    np.testing.assert_allclose(row[10], height, rtol=1e-12)
    np.testing.assert_allclose(row[11:], [np.sin(2.25 * np.pi / 3), np.cos(2.25 * np.pi / 3)])


def test_columns_without_rows_and_lines_know_their_own_latitude():
    draw = np.random.default_rng(2)
    pairs = made_pairs(
        inputs={"u": draw.normal(size=(1, 7, 5, 9)), "ps": draw.normal(size=(1, 7, 9))},
        targets={"u": draw.normal(size=(1, 7, 5, 9))},
        coordinates={"lat": np.linspace(-80, 80, 9), "lon": np.zeros(9)}, static={},
    )  # fmt: skip
    features = Column().bind(pairs)
    fields, given = instant(pairs)
    table = features.inputs(fields, given)
    np.testing.assert_allclose(table[7, 6], np.sin(np.radians(60)))
    np.testing.assert_array_equal(table[7, :5], fields["u"][:, 7])


def test_the_column_beyond_a_pole_is_half_way_round_with_its_wind_turned_over(pairs):
    features = ColumnNeighbourhood(scalars=()).bind(pairs)
    fields, _ = instant(pairs)
    near = features.inputs(fields).reshape(6, 8, 3, 3, 16)
    # North of the last row (75 N) at longitude 1 lies longitude 5; its eastern neighbour there 6.
    np.testing.assert_array_equal(near[5, 1, 2, 1, :5], -fields["u"][:, 5, 5])
    np.testing.assert_array_equal(near[5, 1, 2, 2, 5:10], -fields["v"][:, 5, 6])
    np.testing.assert_array_equal(near[5, 1, 2, 1, 10:15], fields["temperature"][:, 5, 5])
    # South-west of the first row at longitude 0 lies longitude 3.
    np.testing.assert_array_equal(near[0, 0, 0, 0, 15], fields["surface_pressure"][0, 3])
    # Inside, and across the date line: west of longitude 0 is longitude 7.
    np.testing.assert_array_equal(near[2, 0, 0, 0, :5], fields["u"][:, 1, 7])
    np.testing.assert_array_equal(near[2, 0, 1, 1, :5], fields["u"][:, 2, 0])


def test_an_image_has_the_columns_as_its_channels(pairs):
    fields, given = instant(pairs)
    image = LatLonImage().bind(pairs).inputs(fields, given)
    table = Column().bind(pairs).inputs(fields, given)
    assert image.shape == (1, 6, 8, 18)
    np.testing.assert_array_equal(image.reshape(48, 18), table)


@pytest.mark.parametrize(
    ("settings", "changes", "line"),
    [
        ({"scalars": ("orografy",)}, {}, r"there is no scalar 'orografy'; there are latitude, lon"),
        ({"input_levels": (2, 9)}, {}, r"input_levels ends at 9 and 'u' has 5 levels; levels co"),
        ({}, {"coordinates": {}}, r"wants 'lat' of places of shape \(6, 8\), and the coordinates"),
        ({"scalars": ("orography",)}, {"static": {"orography": np.zeros(8)}},
         r"static field 'orography' has shape \(8,\) and the columns \(6, 8\)"),
        ({"variables": ("w",)}, {}, "Column reads 'w', which the pairs do not hold"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_are_refused(settings, changes, line):
    with pytest.raises(ValueError, match=line):
        Column(**settings).bind(made_pairs(**changes))


def test_levels_from_the_wrong_end_are_refused():
    with pytest.raises(
        ValueError, match=r"Column: output_levels is \[4, 2\]; wanted are the first"
    ):
        Column(output_levels=(4, 2))


def test_without_a_calendar_the_sun_is_not_guessed(pairs):
    features = Column(scalars=("solar_zenith",)).bind(pairs)
    fields, _ = instant(pairs)
    with pytest.raises(ValueError, match="the scalar 'solar_zenith' needs a calendar: run with"):
        features.inputs(fields)


def test_features_that_are_not_bound_say_so(pairs):
    with pytest.raises(ValueError, match=r"this Column knows no columns yet; call bind\(pairs\)"):
        Column().inputs(instant(pairs)[0])
