from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import closura as cl
from closura.data.border import to_dataset
from closura.models.lorenz96 import Lorenz96State, TwoScaleState

MODEL = cl.Lorenz96(K=7, dt=0.05)


class Wind(NamedTuple):
    """A wind on a grid of 4 latitudes and 6 longitudes, and its temperature."""

    u: jax.Array
    v: jax.Array
    T: jax.Array


LATITUDE, LONGITUDE = np.array([-60.0, -20.0, 20.0, 60.0]), np.arange(0.0, 360.0, 60.0)


class Globe(cl.AbstractModel):
    """A model of the wind that stays as it is."""

    dt: float = 3600.0

    @property
    def variables(self):
        return tuple(
            cl.Variable(name, units, ("lat", "lon"), name)
            for name, units in (("u", "m s-1"), ("v", "m s-1"), ("T", "K"))
        )

    @property
    def places(self):
        longitude, latitude = np.meshgrid(LONGITUDE, LATITUDE)
        grid = np.stack([longitude, latitude], axis=-1)
        return {"u": grid, "v": grid, "T": grid}

    @property
    def sphere_radius(self):
        return 6371.0

    def initial_state(self, key):
        return Wind(*jax.random.normal(key, (3, 4, 6)))

    def start(self, state, key=None, inputs=None):
        return cl.Snapshot(state, jnp.asarray(0, jnp.int32), ())

    def step(self, snapshot, inputs=None, key=None):
        return snapshot._replace(step=snapshot.step + 1)


PLACE = {"place": ("lon", "lat")}
STATE = Wind(*np.random.default_rng(0).normal(size=(3, 4, 6)))


def written(tmp_path, text):
    path = tmp_path / "seen.csv"
    path.write_text(text)
    return path


def test_rows_of_a_table_become_observations(tmp_path):
    # Rows unsorted, times irregular, one place between points and one across the ring's end.
    path = written(tmp_path, "time,place,value,error\n0.3,6.25,5,0.5\n0.1,2,1,1\n0.1,6.25,3,2\n")
    seen = cl.read_observations(path, model=MODEL, variable="X")
    assert seen.time.tolist() == [0.1, 0.3]
    np.testing.assert_array_equal(seen.values, [[1, 3], [np.nan, 5]])
    assert seen.variance[[0, 0, 1], [0, 1, 1]].tolist() == [1, 4, 0.25]
    X = jnp.arange(7.0) ** 2
    # 6.25 lies a quarter of the way from point 6 (36) to point 0 (0).
    np.testing.assert_allclose(seen.operator(Lorenz96State(X)), [4, 27])
    np.testing.assert_allclose(seen.operator.positions(MODEL)[:, 0], [2, 6.25])
    np.testing.assert_allclose(seen.positions[:, 0], [2, 6.25])


def test_a_netcdf_file_is_read_under_its_own_names(tmp_path):
    columns = {"t": [0.1, 0.2], "where": [1.0, 3.5], "level": [2.0, 4.0], "sd": [0.1, 0.2]}
    path = tmp_path / "seen.nc"
    xr.Dataset({name: ("row", values) for name, values in columns.items()}).to_netcdf(path)
    names = {"time": "t", "place": "where", "value": "level", "error": "sd"}
    seen = cl.read_observations(path, model=MODEL, variable="X", names=names)
    np.testing.assert_array_equal(seen.values, [[2, np.nan], [np.nan, 4]])


def test_a_column_names_the_variable_of_each_row(tmp_path):
    model = cl.Lorenz96TwoScale(K=5, J=4)
    rows = "0.1,Y,2.125,0.3,0.1\n0.1,X,3,7,1\n0.2,X,0.5,6,2\n"
    path = written(tmp_path, "time,variable,place,value,error\n" + rows)
    seen = cl.read_observations(path, model=model)
    # Ordered by variable, then place: X at 0.5 and 3, Y at 2.125, its point 4 x 2 + 2.
    np.testing.assert_array_equal(seen.values, [[np.nan, 7, 0.3], [6, np.nan, np.nan]])
    state = TwoScaleState(10.0 + jnp.arange(5), jnp.arange(20.0))
    np.testing.assert_allclose(seen.operator(state), [10.5, 13, 10])


def test_places_on_a_globe_are_interpolated_in_both_coordinates(tmp_path):
    # Longitude -15 is 345, three quarters from 300 to 360; latitude 10, three quarters up.
    path = written(tmp_path, "time,lon,lat,value,error\n3600,-15,10,1,1\n")
    seen = cl.read_observations(path, model=Globe(), variable="u", names=PLACE, units="m s-1")
    corners = STATE.u[1:3, [5, 0]]
    wanted = np.array([0.25, 0.75]) @ corners @ np.array([0.25, 0.75])
    np.testing.assert_allclose(seen.operator(STATE), [wanted])
    np.testing.assert_allclose(seen.positions, [[-15, 10]])


def test_the_speed_of_a_wind_is_observed(tmp_path):
    path = written(tmp_path, "time,lon,lat,value,error\n3600,60,20,5,1\n7200,300,-60,4,1\n")
    seen = cl.read_observations(
        path, model=Globe(), variable=("u", "v"), names=PLACE, operator=jnp.hypot
    )
    wanted = np.hypot([STATE.u[2, 1], STATE.u[0, 5]], [STATE.v[2, 1], STATE.v[0, 5]])
    np.testing.assert_allclose(seen.operator(STATE), wanted)


