"""Facts about distances between climates."""

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from closura.metrics import (
    hellinger,
    kolmogorov_smirnov,
    mean_difference,
    probability_density,
    shared_bins,
    variance_difference,
    wasserstein_1,
)


def samples(first=301, second=173, seed=0):
    generator = np.random.default_rng(seed)
    return (
        xr.DataArray(generator.normal(0.0, 1.0, first), dims="time", name="x"),
        xr.DataArray(generator.gamma(2.0, 1.0, second), dims="time", name="x"),
    )


def test_distances_equal_those_of_scipy_for_samples_of_unequal_size():
    first, second = samples()
    expected = scipy.stats.wasserstein_distance(first.values, second.values)
    assert float(wasserstein_1(first, second)) == pytest.approx(expected, rel=1e-12)
    expected = scipy.stats.ks_2samp(first.values, second.values).statistic
    assert float(kolmogorov_smirnov(first, second)) == pytest.approx(expected, rel=1e-12)


def test_distances_equal_those_of_scipy_for_samples_with_ties():
    first, second = (sample.round() for sample in samples())
    expected = scipy.stats.wasserstein_distance(first.values, second.values)
    assert float(wasserstein_1(first, second)) == pytest.approx(expected, rel=1e-12)
    expected = scipy.stats.ks_2samp(first.values, second.values).statistic
    assert float(kolmogorov_smirnov(first, second)) == pytest.approx(expected, rel=1e-12)


def test_shift_moves_the_climate_by_exactly_that_much():
    first, _ = samples()
    assert float(wasserstein_1(first + 0.7, first)) == pytest.approx(0.7)
    assert float(mean_difference(first + 0.7, first)) == pytest.approx(0.7)
    assert float(variance_difference(first + 0.7, first)) == pytest.approx(0.0, abs=1e-12)


def test_variance_difference_by_hand():
    # (0, 2) has variance 1, (0, 0, 3) has mean 1 and variance (1 + 1 + 4) / 3 = 2.
    first, second = xr.DataArray([0.0, 2.0], dims="t"), xr.DataArray([0.0, 0.0, 3.0], dims="t")
    assert float(variance_difference(first, second)) == pytest.approx(-1.0)
    units = variance_difference(first.assign_attrs(units="m s-1"), second).attrs["units"]
    assert units == "(m s-1)2"


def test_dimensions_that_are_kept_are_compared_one_by_one():
    generator = np.random.default_rng(4)
    first = xr.DataArray(
        generator.normal(size=(3, 50)), {"k": [1, 2, 3]}, dims=("k", "time"), name="x"
    )
    second = xr.DataArray(
        generator.normal(size=(70, 2, 3)), {"k": [1, 2, 3]}, dims=("time", "member", "k"), name="x"
    )
    distance = wasserstein_1(first, second, over=("time", "member"))
    for k in (1, 2, 3):
        expected = wasserstein_1(first.sel(k=k), second.sel(k=k))
        assert float(distance.sel(k=k)) == pytest.approx(float(expected))
    with pytest.raises(ValueError, match=r"Coordinates differ"):
        wasserstein_1(first, second.isel(k=[0, 1]), over=("time", "member"))


def test_runs_on_other_dates_are_comparable():
    first, second = samples(40, 40)
    early = first.assign_coords(time=np.arange(40.0))
    late = second.assign_coords(time=np.arange(100.0, 140.0))
    xr.testing.assert_equal(wasserstein_1(early, late), wasserstein_1(first, second))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_value_that_is_not_finite_makes_every_distance_nan(bad):
    first, second = samples()
    first[5] = bad
    for distance in (
        wasserstein_1,
        kolmogorov_smirnov,
        hellinger,
        mean_difference,
        variance_difference,
    ):
        assert np.isnan(distance(first, second))
        assert np.isnan(distance(second, first))


def test_hellinger_of_two_gaussians_is_its_closed_form():
    # 1 - sqrt(2 s1 s2 / (s1^2 + s2^2)) exp(-(m1 - m2)^2 / (4 (s1^2 + s2^2))), with m 0 and 1,
    # s 1 and 2: 1 - sqrt(0.8) exp(-0.05) = 0.14919. Exact quantiles stand for samples.
    levels = (np.arange(200_000) + 0.5) / 200_000
    normal = xr.DataArray(scipy.stats.norm.ppf(levels), dims="time")
    expected = 1.0 - np.sqrt(0.8) * np.exp(-0.05)
    assert float(hellinger(normal, 1.0 + 2.0 * normal)) == pytest.approx(expected, abs=5e-4)
    bins = np.linspace(-12.0, 14.0, 261)
    found = hellinger(normal, 1.0 + 2.0 * normal, bins=bins)
    assert float(found) == pytest.approx(expected, abs=5e-4)


