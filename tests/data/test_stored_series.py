"""States in files as inputs: read as the run goes on, checked before it begins."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import closura as cl
from box import Box
from closura.data import stored_series

KEY = jax.random.key(5)
HOURS = 3600.0


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """A run of Lorenz-96, 41 instants 0.1 apart."""
    path = tmp_path_factory.mktemp("truth") / "truth.zarr"
    return path, cl.simulate(ring(), duration=4.1, every=0.1, key=KEY, path=path, chunk=8)


def ring():
    return cl.Lorenz96(K=7, dt=0.01)


def nudged(**settings):
    return cl.couple(ring(), cl.Nudging({"X": 0.2}), at="step", record=True, **settings)


def nudged_run(inputs, **settings):
    asked = {"duration": 3.0, "every": 0.1, "key": KEY, "recorded": True, "spinup": 0.5}
    return cl.simulate(nudged(), inputs=cl.Inputs(reference=inputs), **(asked | settings))


def box_file(hours=(0, 6, 12, 18), **changes):
    """Six-hourly states of the box as a file holds them."""
    box = Box()
    states = [box.initial_state(jax.random.key(n)) for n in range(len(hours))]
    dataset = xr.Dataset(
        {
            v.name: (("time", *v.dims), np.stack([getattr(s, v.name) for s in states]),
                     {"units": v.units})
            for v in box.variables
        },
        {name: (name, values) for name, values in box.coordinates.items()},
    )  # fmt: skip
    start = np.datetime64("1979-06-01T00:00", "ns")
    minutes = [np.timedelta64(round(60 * hour), "m") for hour in hours]
    return dataset.assign_coords(time=[start + later for later in minutes])


def test_a_stored_series_is_linear_between_its_states(truth):
    path, run = truth
    series = cl.read_series(path, ring())
    assert (series.first, series.every, series.count) == (0, 10, 41)
    values = run["X"].values[0]
    np.testing.assert_allclose(series.at(0)["X"], values[0], rtol=1e-14)
    np.testing.assert_allclose(series.at(13)["X"], 0.7 * values[1] + 0.3 * values[2], rtol=1e-12)
    np.testing.assert_allclose(series.at(400)["X"], values[40], rtol=1e-14)


def test_a_stored_series_nudges_as_one_in_memory_does_bit_for_bit(truth):
    path, run = truth
    held = cl.Series({"X": jnp.asarray(run["X"].values[0])}, every=10)
    for at_once in (5, 11, None):
        stored = cl.read_series(path, ring(), at_once=at_once)
        ours, theirs = nudged_run(stored), nudged_run(held)
        np.testing.assert_array_equal(ours["X_added"], theirs["X_added"])


def test_no_more_than_two_stretches_are_read_at_once_and_the_next_in_a_thread(truth, monkeypatch):
    path, _ = truth
    seen = []
    read = stored_series.Source.read

    def watch(self, begin, end):
        seen.append((end - begin, threading.current_thread() is threading.main_thread()))
        return read(self, begin, end)

    monkeypatch.setattr(stored_series.Source, "read", watch)
    nudged_run(cl.read_series(path, ring(), at_once=7))
    sizes, by_main = zip(*seen, strict=True)
    assert max(sizes) <= 7
    assert by_main.count(False) >= 5


def test_an_interrupted_nudged_run_goes_on_bit_for_bit(truth, tmp_path, monkeypatch):
    from closura.data import destination

    series = cl.read_series(truth[0], ring(), at_once=9)
    whole = nudged_run(series)
    written = destination.InFolder.write

    def stop(self, first, part):
        if first >= 10:
            raise KeyboardInterrupt
        written(self, first, part)

    path = tmp_path / "nudged.zarr"
    monkeypatch.setattr(destination.InFolder, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        nudged_run(series, path=path)
    monkeypatch.undo()
    again = nudged_run(cl.read_series(truth[0], ring(), at_once=9), path=path)
    np.testing.assert_array_equal(again["X_before"], whole["X_before"])
    assert again.attrs["run"] == whole.attrs["run"]


def test_rollout_takes_a_stored_series_too(truth):
    series = cl.Inputs(reference=cl.read_series(truth[0], ring()))
    model = nudged()
    start = model.start(model.initial_state(KEY), inputs=series.at(0))
    _, whole = cl.rollout(model, start, 60, inputs=series)
    _, half = cl.rollout(model, start, 20, inputs=series)
    _, rest = cl.rollout(model, half, 40, inputs=series)
    np.testing.assert_array_equal(whole.state.X, rest.state.X)


def test_another_series_is_another_run(truth, tmp_path):
    path = tmp_path / "nudged.zarr"
    nudged_run(cl.read_series(truth[0], ring()), path=path)
    other = cl.simulate(ring(), duration=4.1, every=0.1, key=jax.random.key(6))
    with pytest.raises(ValueError, match=r"holds another run .* inputs"):
        nudged_run(cl.read_series(other, ring()), path=path)


def test_a_series_that_ends_before_the_run_says_so(truth):
    message = r"'reference' is too short: .* from step 1 to 450 and its inputs cover steps 0 to 400"
    with pytest.raises(ValueError, match=message):
        nudged_run(cl.read_series(truth[0], ring()), duration=4.0)


def test_netcdf_files_follow_each_other_and_go_side_by_side(tmp_path):
    whole = box_file(hours=(0, 6, 12, 18, 24, 30))
    box = Box()
    for name in ("u", "v"):
        for part, times in (("a", slice(0, 4)), ("b", slice(4, 6))):
            whole[[name]].isel(time=times).to_netcdf(tmp_path / f"{name}_{part}.nc")
    series = cl.read_series(str(tmp_path / "*.nc"), box)
    assert series.source.names == ("u", "v")
    assert (series.every, series.count) == (12, 6)
    middle = series.between(40, 44).at(42)  # 21 hours: between the files
    np.testing.assert_allclose(
        middle["v"], (whole["v"].values[3] + whole["v"].values[4]) / 2, rtol=1e-12
    )


def test_flipped_and_transposed_files_are_turned_round(tmp_path):
    whole = box_file()
    path = tmp_path / "flipped.nc"
    turned = whole.isel(level=slice(None, None, -1), lat=slice(None, None, -1))
    turned.transpose("lon", "time", "lat", "level").to_netcdf(path)
    found = cl.read_series(path, Box()).at(12)
    np.testing.assert_allclose(found["u"], whole["u"].values[1], rtol=1e-12)


def test_names_units_and_the_beginning_can_be_told(tmp_path):
    whole = box_file().rename({"temperature": "AIR"})
    whole["AIR"] = (whole["AIR"] - 273.15).assign_attrs(units="degC")
    series = cl.read_series(
        whole, Box(), variables=("temperature",), rename={"AIR": "temperature"},
        units={"temperature": "degC"}, begin="1979-06-01T06:00",
    )  # fmt: skip
    assert series.first == -12
    np.testing.assert_allclose(
        series.at(0)["temperature"], whole["AIR"].values[1] + 273.15, rtol=1e-12
    )


WRONG = {
    "repeat": (lambda: box_file((0, 6, 6, 12, 18)), {}, r"time axis repeats: 1979-06-01T06:00"),
    "gap": (lambda: box_file((0, 6, 12, 24, 30)), {}, r"time axis has a gap: 1979-06-02T00.* "
                                                      r"follows 1979-06-01T12.*21600 s apart"),
    "back": (lambda: box_file((0, 12, 6, 18, 24, 30)), {}, r"time axis goes back: 1979-06-01T06"),
    "step": (lambda: box_file((0, 1.75, 3.5)), {}, r"are 6300 s apart, no multiple of the time"),
    "one": (lambda: box_file((0,)), {}, r"has 1 time; interpolation needs two"),
    "grid": (lambda: box_file().isel(lon=slice(0, 8)), {}, r"'u' has shape \(5, 7, 8\); Box wants"),
    "level": (lambda: box_file().isel(level=slice(0, 4)), {}, r"'u' has shape \(4, 7, 9\)"),
    "other levels": (lambda: box_file().assign_coords(level=[1.0, 2, 3, 4, 5]), {},
                     r"'u' has level 1.0 ... 5.0; Box wants 0.05 ... 0.95"),
    "units": (lambda: with_units("km s-1"), {}, r"'u' has units 'km s-1'; Box wants 'm s-1'"),
    "missing": (lambda: with_hole(), {}, r"'v' is missing \(NaN or fill value\) in 1 of 315 points "
                                         r"at time 1979-06-01T18"),
    "name": (box_file, {"variables": ("w",)}, r"holds no 'w' that changes with 'time'; it holds "),
    "begin": (box_file, {"begin": 3.0}, r"begin is 3.0 and the first time is .*; give a date such"),
    "no date": (box_file, {"begin": "June"}, r"begin is 'June'; write the date as"),
    "time": (box_file, {"time": "Times"}, r"has no coordinate 'Times'; it has "),
    "at once": (box_file, {"at_once": 2}, r"at_once is 2; a stretch needs 3 states"),
}  # fmt: skip


def with_units(units):
    file = box_file()
    file["u"].attrs["units"] = units
    return file


def with_hole():
    file = box_file()
    file["v"][3, 2, 1, 4] = np.nan
    return file


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_does_not_fit_is_refused_in_one_line(case):
    made, settings, message = WRONG[case]
    with pytest.raises(ValueError, match=message) as caught:
        cl.read_series(made(), Box(), **settings)
    assert "\n" not in str(caught.value)


def test_a_hole_in_the_middle_stops_the_run_where_it_is_met():
    file = box_file(range(0, 60, 6))
    file["u"][5] = np.nan
    series = cl.read_series(file, Box(), at_once=3)
    model = cl.couple(Box(), cl.Nudging("6 hours"))
    with pytest.raises(ValueError, match=r"'u' is missing .* in 315 of 315 points at time 1979-06"):
        cl.simulate(
            model, duration="2 days", every="6 hours", key=KEY, inputs=cl.Inputs(reference=series)
        )


def test_compiled_code_cannot_read_files(truth):
    series = cl.read_series(truth[0], ring())
    with pytest.raises(TypeError, match=r"cannot be read inside compiled code; run it with"):
        jax.jit(series.at)(3)
