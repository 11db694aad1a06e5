"""Facts about scores of an ensemble."""

import numpy as np
import pytest
import xarray as xr
from scores import probability

from closura.metrics import crps, rank_histogram, reliability_index, spread, spread_skill_ratio


def draw(cases, members, *, truth_width=1.0, seed=2):
    """Members and truth from one Gaussian around a common centre, unless the width differs."""
    generator = np.random.default_rng(seed)
    centre = generator.normal(0.0, 3.0, cases)
    forecast = centre[:, None] + generator.normal(size=(cases, members))
    truth = centre + truth_width * generator.normal(size=cases)
    return xr.DataArray(forecast, dims=("case", "member")), xr.DataArray(truth, dims="case")


@pytest.mark.parametrize("fair", [False, True])
@pytest.mark.parametrize("over", [None, "k", ()])
def test_crps_equals_that_of_the_scores_package(fair, over):
    generator = np.random.default_rng(3)
    forecast = xr.DataArray(generator.normal(size=(4, 7, 5)), dims=("time", "member", "k"))
    truth = xr.DataArray(generator.normal(size=(5, 4)), dims=("k", "time"))
    kept = {None: [], "k": ["time"], (): ["time", "k"]}[over]
    theirs = probability.crps_for_ensemble(
        forecast, truth, "member", method="fair" if fair else "ecdf", preserve_dims=kept
    )
    ours = crps(forecast, truth, fair=fair, over=over)
    xr.testing.assert_allclose(ours, theirs.transpose(*ours.dims))


def test_crps_by_hand():
    # members 0, 1, 4, truth 2: mean|x - y| = 5/3; sum over pairs |x - x'| = 1 + 4 + 3 = 8:
    # standard 5/3 - 8/9 = 7/9, fair 5/3 - 8/6 = 1/3.
    forecast, truth = xr.DataArray([4.0, 0.0, 1.0], dims="member"), xr.DataArray(2.0)
    assert float(crps(forecast, truth)) == pytest.approx(7.0 / 9.0)
    assert float(crps(forecast, truth, fair=True)) == pytest.approx(1.0 / 3.0)


def test_crps_keeps_its_digits_on_a_large_mean():
    forecast, truth = xr.DataArray([4.0, 0.0, 1.0], dims="member"), xr.DataArray(2.0)
    assert float(crps(forecast + 2.0**40, truth + 2.0**40)) == pytest.approx(7.0 / 9.0, rel=1e-15)


def test_fair_crps_does_not_depend_on_the_number_of_members():
    # A reliable Gaussian: expected CRPS of the distribution itself is 1 / sqrt(pi); the standard
    # score of n members is (n + 1) / n of it.
    forecast, truth = draw(20_000, 3)
    expected = 1.0 / np.sqrt(np.pi)
    assert float(crps(forecast, truth, fair=True)) == pytest.approx(expected, abs=0.015)
    assert float(crps(forecast, truth)) == pytest.approx(expected * 4.0 / 3.0, abs=0.015)


def test_crps_of_a_member_that_failed_is_nan_for_that_case_only():
    forecast, truth = draw(3, 4)
    forecast[1, 2] = np.nan
    assert np.isnan(crps(forecast, truth, over=())).values.tolist() == [False, True, False]


def test_crps_runs_on_chunks():
    forecast, truth = draw(6, 4)
    lazy = crps(forecast.chunk(case=2, member=2), truth.chunk(case=3))
    assert lazy.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), crps(forecast, truth))


def test_spread_by_hand():
    # unbiased variances of (0, 2) and (0, 4): 2 and 8; their mean 5.
    forecast = xr.DataArray([[0.0, 2.0], [0.0, 4.0]], dims=("case", "member"))
    assert float(spread(forecast)) == pytest.approx(np.sqrt(5.0))
    weights = xr.DataArray([2.0, 1.0], dims="case")
    assert float(spread(forecast, weights=weights)) == pytest.approx(2.0)


def test_spread_skill_ratio_is_one_for_a_small_reliable_ensemble():
    assert float(spread_skill_ratio(*draw(20_000, 3))) == pytest.approx(1.0, abs=0.02)