def test_hellinger_by_hand_on_explicit_bins():
    # bins [0, 1), [1, 3]: shares (3/4, 1/4) and (1/4, 3/4):
    # ((sqrt(3) - 1) / 2)^2 = 0.13397, twice, halved.
    first = xr.DataArray([0.1, 0.2, 0.3, 2.0], dims="t")
    second = xr.DataArray([0.5, 1.0, 2.0, 3.0], dims="t")
    found = hellinger(first, second, bins=[0.0, 1.0, 3.0])
    assert float(found) == pytest.approx((np.sqrt(3.0) - 1.0) ** 2 / 4.0)


def test_hellinger_counts_values_outside_the_edges():
    # all of the first lie below the edges, all of the second above: nothing in common.
    first, second = xr.DataArray([-5.0, -6.0], dims="t"), xr.DataArray([7.0, 8.0, 9.0], dims="t")
    assert float(hellinger(first, second, bins=[0.0, 1.0])) == 1.0
    assert float(hellinger(first, first, bins=[0.0, 1.0])) == 0.0


def test_hellinger_of_disjoint_samples_is_one_by_the_rule_too():
    first, _ = samples()
    assert float(hellinger(first, first + 100.0)) == pytest.approx(1.0)


@pytest.mark.parametrize("far", [-1e12, 1e12])
def test_hellinger_sees_the_bulk_beside_a_value_that_blew_up(far):
    first, _ = samples(2000)
    second = xr.concat([first + 3.0, xr.DataArray([far], dims="time", name="x")], "time")
    assert float(hellinger(first, second)) > 0.5


def test_hellinger_of_equal_climates_is_the_stated_sampling_noise():
    # 40 bins, n = 2000, m = 1000: 39 / 8 * (1/2000 + 1/1000) = 0.0073.
    generator = np.random.default_rng(6)
    first = xr.DataArray(generator.uniform(size=(200, 2000)), dims=("run", "time"))
    second = xr.DataArray(generator.uniform(size=(200, 1000)), dims=("run", "time"))
    found = hellinger(first, second, over="time", bins=np.linspace(0.0, 1.0, 41)).mean()
    assert float(found) == pytest.approx(0.0073, rel=0.05)


def test_hellinger_takes_bins_for_each_variable():
    first, second = samples()
    forecast = xr.Dataset({"x": first, "y": first * 5.0})
    truth = xr.Dataset({"x": second, "y": second * 5.0})
    edges = np.linspace(-4.0, 10.0, 15)
    found = hellinger(forecast, truth, bins={"x": edges, "y": edges * 5.0})
    assert float(found["x"]) == pytest.approx(float(found["y"])) != 0.0
    with pytest.raises(KeyError, match=r"No entry for variable 'y'"):
        hellinger(forecast, truth, bins={"x": edges})


def test_shared_bins_hold_both_samples():
    first, second = samples()
    edges = shared_bins(first, second)
    assert edges[0] == min(first.min(), second.min())
    assert edges[-1] == max(first.max(), second.max())
    assert shared_bins(first, second, count=7).shape == (8,)


def test_shared_bins_of_a_constant_are_bins_all_the_same():
    assert np.all(np.diff(shared_bins(np.zeros(9))) > 0.0)


def test_shared_bins_refuse_values_that_are_not_finite():
    with pytest.raises(ValueError, match=r"1 values that are not finite among 3.*Cut the run"):
        shared_bins(np.array([1.0, np.nan, 2.0]))


def test_density_by_hand():
    # bins [0, 1), [1, 3], 5 values of which one lies outside: 1/5, (3/5)/2.
    values = xr.DataArray([0.5, 1.0, 2.0, 3.0, 9.0], dims="t", name="x", attrs={"units": "K"})
    density = probability_density(values, [0.0, 1.0, 3.0])
    assert density.values.tolist() == pytest.approx([0.2, 0.3])
    assert density["bin"].values.tolist() == [0.5, 2.0]
    assert float((density * density["bin_width"]).sum()) == pytest.approx(0.8)
    assert density.attrs["units"] == "(K)-1"


def test_density_keeps_the_other_dimensions():
    values = xr.DataArray(np.random.default_rng(0).uniform(size=(3, 40)), dims=("k", "time"))
    values[1, 7] = np.nan
    density = probability_density(values, np.linspace(0.0, 1.0, 6), over="time")
    assert density.dims == ("k", "bin") and density.shape == (3, 5)
    assert np.isnan(density[1]).all()
    np.testing.assert_allclose(density[0].mean(), 1.0)


def test_bins_that_do_not_increase_are_refused():
    first, second = samples()
    with pytest.raises(ValueError, match=r"at least 2 increasing edges. Make them with shared_"):
        hellinger(first, second, bins=[1.0, 0.0])
