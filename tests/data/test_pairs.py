"""Files in odd layouts become pairs; what is wrong with them is said in one line."""

import jax
import numpy as np
import pytest
import xarray as xr

from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.core.variable import Variable
from closura.data.levels import pressure_thickness
from closura.data.pairs import load_pairs, read_pairs, save_pairs

TIMES, LEVELS = 7, 5
HOURS = np.arange(TIMES) * 3600.0


def column(**changes):
    """A small column file: temperature, humidity, a tendency, interfaces."""
    generator = np.random.default_rng(0)
    time = ("time", HOURS / 86400, {"units": "days since 2001-02-03 00:00:00"})
    variables = {
        "TEMP": (("time", "lev"), 250 + generator.random((TIMES, LEVELS)), {"units": "K"}),
        "QV": (("time", "lev"), generator.random((TIMES, LEVELS)), {"units": "g/kg"}),
        "DTDT": (("time", "lev"), generator.random((TIMES, LEVELS)), {"units": "K/day"}),
        "PS": ("time", 1e5 + np.arange(TIMES), {"units": "Pa"}),
        "hyai": ("ilev", np.array([0.0, 0.1, 0.1, 0.05, 0.02, 0.0])),
        "hybi": ("ilev", np.array([0.0, 0.1, 0.3, 0.60, 0.85, 1.0])),
        "P0": ((), 1e5),
    } | changes
    return xr.Dataset(variables, {"time": time, "lev": [50.0, 200.0, 500.0, 800.0, 950.0]})


@pytest.fixture
def write(tmp_path):
    def write(dataset, name="column.nc"):
        dataset.to_netcdf(tmp_path / name)
        return tmp_path / name

    return write


BASIC = {"inputs": {"T": "TEMP"}, "targets": {"T": {"variable": "DTDT", "units": "K/s"}}}


def read(path, **changes):
    return read_pairs(path, **({"level": "lev"} | BASIC | changes))


def test_a_column_file_becomes_pairs_in_the_units_asked_for(write):
    file = column()
    pairs = read(write(file), inputs={"T": "TEMP", "q": {"variable": "QV", "units": "kg/kg"}})
    np.testing.assert_allclose(pairs.targets["T"][0], file["DTDT"].values / 86400)
    np.testing.assert_allclose(pairs.inputs["q"][0], file["QV"].values / 1000)
    np.testing.assert_array_equal(pairs.inputs["T"][0], file["TEMP"].values)
    np.testing.assert_allclose(pairs.time, HOURS)
    assert pairs.variables["T_tendency"].units == "K/s"
    assert pairs.variables["q"] == Variable("q", "kg/kg", ("lev",), "QV")
    assert pairs.passport == Passport("file", source="column.nc", units=(("T", "K/s"),))
    assert pairs.model is None


def test_the_order_of_dimensions_and_dimensions_of_one_do_not_matter(write):
    odd = column().expand_dims(lat=[9.0], lon=[336.0]).transpose("lon", "lev", "lat", "time", ...)
    plain, turned = read(write(column())), read(write(odd, "odd.nc"))
    np.testing.assert_array_equal(turned.inputs["T"], plain.inputs["T"])
    assert turned.inputs["T"].shape == (1, TIMES, LEVELS)


def test_files_with_other_variables_and_flipped_levels_are_merged(write):
    file = column()
    first = write(file.drop_vars("DTDT"), "state.nc")
    second = write(file[["DTDT"]].isel(lev=slice(None, None, -1)), "tendency.nc")
    merged = read([first, second])
    np.testing.assert_allclose(merged.targets["T"][0], file["DTDT"].values / 86400)


def test_files_of_one_record_follow_each_other_in_time(write, tmp_path):
    file = column()
    write(file.isel(time=slice(4, None)), "part_a.nc")
    write(file.isel(time=slice(0, 4)), "part_b.nc")
    pairs = read(str(tmp_path / "part_*.nc"))
    np.testing.assert_array_equal(pairs.inputs["T"][0], file["TEMP"].values)


def test_columns_side_by_side_are_series(write):
    file = column().expand_dims(ncol=3).copy(deep=True)
    file["TEMP"][2] = 260.0
    pairs = read(write(file), series="ncol")
    assert pairs.inputs["T"].shape == (3, TIMES, LEVELS)
    assert np.all(pairs.inputs["T"][2] == 260.0)
    with pytest.raises(ValueError, match=r"wanted are 'time' and 'lev'\. Name 'ncol' as level="):
        read(write(file, "again.nc"))


