"""Facts about the block bootstrap."""

import numpy as np
import pytest
import scipy.signal
import xarray as xr

from closura.metrics import block_bootstrap


def covered(values, truth, **settings):
    interval = block_bootstrap(values, "time", seed=0, **settings)
    lower, upper = interval.sel(limit="lower"), interval.sel(limit="upper")
    return float(((lower < truth) & (truth < upper)).mean())


def test_blocks_cover_an_autocorrelated_mean_where_single_values_fail():
    # AR(1) of coefficient 0.9: the variance of the mean is 19 times that of independent values,
    # so their 90 % interval holds only erf(1.645 / sqrt(19) / sqrt(2)) = 29 %.
    noise = np.random.default_rng(1).normal(size=(1200, 300))
    series = scipy.signal.lfilter([1.0], [1.0, -0.9], noise, axis=0)[200:]
    values = xr.DataArray(series, dims=("time", "run"))
    assert 0.80 < covered(values, 0.0, block=50, samples=200) < 0.95
    assert 0.20 < covered(values, 0.0, block=1, samples=200) < 0.40


def test_single_values_cover_an_independent_mean():
    values = np.random.default_rng(2).normal(3.0, 1.0, (100, 500))
    values = xr.DataArray(values, dims=("time", "run"))
    assert 0.85 < covered(values, 3.0, block=1, samples=200) < 0.94


def test_interval_of_a_periodic_series_by_whole_periods_has_no_width():
    # every block of 5 is a rotation of 0 ... 4, so every resampled mean is 2.
    values = xr.DataArray(np.tile(np.arange(5.0), 6), dims="time")
    assert block_bootstrap(values, "time", block=5, seed=0).values.tolist() == [2.0, 2.0]


def test_every_value_is_drawn_as_often_as_any_other():
    # circular blocks: the mean of resampled means is the mean, ends not neglected.
    values = xr.DataArray(np.array([100.0] + [0.0] * 19), dims="time")
    limits = block_bootstrap(values, "time", block=7, seed=0, samples=4000, level=0.001)
    assert float(limits.mean()) == pytest.approx(5.0, abs=0.01)
    mean_of_all = block_bootstrap(
        values, "time", block=7, seed=0, samples=4000, statistic=lambda a, axis: (a > 0).mean(axis)
    )
    assert mean_of_all[0] < 0.05 < mean_of_all[1]


def test_seed_decides_and_batches_do_not(monkeypatch):
    values = xr.DataArray(np.random.default_rng(3).normal(size=(23, 4)), dims=("time", "k"))
    first = block_bootstrap(values, "time", block=5, seed=7)
    assert first.dims == ("limit", "k")
    xr.testing.assert_equal(first, block_bootstrap(values, "time", block=5, seed=7))
    assert not first.equals(block_bootstrap(values, "time", block=5, seed=8))
    monkeypatch.setattr("closura.metrics.bootstrap._VALUES_AT_ONCE", 1000)
    xr.testing.assert_allclose(first, block_bootstrap(values, "time", block=5, seed=7))


def test_statistic_can_be_any_reduction():
    values = xr.DataArray(np.random.default_rng(4).normal(size=(4, 300)) ** 2, dims=("k", "time"))
    root = block_bootstrap(
        values, "time", block=10, seed=0, statistic=lambda a, axis: np.sqrt(a.mean(axis))
    )
    mean = block_bootstrap(values, "time", block=10, seed=0)
    # a monotone function moves the quantiles with it, up to their interpolation
    np.testing.assert_allclose(root, np.sqrt(mean), rtol=1e-3)


def test_interval_of_nan_is_nan():
    values = xr.DataArray([[1.0, 1.0], [2.0, np.nan]] * 4, dims=("time", "k"))
    found = block_bootstrap(values, "time", block=2, seed=0)
    assert np.isnan(found).all("limit").values.tolist() == [False, True]


def test_dataset_gives_an_interval_for_each_variable():
    values = xr.Dataset({"x": ("time", np.arange(9.0)), "y": (("k", "time"), np.ones((2, 9)))})
    found = block_bootstrap(values, "time", block=3, seed=0)
    assert found["x"].dims == ("limit",) and found["y"].dims == ("limit", "k")


def test_block_of_the_whole_series_is_refused():
    with pytest.raises(ValueError, match=r"block is 8, but 'time' has 8 values.*Choose 1 to 4"):
        block_bootstrap(xr.DataArray(np.ones(8), dims="time"), "time", block=8, seed=0)


def test_statistic_that_reduces_too_much_is_refused():
    values = xr.DataArray(np.ones((8, 3)), dims=("time", "k"))
    with pytest.raises(ValueError, match=r"statistic returned shape.*Reduce axis 1 only"):
        block_bootstrap(
            values, "time", block=2, seed=0, statistic=lambda a, axis: a.mean((axis, 2))
        )


def test_level_in_percent_is_refused():
    with pytest.raises(ValueError, match=r"level is 90.*level=0\.9"):
        block_bootstrap(xr.DataArray(np.ones(8), dims="time"), "time", block=2, seed=0, level=90.0)
