"""Targets are what the coarse model lacks, in sign, in size and against published fits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from closura.core.rollout import member_keys, rollout, start_members
from closura.data.diagnose import diagnose
from closura.models.lorenz63 import Lorenz63
from closura.models.lorenz96 import Lorenz96, Lorenz96TwoScale

EVERY = 0.005


def run_of(model, *, members, duration, spinup=5.0, seed=3):
    """A run with all variables saved every 0.005, as `simulate` writes it."""
    every = round(EVERY / model.dt)
    snapshot = start_members(model, member_keys(jax.random.key(seed), members))
    steps = round(spinup / model.dt / every) * every
    _, snapshot = rollout(model, snapshot, steps, every=steps, members=True)
    steps = round(duration / model.dt / every) * every
    states, _ = rollout(model, snapshot, steps, every=every, members=True)
    arrays = {
        v.name: (("member", "time", *v.dims), np.moveaxis(np.asarray(a), -1, 0))
        for v, a in zip(model.variables, states, strict=True)
    }
    time = np.arange(1, steps // every + 1) * EVERY
    attributes = {"model": type(model).__name__, "dt": model.dt, "every": EVERY, "run": "abc123"}
    return xr.Dataset(arrays, coords={"time": time}, attrs=attributes)


@pytest.fixture(scope="module")
def truth():
    return Lorenz96TwoScale(K=7, J=5, F=12.0, dt=0.0025)


@pytest.fixture(scope="module")
def run(truth):
    return run_of(truth, members=3, duration=0.5, spinup=1.0)


def coarse(**settings):
    return Lorenz96(**({"K": 7, "F": 12.0, "dt": 0.01, "stepper": "euler"} | settings))


def test_a_coarse_euler_step_with_the_difference_added_lands_on_the_truth(run):
    model = coarse()
    pairs = diagnose(run, coarse=model, target="difference")
    x = pairs.inputs["X"][1, 4]
    state = type(model.initial_state(jax.random.key(0)))
    tendency = np.asarray(model.tendency(state(jnp.asarray(x))).X)
    # dt = 0.01 is two saved intervals, so sample 4 leads to saved state 6.
    landed = x + 0.01 * (tendency + pairs.targets["X"][1, 4])
    np.testing.assert_allclose(landed, run["X"].values[1, 6], rtol=1e-12)
    assert pairs.inputs["X"].shape == (3, 98, 7)
    np.testing.assert_array_equal(pairs.time, run["time"].values[:98])


def test_pairs_know_where_the_run_lies_and_what_never_changes_there(run):
    hills = xr.DataArray(np.arange(7.0), dims="k", name="orography")
    pairs = diagnose(run.assign_coords(k=2.5 * np.arange(7)).assign(orography=hills),
                     coarse=coarse())  # fmt: skip
    np.testing.assert_array_equal(pairs.coordinates["k"], 2.5 * np.arange(7))
    np.testing.assert_array_equal(pairs.static["orography"], np.arange(7.0))


def test_the_coupling_is_the_term_of_the_fast_variables(run, truth):
    pairs = diagnose(run, truth=truth, coarse=coarse(stepper="rk4"), target="coupling")
    fast = run["Y"].values.reshape(3, 100, 7, 5).sum(axis=-1)
    # h c / b = 1 * 10 / 10, and what the fast variables add is minus their sum.
    np.testing.assert_allclose(pairs.targets["X"], -fast, atol=1e-11)


def test_recorded_tendencies_give_the_same_coupling_without_the_fast_variables(run, truth):
    whole = diagnose(run, truth=truth, coarse=coarse(), target="coupling")
    tendency = jax.vmap(jax.vmap(lambda x, y: truth.tendency(type(state)(x, y)).X))
    state = truth.initial_state(jax.random.key(0))
    recorded = run[["X"]].assign(
        X_tendency=(("member", "time", "k"), np.asarray(tendency(run["X"].values, run["Y"].values)))
    )
    slow = diagnose(recorded, coarse=coarse(), target="coupling")
    np.testing.assert_allclose(slow.targets["X"], whole.targets["X"], atol=1e-11)


def test_the_difference_tends_to_the_coupling_as_the_step_shrinks(truth):
    run = run_of(truth, members=2, duration=0.25, spinup=1.0)
    gap = {}
    for dt in (0.005, 0.02):
        difference = diagnose(run, coarse=coarse(dt=dt), target="difference").targets["X"]
        exact = diagnose(run, truth=truth, coarse=coarse(dt=dt), target="coupling").targets["X"]
        gap[dt] = np.sqrt(np.mean((difference - exact[:, : difference.shape[1]]) ** 2))
    # First order: a step 4 times as long is about 4 times as far, less where the step is not small.
    assert 2.5 < gap[0.02] / gap[0.005] < 4.5


def test_another_operator_is_applied_to_fields_and_tendencies_alike(run, truth):
    def halved(fields):
        return {"X": 0.5 * fields["X"]}

    plain = diagnose(run, truth=truth, coarse=coarse(F=0.0), target="coupling")
    pairs = diagnose(run, truth=truth, coarse=coarse(F=0.0), target="coupling", coarsen=halved)
    x = run["X"].values
    np.testing.assert_allclose(pairs.inputs["X"], 0.5 * x)
    # T(x) = target + t(x); with F = 0, t(x / 2) = adv / 4 - x / 2 where t(x) = adv - x.
    advection = np.roll(x, 1, -1) * (np.roll(x, -1, -1) - np.roll(x, 2, -1))
    total = plain.targets["X"] + advection - x
    np.testing.assert_allclose(pairs.targets["X"], total / 2 - advection / 4 + x / 2, atol=1e-11)
    assert pairs.passport.operator == "halved"


def test_a_long_run_is_read_in_pieces_with_the_same_result(run, truth, monkeypatch):
    whole = diagnose(run, truth=truth, coarse=coarse(), target="coupling")
    monkeypatch.setattr("closura.data.diagnose.SAMPLES_AT_ONCE", 50)
    pieces = diagnose(run, truth=truth, coarse=coarse(), target="coupling")
    np.testing.assert_allclose(pieces.targets["X"], whole.targets["X"], rtol=1e-12, atol=1e-12)


def test_the_passport_says_how_the_target_was_measured(run, truth):
    pairs = diagnose(run, coarse=coarse(), target="difference")
    passport = pairs.passport
    assert (passport.target, passport.dt, passport.stepper_order) == ("difference", 0.01, 1)
    assert (passport.operator, passport.source, passport.model) == (
        "identity on X",
        "abc123",
        "Lorenz96",
    )
    assert passport.units == (("X", "1"),)
    assert pairs.variables["X_tendency"].long_name == "tendency of slow variable"
    assert pairs.warnings == ()
    instantaneous = diagnose(run, truth=truth, coarse=coarse(), target="coupling").passport
    assert (instantaneous.dt, instantaneous.stepper_order) == (None, None)


def test_a_target_that_does_not_match_the_integrator_is_a_warning(run, truth):
    (line,) = diagnose(run, coarse=coarse(stepper="rk4"), target="difference").warnings
    assert "does not match the integrator" in line
    (line,) = diagnose(run, truth=truth, coarse=coarse(), target="coupling").warnings
    assert "target 'coupling' does not match the integrator" in line


def test_a_run_that_blew_up_is_refused_with_its_members(run):
    broken = run.copy(deep=True)
    broken["X"][2, 40:, 3] = np.nan
    with pytest.raises(ValueError) as error:
        diagnose(broken, coarse=coarse())
    assert str(error.value) == (
        "X is not finite in 60 of 2100 values, in member 2 of 3; first at time 0.205 (member 2, "
        "point 3). The run blew up: drop these members (run.isel(member=...)) or shorten its dt."
    )


def test_a_step_between_saved_states_is_refused(run):
    with pytest.raises(
        ValueError, match=r"dt = 0\.0075, and the run is saved every 0\.005, .*no m"
    ):
        diagnose(run, coarse=coarse(dt=0.0075))


def test_a_coupling_without_tendencies_says_how_to_record_them(run, truth):
    with pytest.raises(ValueError, match=r"simulate\(\.\.\., tendencies=\('X',\)\).*pass truth="):
        diagnose(run, coarse=coarse(), target="coupling")
    with pytest.raises(ValueError, match="'Y' of Lorenz96TwoScale is not among its variables"):
        diagnose(run[["X"]], truth=truth, coarse=coarse(), target="coupling")


def test_times_that_jump_are_refused(run):
    cut = xr.concat([run.isel(time=slice(0, 10)), run.isel(time=slice(20, 30))], "time")
    with pytest.raises(ValueError, match=r"not evenly spaced.*0\.055 after time 0\.05"):
        diagnose(cut, coarse=coarse())


def test_an_absent_variable_names_the_nearest(run):
    with pytest.raises(ValueError, match=r"variable 'X' and the run holds x, Y.*; pass coarsen="):
        diagnose(run.rename(X="x"), coarse=coarse())


def test_an_unknown_target_is_refused(run):
    with pytest.raises(ValueError, match="target is 'residual'; it must be 'difference'"):
        diagnose(run, coarse=coarse(), target="residual")


def test_a_model_with_several_scalars_is_diagnosed_too():
    truth, model = Lorenz63(dt=0.005), Lorenz63(dt=0.005, rho=26.0)
    run = run_of(truth, members=2, duration=0.1)
    pairs = diagnose(run, truth=truth, coarse=model, target="coupling")
    names = [variable.name for variable in model.variables]
    assert list(pairs.targets) == names
    # Only the second equation holds rho: (28 - 26) x is lacking there.
    np.testing.assert_allclose(
        pairs.targets[names[1]], 2.0 * pairs.inputs[names[0]], rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(pairs.targets[names[2]], 0.0, atol=1e-11)


def fitted(F, c, target, *, members, duration):
    """Ascending coefficients of the cubic closure, to add, and its residual's deviation."""
    truth = Lorenz96TwoScale(F=F, c=c)
    run = run_of(truth, members=members, duration=duration, spinup=10.0)
    model = Lorenz96(K=8, F=F, dt=EVERY, stepper="euler" if target == "difference" else "rk4")
    pairs = diagnose(run, truth=truth, coarse=model, target=target)
    x, y = pairs.inputs["X"].ravel(), pairs.targets["X"].ravel()
    coefficients = np.polyfit(x, y, 3)
    return coefficients[::-1], np.std(y - np.polyval(coefficients, x))


