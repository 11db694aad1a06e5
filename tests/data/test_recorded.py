"""Recorded runs in files, and pairs of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl

KEY = jax.random.key(5)
SERIES = np.random.default_rng(3).normal(size=(41, 7))


class Toward(cl.AbstractMemorylessClosure):
    """Relaxes X toward its inputs."""

    def tendency(self, fields, inputs=None):
        return {"X": (inputs - fields.X) / 0.3}


class Broken(cl.AbstractMemorylessClosure):
    """Gives NaN."""

    def tendency(self, fields, inputs=None):
        return {"X": jnp.full_like(fields.X, jnp.nan)}


def nudged(**settings):
    return cl.couple(cl.Lorenz96(K=7, dt=0.01), Toward(), at="step", record=True, **settings)


def recorded(model, **settings):
    inputs = cl.Series(jnp.asarray(SERIES))
    asked = {"duration": 0.4, "every": 0.1, "members": 2, "key": KEY, "recorded": True}
    return cl.simulate(model, inputs=inputs, **(asked | settings))


def test_a_recorded_run_holds_fields_before_and_tendency_added():
    run = recorded(nudged())
    # Process split: the saved state is what the term saw plus dt times what it gave.
    np.testing.assert_allclose(
        run["X"], run["X_before"] + 0.01 * run["X_added"], rtol=1e-12, atol=1e-12
    )
    # The term acts in the last of ten steps, number 9, 19, ...
    wanted = (SERIES[9:40:10] - run["X_before"].values) / 0.3
    np.testing.assert_allclose(run["X_added"], wanted, rtol=1e-12)
    assert run.attrs["recorded"] == ["Toward"]
    assert "tendency of" in run["X_added"].attrs["long_name"]


def test_an_interrupted_recorded_run_goes_on_bit_for_bit(tmp_path, monkeypatch):
    from closura.data import destination

    whole = recorded(nudged(every=3))
    path = tmp_path / "nudged.zarr"
    written = destination.InFolder.write

    def stop(self, first, part):
        if first >= 2:
            raise KeyboardInterrupt
        written(self, first, part)

    monkeypatch.setattr(destination.InFolder, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        recorded(nudged(every=3), path=path, chunk=1)
    monkeypatch.undo()
    again = recorded(nudged(every=3), path=path, chunk=1)
    for name in ("X", "X_before", "X_added"):
        np.testing.assert_array_equal(again[name], whole[name])


def test_pairs_of_a_nudged_run_are_the_state_before_and_the_tendency_to_add():
    run = recorded(nudged())
    pairs = cl.diagnose(run, target="nudging", coarse=cl.Lorenz96(K=7, dt=0.01), skip=0.15)
    np.testing.assert_array_equal(pairs.inputs["X"], run["X_before"].values[:, 1:])
    np.testing.assert_array_equal(pairs.targets["X"], run["X_added"].values[:, 1:])
    assert pairs.passport.target == "nudging"
    assert pairs.passport.model == "Lorenz96"
    np.testing.assert_array_equal(pairs.time, run["time"].values[1:])
    assert set(pairs.variables) == {"X", "X_tendency"}


def test_variables_can_be_left_out_of_a_recorded_run():
    assert set(recorded(nudged(), variables=()).data_vars) == {"X_before", "X_added"}


def test_a_broken_closure_that_rides_along_does_not_stop_the_run():
    run = recorded(cl.couple(nudged(), Broken(), apply=False, record=True))
    assert run.attrs["blown_up_members"] == []
    assert np.isnan(run["X_added_2"]).all() and np.isfinite(run["X_added_1"]).all()


def test_recording_where_nothing_is_recorded_says_so():
    with pytest.raises(ValueError, match=r"nothing in Lorenz96 is recorded; .*record=True"):
        recorded(cl.Lorenz96(K=7, dt=0.01))


def test_pairs_of_a_run_without_a_record_say_what_is_missing():
    run = cl.simulate(cl.Lorenz96(K=7, dt=0.01), duration=0.2, every=0.1, key=KEY)
    with pytest.raises(ValueError, match=r"needs what a recorded closure saw and gave"):
        cl.diagnose(run, target="nudging")


def test_pairs_of_several_records_need_to_know_which():
    run = recorded(cl.couple(nudged(), Toward(), record=True))
    with pytest.raises(ValueError, match=r"holds records of Toward, Toward and it is not clear"):
        cl.diagnose(run, target="nudging")


def test_pairs_of_a_run_that_blew_up_name_member_and_time():
    run = recorded(nudged())
    run["X_before"][1, 2:] = np.nan
    with pytest.raises(
        ValueError, match=r"X_before is not finite .* member 1 of 2; first at time 0.3"
    ):
        cl.diagnose(run, target="nudging")


def test_the_calendar_that_the_closure_saw_goes_with_the_pairs():
    # Saved after 10, 20, ... steps; with every=3 the last calls are in steps 9, 18, 27, 39, and
    # closures are told the time of the end of the step: one further.
    calendar = cl.Calendar("2001-01-01", dt="1 hour")
    steps = np.array([9, 18, 27, 39]) + 1
    inputs = cl.Inputs(reference=cl.Series(jnp.asarray(SERIES)), calendar=calendar)

    class Named(Toward):
        def tendency(self, fields, inputs=None):
            return super().tendency(fields, inputs["reference"])

    model = cl.couple(cl.Lorenz96(K=7, dt=0.01), Named(), at="step", every=3, record=True)
    run = cl.simulate(model, inputs=inputs, duration=0.4, every=0.1, key=KEY, recorded=True)
    pairs = cl.diagnose(run, target="nudging", inputs=inputs)
    np.testing.assert_allclose(pairs.given["calendar"]["hour"], steps % 24)
    np.testing.assert_array_equal(pairs.given["calendar"]["day"], 1 + steps // 24)
