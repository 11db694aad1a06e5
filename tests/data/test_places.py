"""Columns of any model's files know where they are, whatever their coordinates are called."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import closura as cl


def write(path, *, rows=(-40.0, 0.0, 40.0), levels=(100.0, 500.0, 900.0)):
    """Write temperatures and a heating that is linear in them and in the sine of latitude."""
    draw = np.random.default_rng(0)
    dims = ("time", "lev", "latitude", "longitude")
    state = 250 + 10 * draw.normal(size=(30, 3, 3, 4))
    heating = 1e-5 * (250 - state) + 1e-5 * np.sin(np.radians(np.array(rows)))[:, None]
    xr.Dataset(
        {"T": (dims, state, {"units": "K"}), "Q": (dims, heating, {"units": "K s-1"})},
        {
            "time": np.datetime64("2003-03-01", "ns") + np.arange(30) * np.timedelta64(6, "h"),
            "lev": ("lev", list(levels), {"units": "hPa"}),
            "latitude": ("latitude", list(rows), {"units": "degrees_north"}),
            "longitude": ("longitude", [0.0, 90, 180, 270], {"units": "degrees_east"}),
        },
    ).to_netcdf(path)
    return path


SIDES = {"inputs": {"T": "T"}, "targets": {"T": "Q"}, "level": ["lev", "latitude", "longitude"]}


def test_columns_of_a_global_file_know_their_latitude(tmp_path):
    pairs = cl.read_pairs(write(tmp_path / "all.nc"), **SIDES)
    assert pairs.inputs["T"].shape == (1, 30, 3, 3, 4)
    np.testing.assert_array_equal(pairs.coordinates["lat"], [-40, 0, 40])
    assert set(pairs.coordinates) == {"level", "lat", "lon"}
    assert pairs.variables["T"].dims == ("level", "lat", "lon")
    closure = cl.Linear(features=cl.Column()).fit(pairs, key=jax.random.key(0))
    found = closure.tendency({"T": jnp.asarray(pairs.inputs["T"][0, 3])})["T"]
    np.testing.assert_allclose(found, pairs.targets["T"][0, 3], rtol=1e-4, atol=1e-9)


def test_columns_side_by_side_know_their_place_each(tmp_path):
    with xr.open_dataset(write(tmp_path / "all.nc")) as file:
        flat = file.stack(ncol=("latitude", "longitude"))
        lat, lon = (flat[name].values for name in ("latitude", "longitude"))
        flat = flat.drop_vars(["ncol", "latitude", "longitude"])
        flat["clat"] = ("ncol", lat, {"units": "degrees_north"})
        flat["clon"] = ("ncol", lon, {"units": "degrees_east"})
        flat.to_netcdf(tmp_path / "flat.nc")
    pairs = cl.read_pairs(tmp_path / "flat.nc", **(SIDES | {"level": ["lev", "ncol"]}))
    assert pairs.inputs["T"].shape == (1, 30, 3, 12)
    np.testing.assert_array_equal(pairs.coordinates["lat"], np.repeat([-40.0, 0, 40], 4))
    closure = cl.Linear(features=cl.Column()).fit(pairs, key=jax.random.key(0))
    found = closure.tendency({"T": jnp.asarray(pairs.inputs["T"][0, 3])})["T"]
    np.testing.assert_allclose(found, pairs.targets["T"][0, 3], rtol=1e-4, atol=1e-9)


def test_files_that_run_the_other_way_are_warned_of(tmp_path):
    path = write(tmp_path / "odd.nc", rows=(40.0, 0.0, -40.0), levels=(900.0, 500.0, 100.0))
    pairs = cl.read_pairs(path, **SIDES)
    assert "lev begins at the ground (900 ... 100); levels count from" in pairs.warnings[0]
    assert "latitude runs from 40 to -40, southward" in pairs.warnings[1]


@pytest.mark.parametrize("name", ["time", "lev"])
def test_usual_order_is_no_warning(tmp_path, name):
    assert cl.read_pairs(write(tmp_path / f"{name}.nc"), **SIDES).warnings == ()