def test_a_zarr_folder_reads_like_a_file(tmp_path, write):
    column().to_zarr(tmp_path / "column.zarr", consolidated=False)
    np.testing.assert_array_equal(
        read(tmp_path / "column.zarr").inputs["T"], read(write(column())).inputs["T"]
    )


def test_a_wrong_unit_is_refused_and_can_be_overruled(write):
    file = column()
    file["DTDT"].attrs["units"] = "Units?"
    path = write(file)
    with pytest.raises(
        ValueError, match=r"'DTDT' has units 'Units\?' and T wants 'K/s'.*found: K/s"
    ):
        read(path)
    overruled = {"T": {"variable": "DTDT", "units": "K/s", "found": "K/day"}}
    np.testing.assert_allclose(
        read(path, targets=overruled).targets["T"][0], file["DTDT"].values / 86400
    )


def test_heating_per_mass_becomes_a_rate_of_temperature(write):
    file = column()
    target = {"variable": "DTDT", "found": "W/kg", "units": "K/s", "specific_heat": 1004.64}
    pairs = read(write(file), targets={"T": target})
    np.testing.assert_allclose(pairs.targets["T"][0], file["DTDT"].values / 1004.64)


def test_values_without_a_unit_are_refused_where_one_is_wanted(write):
    file = column()
    del file["DTDT"].attrs["units"]
    with pytest.raises(ValueError, match=r"'DTDT' has no units and T wants 'K/s'; .*found: K/s"):
        read(write(file))


def test_levels_are_chosen_by_range_or_mask(write):
    path, file = write(column()), column()
    low = read(path, inputs={"T": {"variable": "TEMP", "levels": [1000, 500]}})
    np.testing.assert_array_equal(low.inputs["T"][0], file["TEMP"].values[:, 2:])
    mask = [True, False, False, True, False]
    masked = read(path, inputs={"T": {"variable": "TEMP", "levels": mask}})
    np.testing.assert_array_equal(masked.inputs["T"][0], file["TEMP"].values[:, [0, 3]])
    with pytest.raises(
        ValueError, match=r"no level of 'TEMP' lies in \[1, 2\]; 'lev' goes from 50"
    ):
        read(path, inputs={"T": {"variable": "TEMP", "levels": [1, 2]}})


def test_missing_values_are_an_error_or_are_left_out(write):
    file = column()
    file["TEMP"][3, 2] = np.nan
    file["TEMP"][5, 0] = np.nan
    path = write(file)
    with pytest.raises(ValueError) as error:
        read(path)
    assert str(error.value) == (
        "'TEMP' is missing (NaN or fill value) in 2 of 35 values, first at time 3, lev 2 (counted "
        "from 0); repair the file, or leave these 2 samples out with on_missing: drop."
    )
    pairs = read(path, on_missing="drop")
    np.testing.assert_allclose(pairs.time, HOURS[[0, 1, 2, 4, 6]])
    assert "'TEMP' is missing" in pairs.warnings[0]


def test_a_fill_value_counts_as_missing(write, tmp_path):
    file = column()
    file["QV"][1, 1] = np.nan
    file.to_netcdf(tmp_path / "filled.nc", encoding={"QV": {"_FillValue": -999.0}})
    with pytest.raises(ValueError, match=r"'QV' is missing .* in 1 of 35 values, first at time 1"):
        read(tmp_path / "filled.nc", inputs={"q": "QV"})


def test_times_out_of_order_or_twice_are_refused(write):
    order = [0, 1, 3, 2, 4, 5, 6]
    with pytest.raises(ValueError, match=r"time does not increase: sample 3 .* comes before"):
        read(write(column().isel(time=order)))
    with pytest.raises(
        ValueError, match=r"sample 2 .* repeats the one before it, in 1 places; sort"
    ):
        read(write(column().isel(time=[0, 1, 1, 2]), "twice.nc"))


def test_files_of_other_times_are_not_merged(write):
    first = write(column().drop_vars("DTDT"), "state.nc")
    late = column()[["DTDT"]]
    late = late.assign_coords(time=("time", late.time.values + 1.0, late.time.attrs))
    with pytest.raises(ValueError, match=r"sample 0 is at time 2001-02-0\d.* in one file and"):
        read([first, write(late, "late.nc")])
    with pytest.raises(ValueError, match=r"7 samples and those that hold DTDT have 3"):
        read([first, write(column()[["DTDT"]].isel(time=slice(3)), "short.nc")])