# Fits over 1920 time units of U, which is subtracted there: our sign is the opposite. Spread of
# each coefficient and of the residual for 480 time units: within a few percent, wider for the
# nearly vanishing quadratic one.
PUBLISHED = {
    (20.0, 10.0, "coupling"): ([0.710, 1.110, 0.0001, -0.00286], 1.837),
    (20.0, 10.0, "difference"): ([0.355, 1.302, -0.01343, -0.00237], 1.990),
    (18.0, 10.0, "coupling"): ([0.668, 1.226, -0.0131, -0.00295], 1.678),
    (18.0, 10.0, "difference"): ([0.415, 1.380, -0.0280, -0.00227], 1.733),
    (20.0, 4.0, "difference"): ([-0.204, 0.575, -0.00547, -0.000218], 2.132),
}


def test_the_cubic_of_the_published_lorenz_96_is_recovered():
    # Arnold et al. (2013) print 0.341, 1.30, -0.0136, -0.00235 and sigma 1.99 (to subtract).
    found, deviation = fitted(20.0, 10.0, "difference", members=16, duration=8.0)
    off = np.abs(found - [-0.341, -1.30, 0.0136, 0.00235])
    assert np.all(off < [0.06, 0.02, 2e-3, 2e-4]), found
    assert abs(deviation - 1.99) < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("case", PUBLISHED, ids=str)
