"""Simulations: what is saved, when, for which members, and what is refused."""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import closura as cl
from closura.core.progress import listen
from closura.core.rollout import member_keys, start_members
from closura.data import plan as plans
from closura.data.border import from_dataset

MODEL = cl.Lorenz96TwoScale(K=5, J=3, dt=0.005)


def test_run_is_the_rollout_after_spin_up(key):
    run = cl.simulate(MODEL, duration=0.3, spinup=0.05, every=0.015, members=3, key=key)
    keys = member_keys(key, 3)
    started = start_members(MODEL, keys)
    _, spun = cl.rollout(MODEL, started, 10, every=10, key=keys, members=True)
    states, _ = cl.rollout(MODEL, spun, 60, every=3, key=keys, members=True)
    assert run["X"].dims == ("member", "time", "k")
    assert run["Y"].shape == (3, 20, 15)
    np.testing.assert_array_equal(run["X"], np.moveaxis(np.asarray(states.X), -1, 0))
    np.testing.assert_array_equal(run["time"], np.round(0.015 * np.arange(1, 21), 3))


def test_contract_line_runs(key):
    run = cl.simulate(MODEL, duration=0.2, spinup=0.02, every=0.005, members=4, key=key)
    assert dict(run.sizes) == {"member": 4, "time": 40, "k": 5, "kj": 15}
    assert run.attrs["model"] == "Lorenz96TwoScale"
    assert (run.attrs["dt"], run.attrs["every"], run.attrs["spinup"]) == (0.005, 0.005, 0.02)
    assert run.attrs["precision"] == "double"
    assert run.attrs["key"] == [0, 0]
    assert len(run.attrs["run"]) == 16
    assert run["time"].attrs["long_name"] == "time [model time units]"


def test_run_can_be_written_to_netcdf(key, tmp_path):
    run = cl.simulate(MODEL, duration=0.1, key=key)
    run.to_netcdf(tmp_path / "run.nc")
    with xr.open_dataset(tmp_path / "run.nc") as found:
        np.testing.assert_array_equal(found["X"], run["X"])


