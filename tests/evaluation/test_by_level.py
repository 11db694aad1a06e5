"""Offline scores by level, on fields made so that they can be worked out."""

import jax.numpy as jnp
import numpy as np
import pytest

from closura.closures.climatological import ClimatologicalTendency
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.core.variable import Variable
from closura.evaluation.by_level import score_by_level

LAT = np.array([-60.0, 0.0, 60.0])


def pairs(times=40):
    """Two levels; the target is noise of deviation 1 aloft and 2 below, about a map of means."""
    noise = np.random.default_rng(3).normal(size=(1, times, 2, 3, 5)) * [[[1.0]], [[2.0]]]
    means = np.arange(30.0).reshape(2, 3, 5)
    return Pairs(
        inputs={"u": np.zeros((1, times, 2, 3, 5))},
        targets={"u": noise + means},
        time=np.arange(times) * 6.0,
        passport=Passport(target="nudging"),
        variables={
            "u_tendency": Variable("u_tendency", "m s-2", ("level", "lat", "lon"), "tendency")
        },
        coordinates={"level": np.array([0.25, 0.75]), "lat": LAT, "lon": np.arange(5) * 72.0},
    )


def test_a_map_of_means_earns_nothing_and_its_error_is_the_noise():
    made = pairs()
    means = made.targets["u"][0].mean(axis=0)
    closure = ClimatologicalTendency({"u": jnp.asarray(means)[None, None]})
    found = score_by_level({"map": closure}, made, samples=50).sel(model="map", variable="u")
    np.testing.assert_allclose(found["r_squared"], 0.0, atol=1e-6)
    np.testing.assert_allclose(found["rmse"], [1.0, 2.0], rtol=0.1)
    np.testing.assert_allclose(found["bias"], 0.0, atol=1e-6)
    # equal layers: the mean of 1 and 4
    assert float(found["overall_rmse"]) == pytest.approx(np.sqrt(2.5), rel=0.1)
    assert (found["rmse_lower"] < found["rmse"]).all()
    assert (found["rmse"] < found["rmse_upper"]).all()


def test_no_closure_predicts_zero():
    made = pairs()
    found = score_by_level({}, made, samples=20).sel(model="no closure", variable="u")
    area = np.cos(np.deg2rad(LAT))[:, None] * np.ones(5)
    expected = (made.targets["u"][0] * area / area.sum()).sum(axis=(2, 3)).mean(axis=0)
    np.testing.assert_allclose(found["bias"], -expected, rtol=1e-9)


def test_too_few_times_are_refused():
    with pytest.raises(ValueError, match="7 held-out times cannot be scored; hold out 8 or more"):
        score_by_level({}, pairs(times=7))
