"""Facts about blow-up, drift and values outside a range."""

import numpy as np
import pytest
import scipy.signal
import xarray as xr

from closura.metrics import blow_up, drift, share_outside


def run(values, step=0.5):
    values = np.asarray(values, dtype=float)
    dims = ("time", "k")[: values.ndim]
    return xr.DataArray(values, {"time": np.arange(len(values)) * step}, dims=dims, name="x")


def test_blow_up_is_the_first_time_beyond_the_bound():
    values = run([[1.0, 2.0], [1.0, -9.0], [1.0, np.nan], [1e300, np.inf]])
    assert float(blow_up(values, 5.0)) == 0.5
    assert float(blow_up(values)) == 1.0
    found = blow_up(values, 5.0, over=())
    assert found.values.tolist() == [1.5, 0.5]


def test_blow_up_to_infinity_is_seen_without_a_bound():
    assert float(blow_up(run([1.0, 1e300, -np.inf]))) == 1.0


def test_blow_up_of_a_run_that_holds_is_nan():
    assert np.isnan(blow_up(run([[1.0], [5.0]]), 5.0))


def test_blow_up_takes_dates_and_a_bound_for_each_variable():
    dates = np.array(["2000-01-01", "2000-01-02"], "datetime64[ns]")
    values = xr.Dataset({name: ("time", [0.0, 7.0]) for name in "xy"}, {"time": dates})
    found = blow_up(values, {"x": 5.0, "y": 10.0})
    assert found["x"].values == dates[1] and np.isnat(found["y"].values)


def test_blow_up_takes_dates_of_a_model_calendar():
    cftime = pytest.importorskip("cftime")
    dates = [cftime.Datetime360Day(2000, 2, 29), cftime.Datetime360Day(2000, 2, 30)]
    values = xr.DataArray([[0.0, 0.0], [0.0, 7.0]], {"time": dates}, dims=("time", "k"))
    found = blow_up(values, 5.0, over=())
    assert np.isnan(found.values[0]) and found.values[1] == dates[1]


def test_blow_up_without_a_time_coordinate_is_a_step():
    assert float(blow_up(xr.DataArray([0.0, 0.0, 7.0], dims="time"), 5.0)) == 2.0


def test_straight_line_is_its_own_drift():
    values = run(np.outer(np.arange(50) * 0.5, [1.0, 3.0])).assign_attrs(units="K")
    found = drift(values)
    assert float(found.sel(estimate="trend")) == pytest.approx(2.0)
    assert float(found.sel(estimate="standard_error")) == pytest.approx(0.0, abs=1e-12)
    each = drift(values, over=())
    assert each.dims == ("estimate", "k")
    np.testing.assert_allclose(each.sel(estimate="trend"), [1.0, 3.0])


def test_standard_error_of_drift_by_hand():
    # Times -1.5 ... 1.5 from their mean, squares 5; residuals (1, -1, -1, 1) have no slope,
    # squares 4, negative correlation: sqrt(4 / (4 - 2) / 5).
    found = drift(run([1.0, -1.0, -1.0, 1.0], step=1.0), blocks=4)
    np.testing.assert_allclose(found, [0.0, np.sqrt(0.4)], atol=1e-15)
    # Squares of times 17.5; residuals have squares 4 and r = 1/4, which widens by (5/4) / (3/4).
    found = drift(run([1.0, 0.0, -1.0, -1.0, 0.0, 1.0], step=1.0), blocks=6)
    np.testing.assert_allclose(found, [0.0, np.sqrt(4.0 / 4.0 / 17.5 * 5.0 / 3.0)], atol=1e-15)


def test_drift_of_dates_is_per_second():
    dates = np.datetime64("2000-01-01", "ns") + np.arange(40) * np.timedelta64(1, "D")
    values = xr.DataArray(np.arange(40.0), {"time": dates}, name="x", attrs={"units": "K"})
    found = drift(values)
    assert float(found.sel(estimate="trend")) == pytest.approx(1.0 / 86400.0)
    assert found.attrs["units"] == "K (s)-1"


def test_standard_error_of_drift_covers_an_autocorrelated_series():
    # AR(1) of coefficient 0.9, no trend: two standard errors should hold about 95 % of trends;
    # an error for independent values would be sqrt(19) too small and hold about 35 %.
    noise = np.random.default_rng(3).normal(size=(2000, 400))
    found = drift(run(scipy.signal.lfilter([1.0], [1.0, -0.9], noise, axis=0)), over=())
    held = abs(found.sel(estimate="trend")) < 2.0 * found.sel(estimate="standard_error")
    assert 0.90 < float(held.mean()) < 0.98


def test_drift_of_a_run_with_nan_is_nan():
    values = run(np.arange(30.0))
    values[4] = np.nan
    assert np.isnan(drift(values)).all()


def test_drift_needs_as_many_values_as_blocks():
    with pytest.raises(ValueError, match=r"blocks is 20, but 'time' has 7 values"):
        drift(run(np.arange(7.0)))


def test_times_that_go_back_are_refused():
    values = run(np.arange(30.0)).isel(time=slice(None, None, -1))
    with pytest.raises(ValueError, match=r"do not increase.*sortby"):
        drift(values)


def test_share_outside_by_hand():
    # of 1, 2, 3, 4, 5 outside [2, 4]: 1 and 5; the bounds themselves are inside.
    assert float(share_outside(run([1.0, 2.0, 3.0, 4.0, 5.0]), 2.0, 4.0)) == 0.4


def test_share_outside_takes_a_bound_for_each_feature():
    values = run([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    lower, upper = xr.DataArray([1.5, 0.0], dims="k"), xr.DataArray([9.0, 15.0], dims="k")
    found = share_outside(values, lower, upper, over="time")
    np.testing.assert_allclose(found, [1.0 / 3.0, 2.0 / 3.0])
    dataset = share_outside(values.to_dataset(), lower.to_dataset(name="x"), {"x": upper})
    assert float(dataset["x"]) == pytest.approx(0.5)


def test_share_outside_of_nan_is_nan():
    assert np.isnan(share_outside(run([1.0, np.nan]), 0.0, 5.0))
    assert np.isnan(share_outside(run([1.0, 2.0]), np.nan, 5.0))


def test_bounds_the_wrong_way_round_are_refused():
    with pytest.raises(ValueError, match=r"lower exceeds upper for variable 'x'"):
        share_outside(run([1.0]), 4.0, 2.0)
