"""Statistics that are summed up while a run goes by, and free runs that may blow up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from closura.closures.anchored import Anchored
from closura.closures.guards import AbstractGuard
from closura.closures.physical import PolynomialClosure
from closura.core.closure import AbstractClosure, AbstractMemorylessClosure
from closura.core.couple import couple
from closura.core.rollout import rollout
from closura.core.series import Series
from closura.core.variable import Variable
from closura.data.border import to_dataset
from closura.evaluation.atmosphere import score_free_runs
from closura.evaluation.free_runs import BLOW_UP, SURVIVED, Lengths, free_run, what_blew_up
from closura.evaluation.running_means import RunningMeans, statistics_of
from closura.metrics.circulation import cell_weights
from closura.models.lorenz96 import Lorenz96
from closura.report.figures.free_runs import rate_of


def atmosphere(times=12, seed=0):
    """A made run of u on 3 levels, 5 latitudes and 8 longitudes."""
    coordinates = {
        "time": np.arange(times, dtype=float), "level": np.array([0.1, 0.35, 0.75]),
        "lat": np.array([-75.0, -40.0, 0.0, 35.0, 70.0]), "lon": np.arange(0.0, 360.0, 45.0),
    }  # fmt: skip
    values = np.random.default_rng(seed).normal(size=(times, 3, 5, 8)).astype(np.float32)
    return xr.Dataset({"u": (tuple(coordinates), values)}, coordinates)


def test_running_sums_give_what_the_whole_run_would():
    run = atmosphere()
    sums = RunningMeans(block=4)
    for first in range(0, 12, 2):
        sums.add(run.isel(time=slice(first, first + 2)))
    found = sums.result()
    values = run["u"].astype("float64")
    blocks = values.values.reshape(3, 4, 3, 5, 8).mean(axis=1)
    np.testing.assert_allclose(found["mean_u"].values, blocks, rtol=1e-12)
    np.testing.assert_allclose(found["square_u"], (values**2).mean("time"), rtol=1e-12)
    weights = cell_weights(run["u"])
    mean = values.weighted(weights).mean(("level", "lat", "lon"))
    np.testing.assert_allclose(found["global_u"], mean, rtol=1e-12)
    power = np.abs(np.fft.rfft(values.values) / 8)[..., 2] ** 2 * 2  # two waves around the circle
    expected = (power.mean(axis=0) * weights.transpose("level", "lat").values).sum()
    assert float(found["spectrum_u"].sel(wave_number=2)) == pytest.approx(expected, rel=1e-12)


def test_statistics_of_a_stored_run_skip_its_beginning_and_use_whole_blocks():
    run = atmosphere(times=13)
    found = statistics_of(run, block=5, skip=3)
    assert found.sizes["block"] == 2
    expected = run["u"].isel(time=slice(8, 13)).astype("float64").mean("time")
    np.testing.assert_allclose(found["mean_u"].isel(block=1), expected, rtol=1e-12)


def test_a_piece_must_fit_into_its_block():
    with pytest.raises(ValueError, match="has 3 instants and its block has room for 2"):
        RunningMeans(block=2).add(atmosphere(times=3))


def test_no_whole_block_is_an_error():
    with pytest.raises(ValueError, match="2 instants make no whole block of 5"):
        sums = RunningMeans(block=5)
        sums.add(atmosphere(times=2))
        sums.result()


def test_a_free_run_has_the_means_of_the_rollout():
    model = Lorenz96(K=5, dt=0.01)
    state = model.initial_state(jax.random.key(1))
    found = free_run(model, state, Lengths(duration=0.5, discard=0.1, every=0.02, block=0.1))
    kept, _ = rollout(model, model.start(state), 50, every=2)
    expected = np.asarray(kept.X)[5:].reshape(4, 5, 5).mean(axis=1)
    np.testing.assert_allclose(found["mean_X"], expected, rtol=1e-10)
    assert found.attrs[SURVIVED] == 0.5
    assert found.attrs[BLOW_UP] == ""


def test_what_a_recorded_closure_adds_is_summed_up():
    model = couple(Lorenz96(K=5, dt=0.01), PolynomialClosure((0.7,)), record=True)
    state = model.initial_state(jax.random.key(1))
    found = free_run(model, state, Lengths(duration=0.4, discard=0.0, every=0.02, block=0.1))
    np.testing.assert_allclose(found["mean_X_added"], 0.7, rtol=1e-6)


def test_units_of_what_was_added_are_those_of_its_field():
    class Tracer(Lorenz96):
        @property
        def variables(self):
            return (Variable("X", "kg kg-1", ("k",), "tracer"),)

    model = couple(Tracer(K=5, dt=0.01), PolynomialClosure((0.7,)), record=True)
    state = model.initial_state(jax.random.key(1))
    found = free_run(model, state, Lengths(duration=0.4, discard=0.0, every=0.02, block=0.1))
    scores = score_free_runs({"no closure": found}, truth=found, other=None)
    assert scores["added_units"].sel(added="X").item() == "kg kg-1"
    for time_units, expected in (
        ("s", (86400.0, "kg kg-1 day-1")), ("1", (1.0, "kg kg-1 per time unit")),
    ):  # fmt: skip
        assert rate_of(scores.assign_attrs(time_units=time_units), "X") == expected


class Explosion(AbstractMemorylessClosure):
    """Grows without bound: three times the square of the state."""

    def tendency(self, fields, inputs=None):
        return {"X": 3.0 * fields.X**2}


def test_a_run_that_blows_up_stops_and_tells_when_where_and_what_was_added():
    model = couple(Lorenz96(K=5, dt=0.01), Explosion(), record=True)
    state = Lorenz96(K=5).initial_state(jax.random.key(1))
    found = free_run(model, state, Lengths(duration=4.0, discard=0.0, every=0.01, block=1.0))
    assert 0 < found.attrs[SURVIVED] < 1.0
    assert "X is not finite from time 0." in found.attrs[BLOW_UP]
    assert "at k " in found.attrs[BLOW_UP]
    assert "just before, the closure added up to" in found.attrs[BLOW_UP]
    assert not found.data_vars


def test_the_first_value_that_is_not_finite_is_found():
    model = Lorenz96(K=4)
    values = np.ones((3, 4))
    values[1, 2] = np.nan
    piece = to_dataset(model, {"X": values}, time=[1.0, 2.0, 3.0])
    assert what_blew_up(piece) == "X is not finite from time 2 on, at k 2"


class Watchman(AbstractGuard):
    """Takes nothing away, and says what it saw: the first value and the date."""

    closure: AbstractClosure

    def guard(self, fields, tendency, inputs):
        return tendency, {"saw": fields.X[0], "hour": inputs}


@pytest.mark.parametrize(("every", "at"), [(1, "step"), (6, "tendency")])
def test_what_guards_did_is_of_the_last_call_of_a_recorded_term(every, at):
    inputs = Series(jnp.arange(41.0))
    closure = Watchman(PolynomialClosure((0.5,)))
    model = couple(Lorenz96(K=5, dt=0.01), closure, every=every, at=at, record=True)
    state = model.initial_state(jax.random.key(1))
    lengths = Lengths(duration=0.4, discard=0.0, every=0.04, block=0.04)
    found = free_run(model, state, lengths, inputs=inputs)
    # Looked at after steps 4, 8, ..., last called before at step 3, 7, ... or at 0, 6, 6, 12, ...
    called = (np.arange(4, 41, 4) - 1) // every * every
    np.testing.assert_allclose(found["mean_share_hour"], called)
    if at == "tendency":  # there a term sees the state at the beginning of the step
        kept, _ = rollout(model, model.start(state, None, inputs.at(0)), 40, inputs=inputs)
        seen = np.concatenate([[state.X[0]], np.asarray(kept.X)[:, 0]])[called]
        np.testing.assert_allclose(found["mean_share_saw"], seen, rtol=1e-10)


@pytest.mark.parametrize("every", [1, 3])
def test_a_guard_with_memory_is_asked_with_its_present_one(every):
    guard = Anchored(PolynomialClosure((0.5,)), 2.0, averaging=1.0, mean={"X": jnp.zeros(5)})
    lengths = Lengths(duration=2.0, discard=0.0, every=0.04, block=0.4)
    shares = []
    for record in (True, False):
        model = couple(Lorenz96(K=5, dt=0.01), guard, every=every, record=record)
        state = model.initial_state(jax.random.key(1))
        shares.append(free_run(model, state, lengths)["mean_share_anchored"].values)
    assert shares[0].max() > 0.3
    np.testing.assert_allclose(shares[1], shares[0], atol=0.05)