def test_spread_skill_ratio_is_below_one_for_an_ensemble_too_sure_of_itself():
    # error variance 4 + 1/3, spread variance 1, factor 4/3: sqrt(4/3 / (13/3)) = 0.5547.
    ratio = spread_skill_ratio(*draw(20_000, 3, truth_width=2.0))
    assert float(ratio) == pytest.approx(np.sqrt(4.0 / 13.0), abs=0.02)


def test_rank_histogram_by_hand():
    # truths 0, 2.5, 9 and 2.1 against members 1, 2, 3 have ranks 0, 2, 3, 2.
    forecast = xr.DataArray([[3.0, 1.0, 2.0]] * 4, dims=("case", "member"))
    truth = xr.DataArray([0.0, 2.5, 9.0, 2.1], dims="case")
    counts = rank_histogram(forecast, truth, seed=0)
    assert counts.values.tolist() == [1.0, 0.0, 2.0, 1.0]
    assert counts["rank"].values.tolist() == [0, 1, 2, 3]


def test_rank_histogram_equals_that_of_the_scores_package():
    forecast, truth = draw(50, 6)
    ours = rank_histogram(forecast, truth, seed=0) / 50
    theirs = probability.rank_histogram(forecast, truth, "member")
    np.testing.assert_allclose(ours.values, theirs.values)


def test_ties_fall_on_every_rank_alike_and_as_the_seed_says():
    # dry forecasts, dry truth: rank 0 ... 3 by lot, 1000 each, standard deviation 27.
    forecast = xr.DataArray(np.zeros((4000, 3)), dims=("case", "member"))
    truth = xr.DataArray(np.zeros(4000), dims="case")
    counts = rank_histogram(forecast, truth, seed=5)
    assert abs(counts - 1000.0).max() < 110.0
    xr.testing.assert_equal(counts, rank_histogram(forecast, truth, seed=5))


def test_rank_histogram_keeps_the_other_dimensions_and_marks_nan():
    generator = np.random.default_rng(0)
    forecast = xr.DataArray(generator.normal(size=(2, 9, 5)), dims=("k", "case", "member"))
    truth = xr.DataArray(generator.normal(size=(9, 2)), dims=("case", "k"))
    truth[4, 1] = np.nan
    counts = rank_histogram(forecast, truth, over="case", seed=0)
    assert counts.dims == ("k", "rank")
    assert float(counts[0].sum()) == 9.0 and np.isnan(counts[1]).all()


def test_reliability_index_by_hand():
    # counts 4, 0, 2 of 6 cases, 2 members: (4 + 4 + 0) / (6 * 2 / 3) = 2; flat gives 0.
    assert float(reliability_index(xr.DataArray([4.0, 0.0, 2.0], dims="rank"))) == 2.0
    assert float(reliability_index(xr.DataArray([2.0, 2.0, 2.0], dims="rank"))) == 0.0


def test_reliability_index_tells_reliable_from_underdispersive():
    # n times the index is chi-square of n = 9 degrees of freedom: mean 1, deviation 0.47.
    reliable = rank_histogram(*draw(3000, 9), seed=0)
    narrow = rank_histogram(*draw(3000, 9, truth_width=2.0), seed=0)
    assert 0.2 < float(reliability_index(reliable)) < 2.5
    assert float(reliability_index(narrow)) > 20.0


def test_fair_crps_of_one_member_is_refused():
    with pytest.raises(ValueError, match=r"'member' has size 1.*at least 2.*larger ensemble"):
        crps(*draw(3, 1), fair=True)


def test_truth_with_members_is_refused():
    forecast, _ = draw(3, 4)
    with pytest.raises(ValueError, match=r"truth has the member dimension.*isel\(member=0\)"):
        crps(forecast, forecast)


def test_missing_member_dimension_is_refused():
    _, truth = draw(3, 4)
    with pytest.raises(ValueError, match=r"member is 'member'.*dimensions \['case'\]"):
        spread(truth)
