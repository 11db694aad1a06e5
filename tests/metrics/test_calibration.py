"""Checks of posteriors: right ones pass, and each kind of wrong one is found out."""

import numpy as np
import pytest
import xarray as xr

from closura.metrics import (
    c2st,
    calibration_ranks,
    expected_coverage,
    predictive_check,
    rank_uniformity,
    remaining_spread,
    tarp,
)


def cases(width=1.0, shift=0.0, count=300, draws=199):
    """Truth x ~ N(0, 1) seen with an error of 1: the posterior is N(y / 2, 1 / 2)."""
    drawn = np.random.default_rng(3)
    truth = drawn.normal(size=(2, count))
    centre = (truth + drawn.normal(size=(2, count))) / 2 + shift
    spread = width * np.sqrt(0.5)
    return centre[:, None] + spread * drawn.normal(size=(2, draws, count)), truth


def test_ranks_count_the_draws_below_the_truth():
    draws = np.array([[[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]]])
    assert calibration_ranks(draws, np.array([[2.5, 5.5]])).values.tolist() == [[2, 1]]


def test_ranks_of_a_right_posterior_are_equally_likely():
    found = rank_uniformity(calibration_ranks(*cases()), draws=199)
    assert (found.sel(statistic="p_value") > 0.01).all()
    assert (found.sel(statistic="distance") < found.sel(statistic="band")).all()


@pytest.mark.parametrize("wrong", [{"width": 0.6}, {"width": 1.7}, {"shift": 0.3}])
def test_ranks_of_a_wrong_posterior_are_not(wrong):
    found = rank_uniformity(calibration_ranks(*cases(**wrong)), draws=199)
    assert (found.sel(statistic="p_value") < 1e-3).all()


def test_chi_square_of_a_tally_done_by_hand():
    # 20 cases, 4 possible ranks, 2 bins of 2: 15 and 5 where 10 and 10 are expected: chi2 = 5.
    ranks = np.array([[0] * 15 + [3] * 5])
    found = rank_uniformity(ranks, draws=3, bins=2)
    assert np.isclose(found.sel(statistic="p_value").item(), 0.0253473, atol=1e-6)
    assert np.isclose(found.sel(statistic="distance").item(), 0.5)  # 15/20 at rank 0 against 1/4


def test_coverage_of_a_right_posterior_lies_in_the_binomial_range():
    found = expected_coverage(*cases())
    assert (found.sel(estimate="coverage") >= found.sel(estimate="lower")).all()
    assert (found.sel(estimate="coverage") <= found.sel(estimate="upper")).all()


def test_binomial_range_at_two_hundred_cases():
    found = expected_coverage(*cases(count=200), levels=(0.9,)).isel(number=0, level=0)
    # Normal approximation: 0.9 -+ 1.96 sqrt(0.09 / 200) = 0.858, 0.942.
    assert np.allclose(found.sel(estimate=["lower", "upper"]), [0.858, 0.942], atol=0.006)


def test_coverage_of_a_narrow_posterior_is_what_its_width_says():
    draws, truth = cases(width=0.5, count=2000)
    found = expected_coverage(draws, truth, levels=(0.9,)).sel(estimate="coverage")
    # P(|z| < 1.645 / 2) = 0.589
    assert np.allclose(found, 0.589, atol=0.03)


def test_checks_take_datasets_and_name_their_parameters():
    draws, truth = cases()
    names = ("F", "h")
    drawn = xr.Dataset({n: (("draw", "case"), d) for n, d in zip(names, draws, strict=True)})
    true = xr.Dataset({n: (("case",), t) for n, t in zip(names, truth, strict=True)})
    one = expected_coverage(drawn, true)["h"]
    assert np.array_equal(one, expected_coverage(draws, truth).isel(number=1))
    assert np.array_equal(tarp(drawn, true, seed=1), tarp(draws, truth, seed=1))


