"""Scores of forecasts, from arrays whose scores are known."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

from closura.evaluation.forecasts import SCORED, clean, make_forecasts, score_forecasts, true_course
from closura.evaluation.protocol import Protocol, forecast_starts, make_protocol
from closura.metrics import crps, mean_absolute_error, root_mean_square_error, spread

SETTINGS = Protocol(
    forecasts=40, lead=1.0, members=5, every=0.5, climate=40.0, climate_members=1,
    climate_every=0.5, chaos=0.0, block=1, level=0.9, seed=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def ensemble():
    """Forecasts (start, member, lead, k) around a truth (start, lead, k), and a climatology."""
    generator = np.random.default_rng(0)
    lead = {"lead": [0.0, 0.5, 1.0]}
    truth = generator.normal(size=(40, 3, 4))
    noise = generator.normal(size=(40, 5, 3, 4)) * np.array([0.1, 0.5, 2.0])[:, None]
    forecast = xr.Dataset({"X": (("start", "member", "lead", "k"), truth[:, None] + noise)}, lead)
    course = xr.Dataset({"X": (("start", "lead", "k"), truth)}, lead)
    climatology = xr.Dataset({"X": ("k", np.array([0.1, 0.0, -0.1, 0.2]))})
    return forecast, course, climatology


def test_scores_are_those_of_the_metrics(ensemble):
    forecast, course, climatology = ensemble
    found = score_forecasts(forecast, course, climatology, SETTINGS).sel(variable="X")
    mean, over = forecast["X"].mean("member"), ["start", "k"]
    expected = {
        "forecast_mae": mean_absolute_error(mean, course["X"], over=over),
        "forecast_rmse": root_mean_square_error(mean, course["X"], over=over),
        "forecast_crps": crps(forecast["X"], course["X"], over=over),
        "forecast_spread": spread(forecast["X"], over=over),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12, err_msg=name)


def test_bounds_enclose_their_score_and_narrow_with_more_starts(ensemble):
    forecast, course, climatology = ensemble
    found = score_forecasts(forecast, course, climatology, SETTINGS).sel(variable="X")
    few = {"start": slice(0, 10)}
    fewer = score_forecasts(
        forecast.isel(few), course.isel(few), climatology, SETTINGS
    ).sel(variable="X")  # fmt: skip
    for name in SCORED:
        assert (found[f"{name}_lower"] <= found[name]).all(), name
        assert (found[name] <= found[f"{name}_upper"]).all(), name
    width = [float((s["forecast_mae_upper"] - s["forecast_mae_lower"]).mean())
             for s in (found, fewer)]  # fmt: skip
    assert width[0] < width[1]


def test_useful_lead_is_the_first_below_six_tenths(ensemble):
    # The mean of 5 members errs by 2 / sqrt(5) at the last lead: 1 / sqrt(1 + 0.8) = 0.75 > 0.6;
    # of a single member by 2: 1 / sqrt(1 + 4) = 0.45 < 0.6.
    forecast, course, climatology = ensemble
    assert np.isposinf(score_forecasts(forecast, course, climatology, SETTINGS)["useful_lead"])
    one = forecast.isel(member=[0])
    assert float(score_forecasts(one, course, climatology, SETTINGS)["useful_lead"][0]) == 1.0


def test_a_single_forecast_has_its_absolute_error_as_crps(ensemble):
    forecast, course, climatology = ensemble
    found = score_forecasts(forecast.isel(member=[0]), course, climatology, SETTINGS)
    np.testing.assert_allclose(found["forecast_crps"], found["forecast_mae"], rtol=1e-12)
    assert found["rank_histogram"].isnull().all()


def test_a_forecast_that_blows_up_is_nan_from_there_on(ensemble):
    forecast = ensemble[0].copy(deep=True)
    forecast["X"][7, 2, 1, 3] = 1e9
    cleaned, share = clean(forecast, {"X": 100.0})
    assert share == 1 / 40
    assert cleaned["X"].isel(start=7, member=2).isnull().all("k").values.tolist() == [
        False, True, True,
    ]  # fmt: skip
    assert int(cleaned["X"].isnull().sum()) == 2 * 4


def test_starts_are_spread_over_members_and_time(resting_run):
    settings = make_protocol(
        resting_run, forecasts=7, lead=2.0, members=2, climate=None, every=None, chaos=0.0,
        level=0.9, seed=0,
    )  # fmt: skip
    starts = forecast_starts(resting_run, settings)
    assert len(starts.time) == 7
    assert set(starts.member) == {0, 1, 2}
    # The last start leaves one lead of truth: 399 - 2.0 / 0.05 = 359.
    assert (starts.time.min(), starts.time.max()) == (0, 359)


def test_a_forecast_begins_on_the_truth_and_ends_at_the_lead(resting_run, relaxation):
    settings = replace(SETTINGS, forecasts=4)
    starts = forecast_starts(resting_run, settings)
    course = true_course(resting_run, ["x"], starts, settings)
    model = relaxation(rate=1.0)
    found = make_forecasts(
        model, resting_run, ["x"], starts, settings, key=jax.random.key(0)
    )["x"].isel(member=0)  # fmt: skip
    np.testing.assert_array_equal(found.isel(lead=0), course["x"].isel(lead=0))
    np.testing.assert_allclose(
        found.isel(lead=2), np.exp(-1.0) * course["x"].isel(lead=0), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lead": 30.0}, "lead is 30, but each member of the truth lasts 19.95 time units"),
        ({"every": 0.07}, "every is 0.07, not a multiple of the interval of the truth, 0.05"),
        ({"every": 0.3}, "lead is 2, not a multiple of every, 0.3; choose 2.1"),
        ({"forecasts": 1}, "forecasts is 1; a score with an interval wants 2 or more"),
        ({"climate": 0.1}, "climate is 0.1 time units, too short to compare climates"),
    ],
)
def test_a_protocol_that_cannot_be_is_refused(resting_run, settings, message):
    usual = {"forecasts": 7, "lead": 2.0, "members": 2, "climate": None, "every": None}
    with pytest.raises(ValueError, match=message):
        make_protocol(resting_run, **(usual | settings), chaos=0.0, level=0.9, seed=0)
