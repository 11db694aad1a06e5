"""Facts about power spectra and autocorrelation."""

import numpy as np
import pytest
import scipy.signal
import xarray as xr

from closura.metrics import autocorrelation, power_spectrum, wave_number_spectrum


@pytest.mark.parametrize("size", [9, 12])
def test_sum_over_wave_numbers_is_the_variance_along_the_ring(size):
    values = np.random.default_rng(0).normal(2.0, 3.0, (5, size))
    field = xr.DataArray(values, dims=("time", "k"))
    found = wave_number_spectrum(field, along="k")
    assert found.dims == ("time", "wave_number")
    np.testing.assert_allclose(found.sum("wave_number"), values.var(axis=1))


def test_one_wave_has_half_its_squared_amplitude_at_its_wave_number():
    angle = 2.0 * np.pi * np.arange(10) / 10
    field = xr.DataArray(4.0 + 3.0 * np.cos(2.0 * angle + 0.4), dims="k")
    found = wave_number_spectrum(field, along="k")
    np.testing.assert_allclose(found, [0.0, 4.5, 0.0, 0.0, 0.0], atol=1e-12)
    assert found["wave_number"].values.tolist() == [1, 2, 3, 4, 5]


def test_spectrum_can_be_averaged_over_time():
    field = xr.DataArray(np.random.default_rng(0).normal(size=(5, 8)), dims=("time", "k"))
    mean = wave_number_spectrum(field, along="k", over="time")
    xr.testing.assert_allclose(mean, wave_number_spectrum(field, along="k").mean("time"))


def test_oscillation_peaks_at_its_frequency_and_integrates_to_its_variance():
    # amplitude 3 at 0.5 cycles per day: variance 4.5; the window spreads it over 3 frequencies.
    time = xr.DataArray(np.arange(4000) * 0.25, dims="time", attrs={"units": "d"})
    series = xr.DataArray(
        7.0 + 3.0 * np.sin(2.0 * np.pi * 0.5 * time.values), {"time": time}, attrs={"units": "K"}
    )
    found = power_spectrum(series, segment=400)
    assert float(found["frequency"][found.argmax("frequency")]) == pytest.approx(0.5)
    assert float(found.integrate("frequency")) == pytest.approx(4.5, rel=1e-3)
    assert found.attrs["units"] == "(K)2 d" and found["frequency"].attrs["units"] == "(d)-1"


def test_white_noise_has_a_flat_spectrum_of_its_variance():
    # one-sided density over frequencies 0 ... 1 / (2 dt): 2 dt variance = 2 * 0.5 * 9.
    values = np.random.default_rng(1).normal(0.0, 3.0, (40_000, 3))
    series = xr.DataArray(values, {"time": np.arange(40_000) * 0.5}, dims=("time", "k"))
    found = power_spectrum(series, segment=100, over="k")
    np.testing.assert_allclose(found[2:-1], 9.0, rtol=0.15)


def test_dates_give_cycles_per_second():
    dates = np.datetime64("2000-01-01", "ns") + np.arange(64) * np.timedelta64(6, "h")
    found = power_spectrum(xr.DataArray(np.arange(64.0), {"time": dates}), segment=64)
    assert float(found["frequency"][-1]) == pytest.approx(0.5 / 21600.0)


def test_model_calendars_give_cycles_per_second():
    cftime = pytest.importorskip("cftime")
    dates = [cftime.Datetime360Day(2000, 2, day) for day in range(1, 31)]
    found = power_spectrum(xr.DataArray(np.arange(30.0), {"time": dates}, dims="time"))
    assert float(found["frequency"][-1]) <= 0.5 / 86400.0


def test_nan_makes_the_spectrum_of_its_series_nan():
    series = xr.DataArray(np.ones((2, 32)), {"time": np.arange(32.0)}, dims=("k", "time"))
    series[1, 3] = np.nan
    assert np.isnan(power_spectrum(series)).all("frequency").values.tolist() == [False, True]


def test_unequal_steps_are_refused():
    series = xr.DataArray(np.ones(4), {"time": [0.0, 1.0, 2.0, 4.0]})
    with pytest.raises(ValueError, match=r"from 1 to 2.*Interpolate first"):
        power_spectrum(series)


def test_missing_time_coordinate_is_refused():
    with pytest.raises(ValueError, match=r"no coordinate along 'time'.*assign_coords"):
        power_spectrum(xr.DataArray(np.ones(4), dims="time", name="x"))


def test_segment_longer_than_the_series_is_refused():
    series = xr.DataArray(np.ones(4), {"time": np.arange(4.0)})
    with pytest.raises(ValueError, match=r"segment is 9, but 'time' has 4 values"):
        power_spectrum(series, segment=9)


def test_autocorrelation_by_hand():
    # departures (-1, 0, 1, 0) from the mean 2: sum of squares 2; lag 1: 0 + 0 + 0 = 0;
    # lag 2: (-1)(1) + 0 = -1, over 2.
    series = xr.DataArray([1.0, 2.0, 3.0, 2.0], dims="time")
    found = autocorrelation(series, [0, 1, 2])
    np.testing.assert_allclose(found, [1.0, 0.0, -0.5], atol=1e-15)
    assert found["lag"].values.tolist() == [0, 1, 2]


def test_autocorrelation_of_a_first_order_process_decays_by_its_coefficient():
    generator = np.random.default_rng(8)
    noise = generator.normal(size=(5, 20_000))
    series = scipy.signal.lfilter([1.0], [1.0, -0.8], noise)
    series = xr.DataArray(series, dims=("k", "time"))
    found = autocorrelation(series, 4)
    np.testing.assert_allclose(found, 0.8 ** np.arange(5), atol=0.015)
    each = autocorrelation(series, 4, over=())
    assert each.dims == ("k", "lag")


def test_autocorrelation_of_many_short_series_does_not_depend_on_the_block(monkeypatch):
    series = xr.DataArray(np.random.default_rng(9).normal(size=(7, 3, 11)), dims=("a", "b", "time"))
    whole = autocorrelation(series, [1, 3], over=())
    monkeypatch.setattr("closura.metrics.spectra._FFT_BLOCK", 40)
    xr.testing.assert_allclose(autocorrelation(series, [1, 3], over=()), whole)


def test_autocorrelation_of_a_constant_is_nan():
    assert np.isnan(autocorrelation(xr.DataArray(np.ones(8), dims="time"), 3)).all()


def test_lag_beyond_the_series_is_refused():
    with pytest.raises(ValueError, match=r"lags run from 0 to 9, but 'time' has 5 steps"):
        autocorrelation(xr.DataArray(np.arange(5.0), dims="time"), 9)
