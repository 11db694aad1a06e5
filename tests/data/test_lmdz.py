"""LMDZ's guide files become tendencies at the centres; what is wrong with them is said."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

from closura.data.lmdz import Lmdz
from closura.data.pairs import read_pairs
from closura.grids.lmdz_grid import LmdzGrid, physical_wind
from lmdz_files import IIM, JJM, LLM, at_centres, write_guide, write_states

GRID = LmdzGrid(IIM, JJM)
DAY = 86400.0


@pytest.fixture
def guide(tmp_path):
    return tmp_path / "guide_ins.nc"


def change(path, name, values=None, **places):
    """Overwrite part of a file in place, as a careless script would."""
    with netCDF4.Dataset(path, "a") as file:
        if values is not None:
            file[name][:] = values(file[name][:])
        for place, value in places.items():
            file[name][int(place.removeprefix("at_"))] = value


@pytest.mark.parametrize("ucov", ["per day", "per call"])
def test_tendencies_are_the_increments_over_cu_and_a_day(guide, ucov):
    held, increments = write_guide(guide, ucov=ucov)
    pairs = read_pairs(guide, layout=Lmdz(start="1981-01-01"))
    for component, length in (("u", GRID.cu), ("v", GRID.cv)):
        wanted = at_centres(physical_wind(increments[component], length) / DAY, component)
        found = pairs.targets[component][0]
        np.testing.assert_allclose(found, wanted, atol=1e-6 * np.abs(wanted).max())
        before = at_centres(held[component], component)
        np.testing.assert_allclose(pairs.inputs[component][0], before, atol=1e-5)
        assert pairs.variables[component].units == "m s-1"
        assert pairs.variables[component + "_tendency"].units == "m s-2"


def test_unread_files_give_the_same_numbers(guide, tmp_path):
    write_guide(guide, ucov="per call")
    write_states(tmp_path / "histins.nc", records=24)
    sides = {"inputs": {"u": "u", "T": "temp", "ps": "psol"}, "targets": {"v": "v_tendency"}}
    layout = Lmdz(start="1981-01-01", states=str(tmp_path / "histins.nc"))
    held, unread = (read_pairs(guide, layout=layout, lazy=lazy, **sides) for lazy in (False, True))
    assert "unread" in repr(unread.inputs["T"])
    assert len(unread.inputs["u"].edges[1]) == 7  # 24 records, four in a piece
    for name in held.inputs:
        np.testing.assert_array_equal(np.asarray(unread.inputs[name]), held.inputs[name])
    np.testing.assert_array_equal(unread.targets["v"][0, 9], held.targets["v"][0, 9])


def test_columns_are_top_down_northward_and_eastward_from_zero(guide):
    write_guide(guide)
    pairs = read_pairs(guide, layout=Lmdz(start="1981-01-01"))
    assert pairs.inputs["u"].shape == (1, 24, LLM, JJM - 1, IIM)
    assert pairs.variables["u"].dims == ("level", "lat", "lon")
    assert np.all(np.diff(pairs.coordinates["level"]) > 0)
    np.testing.assert_allclose(pairs.coordinates["lat"], [-60, -30, 0, 30, 60], atol=1e-4)
    np.testing.assert_allclose(pairs.coordinates["lon"], 45 * np.arange(8), atol=1e-4)


def test_times_are_dates_of_the_start_and_the_calendar_goes_along(guide):
    write_guide(guide, records=5)
    pairs = read_pairs(guide, layout=Lmdz(start="1981-02-28 12:00", calendar="noleap"))
    np.testing.assert_array_equal(pairs.time, 21600.0 * np.arange(5))
    np.testing.assert_array_equal(pairs.given["calendar"]["day"], [59, 59, 60, 60, 60])
    np.testing.assert_array_equal(pairs.given["calendar"]["hour"], [12, 18, 0, 6, 12])


def test_files_of_months_follow_each_other_with_a_date_each(tmp_path):
    write_guide(tmp_path / "a.nc", records=3, seed=1)
    write_guide(tmp_path / "b.nc", records=2, seed=2)
    files, starts = [tmp_path / "a.nc", tmp_path / "b.nc"], ("1981-01-01", "1981-02-01")
    pairs = read_pairs(files, layout=Lmdz(start=starts))
    assert pairs.inputs["v"].shape[1] == 5
    np.testing.assert_array_equal(pairs.given["calendar"]["day"], [1, 1, 1, 32, 32])
    assert "time has 1 gaps, the first between samples 2" in pairs.warnings[0]
    with pytest.raises(ValueError, match="there are 2 files and start names 1 dates"):
        read_pairs(files, layout=Lmdz(start="1981-01-01"))


def test_a_month_that_is_there_twice_is_refused(tmp_path):
    write_guide(tmp_path / "a.nc", records=3)
    files = [tmp_path / "a.nc", tmp_path / "b.nc"]
    write_guide(files[1], records=3)
    with pytest.raises(ValueError, match=r"time does not increase: sample 3 .* comes before"):
        read_pairs(files, layout=Lmdz(start=("1981-01-01", "1981-01-01")))


def test_states_of_the_physics_stand_beside_the_winds(guide, tmp_path):
    write_guide(guide, records=3)
    states = write_states(tmp_path / "histins.nc", records=9)
    pairs = read_pairs(
        guide,
        layout=Lmdz(start="1981-01-01 06:00", states=str(tmp_path / "histins.nc")),
        inputs={"u": "u", "temperature": "temp", "surface_pressure": "psol", "p": "pressure"},
    )
    # From 06:00 on, without the poles, southernmost first, 0 E first, top first.
    wanted = states["temp"].values[1:4, ::-1, -2:0:-1, [4, 5, 6, 7, 0, 1, 2, 3]]
    np.testing.assert_allclose(pairs.inputs["temperature"][0], wanted)
    wanted = states["psol"].values[1:4, -2:0:-1, [4, 5, 6, 7, 0, 1, 2, 3]]
    np.testing.assert_allclose(pairs.inputs["surface_pressure"][0], wanted)
    assert np.all(np.diff(pairs.inputs["p"], axis=2) > 0)


def test_the_ground_is_a_field_that_never_changes(guide, tmp_path):
    write_guide(guide, records=3)
    ground = np.arange(7.0 * 8).reshape(7, 8)
    dims = ("time_counter", "lat", "lon")
    write_states(
        tmp_path / "histins.nc", records=3, phis=(dims[1:], ground, {"units": "m"}),
        land=(dims, np.broadcast_to(ground, (3, 7, 8))),
    )  # fmt: skip
    layout = Lmdz(start="1981-01-01", states=str(tmp_path / "histins.nc"))
    still = {"orography": "phis", "land": "land"}
    pairs = read_pairs(guide, layout=layout, inputs={"T": "temp"}, static=still)
    wanted = ground[-2:0:-1, [4, 5, 6, 7, 0, 1, 2, 3]]
    np.testing.assert_array_equal(pairs.static["orography"], wanted)
    np.testing.assert_array_equal(pairs.static["land"], wanted)
    with pytest.raises(ValueError, match=r"static.ps: 'psol' changes along 'time'; read it as one"):
        read_pairs(guide, layout=layout, inputs={"T": "temp"}, static={"ps": "psol"})


def test_a_file_that_another_program_flipped_gives_the_same(guide, tmp_path):
    write_guide(guide)
    with xr.open_dataset(guide, decode_times=False) as file:
        turn = slice(None, None, -1)
        file.isel(LATU=turn, LATV=turn, LEVEL=turn).to_netcdf(tmp_path / "flipped.nc")
    first = read_pairs(guide, layout=Lmdz())
    second = read_pairs(tmp_path / "flipped.nc", layout=Lmdz())
    np.testing.assert_allclose(second.targets["v"], first.targets["v"])
    np.testing.assert_allclose(second.inputs["u"], first.inputs["u"])


def test_a_taper_in_the_boundary_layer_stays_in_the_tendencies(guide):
    taper = np.array([0.1, 0.5, 0.9, 1.0])
    _, increments = write_guide(guide, taper=taper, ucov="per call")
    found = read_pairs(guide, layout=Lmdz()).targets["u"][0]
    wanted = at_centres(physical_wind(increments["u"], GRID.cu) / DAY, "u")
    np.testing.assert_allclose(found, wanted, atol=1e-6 * np.abs(wanted).max())


def test_increments_that_are_no_relaxation_must_be_named(guide):
    write_guide(guide, ucov="per call")
    change(guide, "ua", lambda values: values + np.random.default_rng(0).normal(size=values.shape))
    with pytest.raises(
        ValueError, match=r"does not hold a factor .*; add ucov: per day .* or ucov"
    ):
        read_pairs(guide, layout=Lmdz())
    named = read_pairs(guide, layout=Lmdz(ucov="per call", vcov="per day", call="15 minutes"))
    assert np.isfinite(named.targets["u"]).all()


@pytest.mark.parametrize(
    ("held", "said", "line"),
    [
        (
            "per call",
            {"ucov": "per day"},
            r"ucov is said to be per day, and is 1 times au \(ua - u\)",
        ),
        ("per day", {"ucov": "per call", "call": "15 minutes"}, "per call, and is 96 times au"),
        ("per day", {"vcov": "per call", "call": "15 minutes"}, "it is per day. Say that"),
        (
            "per call",
            {"ucov": "per call", "call": "30 minutes"},
            "it is called every 900 s: say so",
        ),
    ],
)
def test_what_is_said_of_increments_must_be_what_the_file_tells(guide, held, said, line):
    write_guide(guide, ucov=held)
    with pytest.raises(ValueError, match=line):
        read_pairs(guide, layout=Lmdz(**said))


def test_a_day_has_a_whole_number_of_calls(guide):
    write_guide(guide, ucov="per call")
    change(guide, "ucov", lambda values: 2.7 * values)
    with pytest.raises(ValueError, match=r"holds 2.7 times au \(ua - u\), and a day has a whole"):
        read_pairs(guide, layout=Lmdz())


def test_increments_per_call_need_the_time_between_calls():
    with pytest.raises(ValueError, match="increments per call need the time between two calls"):
        Lmdz(ucov="per call")
    with pytest.raises(ValueError, match="vcov is 'per year'; it must be one of measured, per day"):
        Lmdz(vcov="per year")


def test_two_fill_values_are_both_missing(guide):
    # Record 2 was never written: netCDF's own fill value; somebody put 1e20 into record 5.
    write_guide(guide)
    change(guide, "u", at_2=9.96921e36, at_5=1e20)
    with pytest.raises(ValueError, match=r"'u' is missing \(NaN or fill value\) in 320 of 3840"):
        read_pairs(guide, layout=Lmdz())
    pairs = read_pairs(guide, layout=Lmdz(), on_missing="drop")
    assert len(pairs.time) == 22


def test_a_missing_level_of_the_states_is_named(guide, tmp_path):
    write_guide(guide)
    with xr.open_dataset(_states(tmp_path)) as states:
        states.isel(presnivs=[0, 1, 3]).drop_vars(["ap", "bp"]).to_netcdf(tmp_path / "less.nc")
    with pytest.raises(
        ValueError, match=r"'temp' has no level .* \(1 of 4 are missing\); its 'pres"
    ):
        _with_states(guide, tmp_path / "less.nc")


def test_millibars_are_refused(guide, tmp_path):
    write_guide(guide)
    with xr.open_dataset(_states(tmp_path)).load() as states:
        states.assign_coords(presnivs=states.presnivs / 100).to_netcdf(tmp_path / "hpa.nc")
        states["psol"].values[:] /= 100
        states.load().to_netcdf(tmp_path / "psol.nc")
    with pytest.raises(ValueError, match="look like millibars: multiply them by 100"):
        _with_states(guide, tmp_path / "hpa.nc")
    with pytest.raises(
        ValueError, match=r"'psol' is said to have units 'Pa' and is 1005.* millibars"
    ):
        _with_states(guide, tmp_path / "psol.nc", inputs={"ps": "psol"})
    change(guide, "LEVEL", lambda values: values / 100)
    with pytest.raises(ValueError, match=r"LEVEL reaches .* which are millibars; LMDZ writes Pa"):
        read_pairs(guide, layout=Lmdz())


def test_flipped_levels_are_seen_in_the_pressure(guide):
    write_guide(guide)
    change(guide, "LEVEL", lambda values: values[::-1])
    with pytest.raises(ValueError, match="levels of one of them are flipped or missing"):
        read_pairs(guide, layout=Lmdz())


def test_flipped_rows_are_seen_between_the_two_grids(guide):
    write_guide(guide)
    change(guide, "LATV", lambda values: values[::-1])
    with pytest.raises(ValueError, match=r"LATV \(6 rows, -75 \.\.\. 75\) does not lie between"):
        read_pairs(guide, layout=Lmdz())


def test_winds_at_the_centres_need_no_layout(tmp_path):
    write_states(tmp_path / "histins.nc")
    with pytest.raises(
        ValueError, match=r"has no dimension 'TIME', so it is no guide_ins.nc .* Leave `layout` out"
    ):
        read_pairs(tmp_path / "histins.nc", layout=Lmdz())


def test_winds_of_the_c_grid_need_the_layout(guide):
    write_guide(guide)
    with pytest.raises(ValueError, match=r"'ucov' is LMDZ's covariant increment: .* layout: lmdz"):
        read_pairs(guide, sample="TIME", level=["LEVEL", "LATU", "LONU"],
                   inputs={"u": "u"}, targets={"u": "ucov"})  # fmt: skip


def test_a_wind_that_was_moved_is_refused(guide, tmp_path):
    write_guide(guide)
    with xr.open_dataset(guide, decode_times=False) as file:
        moved = file.isel(LONU=slice(0, -1), LONV=slice(0, -1)).load()
        moved["v"] = (("TIME", "LEVEL", "LATU", "LONU"), np.zeros_like(moved["u"]))
        moved.to_netcdf(tmp_path / "moved.nc")
    with pytest.raises(
        ValueError, match=r"'v' stands on TIME, LEVEL, LATU, LONU; LMDZ writes it on"
    ):
        read_pairs(tmp_path / "moved.nc", layout=Lmdz())


def test_a_cut_meridian_is_refused(guide, tmp_path):
    write_guide(guide)
    with xr.open_dataset(guide, decode_times=False) as file:
        file.isel(LONU=slice(0, -1), LONV=slice(0, -1)).to_netcdf(tmp_path / "cut.nc")
    with pytest.raises(ValueError, match="LONV goes around 315 degrees; LMDZ repeats the first"):
        read_pairs(tmp_path / "cut.nc", layout=Lmdz())


def test_a_missing_instant_of_the_states_is_named(guide, tmp_path):
    write_guide(guide)
    with xr.open_dataset(_states(tmp_path)) as states:
        kept = [*range(4), *range(5, 24)]
        states.isel(time_counter=kept).to_netcdf(tmp_path / "gap.nc")
    with pytest.raises(
        ValueError, match=r"the states hold no 1981-01-02 00:00:00 \(1 of 24 instants"
    ):
        _with_states(guide, tmp_path / "gap.nc")


def test_a_variable_that_no_file_has_is_named(guide):
    write_guide(guide, records=2)
    with pytest.raises(ValueError, match=r"'temp' is not in guide_ins.nc; .*states: histins.nc"):
        read_pairs(guide, layout=Lmdz(), inputs={"T": "temp"})


def test_a_start_that_is_no_date_is_refused(guide):
    write_guide(guide, records=2)
    with pytest.raises(ValueError, match="start is 'yesterday', which is no date of the calendar"):
        read_pairs(guide, layout=Lmdz(start="yesterday"))


def _states(tmp_path):
    write_states(tmp_path / "histins.nc")
    return tmp_path / "histins.nc"


def _with_states(guide, states, inputs=None):
    layout = Lmdz(start="1981-01-01", states=str(states))
    return read_pairs(guide, layout=layout, inputs=inputs or {"T": "temp"})
