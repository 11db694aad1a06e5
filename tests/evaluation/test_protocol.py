"""The protocol follows from the truth: its interval, its length, its shape."""

import jax
import numpy as np
import pytest
import xarray as xr

from closura.closures.stochastic import FIRST
from closura.core.closure import Zero
from closura.core.couple import START, couple
from closura.core.rollout import INITIAL
from closura.evaluation.climate import as_climate, run_climate
from closura.evaluation.forecasts import DISTURBANCE
from closura.evaluation.protocol import (
    climate_starts,
    interval_of,
    make_protocol,
    states_at,
)
from closura.models.lorenz96 import Lorenz96

USUAL = {"forecasts": 4, "lead": 1.0, "members": 2, "climate": None, "every": None, "chaos": 0.0,
         "level": 0.9, "seed": 0}  # fmt: skip


def truth_of(members, instants, every=0.05):
    values = np.random.default_rng(1).normal(size=(members, instants, 5))
    time = every * (1 + np.arange(instants))
    attributes = {"every": every}
    return xr.Dataset({"x": (("member", "time", "point"), values)}, {"time": time}, attributes)


def test_the_interval_is_that_of_the_times_and_not_the_attribute():
    thin = truth_of(3, 400).isel(time=slice(None, None, 4))
    assert thin.attrs["every"] == 0.05
    assert interval_of(thin) == 0.2
    with pytest.raises(ValueError, match=r"every is 0\.05, not a multiple of .*, 0\.2"):
        make_protocol(thin, **(USUAL | {"every": 0.05}))


def test_uneven_times_are_refused():
    truth = truth_of(2, 40)
    gap = truth.isel(time=[*range(10), *range(15, 40)])
    with pytest.raises(ValueError) as error:
        interval_of(gap)
    assert str(error.value) == (
        "the truth's times are not evenly spaced and increasing: 0.05 apart at first, 0.3 after "
        "time 0.5; evaluate runs one by one."
    )


def test_a_truth_without_times_is_refused():
    with pytest.raises(ValueError, match="evaluate wants a coordinate 'time' of length 2 or more"):
        interval_of(truth_of(2, 40).drop_vars("time"))


# Truths of 8 x 400, of 3 x 400 at a lead that asks for 5 runs, of 4 x 400 that make 8 runs, and
# as an experiment asks for it.
@pytest.mark.parametrize(
    ("members", "settings", "runs"),
    [(8, {}, 8), (3, {"lead": 1.2}, 3), (4, {}, 8), (8, {"climate": 160.0}, 8), (11, {}, 11)],
)
def test_hybrid_and_truth_have_climates_of_the_same_length(members, settings, runs, relaxation):
    truth = truth_of(members, 400)
    protocol = make_protocol(truth, **(USUAL | settings))
    assert protocol.climate == pytest.approx(members * 20.0)
    assert protocol.climate_members == runs
    piece = as_climate(truth, ["x"], protocol)
    run, _ = run_climate(relaxation(), truth, ["x"], protocol, key=jax.random.key(0))
    # 20 time units a member, every 0.05: no value of the truth is left out, nor of the hybrid.
    assert piece.sizes == run.sizes == {"member": runs, "time": members * 400 // runs, "point": 5}
    np.testing.assert_allclose(piece["time"], run["time"])


def test_a_state_of_another_shape_is_refused():
    truth = truth_of(3, 60).rename(x="X", point="k")
    starts = climate_starts(truth, make_protocol(truth, **USUAL))
    for model in (Lorenz96(K=4), couple(Lorenz96(K=4), Zero())):
        with pytest.raises(ValueError) as error:
            states_at(model, truth, starts)
        assert str(error.value) == (
            f"X has shape (5,) and {type(model).__name__} wants (4,); give both models the same "
            "grid (say, the same K), or coarsen the truth before."
        )


def test_the_disturbance_shares_its_number_with_no_step_nor_another_draw():
    assert 2**30 < DISTURBANCE < min(INITIAL, START, FIRST)
