"""States to Datasets and back: the identity, and every check on the way in."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import closura as cl
from closura.data.border import from_dataset, to_dataset

LATITUDES = np.array([-60.0, -20.0, 0.0, 30.0, 70.0])


class Air(NamedTuple):
    temperature: jax.Array
    humidity: jax.Array
    surface_pressure: jax.Array


class Atmosphere(cl.AbstractODE):
    """Three levels, 5 x 7 points: everything decays."""

    dt: ClassVar[float] = 600.0
    stepper: ClassVar = cl.Euler()

    @property
    def variables(self):
        grid = ("lat", "lon")
        return (
            cl.Variable("temperature", "K", ("level", *grid), "air temperature"),
            cl.Variable("humidity", "kg/kg", ("level", *grid), "specific humidity"),
            cl.Variable("surface_pressure", "Pa", grid, "surface pressure"),
        )

    @property
    def coordinates(self):
        return {"lat": LATITUDES}

    def initial_state(self, key):
        noise = jax.random.normal(key, (3, 5, 7))
        return Air(280 + noise, 0.01 + 0 * noise.astype(jnp.float32), 1e5 + noise[0])

    def tendency(self, state, inputs=None):
        return jax.tree.map(lambda x: -1e-6 * x, state)


def recorded(members: int | None = None, times: int = 4):
    """Fields (time, *dims) or (time, *dims, members) of random numbers, and the dataset."""
    model, numbers = Atmosphere(), np.random.default_rng(0)
    state = model.initial_state(jax.random.key(0))
    extra = () if members is None else (members,)
    fields = jax.tree.map(
        lambda a: numbers.normal(size=(times, *a.shape, *extra)).astype(a.dtype), state
    )
    return model, fields, to_dataset(model, fields, time=600.0 * np.arange(1, times + 1))


def same_bits(one, other) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("time", [0, 2, -1])
def test_states_to_dataset_to_states_is_the_identity(time):
    model, fields, dataset = recorded()
    found = from_dataset(model, dataset, time=time)
    assert type(found) is Air
    assert same_bits(found, jax.tree.map(lambda a: a[time], fields))


def test_members_travel_from_the_last_axis_to_the_first_and_back():
    model, fields, dataset = recorded(members=2)
    assert dataset["temperature"].dims == ("member", "time", "level", "lat", "lon")
    assert same_bits(from_dataset(model, dataset), jax.tree.map(lambda a: a[-1], fields))
    one = from_dataset(model, dataset, time=1, member=1)
    assert same_bits(one, jax.tree.map(lambda a: a[1, ..., 1], fields))


def test_identity_holds_through_a_file(tmp_path):
    model, fields, dataset = recorded(members=2)
    dataset.to_netcdf(tmp_path / "run.nc")
    with xr.open_dataset(tmp_path / "run.nc", decode_timedelta=False) as stored:
        assert same_bits(from_dataset(model, stored, time=2), jax.tree.map(lambda a: a[2], fields))


def test_dataset_says_units_names_and_coordinates():
    model, _, dataset = recorded()
    assert dataset["temperature"].attrs == {"units": "K", "long_name": "air temperature"}
    np.testing.assert_array_equal(dataset["lat"], LATITUDES)
    np.testing.assert_array_equal(dataset["lon"], np.arange(7))
    assert dataset["time"].attrs["units"] == "s"
    ring = cl.Lorenz96(K=5)
    assert to_dataset(ring, {"X": np.zeros((2, 5))}, time=[1, 2])["time"].attrs == {
        "units": "1", "long_name": "time [model time units]",
    }  # fmt: skip
    rates = to_dataset(model, {"temperature_tendency": np.zeros((1, 3, 5, 7))}, time=0.0)
    assert rates["temperature_tendency"].attrs["units"] == "K s-1"


def test_dimensions_in_another_order_are_transposed():
    model, fields, dataset = recorded(members=2)
    turned = dataset.transpose("lon", "time", "lat", "member", "level")
    assert same_bits(from_dataset(model, turned, time=0), jax.tree.map(lambda a: a[0], fields))


def test_latitudes_in_reverse_are_turned_round():
    model, fields, dataset = recorded()
    turned = dataset.isel(lat=slice(None, None, -1))
    assert same_bits(from_dataset(model, turned, time=0), jax.tree.map(lambda a: a[0], fields))


def test_other_latitudes_are_refused():
    model, _, dataset = recorded()
    with pytest.raises(ValueError, match=r"has lat -50\.0 \.\.\. 80\.0; Atmosphere wants -60\.0"):
        from_dataset(model, dataset.assign_coords(lat=LATITUDES + 10))


def test_big_endian_values_are_read():
    model, fields, dataset = recorded()
    swapped = dataset.map(lambda a: a.astype(a.dtype.newbyteorder(">")), keep_attrs=True)
    assert same_bits(from_dataset(model, swapped), jax.tree.map(lambda a: a[-1], fields))


def test_wrong_units_say_how_to_convert():
    model, _, dataset = recorded()
    dataset["temperature"].attrs["units"] = "degC"
    with pytest.raises(ValueError) as caught:
        from_dataset(model, dataset)
    assert str(caught.value) == (
        "'temperature' has units 'degC'; Atmosphere wants 'K'. "
        'Pass units={"temperature": "degC"} to convert on reading.'
    )
    found = from_dataset(model, dataset, units={"temperature": "degC"})
    np.testing.assert_allclose(found.temperature, dataset["temperature"][-1] + 273.15)


def test_missing_units_are_asked_for():
    model, _, dataset = recorded()
    del dataset["surface_pressure"].attrs["units"]
    with pytest.raises(ValueError, match="'surface_pressure' has no units; Atmosphere wants 'Pa'"):
        from_dataset(model, dataset)


def test_another_spelling_of_the_unit_is_accepted():
    model, fields, dataset = recorded()
    dataset["humidity"].attrs["units"] = "kg kg-1"
    assert same_bits(from_dataset(model, dataset), jax.tree.map(lambda a: a[-1], fields))


def test_missing_variable_names_its_neighbour():
    model, _, dataset = recorded()
    with pytest.raises(ValueError, match=r"no 'temperature'.*did you mean 'temperatures'"):
        from_dataset(model, dataset.rename(temperature="temperatures"))
    with pytest.raises(ValueError, match=r"no 'humidty'.*did you mean 'humidity'"):
        to_dataset(model, {"humidty": np.zeros((1, 3, 5, 7))}, time=0.0)


def test_wrong_dimensions_and_sizes_are_refused():
    model, _, dataset = recorded()
    with pytest.raises(ValueError, match=r"has dimensions \(level, y, lon\); Atmosphere wants"):
        from_dataset(model, dataset.rename(lat="y"))
    with pytest.raises(ValueError, match=r"has shape \(3, 5, 6\); Atmosphere wants \(3, 5, 7\)"):
        from_dataset(model, dataset.isel(lon=slice(6)))
    with pytest.raises(ValueError, match="time is 9 and the dataset holds 4"):
        from_dataset(model, dataset, time=9)
    with pytest.raises(ValueError, match=r"'humidity' has shape \(2, 3\); Atmosphere wants \(time"):
        to_dataset(model, {"humidity": np.zeros((2, 3))}, time=[0.0, 1.0])
    with pytest.raises(ValueError, match="'lat' of Atmosphere has shape"):
        to_dataset(model, {"surface_pressure": np.zeros((1, 4, 7))}, time=0.0)
