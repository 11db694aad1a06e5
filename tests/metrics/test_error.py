"""Facts about scores of a forecast against the truth."""

import numpy as np
import pytest
import scores
import xarray as xr

from closura.metrics import (
    anomaly_correlation,
    bias,
    mean_absolute_error,
    r_squared,
    root_mean_square_error,
)
from closura.metrics.pairing import check_kinds


@pytest.fixture
def pair():
    generator = np.random.default_rng(1)
    coords = {"time": np.arange(7) * 0.5, "k": np.arange(5)}
    truth = xr.DataArray(
        generator.normal(3.0, 2.0, (7, 5)), coords, name="x", attrs={"units": "m s-1"}
    )
    return truth + generator.normal(0.5, 1.0, (7, 5)), truth


@pytest.mark.parametrize("over", [None, "time", ("k",), ("time", "k")])
def test_errors_equal_those_of_the_scores_package(pair, over):
    dims = over or ("time", "k")
    peers = [
        (mean_absolute_error, scores.continuous.mae),
        (root_mean_square_error, scores.continuous.rmse),
        (bias, scores.continuous.additive_bias),
    ]
    for ours, theirs in peers:
        xr.testing.assert_allclose(ours(*pair, over=over), theirs(*pair, reduce_dims=dims))


def test_centred_anomaly_correlation_without_climatology_is_pearsons(pair):
    ours = anomaly_correlation(*pair, xr.zeros_like(pair[1]), over="time", centred=True)
    theirs = scores.continuous.correlation.pearsonr(*pair, reduce_dims="time")
    xr.testing.assert_allclose(ours, theirs)


def test_anomaly_correlation_by_hand():
    # climatology 1: anomalies f' = (1, 2), t' = (2, 1): (2 + 2) / sqrt(5 * 5) = 0.8;
    # centred, f' = (-1/2, 1/2), t' = (1/2, -1/2): -1.
    forecast, truth = xr.DataArray([2.0, 3.0], dims="k"), xr.DataArray([3.0, 2.0], dims="k")
    climatology = xr.DataArray(1.0)
    assert float(anomaly_correlation(forecast, truth, climatology)) == pytest.approx(0.8)
    centred = anomaly_correlation(forecast, truth, climatology, centred=True)
    assert float(centred) == pytest.approx(-1.0)


def test_anomaly_correlation_of_no_anomaly_is_nan():
    truth = xr.DataArray([3.0, 2.0], dims="k")
    assert np.isnan(anomaly_correlation(xr.ones_like(truth), truth, xr.DataArray(1.0)))


def test_weights_count_mass():
    # errors 1 and 4, masses 3 and 1: mean (3 + 4) / 4, root of (3 + 16) / 4.
    truth = xr.DataArray([0.0, 0.0], dims="level")
    forecast = xr.DataArray([1.0, -4.0], dims="level")
    mass = xr.DataArray([3.0, 1.0], dims="level")
    assert float(mean_absolute_error(forecast, truth, weights=mass)) == 1.75
    assert float(bias(forecast, truth, weights=mass)) == -0.25
    assert float(root_mean_square_error(forecast, truth, weights=mass)) == np.sqrt(4.75)


def test_weights_count_within_each_place_that_is_kept():
    # masses 3 and 1 at every time: (3 * 1 + 1 * 5) / 4 and (3 * 2 + 1 * 0) / 4.
    forecast = xr.DataArray([[1.0, 5.0], [2.0, 0.0]], dims=("time", "level"))
    mass = xr.DataArray([3.0, 1.0], dims="level")
    found = bias(forecast, xr.zeros_like(forecast), over="level", weights=mass)
    assert found.values.tolist() == [2.0, 1.5]
    found = bias(forecast, xr.zeros_like(forecast), over="time", weights=mass)
    assert found.values.tolist() == [1.5, 2.5]


def test_weights_of_zero_in_all_give_nan():
    truth = xr.DataArray([0.0, 0.0], dims="level")
    assert np.isnan(bias(truth, truth, weights=xr.zeros_like(truth)))


def test_equal_weights_change_no_score(pair):
    weights = xr.DataArray(np.full(5, 0.3), dims="k")
    climatology = pair[1].mean("time")
    for score, arguments in [
        (root_mean_square_error, pair),
        (r_squared, pair),
        (anomaly_correlation, (*pair, climatology)),
    ]:
        xr.testing.assert_allclose(score(*arguments, weights=weights), score(*arguments))


