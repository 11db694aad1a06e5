"""Scores of solvers: means over late times and twins, with a verdict instead of a wrong number."""

import json

import jax
import numpy as np
import pytest
import xarray as xr

from closura.core.problem import Observations
from closura.data.observations import Points
from closura.data.simulate import simulate
from closura.evaluation.analyses import ANALYSIS_SCORES, gather_twins, score_analyses
from closura.evaluation.twins import Twin, follow_twin
from closura.models.lorenz96 import Lorenz96
from closura.solvers.baselines import ThreeDVar
from closura.solvers.ensemble import ETKF

TIMES = 41


def course(error: float, *, diverged: bool = False) -> xr.Dataset:
    """How a filter with a constant error did, far worse in the first time unit."""
    time = 0.1 * np.arange(1, TIMES + 1)
    errors = np.where(time > 1.0, error, 100.0)
    names = ("analysis_rmse", "forecast_rmse", "analysis_spread", "forecast_spread",
             "innovation_rms")  # fmt: skip
    found = xr.Dataset(dict.fromkeys(names, ("time", errors)), {"time": time})
    found["innovation_expected"] = ("time", 2 * errors)
    found["climatology_rmse"] = ("time", np.full(TIMES, 5.0))
    found["replaced"] = ("time", np.zeros(TIMES, int))
    found["observation_error"] = 0.3
    found["diverged"] = diverged
    found.attrs["warnings"] = ["it diverged."] if diverged else []
    return found


@pytest.fixture(scope="module")
def scores():
    twins = {
        ("good", "no closure"): gather_twins([course(0.2), course(0.4)]),
        ("lost", "no closure"): gather_twins([course(0.2), course(9.0, diverged=True)]),
    }
    return score_analyses(twins, skip=1.0)


def test_a_score_is_the_mean_of_late_times_over_twins(scores):
    good = scores.sel(solver="good", model="no closure")
    assert float(good["analysis_rmse"]) == pytest.approx(0.3)
    assert good["analysis_rmse_seeds"].values.tolist() == pytest.approx([0.2, 0.4])
    assert float(good["innovation_ratio"]) == pytest.approx(0.5)
    assert float(good["analysis_rmse_lower"]) <= 0.3 <= float(good["analysis_rmse_upper"])


def test_a_filter_that_diverged_in_one_twin_has_no_score_at_all(scores):
    lost = scores.sel(solver="lost", model="no closure")
    assert int(lost["diverged"]) == 1
    assert float(lost["diverged_share"]) == 0.5
    for name in ("analysis_rmse", "forecast_rmse_upper", "analysis_spread", "innovation_ratio"):
        assert np.isnan(float(lost[name]))
    assert lost["analysis_rmse_seeds"].values[0] == pytest.approx(0.2)
    assert np.isnan(lost["analysis_rmse_seeds"].values[1])
    assert json.loads(scores.attrs["warnings"]) == ["lost, twin 1: it diverged."]


def test_the_median_over_twins_counts_lost_ones_as_infinitely_bad():
    errors = {"seldom": (0.2, 0.5, 9.0), "often": (0.2, 0.1, 9.0, 0.1)}
    failed = {"seldom": (2,), "often": (1, 3)}  # the second filter's small errors are luck
    found = {}
    for name, each in errors.items():
        twins = [course(e, diverged=i in failed[name]) for i, e in enumerate(each)]
        one = score_analyses({(name, "no closure"): gather_twins(twins)}, skip=1.0)
        found[name] = float(one["analysis_rmse_median"].squeeze())
    assert found["seldom"] == pytest.approx(0.5)
    assert np.isnan(found["often"])


def test_limits_stand_beside_the_scores(scores):
    assert float(scores["climatology_rmse"]) == pytest.approx(5.0)
    assert float(scores["observation_error"]) == pytest.approx(0.3)


def test_the_names_that_expectations_are_held_against_are_those_of_the_scores(scores):
    assert set(map(str, scores.data_vars)) == set(ANALYSIS_SCORES)


@pytest.fixture(scope="module")
def twin():
    """Every second of 6 points, seen every 0.1 with an error of 0.5, 30 times."""
    model = Lorenz96(K=6, F=8.0, dt=0.05)
    make = lambda seed: simulate(model, duration=3.1, every=0.1, spinup=5.0,  # noqa: E731
                                 key=jax.random.key(seed)).isel(member=0)  # fmt: skip
    truth, climate = (run.assign_coords(time=run.time - 0.1) for run in (make(1), make(2)))
    index = np.arange(0, 6, 2)[:, None]
    noise = 0.5 * np.random.default_rng(3).standard_normal((30, 3))
    seen = truth["X"].values[1:, ::2] + noise
    operator = Points((("X", index, np.ones(index.shape)),))
    observations = Observations(seen, np.full(3, 0.25), truth["time"].values[1:], operator)
    return model, Twin(truth, observations, climate, 0.1, jax.random.key(4))


def test_innovations_are_expected_to_hold_spread_and_observation_error(twin):
    model, given = twin
    found = follow_twin(model, ThreeDVar(scale=0.1), given, skip=0.5)
    assert np.allclose(found["innovation_expected"], 0.5)  # one member: the observation error
    assert found.attrs["ranks"] == "one member has no ranks"
    found = follow_twin(model, ETKF(members=5), given, skip=0.5)
    assert (found["innovation_expected"] > 0.5).all()
    assert found["rank_histogram"].sum() == 25 * 6  # late times, all points
    width = float(found["deviation"][1] - found["deviation"][0])
    assert float(found["innovation_density"].sum()) * width == pytest.approx(1.0)


def test_members_begin_around_the_truth_where_that_is_asked_for(twin):
    model, given = twin
    near, far = (
        follow_twin(model, ETKF(members=5), given._replace(start=start))["forecast_rmse"].values[0]
        for start in (1e-3, None)
    )
    assert near < 0.1 < far


class Blowing(Lorenz96):
    """A model whose members all die at once."""

    def tendency(self, state, inputs=None):
        found = super().tendency(state, inputs)
        return type(found)(found.X * 1e200 * found.X)


def test_a_dead_ensemble_is_a_filter_that_diverged(twin):
    _, given = twin
    found = follow_twin(Blowing(K=6, dt=0.05), ETKF(members=5), given, skip=0.5)
    assert bool(found["diverged"])
    assert np.isnan(found["analysis_rmse"]).all()
    assert found.attrs["warnings"][0].startswith("ETKF diverged: every member is dead")
    alive = follow_twin(Lorenz96(K=6, dt=0.05), ETKF(members=5), given, skip=0.5)
    scores = score_analyses({("etkf", "no closure"): gather_twins([alive, found])}, skip=0.5)
    assert int(scores["diverged"].item()) == 1