def test_a_wind_is_found_from_its_speed_and_localised_on_the_sphere(tmp_path, key):
    rows = [
        f"3600,{x},{y},{np.hypot(STATE.u[j, i], STATE.v[j, i])},0.01"
        for j, y in enumerate(LATITUDE) for i, x in enumerate(LONGITUDE)
    ]  # fmt: skip
    path = written(tmp_path, "time,lon,lat,value,error\n" + "\n".join(rows))
    seen = cl.read_observations(
        path, model=Globe(), variable=("u", "v"), names=PLACE, operator=jnp.hypot
    )
    climate = Wind(*np.random.default_rng(1).normal(size=(3, 9, 4, 6)))
    run = to_dataset(Globe(), climate, time=np.arange(9.0))
    noise = 0.7 + 0.5 * jax.random.normal(key, (3, 4, 6, 30))
    near = [x[..., None] + n for x, n in zip(STATE, noise, strict=True)]
    solver = cl.LETKF(members=30, radius=1000.0, convention="half-width")
    found = cl.assimilate(Globe(), seen, solver, climatology=run, initial=Wind(*near), key=key)
    before, after = (
        np.hypot(found[f"{kind}_u"].values, found[f"{kind}_v"].values) - np.hypot(STATE.u, STATE.v)
        for kind in ("forecast", "analysis")
    )
    assert np.sqrt((after**2).mean()) < 0.5 * np.sqrt((before**2).mean())


@pytest.mark.parametrize("how", ["stated", "declared"])
def test_units_are_converted_and_errors_have_no_offset(tmp_path, how):
    columns = {"time": [3600.0], "lon": [60.0], "lat": [20.0], "value": [25.0], "error": [2.0]}
    data = xr.Dataset({name: ("row", values) for name, values in columns.items()})
    path, units = tmp_path / "seen.nc", "degC"
    if how == "stated":
        data["value"].attrs["units"], units = "degC", {"T": "degC"}
    data.to_netcdf(path)
    seen = cl.read_observations(path, model=Globe(), variable="T", names=PLACE, units=units)
    np.testing.assert_allclose([seen.values[0, 0], seen.variance[0, 0]], [298.15, 4.0])


def test_other_units_than_the_models_are_refused(tmp_path):
    columns = {"time": [3600.0], "lon": [60.0], "lat": [20.0], "value": [25.0], "error": [2.0]}
    data = xr.Dataset({name: ("row", values) for name, values in columns.items()})
    data["value"].attrs["units"] = "degC"
    data.to_netcdf(tmp_path / "seen.nc")
    with pytest.raises(ValueError, match=r"values of 'T' have units 'degC'; Globe wants 'K'. Pass"):
        cl.read_observations(tmp_path / "seen.nc", model=Globe(), variable="T", names=PLACE)
    data["time"].attrs["units"] = "hours"
    data.to_netcdf(tmp_path / "hours.nc")
    with pytest.raises(
        ValueError, match=r"hours.nc: time has units 'hours'; Globe wants 's', coun"
    ):
        cl.read_observations(tmp_path / "hours.nc", model=Globe(), variable="T", names=PLACE)


def test_values_without_units_are_refused_where_the_model_has_some(tmp_path):
    path = written(tmp_path, "time,lon,lat,value,error\n3600,60,20,5,1\n")
    with pytest.raises(
        ValueError, match=r"values of 'T' have no units; Globe wants 'K'\. Pass uni"
    ):
        cl.read_observations(path, model=Globe(), variable="T", names=PLACE)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("0.1,9,1,1", "place 9 lies outside the domain of 'X', 0 to 7"),
        ("0.1,2,1,0", "error is 0 in row 1"),
        ("0.1,2,x,1", "line 2: value is 'x'; wanted is a number"),
        ("0.1,2,1,1\n0.1,2,3,1", r"several values at time 0.1 and place 2"),
        ("", "has no 'time'; it has no rows"),
        ("0,2,1,1", "time begins at 0; a run starts at 0"),
    ],
)
def test_bad_rows_are_refused(tmp_path, rows, complaint):
    path = written(tmp_path, f"time,place,value,error\n{rows}\n")
    with pytest.raises(ValueError, match=complaint):
        cl.read_observations(path, model=MODEL, variable="X")


@pytest.mark.parametrize(
    ("header", "settings", "complaint"),
    [
        (
            "time,place,value",
            {},
            r"seen.csv has no 'error'; it has time, place, value\. Say what it",
        ),
        ("time,place,value,error", {"variable": "Z"}, "observes 'Z', which Lorenz96 does not have"),
        ("time,place,value,error", {"names": {"plaec": "x"}}, "names says what 'plaec' is called"),
        ("time,place,value,error", {"variable": ("X", "X")}, r"variable is \('X', 'X'\); several"),
        ("time,place,value,error", {"operator": jnp.abs}, "operator is given and variable is None"),
        (
            "time,place,value,error",
            {"names": {"place": ("time", "place")}},
            "'X' has 1 coordinates, and the observations have 2; name as many columns",
        ),
    ],
)
def test_bad_columns_and_settings_are_refused(tmp_path, header, settings, complaint):
    path = written(
        tmp_path, header + "\n" + ",".join(["0.1", "2", "1", "1"][: header.count(",") + 1])
    )
    with pytest.raises(ValueError, match=complaint):
        cl.read_observations(path, model=MODEL, **settings)


def test_a_model_of_several_variables_wants_one_named(tmp_path):
    path = written(tmp_path, "time,place,value,error\n0.1,2,1,1\n")
    with pytest.raises(
        ValueError, match=r"has no column 'variable' and variable is None; name what"
    ):
        cl.read_observations(path, model=cl.Lorenz96TwoScale(K=5, J=4))
