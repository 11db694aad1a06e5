"""Values that cannot be what their unit says are refused in one line; fill values are missing."""

import cftime
import netCDF4
import numpy as np
import pytest
import xarray as xr

from closura.data.dates import calendar_of, gaps_in
from closura.data.pairs import read_pairs
from closura.data.plausible import check_plausible, without_fill


def column(path, units, values, *, levels=3):
    """A file with a state and a tendency of a wind on 8 times and 3 levels."""
    draw = np.random.default_rng(0)
    dims = ("time", "lev")
    state = draw.normal(10, 5, (8, levels))
    dates = np.datetime64("2003-03-01", "ns") + np.arange(8) * np.timedelta64(6, "h")
    xr.Dataset(
        {"U": (dims, state, {"units": "m s-1"}), "DU": (dims, values * state, {"units": units})},
        {"time": dates, "lev": [100.0, 500.0, 900.0]},
    ).to_netcdf(path)
    return path


SIDES = {
    "inputs": {"u": "U"},
    "targets": {"u": {"variable": "DU", "units": "m s-2"}},
    "level": "lev",
}


def test_a_tendency_per_day_that_says_per_second_is_refused(tmp_path):
    path = column(tmp_path / "day.nc", "m s-2", 0.5)  # 5 m/s: in a day, not in a second
    with pytest.raises(ValueError) as error:
        read_pairs(path, **SIDES)
    assert "'DU' is said to have units 'm s-2' and 5." in str(error.value)
    assert "is it per day (found: m s-1 day-1), or a covariant wind" in str(error.value)
    assert "u: {variable: DU, found: m s-2}" in str(error.value)


def test_what_the_user_insists_on_is_read(tmp_path):
    path = column(tmp_path / "day.nc", "m s-2", 0.5)
    insisted = {"u": {"variable": "DU", "units": "m s-2", "found": "m s-2"}}
    pairs = read_pairs(path, **(SIDES | {"targets": insisted}))
    assert np.sqrt(np.mean(pairs.targets["u"] ** 2)) > 1


def test_a_tendency_per_day_that_says_so_is_converted(tmp_path):
    pairs = read_pairs(column(tmp_path / "day.nc", "m s-1 day-1", 0.5), **SIDES)
    np.testing.assert_allclose(pairs.targets["u"], 0.5 * pairs.inputs["u"] / 86400)


@pytest.mark.parametrize(
    ("values", "units", "said"),
    [
        ([1012.0, 985.5], "Pa", "are millibars; found: hPa"),
        ([15.0, -40.0], "K", "colder than any air; found: degC"),
        ([2.0, -3.0], "K/s", "which no atmosphere does; is it per day"),
    ],
)
def test_the_remedy_names_the_likely_unit(values, units, said):
    with pytest.raises(ValueError, match=said):
        check_plausible("x", "X", np.array(values), units)


@pytest.mark.parametrize(
    ("values", "units"),
    [
        ([101200.0, 60000.0], "Pa"), ([500.0, 90000.0], "Pa"), ([1012.0, 985.0], "hPa"),
        ([288.0, 190.0], "K"), ([5.0, 3.0], "degC"), ([1e-4, 2e-5], "K/s"), ([7.0], "bananas"),
        ([np.nan], "Pa"),
    ],
)  # fmt: skip
def test_usual_values_pass(values, units):
    check_plausible("x", "X", np.array(values), units)


def test_a_fill_value_that_nobody_declared_is_missing():
    found = without_fill(np.array([1.0, 9.96921e36, -1e20, 1e14]))
    np.testing.assert_array_equal(found, [1.0, np.nan, np.nan, 1e14])


def test_a_file_with_two_declared_fill_values_lacks_both(tmp_path):
    path = column(tmp_path / "two.nc", "m s-2", 1e-5)
    with xr.open_dataset(path) as file:
        file.load().to_netcdf(tmp_path / "plain.nc", encoding={"U": {"_FillValue": -999.0}})
    with netCDF4.Dataset(tmp_path / "plain.nc", "a") as file:
        file["U"].missing_value = 1e20
        file["U"].set_auto_mask(False)
        file["U"][2, 0], file["U"][5, 1] = -999.0, 1e20
    with pytest.raises(ValueError, match=r"'U' is missing \(NaN or fill value\) in 2 of 24 values"):
        read_pairs(tmp_path / "plain.nc", **SIDES)


def test_dates_give_day_and_hour():
    dates = np.array(["2004-03-01T06:30", "2003-12-31T18:00"], "datetime64[ns]")
    found = calendar_of(dates)["calendar"]  # 2004 is a leap year: 31 + 29 + 1
    np.testing.assert_array_equal(found["day"], [61, 365])
    np.testing.assert_array_equal(found["hour"], [6.5, 18])


def test_dates_of_a_models_calendar_give_day_and_hour():
    dates = np.array([cftime.Datetime360Day(2000, 3, 1, 12), cftime.Datetime360Day(2000, 12, 30)])
    found = calendar_of(dates)["calendar"]
    np.testing.assert_array_equal(found["day"], [61, 360])
    np.testing.assert_array_equal(found["hour"], [12, 0])


def test_numbers_are_no_dates():
    assert calendar_of(np.arange(3.0)) == {}


def test_a_gap_is_told_and_an_uneven_record_is_not():
    warned = gaps_in(np.array([0.0, 1, 2, 3, 7, 8, 9]), "time")
    assert "time has 1 gaps, the first between samples 3 (3.0) and 4 (7.0), 4 apart" in warned[0]
    assert gaps_in(np.array([0.0, 1, 5, 6.5, 11]), "time") == ()
    assert gaps_in(np.arange(9.0), "time") == ()


def test_a_gap_in_files_is_a_warning_of_the_pairs(tmp_path):
    path = column(tmp_path / "all.nc", "m s-2", 1e-5)
    with xr.open_dataset(path) as file:
        file.isel(time=[0, 1, 2, 3, 6, 7]).to_netcdf(tmp_path / "gap.nc")
    pairs = read_pairs(tmp_path / "gap.nc", **SIDES)
    assert "time has 1 gaps, the first between samples 3 (2003-03-01T18" in pairs.warnings[0]