def test_published_cubics_are_recovered(case):
    subtracted, residual = PUBLISHED[case]
    found, deviation = fitted(*case, members=8, duration=60.0)
    assert np.all(np.abs(found + subtracted) < [0.03, 0.015, 1.5e-3, 1e-4]), found
    assert abs(deviation - residual) < 0.06


def test_states_stay_out_of_a_custom_operator_when_they_are_tendencies(run):
    seen = []

    def watched(fields):
        seen.append(sorted(fields))
        return {"X": jnp.asarray(fields["X"])}

    rates = run.assign(X_tendency=run["X"], Y_tendency=run["Y"])
    diagnose(rates, coarse=coarse(), target="coupling", coarsen=watched)
    assert all(names == ["X", "Y"] for names in seen)


def test_fields_of_another_shape_are_refused(run):
    with pytest.raises(ValueError) as error:
        diagnose(run, coarse=coarse(K=6))
    assert str(error.value) == (
        "X has shape (7,) and Lorenz96 wants (6,); pass coarsen= to say how one becomes the other, "
        "or give both the same grid (the same K)."
    )


def test_what_an_operator_returns_beyond_the_coarse_variables_is_left_out(run, truth):
    def more(fields):
        return {"X": fields["X"], "Ymean": fields["Y"].mean(-1)}

    plain = diagnose(run, truth=truth, coarse=coarse(), target="coupling")
    pairs = diagnose(run, truth=truth, coarse=coarse(), target="coupling", coarsen=more)
    assert list(pairs.inputs) == list(pairs.targets) == ["X"]
    np.testing.assert_allclose(pairs.targets["X"], plain.targets["X"], atol=1e-11)


def test_an_operator_that_returns_too_little_is_refused(run):
    with pytest.raises(
        ValueError, match="coarsen returns x, and the coarse model wants X; add X to what it"
    ):
        diagnose(run, coarse=coarse(), coarsen=lambda fields: {"x": fields["X"]})
