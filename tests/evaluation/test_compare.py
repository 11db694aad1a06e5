"""The verb whole, on models whose scores are known by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import closura as cl
from closura.closures.physical import PolynomialClosure
from closura.closures.stochastic import AR1Noise
from closura.core.closure import AbstractMemorylessClosure
from closura.core.couple import couple
from closura.core.passport import Passport
from closura.core.progress import listen
from closura.evaluation.compare import evaluate
from closura.evaluation.scores import Scores
from closura.models.lorenz63 import Lorenz63
from closura.models.lorenz96 import Lorenz96, Lorenz96TwoScale

SHORT = {"forecasts": 6, "lead": 2.0, "every": 0.1, "chaos": 20.0}


class Offset(AbstractMemorylessClosure):
    """Adds the same tendency everywhere."""

    value: float

    def tendency(self, fields, inputs=None):
        return {"x": jnp.full_like(fields.x, self.value)}


class Explosion(AbstractMemorylessClosure):
    """Adds 9 x^3, which reaches infinity within a time unit from |x| > 1/4."""

    def tendency(self, fields, inputs=None):
        return {"x": 9.0 * fields.x**3}


@pytest.fixture(scope="module")
def offset_scores(resting_run, relaxation):
    hybrid = couple(relaxation(), Offset(0.3))
    baselines = {"none": relaxation(), "bomb": couple(relaxation(), Explosion())}
    replicates = {"hybrid": [couple(relaxation(), Offset(v)) for v in (0.1, 0.2)]}
    return evaluate(
        hybrid, truth=resting_run, baselines=baselines, key=jax.random.key(7),
        replicates=replicates, **SHORT,
    )  # fmt: skip


def test_models_come_in_order_and_the_floor_last(offset_scores):
    assert list(offset_scores["model"].values) == ["hybrid", "none", "bomb", "noise floor"]


def test_error_of_a_constant_offset_grows_with_lead(offset_scores):
    # dx/dt = 0.3 against rest: after a lead t each of the forecasts is off by 0.3 t.
    of = offset_scores.sel(model="hybrid", variable="x")
    expected = 0.3 * offset_scores["lead"].values
    for name in ("forecast_mae", "forecast_rmse", "forecast_crps", "forecast_mae_upper"):
        np.testing.assert_allclose(of[name], expected, atol=1e-12)


def test_lead_zero_counts_in_the_first_unit(offset_scores):
    # Leads 0, 0.1 ... 1: the mean of 0.3 t is 0.15.
    of = offset_scores.sel(model="hybrid", variable="x")
    np.testing.assert_allclose(of["forecast_mae_first_unit"], 0.15, atol=1e-12)
    seeds = offset_scores["forecast_mae_first_unit_seeds"].sel(model="hybrid", variable="x")
    np.testing.assert_allclose(seeds, [0.05, 0.1], atol=1e-12)


def test_a_model_that_is_the_truth_has_no_error(offset_scores):
    of = offset_scores.sel(model="none", variable="x")
    assert float(of["forecast_mae"].max()) == 0.0
    assert np.isposinf(of["useful_lead"])


def test_a_drifting_model_is_said_to_drift(offset_scores):
    of = offset_scores.sel(model="hybrid", variable="x")
    np.testing.assert_allclose(of["drift"], 0.3, rtol=1e-6)
    assert any("x drifts by +0.3 per time unit" in line for line in offset_scores.warnings)


def test_a_model_that_blows_up_scores_nan_and_says_so(offset_scores):
    of = offset_scores.sel(model="bomb", variable="x")
    assert float(of["blown_up_share"]) == 1.0
    for name in ("wasserstein_1", "climate_mean", "lyapunov", "forecast_mae_first_unit"):
        assert np.isnan(of[name]), name
    expected = "bomb: blows up in 100% of the climate runs and 100% of the forecasts"
    assert expected in offset_scores.warnings


def test_others_are_untouched_by_a_model_that_blows_up(offset_scores):
    of = offset_scores.sel(model=["hybrid", "none"])
    assert np.isfinite(of["wasserstein_1"]).all()


def test_resting_models_have_lost_chaos(offset_scores):
    lost = offset_scores["lost_chaos"]
    assert lost.sel(model=["hybrid", "none"]).all()
    assert not lost.sel(model="noise floor")


def test_scores_survive_a_file(offset_scores, tmp_path):
    offset_scores.to_netcdf(tmp_path / "scores.nc")
    with xr.open_dataset(tmp_path / "scores.nc") as stored:
        again = Scores(stored.load())
    assert repr(again) == repr(offset_scores)
    assert again.warnings == offset_scores.warnings
    assert again.protocol["forecasts"] == 6


def test_the_verb_stays_a_verb_when_its_room_is_imported():
    assert cl.evaluate is evaluate


def test_a_truth_that_a_model_cannot_start_from_is_refused(resting_run):
    with pytest.raises(ValueError, match="the truth lacks y, z, so Lorenz63 cannot start from it"):
        evaluate(Lorenz63(dt=0.05), truth=resting_run, key=jax.random.key(0), **SHORT)


def test_a_time_step_that_divides_nothing_is_refused(resting_run, relaxation):
    with pytest.raises(ValueError, match=r"not a multiple of the time step of 'hybrid', 0.03"):
        evaluate(relaxation(dt=0.03), truth=resting_run, key=jax.random.key(0), **SHORT)


def test_a_name_given_twice_is_refused(resting_run, relaxation):
    both = {"one": relaxation()}
    with pytest.raises(ValueError, match="one is given twice"):
        evaluate(both, truth=resting_run, baselines=both, key=jax.random.key(0))


@pytest.fixture(scope="module")
def two_scale_scores(make_run):
    """A stochastic hybrid of a small two-scale truth, and what was reported on the way."""
    truth = Lorenz96TwoScale(K=5, J=4, F=10.0, dt=0.005)
    run = make_run(truth, members=2, duration=30.0, every=0.05, key=jax.random.key(1), spinup=5.0)
    coarse = Lorenz96(K=5, F=10.0, dt=0.01)
    closure = PolynomialClosure((-0.2, -0.6), lower=[-2.0], upper=[5.0],
                                origin=Passport("coupling", source="this run"))  # fmt: skip
    plain = couple(coarse, closure)
    noisy = couple(plain, AR1Noise({"X": 0.9}, {"X": 1.0}))
    heard = []
    with listen(lambda event, values: heard.append((event, values["model"]))):
        scores = evaluate(
            {"plain": plain, "noisy": noisy}, truth=run, key=jax.random.key(2), truth_model=truth,
            forecasts=8, lead=1.0, members=6, chaos=40.0,
        )  # fmt: skip
    return scores, heard


def test_stochastic_models_are_scored_as_ensembles(two_scale_scores):
    of = two_scale_scores[0].sel(variable="X")
    assert (of["forecast_spread"].sel(model="noisy", lead=1.0) > 0.05).all()
    assert float(of["forecast_crps"].sel(model="noisy", lead=1.0)) < float(
        of["forecast_mae"].sel(model="noisy", lead=1.0)
    )
    assert np.isnan(of["forecast_spread"].sel(model="plain")).all()
    assert np.isnan(of["lyapunov"].sel(model="noisy"))


def test_ranks_count_every_start_lead_and_point(two_scale_scores):
    scores = two_scale_scores[0]
    ranks = scores["rank_histogram"].sel(model="noisy", variable="X")
    assert ranks.sizes["rank"] == 7
    assert int(ranks.sum()) == 8 * (scores.sizes["lead"] - 1) * 5


def test_a_disturbed_truth_is_the_floor_of_the_forecasts(two_scale_scores):
    of = two_scale_scores[0].sel(variable="X")["forecast_mae_first_unit"]
    assert 0.0 < float(of.sel(model="noise floor")) < float(of.sel(model="plain"))
    assert two_scale_scores[0].protocol["forecast_floor"].startswith("the truth's own model")


def test_a_closure_scored_on_its_own_training_run_is_reported(two_scale_scores):
    expected = "plain: scored on the run that the closure was trained on (this run); "
    assert any(line.startswith(expected) for line in two_scale_scores[0].warnings)


def test_inputs_outside_the_training_range_are_counted(two_scale_scores):
    scores = two_scale_scores[0]
    share = float(scores["extrapolated_share"].sel(model="plain"))
    assert 0.05 < share < 0.9
    assert any("lie outside its training range" in line for line in scores.warnings)


def test_the_truth_has_its_own_exponent(two_scale_scores):
    assert np.isfinite(two_scale_scores[0]["truth_lyapunov"])


def test_progress_names_every_model(two_scale_scores):
    heard = two_scale_scores[1]
    assert {event for event, _ in heard} == {"evaluate"}
    assert {"truth", "plain", "noisy", "noise floor"} <= {model for _, model in heard}


def test_examples_have_lead_and_point(two_scale_scores):
    scores = two_scale_scores[0]
    assert scores["example"].dims == ("model", "lead", "point")
    np.testing.assert_allclose(
        scores["example"].sel(model="plain").isel(lead=0), scores["truth_example"].isel(lead=0)
    )