def test_tendency_is_the_models_own(key):
    run = cl.simulate(MODEL, duration=0.1, key=key, variables=("X",), tendencies=("X",))
    assert list(run.data_vars) == ["X", "X_tendency"]
    full = cl.simulate(MODEL, duration=0.1, key=key)
    for time in (0, 13):
        state = from_dataset(MODEL, full, time=time, member=0)
        expected = MODEL.tendency(state).X
        np.testing.assert_allclose(run["X_tendency"][0, time], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stored", [False, True])
def test_chunks_do_not_show(key, stored, tmp_path):
    arguments = {"duration": 0.3, "spinup": 0.05, "every": 0.015, "members": 3, "key": key}
    whole = cl.simulate(MODEL, **arguments)
    path = tmp_path / "run.zarr" if stored else None
    pieces = cl.simulate(MODEL, **arguments, chunk=7, path=path)
    xr.testing.assert_identical(pieces.load(), whole)


def test_member_depends_on_its_number_alone(key, monkeypatch):
    few = cl.simulate(MODEL, duration=0.05, members=3, key=key)
    monkeypatch.setattr(plans, "GROUP_NUMBERS", 40)  # two members of 20 numbers in a group
    many = cl.simulate(MODEL, duration=0.05, members=7, key=key, threads=2)
    np.testing.assert_allclose(many["X"][:3], few["X"], rtol=1e-12)
    assert not np.allclose(many["X"][3], many["X"][2])


def test_number_of_threads_does_not_show(key, monkeypatch):
    monkeypatch.setattr(plans, "GROUP_NUMBERS", 40)
    one = cl.simulate(MODEL, duration=0.05, members=7, key=key, threads=1)
    two = cl.simulate(MODEL, duration=0.05, members=7, key=key, threads=2)
    xr.testing.assert_identical(one, two)


@pytest.mark.parametrize(
    ("members", "numbers", "sizes"),
    # 65536 // 396 = 165 members of 396 numbers, so 256 make two groups and 1000 eight.
    [(4, 264, (4,)), (64, 264, (32,) * 2), (256, 396, (128,) * 2), (7, 40000, (1,) * 7),
     (257, 3, (129, 128)), (1000, 396, (125,) * 8)],
)  # fmt: skip
def test_groups_are_even_and_small(members, numbers, sizes):
    assert plans._group_sizes(members, numbers) == sizes


def test_run_starts_from_given_states(key):
    first = cl.simulate(MODEL, duration=0.05, members=3, key=key)
    states = from_dataset(MODEL, first)
    second = cl.simulate(MODEL, duration=0.05, members=3, state=states)
    whole = cl.simulate(MODEL, duration=0.1, members=3, key=key)
    np.testing.assert_array_equal(second["Y"], whole["Y"].isel(time=slice(10, 20)))
    same = cl.simulate(MODEL, duration=0.05, members=2, state=from_dataset(MODEL, first, member=1))
    np.testing.assert_array_equal(same["X"][0], second["X"][1])
    np.testing.assert_array_equal(same["X"][0], same["X"][1])


def test_inputs_reach_the_model(key):
    class Pushed(cl.AbstractMemorylessClosure):
        def tendency(self, fields, inputs=None):
            return {"X": jnp.zeros_like(fields.X) + inputs["push"]}

    class Ring(cl.Lorenz96):
        def tendency(self, state, inputs=None):
            return super().tendency(state)

    model = cl.couple(Ring(K=5, dt=0.01), Pushed())
    series = cl.Series({"push": jnp.linspace(0.0, 40.0, 41)})
    run = cl.simulate(model, duration=0.3, spinup=0.1, key=key, inputs=series, chunk=7)
    with pytest.raises(ValueError, match="cover"):
        cl.simulate(model, duration=0.4, spinup=0.1, key=key, inputs=series)
    keys = member_keys(key, 1)
    started = start_members(model, keys, inputs=series.at(0))
    states, _ = cl.rollout(model, started, 40, key=keys, members=True, inputs=series)
    np.testing.assert_array_equal(run["X"][0], states.X[10:, :, 0])


def test_other_keys_and_lengths_of_run_do_not_compile_again(key):
    traced = []

    class Counting(cl.Lorenz96):
        def tendency(self, state, inputs=None):
            traced.append(1)
            return super().tendency(state)

    def run(number: int, duration: float):
        arguments = {"duration": duration, "spinup": 0.2, "every": 0.02, "chunk": 5}
        return cl.simulate(
            Counting(K=5, dt=0.01), **arguments, members=2, key=jax.random.key(number)
        )

    first = run(1, 0.4)
    once = len(traced)
    second = run(2, 0.8)
    assert len(traced) == once
    assert not np.array_equal(first["X"], second["X"][:, :20])


def test_progress_is_reported_with_a_physical_range(key):
    heard = []
    with listen(lambda event, values: heard.append((event, values))):
        run = cl.simulate(MODEL, duration=0.2, spinup=0.1, key=key, chunk=10)
    assert [round(values["done"], 9) for _, values in heard] == [0.05, 0.1, 0.15, 0.2, 0.25, 0.3]
    assert {event for event, _ in heard} == {"simulate"}
    assert heard[-1][1]["total"] == pytest.approx(0.3)
    assert heard[-1][1]["minimum"] == run["X"][:, -10:].min()
    assert heard[-1][1]["maximum"] == run["X"][:, -10:].max()


class Explosive(cl.Lorenz63):
    """dx/dt = x^2: member i blows up at 1 / x_i, unless it starts below zero."""

    def tendency(self, state, inputs=None):
        return type(state)(state.x**2, 0 * state.y, 0 * state.z)

    def starting(self, values):
        zero = jnp.zeros(len(values))
        kind = type(self.initial_state(jax.random.key(0)))
        return kind(jnp.asarray(values), zero, zero)


def test_members_that_blow_up_are_listed_and_the_others_go_on():
    model = Explosive(dt=0.05)
    state = model.starting([-1.0, 5.0, -2.0, 8.0])
    run = cl.simulate(model, duration=5.0, members=4, state=state, chunk=10)
    assert run.attrs["blown_up_members"] == [1, 3]
    assert run.attrs["warnings"] == []
    assert np.isfinite(run["x"].isel(member=[0, 2])).all()
    assert run["x"][0, -1] == pytest.approx(-1 / 6, rel=1e-3)  # -1 / (1 + t)


@pytest.mark.parametrize("stored", [False, True])
def test_run_stops_when_every_member_has_blown_up(stored, tmp_path):
    model, heard = Explosive(dt=0.05), []
    state = model.starting([5.0, 8.0])
    path = tmp_path / "run.zarr" if stored else None
    with listen(lambda event, values: heard.append(event)):
        run = cl.simulate(model, duration=20.0, members=2, state=state, chunk=50, path=path)
    assert len(heard) == 1
    assert run.attrs["blown_up_members"] == [0, 1]
    assert "every member blew up by time 2.5" in run.attrs["warnings"][0]
    assert np.isnan(run["x"][:, 50:]).all()
    assert np.isfinite(run["x"][:, 0]).all()
    assert run.sizes["time"] == 400


def test_run_that_blows_up_before_it_counts_is_nothing_but_says_so(tmp_path):
    model = Explosive(dt=0.05)
    arguments = {"duration": 5.0, "spinup": 4.0, "members": 2, "state": model.starting([5.0, 8.0])}
    run = cl.simulate(model, **arguments, chunk=40, path=tmp_path / "run.zarr").load()
    assert "every member blew up by 2 before the end of spin-up" in run.attrs["warnings"][0]
    assert run["x"].shape == (2, 100)
    assert np.isnan(run["x"]).all()
    xr.testing.assert_identical(run, cl.simulate(model, **arguments, chunk=40))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"every": 0.012},
            r"every is 0\.012, which is no multiple .* dt = 0\.005; nearest is 0\.01",
        ),
        ({"duration": 0.0123}, "duration is 0.0123, which is no multiple"),
        ({"spinup": -1.0}, "spinup is -200; it must be 0 or more"),
        ({"every": 0.03}, r"duration is 0\.1, which is no multiple of every = 0\.03; take 0\.12"),
        ({"members": 0}, "members is 0; it must be positive"),
        ({"duration": 0.0}, "duration is 0; it must be positive"),
        ({"chunk": 0}, "chunk is 0; it must be positive"),
        ({"variables": ("x",)}, "variables names 'x'; Lorenz96TwoScale has X, Y"),
        ({"key": None}, r"key is None .* initial state; pass key=jax\.random\.key\(0\)"),
    ],
)
def test_wrong_arguments_are_refused(key, change, message):
    with pytest.raises(ValueError, match=message):
        cl.simulate(MODEL, **({"duration": 0.1, "key": key} | change))