def test_absent_names_offer_the_nearest(write, tmp_path):
    path = write(column())
    with pytest.raises(ValueError, match=r"'TEMPS' is not in column\.nc; did you mean 'TEMP'\?"):
        read(path, inputs={"T": "TEMPS"})
    with pytest.raises(ValueError, match=r"no dimension 'times' .*; did you mean 'time'\?"):
        read(path, sample="times")
    with pytest.raises(
        ValueError, match=r"inputs\.T has no setting 'unit'; did you mean 'units'\?"
    ):
        read(path, inputs={"T": {"variable": "TEMP", "unit": "K"}})
    with pytest.raises(FileNotFoundError, match=r"The nearest name is 'column\.nc'"):
        read(tmp_path / "colum.nc")
    with pytest.raises(ValueError, match="targets is empty"):
        read(path, targets={})


def test_the_start_can_be_skipped(write):
    assert len(read(write(column()), skip=2)) == TIMES - 2
    with pytest.raises(ValueError, match="skip is 7 and the files hold 7 samples"):
        read(write(column(), "again.nc"), skip=7)


def test_mass_follows_from_hybrid_interfaces(write):
    weights = {"a": "hyai", "b": "hybi", "reference_pressure": "P0", "surface_pressure": "PS"}
    mass = read(write(column()), weights=weights).weights
    # Level 0 at time 0: (0.1 - 0) * 1e5 + (0.1 - 0) * 1e5 = 2e4 Pa, over g.
    np.testing.assert_allclose(mass[0, 0, 0], 2e4 / 9.80665)
    # A column from the vacuum to the surface holds PS / g.
    np.testing.assert_allclose(mass[0].sum(axis=1), (1e5 + np.arange(TIMES)) / 9.80665)
    low = read(write(column(), "low.nc"), weights=weights | {"levels": [500, 1000]}).weights
    np.testing.assert_array_equal(low, mass[..., 2:])


def test_mass_from_interfaces_equals_mass_from_coefficients():
    file = column()
    whole = pressure_thickness(
        file, a="hyai", b="hybi", reference_pressure="P0", surface_pressure="PS", level="lev"
    )
    edges = file["hyai"] * 1e5 + file["hybi"] * file["PS"]
    given = pressure_thickness(file.assign(PINT=edges), interfaces="PINT", level="lev")
    np.testing.assert_allclose(given.transpose(*whole.dims), whole)


def test_mass_from_midpoints_adds_up_to_the_surface():
    # Midpoints at 100, 300, 700 Pa under 1000 Pa: interfaces 0, 200, 500, 1000.
    file = xr.Dataset({"P": ("lev", [100.0, 300.0, 700.0]), "PS": ((), 1000.0)})
    thickness = pressure_thickness(file, midpoints="P", surface_pressure="PS", level="lev")
    np.testing.assert_allclose(thickness, [200.0, 300.0, 500.0])
    upward = file.isel(lev=slice(None, None, -1))
    flipped = pressure_thickness(upward, midpoints="P", surface_pressure="PS", level="lev")
    np.testing.assert_allclose(flipped, [500.0, 300.0, 200.0])


def test_mass_needs_one_of_three_ways():
    with pytest.raises(ValueError, match="the mass of a level needs 'interfaces', or 'a', 'b'"):
        pressure_thickness(column(), surface_pressure="PS", level="lev")
    with pytest.raises(ValueError, match="wanted is one dimension of length levels"):
        pressure_thickness(column(), interfaces="PS", level="lev")


def test_stored_pairs_come_back_bit_for_bit(tmp_path):
    generator = np.random.default_rng(1)
    pairs = Pairs(
        inputs={"Z": generator.random((2, 6, 3)), "a": generator.random((2, 6)).astype("f4")},
        targets={"Z": generator.random((2, 6, 3)), "b": generator.random((2, 6, 4))},
        time=np.array([0.0, 0.1, 0.30000000000000004, 1.0, 2.0, 3.0]),
        passport=Passport("difference", dt=0.1, stepper_order=1, units=(("Z", "K s-1"),)),
        variables={"Z": Variable("Z", "K", ("k",), "depth"),
                   "b": Variable("b", "1", ("k",), "other levels")},
        warnings=("the target does not match", "another — line"),
        weights=generator.random((2, 6, 3)),
        coordinates={"k": np.array([0.1, 0.2, 0.7]), "lat": np.array([-45.0, 45.0])},
        static={"orography": generator.random((2, 5)).astype("f4")},
        given={"calendar": {"hour": generator.random(6), "sky": generator.random((6, 2))}},
    )  # fmt: skip
    save_pairs(tmp_path / "pairs.zarr", pairs)
    save_pairs(tmp_path / "pairs.zarr", pairs)  # replaces what is there
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.zarr"]
    for back in (load_pairs(tmp_path / "pairs.zarr"), read_pairs(tmp_path / "pairs.zarr")):
        assert list(back.inputs) == ["Z", "a"]
        assert list(back.targets) == ["Z", "b"]
        for side in ("inputs", "targets"):
            for name, values in getattr(pairs, side).items():
                np.testing.assert_array_equal(getattr(back, side)[name], values)
                assert getattr(back, side)[name].dtype == values.dtype
        np.testing.assert_array_equal(back.time, pairs.time)
        np.testing.assert_array_equal(back.weights, pairs.weights)
        about = (back.coordinates, back.static, back.given)
        for found, wanted in zip(
            jax.tree.leaves_with_path(about),
            jax.tree.leaves_with_path((pairs.coordinates, pairs.static, pairs.given)),
            strict=True,
        ):
            assert found[0] == wanted[0]
            np.testing.assert_array_equal(found[1], wanted[1], strict=True)
        assert (back.passport, back.variables, back.warnings) == (
            pairs.passport, dict(pairs.variables), pairs.warnings
        )  # fmt: skip


