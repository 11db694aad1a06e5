"""Analyses on pressure levels become states of a model, and runs go back to pressure levels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import closura as cl
from closura.data.atmosphere import (
    analysis_state,
    read_orography,
    reference_fields,
    to_pressure_levels,
)
from closura.data.border import to_dataset
from closura.data.pressure_levels import read_pressure_levels
from closura.grids.sphere import GAS_CONSTANT, GRAVITY

LEVELS = np.array([20.0, 70.0, 150.0, 300.0, 500.0, 700.0, 850.0, 925.0, 1000.0])  # [hPa]
ISOTHERMAL = 280.0  # [K]
SCALE = GAS_CONSTANT * ISOTHERMAL / GRAVITY  # [m] height over which pressure falls by 1 / e


@pytest.fixture(scope="module")
def model():
    return cl.PrimitiveEquations(levels=5)


def analysis(levels=LEVELS, latitudes=19, longitudes=36) -> xr.Dataset:
    """Air of 280 K in solid rotation, u = 20 cos(lat) log(p0 / p); p = 1010 hPa at z = 0."""
    lat, lon = np.linspace(-90, 90, latitudes), np.arange(longitudes) * 360 / longitudes
    logarithm = np.log(1010.0 / levels)[:, None, None]
    ones = np.ones((len(levels), latitudes, longitudes))
    dims = ("lev", "lat", "lon")
    return xr.Dataset(
        {
            "U": (dims, 20 * logarithm * np.cos(np.radians(lat))[:, None] * ones, {"units": "m/s"}),
            "V": (dims, 0 * ones, {"units": "m/s"}),
            "T": (dims, ISOTHERMAL * ones, {"units": "K"}),
            "Z3": (dims, SCALE * logarithm * ones, {"units": "meters"}),
            "PS": (dims[1:], 1010.0 * ones[0], {"units": "millibars"}),
        },
        {"lev": ("lev", levels, {"units": "millibars"}), "lat": lat, "lon": lon},
    )


def largest(found, wanted) -> float:
    return float(np.abs(np.asarray(found) - np.asarray(wanted)).max())


def test_an_analysis_is_interpolated_to_grid_and_levels(model):
    fields = reference_fields(model, analysis())
    # Below 1000 hPa the height of the ground is found with a lapse of 6.5 K / km over 80 m.
    assert largest(fields.surface_pressure, 1.01e5) < 15
    # u = 20 cos(lat) log(1 / sigma), resolved by the model, linear in log p between levels.
    latitude, sigma = model.coordinates["lat"], model.coordinates["level"]
    wanted = 20 * np.log(1 / sigma)[:, None] * np.cos(np.radians(latitude))
    # Bilinear between latitudes 10 degrees apart: (pi / 18)^2 / 8 of the curvature, 0.4 %.
    assert largest(fields.u.mean(axis=-1), wanted) < 0.006 * wanted.max()
    assert largest(fields.temperature[:4], ISOTHERMAL) < 0.1
    assert isinstance(fields.u, np.ndarray)


def test_the_ground_of_the_model_decides_on_surface_pressure():
    model = cl.PrimitiveEquations(levels=5, orography={"bell": {"width": 30.0}})
    found = reference_fields(model, analysis()).surface_pressure
    wanted = 1.01e5 * np.exp(-np.asarray(model.orography) / SCALE)
    assert largest(found, wanted) < 60  # [Pa] linear in log p is exact in such air; 0 is truncated
    flat = analysis().drop_vars("Z3")
    assert largest(reference_fields(model, flat).surface_pressure, 1.01e5) < 1e-3


def test_the_ground_of_an_analysis_is_where_its_surface_pressure_lies(model):
    file = analysis()
    file["PS"] = file["PS"] * np.exp(-1200.0 / SCALE)
    np.testing.assert_allclose(read_orography(model, file), 1200.0, atol=1e-6)


def test_order_of_dimensions_levels_latitudes_and_longitudes_is_free(model):
    plain = reference_fields(model, analysis())
    file = analysis().roll(lon=18, roll_coords=True)
    file = file.assign_coords(lon=(file["lon"].values + 180) % 360 - 180)  # -180 ... 170
    turned = file.isel(lev=slice(None, None, -1), lat=slice(None, None, -1)).transpose()
    found = reference_fields(model, turned.expand_dims(time=2), time=1)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), plain, found)


@pytest.mark.parametrize("unit", ["Pa", "hPa", "millibars", "mb", None])
def test_pressure_comes_in_many_units(unit):
    file = analysis()
    values = LEVELS * 100 if unit == "Pa" else LEVELS
    attrs = {} if unit is None else {"units": unit}
    file = file.assign_coords(lev=("lev", values, attrs))
    np.testing.assert_allclose(read_pressure_levels(file)["level"], LEVELS * 100)


def test_geopotential_becomes_height():
    file = analysis()
    file["z"] = (file["Z3"] * GRAVITY).assign_attrs(units="m**2 s**-2")
    found = read_pressure_levels(file.drop_vars("Z3"))["height"]
    np.testing.assert_allclose(found, file["Z3"], rtol=1e-12)


def test_both_fill_values_of_a_file_are_gaps_that_levels_above_fill(model, tmp_path):
    file = analysis()
    file["T"][-1, 4:9, 3:7] = -999.0
    file["T"][-2:, 10, 20] = 1e36
    file["U"][-1, 2, 2] = -999.0
    for name in ("T", "U"):
        file[name].attrs |= {"missing_value": np.float64(-999.0), "_FillValue": np.float64(1e36)}
    path = tmp_path / "two_fill_values.nc"
    file.to_netcdf(path)
    found = read_pressure_levels(path)
    assert int(np.isnan(found["temperature"]).sum()) == 5 * 4 + 2
    plain = reference_fields(model, analysis())
    assert largest(reference_fields(model, path).temperature, plain.temperature) < 1e-9


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.drop_vars("V"), r"no 'v' in the file \(looked for v, v_component_of_wind, V"),
        (lambda f: f.drop_attrs(), "'U' has no units; say so in the file"),
        (lambda f: f.isel(lat=0), "none is lat; rename it with dataset.rename"),
        (lambda f: f.drop_vars("lat"), "'U' has no coordinate for 'lat'"),
        (lambda f: f.where(f["lev"] != 500.0), "u is missing on the whole level 500 hPa; leave"),
        (lambda f: f.drop_vars(["Z3", "PS"]), "neither heights .* nor surface pressure"),
        (lambda f: f.assign(T=f["T"].assign_attrs(units="m/s")), "cannot convert 'm/s'"),
    ],
)
def test_what_a_file_lacks_is_said_in_one_line(model, spoil, message):
    file = analysis()
    with xr.set_options(keep_attrs=True), pytest.raises(ValueError, match=message) as refusal:
        analysis_state(model, spoil(file))
    assert "\n" not in str(refusal.value)


def test_a_model_without_levels_is_refused():
    with pytest.raises(TypeError, match="Lorenz96 has no levels and no grid on a sphere"):
        analysis_state(cl.Lorenz96(), analysis())


def test_a_coupled_model_takes_the_same_analysis(model):
    state = analysis_state(cl.couple(model, cl.Zero()), analysis())
    jax.tree.map(np.testing.assert_array_equal, state, analysis_state(model, analysis()))


def test_a_run_on_pressure_levels_has_gaps_below_the_ground_and_above_the_top(model):
    fields = reference_fields(model, analysis())
    stacked = jax.tree.map(lambda x: jnp.asarray(x)[None], fields)
    run = to_dataset(model, stacked, time=[0.0])
    run["surface_pressure"] = run["surface_pressure"].where(
        (run["lat"] != run["lat"][5]) | (run["lon"] != run["lon"][6]), 8e4
    )
    found = to_pressure_levels(run, [5e3, 2e4, 5e4, 9.3e4])
    assert found["u"].dims == ("time", "pressure", "lat", "lon")
    assert np.isnan(found["u"][0, 0]).all()  # the highest level is at 101 hPa
    assert np.isnan(found["u"][0, 3, 5, 6]) and int(np.isnan(found["u"][0, 3]).sum()) == 1
    # The lowest level is at 909 hPa: from there to the ground it is constant.
    np.testing.assert_allclose(found["u"][0, 3, 7], run["u"][0, -1, 7], atol=1e-9)
    latitude = np.cos(np.radians(model.coordinates["lat"]))
    wanted = 20 * np.log(1.01e5 / 2e4) * latitude  # curved between sigma 0.1 and 0.3 by nothing
    row = found["u"][0, 1].mean("lon")
    assert largest(row[8:-8], wanted[8:-8]) < 0.01 * wanted.max()


def test_pressures_in_hpa_are_found_out(model):
    with pytest.raises(ValueError, match="the dataset has no 'surface_pressure'"):
        to_pressure_levels(xr.Dataset({"u": ("level", [1.0])}, {"level": [0.5]}), [5e4])


@pytest.mark.parametrize("name", ["era5_tl31_19590102T00.nc", "NCEP_06_climo.nc"])
def test_a_real_analysis_runs(model, data_file, name):
    fields = reference_fields(model, data_file(name))
    assert 9.4e4 < fields.surface_pressure.min() < fields.surface_pressure.max() < 1.08e5
    assert 180 < fields.temperature.min() < fields.temperature.max() < 320
    jets = fields.u[1].mean(axis=-1)  # at sigma 0.3
    winter = jets[16:] if name.startswith("era5") else jets[:16]
    assert 20 < winter.max() < 40