def test_tendency_of_a_coupled_model_is_refused(key):
    with pytest.raises(TypeError, match="Coupled has no tendency to record"):
        cl.simulate(cl.couple(MODEL, cl.Zero()), duration=0.1, key=key, tendencies=("X",))


def test_states_of_another_size_are_refused(key):
    state = cl.Lorenz96TwoScale(K=6, J=3).initial_state(key)
    with pytest.raises(ValueError, match=r"state has shapes .*\(6,\).* wants .*\(5,\)"):
        cl.simulate(MODEL, duration=0.1, state=state)
    with pytest.raises(ValueError, match="state is Lorenz96State and Lorenz96TwoScale wants"):
        cl.simulate(MODEL, duration=0.1, state=cl.Lorenz96(K=5).initial_state(key))


def test_noise_asks_for_a_key(key):
    model = cl.couple(cl.Lorenz96(K=5), cl.AR1Noise({"X": 0.9}, {"X": 1.0}))
    state = model.initial_state(key)
    with pytest.raises(ValueError, match="key is None and Coupled draws its closures' noise"):
        cl.simulate(model, duration=0.1, state=state)


def test_scope_of_double_precision_reaches_the_threads(key, monkeypatch):
    monkeypatch.setattr(plans, "GROUP_NUMBERS", 20)
    with jax.enable_x64(False):
        run = cl.simulate(MODEL, duration=0.02, members=2, key=jax.random.key(0), threads=2)
    assert run["X"].dtype == np.float32
    assert run.attrs["precision"] == "single"


def test_all_but_the_model_is_given_by_name():
    kinds = [p.kind for p in inspect.signature(cl.simulate).parameters.values()][1:]
    assert set(kinds) == {inspect.Parameter.KEYWORD_ONLY}


def test_recorder_compares_by_its_names():
    assert eqx.tree_equal(plans.Recorder(("X",), ()), plans.Recorder(("X",), ()))