def test_another_store_is_not_taken_for_pairs(tmp_path):
    column().to_zarr(tmp_path / "run.zarr", consolidated=False)
    with pytest.raises(ValueError, match="holds no stored pairs"):
        load_pairs(tmp_path / "run.zarr")
    with pytest.raises(FileNotFoundError, match="wanted pairs written by save_pairs"):
        load_pairs(tmp_path / "absent.zarr")


def test_splitting_pairs_splits_their_weights(write):
    weights = {"a": "hyai", "b": "hybi", "reference_pressure": "P0", "surface_pressure": "PS"}
    training, held_out = read(write(column()), weights=weights).split(0.3, blocks=1)
    assert training.weights.shape == (1, 5, LEVELS)
    assert held_out.weights.shape == (1, 2, LEVELS)


GATE = {
    "inputs": {"T": "TBP", "Q": "QBP", "after": "T"},
    "targets": {
        "T_deep": "ZMDT",
        "T_snow": "EVAPTZM",
        "T_turbulence": {"variable": "STEND_CLUBB", "found": "W/kg", "units": "K/s",
                         "specific_heat": 1004.64},
        "T_clouds": {"variable": "MPDT", "found": "W/kg", "units": "K/s",
                     "specific_heat": 1004.64},
        "Q_deep": "ZMDQ",
    },
    "weights": {"a": "hyai", "b": "hybi", "reference_pressure": "P0", "surface_pressure": "PS"},
}  # fmt: skip


@pytest.fixture
def gate(data_file):
    names = ("scam_gate3_h1.nc", "scam_gate3_h2.nc")
    return read_pairs([data_file(name) for name in names], level="lev", **GATE)


def test_a_real_column_conserves_energy_in_deep_convection(gate):
    # What deep convection dries it heats: the column integrals of cp dT and L dq cancel.
    heating = (1004.64 * gate.targets["T_deep"] * gate.weights).sum(axis=-1)
    drying = (2.501e6 * gate.targets["Q_deep"] * gate.weights).sum(axis=-1)
    assert np.abs(heating).max() > 500.0  # [W m-2]
    np.testing.assert_allclose(heating, -drying, atol=0.5)


def test_a_real_column_moves_by_its_own_tendencies(gate):
    # A leapfrog step: physics acts over 2 x 1200 s. The first three steps start it up.
    change = (gate.inputs["after"] - gate.inputs["T"])[0, 3:] / 2400.0
    total = sum(gate.targets[n] for n in gate.targets if n.startswith("T_"))[0, 3:]
    explained = 1 - np.mean((change - total) ** 2) / np.var(change)
    assert explained > 0.95
    late = 1 - np.mean((change[1:] - total[:-1]) ** 2) / np.var(change[1:])
    assert late < explained  # the two files are aligned


def test_levels_that_do_not_change_in_time_take_the_surface_pressure_of_each_time():
    # Midpoints 300 and 700 hPa: interfaces 100, 500 and the ground at 900 or 1000 hPa.
    file = xr.Dataset(
        {"p": ("lev", [3e4, 7e4]), "ps": ("time", [9e4, 1e5])}, {"lev": [300.0, 700.0]}
    )
    thickness = pressure_thickness(file, midpoints="p", surface_pressure="ps", level="lev")
    np.testing.assert_allclose(thickness.transpose("time", "lev"), [[4e4, 4e4], [4e4, 5e4]])