def test_tarp_sees_the_correlation_that_single_parameters_hide():
    drawn = np.random.default_rng(5)
    count, draws = 400, 200
    root = np.linalg.cholesky([[1.0, 0.95], [0.95, 1.0]])
    centre = 3 * drawn.normal(size=(2, count))
    truth = centre + root @ drawn.normal(size=(2, count))
    noise = drawn.normal(size=(2, draws * count))
    right = centre[:, None] + (root @ noise).reshape(2, draws, count)
    flipped = centre[:, None] + (root * [[1], [-1]] @ noise).reshape(2, draws, count)
    distance = [
        float(abs(t - t.level).max()) for t in (tarp(d, truth, seed=0) for d in (right, flipped))
    ]
    assert distance[0] < 1.36 / count**0.5 < distance[1]
    assert (expected_coverage(flipped, truth).sel(estimate="coverage", level=0.9) > 0.85).all()


def test_remaining_spread_is_the_ratio_of_deviations():
    drawn = np.random.default_rng(0)
    posterior, prior = drawn.normal(size=(2, 4000)) * [[0.5], [1.0]], drawn.normal(size=(2, 9000))
    assert np.allclose(remaining_spread(posterior, prior), [0.5, 1.0], atol=0.03)


def test_predictive_check_finds_what_the_model_cannot_produce():
    drawn = np.random.default_rng(0)
    predicted = np.linalg.cholesky([[1.0, 0.9], [0.9, 1.0]]) @ drawn.normal(size=(2, 2000))
    # Each statistic alone is ordinary, both together are not: they always rise and fall together.
    found = predictive_check(predicted, np.array([1.2, -1.2]))
    assert 0.8 < found.sel(statistic="0") < 0.93
    assert found.sel(statistic="all") < 0.001
    assert predictive_check(predicted, np.zeros(2)).sel(statistic="all") > 0.95


def test_classifier_tells_shifted_samples_apart_and_no_others():
    drawn = np.random.default_rng(0)
    first, second = drawn.normal(size=(2, 3, 600))
    assert abs(c2st(first, second, seed=0) - 0.5) < 4 * 0.5 / 1200**0.5
    # Two unit normals 2 apart: the best rule is right in P(z < 1) = 0.841 of all cases.
    shifted = second + np.array([[2.0], [0.0], [0.0]])
    assert abs(c2st(first, shifted, seed=0) - 0.841) < 0.03


def test_classifier_without_scikit_learn_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.neural_network", None)
    with pytest.raises(ImportError, match=r"pip install 'closura\[trees\]'"):
        c2st(np.zeros((1, 99)), np.zeros((1, 99)), seed=0)


WRONG = {
    "few cases": (
        lambda: rank_uniformity(np.zeros((1, 9)), draws=9),
        "ranks hold 9 cases and go up to 0; a test wants 20 cases or more, and ranks up to "
        "draws=9.",
    ),
    "level": (
        lambda: expected_coverage(*cases(), levels=(90.0,)),
        "levels is (90.0,); give shares between 0 and 1, e.g. (0.5, 0.9).",
    ),
    "not finite": (
        lambda: calibration_ranks(np.full((1, 3, 2), np.nan), np.zeros((1, 2))),
        "draws or the truth holds values that are not finite; leave the cases out whose "
        "simulation failed.",
    ),
    "shapes": (
        lambda: predictive_check(np.zeros((2, 9)), np.zeros(3)),
        "predicted has shape (2, 9) and measured (3,); they must be (statistic, draw) and "
        "(statistic,).",
    ),
    "too few to tell": (
        lambda: c2st(np.zeros((2, 9)), np.zeros((2, 99)), seed=0),
        "the samples have shapes (2, 9) and (2, 99); they must hold the same numbers, and 50 "
        "draws or more each.",
    ),
}


@pytest.mark.parametrize("call, words", WRONG.values(), ids=WRONG)
def test_mistakes_are_named(call, words):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == words
