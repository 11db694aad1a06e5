"""Climates: cutting the truth alike, floors and bounds."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from closura.evaluation.climate import as_climate, bins_of, halves, score_climate
from closura.evaluation.protocol import Protocol

SETTINGS = Protocol(
    forecasts=4, lead=1.0, members=2, every=0.1, climate=200.0, climate_members=4,
    climate_every=0.1, chaos=0.0, block=1, level=0.9, seed=3,
)  # fmt: skip


def noise(seed, shift=0.0, scale=1.0):
    """Independent normal values (member, time, k)."""
    values = shift + scale * np.random.default_rng(seed).normal(size=(4, 500, 3))
    time = 0.1 * np.arange(500)
    return xr.Dataset({"X": (("member", "time", "k"), values)}, {"time": time}, {"every": 0.1})


@pytest.fixture(scope="module")
def truth():
    return noise(0)


def score(run, truth):
    return score_climate(run, truth, bins_of(truth), SETTINGS).sel(variable="X")


def test_a_shifted_climate_is_as_far_as_the_shift(truth):
    # W1 of two distributions of one shape is their shift; N(0, 1) and N(0.5, 1) differ most
    # half-way: KS = 2 Phi(0.25) - 1 = 0.197; Hellinger 1 - exp(-0.5^2 / 8) = 0.031.
    found = score(noise(1, shift=0.5), truth)
    assert abs(float(found["wasserstein_1"]) - 0.5) < 0.05
    assert abs(float(found["kolmogorov_smirnov"]) - 0.197) < 0.03
    assert abs(float(found["hellinger"]) - 0.031) < 0.01
    assert abs(float(found["climate_mean_error"]) - 0.5) < 0.05


def test_bounds_hold_the_distance(truth):
    found = score(noise(1, shift=0.5), truth)
    for name in ("wasserstein_1", "hellinger", "kolmogorov_smirnov"):
        low, high = float(found[f"{name}_lower"]), float(found[f"{name}_upper"])
        assert 0.0 <= low <= float(found[name]) <= high, name
        assert high - low < float(found[name]), name


def test_variance_ratio_is_that_of_the_variances(truth):
    assert abs(float(score(noise(1, scale=2.0), truth)["climate_variance_ratio"]) - 4.0) < 0.3


def test_a_truth_is_cut_into_runs_of_the_length_of_the_climate(truth):
    # 200 time units in 8 members: 25 each, 250 states; each of 4 members of the truth gives 2.
    found = as_climate(truth, ["X"], replace(SETTINGS, climate_members=8))
    assert found.sizes == {"member": 8, "time": 250, "k": 3}
    again = np.sort(found["X"].values, axis=None)
    np.testing.assert_array_equal(again, np.sort(truth["X"].values, axis=None))


def test_halves_share_no_value(truth):
    first, second = halves(truth)
    assert first.sizes["member"] == second.sizes["member"] == 2
    one = truth.isel(member=[0])
    first, second = halves(one)
    assert first.sizes["time"] == 250
    assert not np.isin(first["X"].values, second["X"].values).any()


def test_a_run_with_a_gap_scores_nan(truth):
    broken = noise(1)
    broken["X"][1, 3, 2] = np.nan
    found = score(broken, truth)
    for name in ("wasserstein_1", "hellinger_upper", "climate_mean"):
        assert np.isnan(found[name]), name
    assert found["power_spectrum"].isnull().all()
