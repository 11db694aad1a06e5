"""Units of files: conversions derived by hand, and refusals that say what to do."""

import numpy as np
import pytest

from closura.data.units import SPECIFIC_HEAT, convert_units, same_unit, tendency_units


@pytest.mark.parametrize(
    ("value", "found", "wanted", "expected"),
    [
        (1013.25, "hPa", "Pa", 101325.0),
        (1013.25, "millibars", "Pa", 101325.0),
        (850.0, "mb", "hPa", 850.0),
        (25.0, "degC", "K", 298.15),
        (273.15, "K", "celsius", 0.0),
        (12.0, "g/kg", "kg/kg", 0.012),
        (12.0, "g kg-1", "1", 0.012),
        (420.0, "ppm", "mol/mol", 4.2e-4),
        (2.5, "days", "s", 216000.0),
        (90.0, "minutes", "hours", 1.5),
        (8.64, "K/day", "K/s", 1e-4),  # a day has 86400 s
        (1e-4, "k/s", "K day-1", 8.64),
        (8.64, "degC/day", "K s-1", 1e-4),  # a rate of temperature has no zero point
        (1.0, "g/kg /s", "kg/kg/s", 1e-3),
        (1.0, "g/kg/day", "kg kg-1 s-1", 1e-3 / 86400),
        (86.4, "mb/day", "Pa s-1", 0.1),  # 8640 Pa / 86400 s
        (3.6, "km/h", "m s-1", 1.0),
        (2.0, "s-1", "1/day", 172800.0),
        (7.0, "km", "m", 7000.0),
        (7.0, "cm", "m", 0.07),
        (50.0, "%", "1", 0.5),
    ],
)
def test_value_converts_as_by_hand(value, found, wanted, expected):
    assert convert_units(np.array([value]), found, wanted)[0] == pytest.approx(expected, abs=1e-12)


def test_heating_becomes_a_rate_of_temperature_only_when_asked():
    with pytest.raises(ValueError, match=r"pass specific_heat=1004\.64"):
        convert_units(np.ones(3), "W/kg", "K/s")
    found = convert_units(np.full(3, 1004.64), "W/kg", "K/day", specific_heat=SPECIFIC_HEAT)
    np.testing.assert_allclose(found, 86400.0)


def test_the_array_itself_comes_back_where_nothing_changes():
    values = np.arange(5.0)
    assert convert_units(values, "mb", "hPa") is values
    assert convert_units(values, "furlong", "furlong") is values


def test_single_precision_stays_single():
    assert convert_units(np.ones(3, np.float32), "hPa", "Pa").dtype == np.float32


@pytest.mark.parametrize(
    ("found", "wanted", "message"),
    [
        ("furlong", "m", "cannot convert 'furlong' to 'm': the unit 'furlong' is not known"),
        ("K", "Pa", r"cannot convert 'K' \(temperature\) to 'Pa' \(pressure\): they measure"),
        ("kg/kg", "mol/mol", "they measure different things"),
        ("%", "kg/kg", "they measure different things"),
        ("K/day", "K", "they measure different things"),
        ("K/m", "K/s", "the unit 'K/m' is not known"),
    ],
)
def test_what_does_not_convert_is_refused(found, wanted, message):
    with pytest.raises(ValueError, match=message):
        convert_units(np.ones(2), found, wanted)


def test_spellings_of_one_unit_are_the_same():
    assert same_unit("hPa", "millibars")
    assert same_unit("kg kg-1", "1")
    assert same_unit("m/s", "m s-1")
    assert not same_unit("hPa", "Pa")
    assert not same_unit("degC", "K")
    assert not same_unit("kg/kg", "mol/mol")


@pytest.mark.parametrize(
    ("units", "time", "expected"),
    [("1", "1", "1"), ("1", "s", "s-1"), ("K", "1", "K"), ("K", "s", "K s-1")],
)
def test_tendency_has_the_unit_per_time(units, time, expected):
    assert tendency_units(units, time) == expected


def test_a_tendency_of_a_wind_converts_from_a_day():
    # 5 m/s in a day of 86400 s.
    assert convert_units(5.0, "m s-1 day-1", "m s-2") == pytest.approx(5 / 86400, rel=1e-12)
    assert convert_units(2.0, "m s-1 s-1", "m s-2") == 2.0