def test_r_squared_by_hand():
    # truth (1, 2, 6): mean 3, variance (4 + 1 + 9) / 3; errors (1, 0, 1): 1 - 2 / 14.
    truth = xr.DataArray([1.0, 2.0, 6.0], dims="time")
    prediction = xr.DataArray([2.0, 2.0, 5.0], dims="time")
    assert float(r_squared(prediction, truth)) == pytest.approx(6.0 / 7.0)
    assert float(r_squared(xr.full_like(truth, 3.0), truth)) == 0.0


def test_r_squared_of_a_constant_target_is_nan_and_not_infinite():
    truth = xr.DataArray([[1e5, 1e5, 1e5 + 1e-6], [1.0, 2.0, 4.0]], dims=("level", "time"))
    score = r_squared(truth + 0.5, truth, over="time")
    assert np.isnan(score[0]) and np.isfinite(score[1])


def test_r_squared_takes_a_truth_shared_by_members(pair):
    forecast = xr.concat([pair[0], pair[0]], "member")
    xr.testing.assert_allclose(r_squared(forecast, pair[1]), r_squared(*pair))


def test_nan_stays_nan_and_only_where_it_is(pair):
    forecast = pair[0].copy()
    forecast[2, 3] = np.nan
    for score in (bias, mean_absolute_error, root_mean_square_error, r_squared):
        found = np.isnan(score(forecast, pair[1], over="time"))
        assert found.values.tolist() == [False, False, False, True, False]


def test_blown_up_forecast_scores_infinity_without_a_warning(pair):
    assert np.isinf(root_mean_square_error(pair[0] * 1e300, pair[1]))


def test_single_precision_is_summed_in_double():
    truth = xr.DataArray(np.zeros(5, "float32"), dims="x")
    assert bias(truth, truth).dtype == np.float64


def test_dataset_is_scored_by_variable_over_the_dimensions_each_has(pair):
    truth = xr.Dataset({"x": pair[1], "mean": pair[1].mean("k")})
    forecast = xr.Dataset({"x": pair[0], "mean": pair[0].mean("k")})
    score = mean_absolute_error(forecast, truth, over=("time", "k"))
    xr.testing.assert_equal(score["x"], mean_absolute_error(*pair))
    expected = abs(forecast["mean"] - truth["mean"]).mean()
    assert float(score["mean"]) == pytest.approx(float(expected))


def test_result_carries_units_and_a_name(pair):
    assert bias(*pair).attrs == {"long_name": "bias", "units": "m s-1"}
    assert r_squared(*pair).attrs["units"] == "1"


def test_lazy_arrays_stay_lazy(pair):
    lazy = [array.chunk(time=2) for array in pair]
    score = root_mean_square_error(*lazy, over="time")
    assert score.chunks is not None
    xr.testing.assert_allclose(score.compute(), root_mean_square_error(*pair, over="time"))


def test_coordinates_that_differ_are_refused_not_dropped(pair):
    with pytest.raises(ValueError, match=r"forecast \{'time': 6.*select or interpolate"):
        bias(pair[0][:-1], pair[1])


def test_weights_with_another_dimension_are_refused(pair):
    weights = xr.DataArray([1.0, 2.0], dims="level")
    with pytest.raises(ValueError, match=r"weights vary along \['level'\].*Dataset of weights"):
        bias(*pair, weights=weights)


def test_units_that_differ_are_refused(pair):
    with pytest.raises(ValueError, match=r"'x' has units 'km h-1' in forecast, 'm s-1' in truth"):
        bias(pair[0].assign_attrs(units="km h-1"), pair[1])


def test_unknown_dimension_is_refused(pair):
    with pytest.raises(ValueError, match=r"over names \['tiem'\].*\['time', 'k'\]"):
        bias(*pair, over="tiem")


def test_datasets_with_other_variables_are_refused(pair):
    with pytest.raises(ValueError, match=r"forecast has \['x'\]; truth has \['x', 'y'\]"):
        bias(pair[0].to_dataset(), pair[1].to_dataset().assign(y=pair[1]))


def test_dataset_against_array_is_refused(pair):
    with pytest.raises(TypeError, match=r"\['forecast'\] are Datasets but \['truth'\] are not"):
        bias(pair[0].to_dataset(), pair[1])


def test_bare_numpy_is_refused(pair):
    # asked of the check itself: under pytest the type checker would be first to refuse
    with pytest.raises(TypeError, match=r"truth is a ndarray.*Wrap it"):
        check_kinds({"forecast": pair[0], "truth": pair[1].values})


def test_climatology_with_a_calendar_left_in_is_refused(pair):
    climatology = pair[1].mean("time").expand_dims(dayofyear=[1, 2])
    with pytest.raises(ValueError, match=r"varies along \['dayofyear'\].*Select it"):
        anomaly_correlation(*pair, climatology)
