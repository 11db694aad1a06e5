import jax
import numpy as np
import pytest
import xarray as xr

import closura as cl
from closura.models.lorenz96 import Lorenz96State

MODEL = cl.Lorenz96(K=7, dt=0.05)


@pytest.fixture(scope="module")
def run():
    return cl.simulate(MODEL, duration=2.0, spinup=1.0, every=0.05, key=jax.random.key(1))


def test_a_network_sees_every_second_point_with_noise(run, key):
    network = cl.Observe(variables=("X",), every=0.1, stride=2, noise=0.01)
    twin = cl.observe(run, network, key=key)
    assert twin.sizes == (20, 4)
    np.testing.assert_allclose(twin.time, 0.1 * np.arange(1, 21))
    np.testing.assert_allclose(twin.values, run.X.values[0, 1::2, ::2], atol=0.05)
    assert twin.variance.tolist() == pytest.approx([1e-4] * 4)
    assert twin.operator.positions(MODEL).ravel().tolist() == [0, 2, 4, 6]


def test_noise_has_its_deviation(key):
    times = np.arange(1.0, 3001.0)
    run = xr.Dataset({"X": (("time", "k"), np.zeros((3000, 7)))}, {"time": times})
    twin = cl.observe(run, cl.Observe(variables=("X",), every=1.0, noise=2.0), key=key)
    assert abs(twin.values.std() - 2.0) < 3 * 2.0 / np.sqrt(2 * twin.values.size)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"every": 0.07}, r"every is 0.07 and the run is saved at 0.05, 0.1, \.\.\. 2"),
        ({"variables": ("Z",)}, "variables names 'Z'; the run holds X"),
        ({"noise": 0.0}, r"noise is 0.0; the error of an observation must be positive"),
        ({"variables": ()}, r"variables is \(\); give one name or more"),
    ],
)
def test_an_impossible_network_is_refused(run, key, settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        cl.observe(run, cl.Observe(**({"variables": ("X",), "every": 0.1} | settings)), key=key)


def test_rows_of_a_table_become_observations(tmp_path):
    path = tmp_path / "seen.csv"
    # Rows unsorted, times irregular, one place between points and one across the ring's end.
    path.write_text("time,place,value,error\n0.3,6.25,5,0.5\n0.1,2,1,1\n0.1,6.25,3,2\n")
    seen = cl.read_observations(path, model=MODEL, variable="X")
    assert seen.time.tolist() == [0.1, 0.3]
    np.testing.assert_array_equal(seen.values, [[1, 3], [np.nan, 5]])
    assert seen.variance[[0, 0, 1], [0, 1, 1]].tolist() == [1, 4, 0.25]
    X = jax.numpy.arange(7.0) ** 2
    # 6.25 lies a quarter of the way from point 6 (36) to point 0 (0).
    np.testing.assert_allclose(seen.operator(Lorenz96State(X)), [4, 27])
    np.testing.assert_allclose(seen.operator.positions(MODEL)[:, 0], [2, 6.25])


def test_a_netcdf_file_is_read_under_its_own_names(tmp_path):
    columns = {"t": [0.1, 0.2], "where": [1.0, 3.5], "level": [2.0, 4.0], "sd": [0.1, 0.2]}
    path = tmp_path / "seen.nc"
    xr.Dataset({name: ("row", values) for name, values in columns.items()}).to_netcdf(path)
    names = {"time": "t", "place": "where", "value": "level", "error": "sd"}
    seen = cl.read_observations(path, model=MODEL, variable="X", names=names)
    np.testing.assert_array_equal(seen.values, [[2, np.nan], [np.nan, 4]])


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("0.1,9,1,1", "place 9 lies outside the domain of 'X', 0 to 7"),
        ("0.1,2,1,0", "error is 0 in row 1"),
        ("0.1,2,x,1", "line 2: value is 'x'; wanted is a number"),
        ("0.1,2,1,1\n0.1,2,3,1", r"several values at time 0.1 and place 2"),
        ("", "has no 'time'; it has no rows"),
    ],
)
def test_bad_rows_are_refused(tmp_path, rows, complaint):
    path = tmp_path / "seen.csv"
    path.write_text(f"time,place,value,error\n{rows}\n")
    with pytest.raises(ValueError, match=complaint):
        cl.read_observations(path, model=MODEL, variable="X")
