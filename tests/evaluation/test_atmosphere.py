"""Scores of free runs of a made atmosphere whose errors are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from closura.core.series import Series
from closura.data.simulate import simulate
from closura.evaluation.atmosphere import Resampling, score_free_runs, scored_variables
from closura.evaluation.free_runs import BLOW_UP, SURVIVED
from closura.evaluation.gain import BLEW_UP, IMPROVED, UNCOMPARED, UNRESOLVED, WORSE
from closura.evaluation.leads import Later, forecast_errors, score_leads, spaced_starts
from closura.evaluation.protocol import Starts
from closura.evaluation.running_means import statistics_of
from closura.models.lorenz96 import Lorenz96

LEVELS, LAT = np.array([0.125, 0.375, 0.75]), np.array([-70.0, -35.0, 0.0, 30.0, 65.0])
LON = np.arange(0.0, 360.0, 60.0)
RESAMPLING = Resampling(samples=200, level=0.9, seed=4)


def climate(*, wind=0.0, warmth=0.0, seed=0, times=60):
    """A run of independent instants: jets at 35 S and 30 N, and noise of 1 m/s and 1 K."""
    shape = (times, 3, 5, 6)
    noise = np.random.default_rng(seed).normal(size=(3, *shape))
    jet = 30.0 * np.exp(-(((abs(LAT) - 33) / 12) ** 2))[:, None]
    dims = ("time", "level", "lat", "lon")
    coordinates = {"time": np.arange(times) * 0.5, "level": LEVELS, "lat": LAT, "lon": LON}
    fields = {"u": jet + wind, "v": np.zeros((5, 1)), "temperature": np.full((5, 1), 250 + warmth)}
    made = {
        name: (dims, noise[number] + value, {"units": "K" if name == "temperature" else "m s-1"})
        for number, (name, value) in enumerate(fields.items())
    }
    return statistics_of(xr.Dataset(made, coordinates), block=10)


@pytest.fixture(scope="module")
def scores():
    lost = xr.Dataset().assign_attrs({BLOW_UP: "u is not finite from time 3 on", SURVIVED: 3.0})
    runs = {
        "no closure": climate(wind=4.0, warmth=2.0, seed=1), "good": climate(wind=0.3, seed=2),
        "same": climate(wind=4.0, warmth=2.0, seed=3), "warm": climate(warmth=5.0, seed=4),
        "lost": lost,
    }  # fmt: skip
    other = climate(seed=10)
    return score_free_runs(runs, truth=climate(seed=9), other=other, resampling=RESAMPLING)


def test_wind_is_scored_first_and_temperature_always():
    assert scored_variables(climate())[:2] == ["wind", "temperature"]


def test_the_error_is_the_bias_and_a_little_noise(scores):
    # the bias of 4 m/s in u and the noise of two means of 60 instants in u and v: 4 / 60, by half
    expected = np.sqrt((4.0**2 + 4 / 60) / 2)
    found = scores["mean_error"].sel(model="no closure", variable="wind")
    assert float(found) == pytest.approx(expected, abs=0.1)
    floor = float(scores["mean_error"].sel(model="noise floor", variable="wind"))
    assert floor == pytest.approx(np.sqrt(2 / 60), abs=0.05)


def test_zonal_means_carry_less_noise(scores):
    floor = scores.sel(model="noise floor", variable="wind")
    # means over six longitudes: the variance is a sixth
    ratio = float(floor["zonal_error"] / floor["mean_error"])
    assert ratio == pytest.approx(1 / np.sqrt(6), abs=0.15)


@pytest.mark.parametrize(
    ("model", "variable", "verdict"),
    [
        ("good", "wind", IMPROVED), ("good", "temperature", IMPROVED),
        ("same", "wind", UNRESOLVED), ("same", "temperature", UNRESOLVED),
        ("warm", "wind", IMPROVED), ("warm", "temperature", WORSE),
        ("lost", "wind", BLEW_UP), ("no closure", "wind", ""), ("noise floor", "wind", ""),
    ],
)  # fmt: skip
def test_the_verdict_is_of_each_variable_by_itself(scores, model, variable, verdict):
    assert scores["verdict"].sel(model=model, variable=variable).item() == verdict


def test_the_excess_over_the_floor_is_what_can_be_removed(scores):
    row = scores.sel(variable="wind")
    error = row["mean_error"]
    expected = (error.sel(model="no closure") - error.sel(model="good")) / (
        error.sel(model="no closure") - error.sel(model="noise floor")
    )
    found = float(row["excess_removed"].sel(model="good"))
    assert found == pytest.approx(float(expected))
    assert 0.85 < found < 1.05


def test_a_run_that_blew_up_has_no_error_but_a_line_and_a_time(scores):
    row = scores.sel(model="lost")
    assert np.isnan(row["mean_error"]).all()
    assert bool(row["blew_up"]) and float(row["survived"]) == 3.0
    assert "lost blew up: u is not finite" in scores.attrs["warnings"]


def test_who_outlives_the_run_without_a_closure_is_not_said_to_have_blown_up():
    lost = xr.Dataset().assign_attrs({BLOW_UP: "u is not finite from time 3 on", SURVIVED: 3.0})
    runs = {"no closure": lost, "good": climate(wind=0.3, seed=2), "also lost": lost}
    found = score_free_runs(
        runs, truth=climate(seed=9), other=climate(seed=10), resampling=RESAMPLING
    )
    verdicts = found["verdict"].sel(variable="wind")
    assert verdicts.sel(model="good").item() == UNCOMPARED
    assert verdicts.sel(model="also lost").item() == BLEW_UP
    assert float(found["mean_error"].sel(model="good", variable="wind")) < 1.0


def test_an_independent_truth_that_blew_up_is_refused():
    lost = xr.Dataset().assign_attrs({BLOW_UP: "u is not finite from time 3 on", SURVIVED: 3.0})
    wanted = "the independent truth is no measure of runs: u is not finite from time 3 on; wanted"
    with pytest.raises(ValueError, match=wanted):
        score_free_runs({"no closure": climate()}, truth=climate(seed=9), other=lost)
    holed = climate(seed=10)
    holed["mean_u"][2, 1, 3, 0] = np.nan
    with pytest.raises(ValueError, match="wind has no finite means; wanted are finite means of wi"):
        score_free_runs({"no closure": climate()}, truth=climate(seed=9), other=holed)


def test_intervals_of_few_blocks_are_warned_of():
    for times, told in ((70, True), (80, False)):
        runs = {"no closure": climate(seed=1, times=times)}
        found = score_free_runs(
            runs, truth=climate(seed=9, times=80), other=None, resampling=RESAMPLING
        )
        line = "Means are over 7 blocks and intervals want 8, or they are too narrow"
        assert (line in found.attrs["warnings"]) == told


def test_a_floor_above_what_its_blocks_give_is_told_of():
    truth, line = climate(seed=9, times=80), "The noise floor lies above its interval"
    for wind, told in ((0.0, False), (0.8, True)):  # the other truth: as another season has it
        runs, other = (
            {"no closure": climate(seed=1, times=80)},
            climate(wind=wind, seed=3, times=80),
        )
        found = score_free_runs(runs, truth=truth, other=other, resampling=RESAMPLING)
        assert (f"{line} (wind, zonal-mean wind): blocks" in found.attrs["warnings"]) == told
        assert (line in found.attrs["warnings"]) == told


def test_jets_and_sections_are_kept_for_every_run_and_the_truth(scores):
    north = scores["jet_strength"].sel(hemisphere="north")
    assert float(north.sel(model="no closure") - north.sel(model="good")) == pytest.approx(
        3.7, abs=0.5
    )
    section = scores["section"].sel(model="no closure", field="u")
    difference = section - scores["truth_section"].sel(field="u")
    np.testing.assert_allclose(difference, 4.0, atol=0.6)


def test_a_run_without_a_closure_must_be_there():
    with pytest.raises(ValueError, match="gains are measured from one called 'no closure'"):
        score_free_runs({"good": climate()}, truth=climate(), other=None)


def test_against_one_climatology_the_floor_is_the_sampling_error_of_the_model():
    one = climate(seed=9).isel(block=[0])
    found = score_free_runs(
        {"no closure": climate(wind=4.0, seed=1)}, truth=one, other=None, resampling=RESAMPLING
    )
    floor = float(found["mean_error"].sel(model="noise floor", variable="wind"))
    assert floor == pytest.approx(np.sqrt(1 / 60), abs=0.05)


def test_a_forecast_by_the_truth_itself_has_no_error_and_another_model_has():
    model = Lorenz96(K=5, F=9.0, dt=0.02)
    truth = simulate(model, duration=2.0, spinup=1.0, every=0.1, key=jax.random.key(2))
    starts = spaced_starts(truth, count=6, lead=0.4)
    squares = {
        name: forecast_errors(
            made, truth, starts, lead=0.4, every=0.2, variables=["X"], key=jax.random.key(0)
        )
        for name, made in (("same", model), ("weak", Lorenz96(K=5, F=7.0, dt=0.02)))
    }
    found = score_leads(squares, samples=50, level=0.9, seed=0)["forecast_rmse"]
    np.testing.assert_allclose(found["lead"], [0.2, 0.4])
    np.testing.assert_allclose(found.sel(model="same"), 0.0, atol=1e-9)
    weak = found.sel(model="weak", variable="X").values
    # F lacks 2: after 0.2 time units about 0.4 is missing, and then it grows
    assert 0.2 < weak[0] < 0.6 < weak[1] * 1.5
    assert weak[1] > weak[0]


class Forced(Lorenz96):
    """Lorenz-96 that gains what its inputs are."""

    def tendency(self, state, inputs=None):
        return jax.tree.map(lambda x: x + inputs, super().tendency(state, None))


def test_a_forecast_reads_its_inputs_from_its_own_start_on():
    model = Forced(K=5, F=8.0, dt=0.02)
    inputs = Series(30.0 * jnp.sin(jnp.arange(101.0) ** 2))
    truth = simulate(model, duration=2.0, every=0.1, inputs=inputs, key=jax.random.key(2))
    # The first saved instant is after 5 steps: from it on, step 0 is 5 steps later.
    found = forecast_errors(
        model, truth, spaced_starts(truth, count=5, lead=0.4), lead=0.4, every=0.2,
        variables=["X"], key=jax.random.key(0), inputs=Later(inputs, jnp.asarray(5)),
    )  # fmt: skip
    np.testing.assert_allclose(found["forecast_square"], 0.0, atol=1e-9)


def test_a_forecast_beyond_its_inputs_is_refused():
    model = Forced(K=5, F=8.0, dt=0.02)
    truth = simulate(Lorenz96(K=5, dt=0.02), duration=2.0, every=0.1, key=jax.random.key(2))
    short = Series(jnp.zeros(96))
    with pytest.raises(ValueError, match="goes from step 76 to 96 and its inputs cover steps 0 to"):
        forecast_errors(
            model, truth, Starts(np.array([0]), np.array([15])), lead=0.4, every=0.2,
            variables=["X"], key=jax.random.key(0), inputs=Later(short, jnp.asarray(1)),
        )  # fmt: skip


def test_a_lead_longer_than_the_truth_is_refused():
    truth = simulate(Lorenz96(K=5), duration=1.0, every=0.1, key=jax.random.key(2))
    with pytest.raises(ValueError, match="a forecast lasts 5 and the truth 1"):
        spaced_starts(truth, count=3, lead=5.0)
