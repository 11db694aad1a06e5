"""Offline scores by level, on fields made so that they can be worked out."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from closura.closures.climatological import ClimatologicalTendency
from closura.core.lazy import LazyArray
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.core.variable import Variable
from closura.data.pairs import load_pairs, save_pairs
from closura.evaluation.by_level import score_by_level
from closura.evaluation.offline import score_offline

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
    with pytest.raises(ValueError, match="3 held-out times cannot be scored; hold out 4 or more"):
        score_by_level({}, pairs(times=3))


def test_blocks_are_as_long_as_the_targets_remember():
    made = pairs(times=60)
    slow = np.repeat(made.targets["u"][:, :10], 6, axis=1)  # stands still for 6 times
    still = replace(made, targets={"u": slow})
    memory = score_by_level({}, still, samples=10).attrs["block"]
    wanted = score_offline({}, still, key=jax.random.key(0), samples=10)
    assert memory == wanted.attrs["block"]
    assert (memory, score_by_level({}, made, samples=10).attrs["block"]) == (8, 2)
    assert score_by_level({}, made, samples=10, block=5).attrs["block"] == 5


def test_levels_count_by_the_mass_that_the_pairs_give():
    made = replace(pairs(), weights=np.array([3.0, 1.0]))
    mean = jnp.asarray(made.targets["u"][0].mean(axis=0))
    means = ClimatologicalTendency({"u": mean[None, None]})
    row = score_by_level({"map": means}, made, samples=20).sel(model="map", variable="u")
    squares = row["rmse"].values ** 2
    assert float(row["overall_rmse"]) == pytest.approx(np.sqrt((3 * squares[0] + squares[1]) / 4))
    assert row["overall_rmse_lower"] < row["overall_rmse"] < row["overall_rmse_upper"]


def test_stored_fields_are_read_a_piece_at_a_time_and_score_the_same(tmp_path, monkeypatch):
    made = replace(pairs(), targets={"u": pairs().targets["u"].astype("f4")})
    monkeypatch.setattr("closura.data.stored_pairs.CHUNK", 30 * 8 * 7)  # 7 times
    save_pairs(tmp_path / "pairs.zarr", made)
    stored = load_pairs(tmp_path / "pairs.zarr", lazy=True)
    monkeypatch.setattr("closura.core.pieces.PIECE", 30 * 12 * 7)
    read = []
    inside = LazyArray.__array__

    def noting(array, *rest, **settings):
        read.append(array.shape[1])
        return inside(array, *rest, **settings)

    monkeypatch.setattr(LazyArray, "__array__", noting)
    again = score_by_level({}, stored, samples=20)
    assert read and max(read) < 20
    xr.testing.assert_allclose(again, score_by_level({}, made, samples=20), rtol=1e-9)
