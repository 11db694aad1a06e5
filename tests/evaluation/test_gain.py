"""The rule that tells a correction from a fluke."""

import numpy as np
import pytest
import xarray as xr

from closura.evaluation.gain import (
    BLEW_UP,
    IMPROVED,
    UNCOMPARED,
    UNRESOLVED,
    WORSE,
    Blocks,
    Estimate,
    blocks_of,
    distance,
    error,
    floor,
    gain,
    judge,
)

WEIGHTS = np.array([0.5, 0.3, 0.2])
SETTINGS = {"samples": 400, "level": 0.9, "seed": 3}


def run_about(mean, *, blocks=12, noise=1.0, seed=0):
    values = np.asarray(mean) + noise * np.random.default_rng(seed).normal(size=(blocks, 3))
    return Blocks(values, WEIGHTS)


def test_the_distance_weighs_points():
    # sqrt(0.5 * 2^2 + 0.3 * 0 + 0.2 * 1^2) = sqrt(2.2)
    found = distance(np.array([2.0, 5.0, 1.0]), np.array([0.0, 5.0, 2.0]), WEIGHTS)
    assert found == pytest.approx(np.sqrt(2.2), abs=1e-12)


def test_an_error_lies_inside_its_interval_which_shrinks_with_the_noise():
    truth = run_about([0, 0, 0], seed=1)
    wide = error(run_about([4, 4, 4], seed=2), truth, **SETTINGS)
    narrow = error(
        run_about([4, 4, 4], noise=0.1, seed=2), run_about([0, 0, 0], noise=0.1, seed=1), **SETTINGS
    )
    assert wide.lower < wide.value < wide.upper
    assert wide.uncertainty > 5 * narrow.uncertainty > 0


def test_the_interval_of_an_error_is_as_wide_as_errors_of_new_runs_scatter():
    truth = run_about([0, 0, 0], seed=1, noise=0.0)
    errors = [
        error(run_about([4, 4, 4], seed=s), truth, samples=2, level=0.9, seed=0).value
        for s in range(200)
    ]
    scatter = np.quantile(errors, [0.05, 0.95])
    found = error(run_about([4, 4, 4], seed=5), truth, **SETTINGS)
    assert found.upper - found.lower == pytest.approx(scatter[1] - scatter[0], rel=0.4)


def test_the_interval_of_few_blocks_has_the_standard_error_of_their_mean():
    # One point far from a truth without noise: the error scatters as the mean of 4 blocks does,
    # by s / sqrt(4), s with 3 degrees of freedom; 1.645 of those are half of 90 %.
    values = np.array([9.0, 10.5, 11.0, 9.5])
    run, truth = (Blocks(v[:, None], np.ones(1)) for v in (values, np.zeros(1)))
    expected = 1.645 * values.std(ddof=1) / 2
    settings = SETTINGS | {"samples": 20000}
    assert error(run, truth, **settings).uncertainty == pytest.approx(expected, rel=0.05)
    still = Blocks(np.zeros((4, 1)), np.ones(1))
    assert gain(still, run, truth, **settings).uncertainty == pytest.approx(expected, rel=0.05)


def test_the_floor_of_equal_climates_is_what_their_blocks_allow():
    # The variance of a difference of means of 12 blocks each is 2 / 12: sqrt(1 / 6) = 0.41.
    pairs = [(run_about([1, 2, 3], seed=s), run_about([1, 2, 3], seed=s + 500)) for s in range(50)]
    floors = [floor(one, other, **SETTINGS) for one, other in pairs]
    assert np.sqrt(np.mean([f.value**2 for f in floors])) == pytest.approx(0.41, abs=0.05)
    inside = [f.lower < f.value < f.upper for f in floors]
    assert 0.75 < np.mean(inside) <= 1.0


def test_without_a_second_truth_the_floor_is_the_sampling_error_of_a_mean():
    found = floor(run_about([1, 2, 3], blocks=200, seed=1), None, **SETTINGS)
    assert found.value == pytest.approx(1 / np.sqrt(200), rel=0.15)


def test_a_gain_beyond_the_floor_is_an_improvement_and_a_loss_is_worse():
    truth, other = run_about([0, 0, 0], seed=1), run_about([0, 0, 0], seed=2)
    bad, good = run_about([5, 5, 5], seed=3), run_about([0.5, 0, 0], seed=4)
    limit = floor(truth, other, **SETTINGS).uncertainty
    assert judge(gain(bad, good, truth, **SETTINGS), limit) == IMPROVED
    assert judge(gain(good, bad, truth, **SETTINGS), limit) == WORSE


def test_runs_of_the_same_climate_are_never_far_apart():
    """The negative control: nothing was gained, so nothing must be claimed (nor lost)."""
    verdicts = []
    for seed in range(40):
        runs = [run_about([0, 0, 0], seed=100 * seed + n) for n in range(4)]
        limit = floor(runs[0], runs[1], **SETTINGS).uncertainty
        verdicts.append(judge(gain(runs[2], runs[3], runs[0], **SETTINGS), limit))
    assert verdicts.count(UNRESOLVED) >= 38


def test_a_small_gain_is_not_claimed_however_narrow_its_interval():
    assert judge(Estimate(0.10, 0.05, 0.15), floor_uncertainty=0.2) == UNRESOLVED
    assert judge(Estimate(0.30, -0.01, 0.6), floor_uncertainty=0.2) == UNRESOLVED
    assert judge(Estimate(0.30, 0.25, 0.35), floor_uncertainty=0.2) == IMPROVED


def test_a_run_that_blew_up_is_called_so():
    lost = Blocks(np.full((12, 3), np.nan), WEIGHTS)
    truth = run_about([0, 0, 0], seed=1)
    assert judge(gain(truth, lost, truth, **SETTINGS), 0.1, survived=False) == BLEW_UP


def test_a_run_that_outlives_the_one_without_a_closure_did_not_blow_up():
    lost = Blocks(np.full((12, 3), np.nan), WEIGHTS)
    truth = run_about([0, 0, 0], seed=1)
    assert judge(gain(lost, truth, truth, **SETTINGS), 0.1) == UNCOMPARED


def test_the_error_of_a_wind_is_the_mean_square_over_both_components():
    dims = ("block", "lat", "lon")
    lat = np.array([-30.0, 60.0])
    zonal = xr.DataArray(np.full((1, 2, 3), 3.0), {"lat": lat}, dims)
    meridional = xr.DataArray(np.full((1, 2, 3), 4.0), {"lat": lat}, dims)
    weights = xr.DataArray([0.7, 0.3], {"lat": lat}, "lat")
    wind = blocks_of([zonal, meridional], [weights, weights])
    # sqrt((9 + 16) / 2)
    assert distance(wind.mean, np.zeros(12), wind.weights) == pytest.approx(np.sqrt(12.5))
    assert wind.weights[:3].sum() == pytest.approx(0.7 / 2)
