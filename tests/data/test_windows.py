from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.core.assimilate import run_cycles
from closura.core.problem import Observations
from closura.core.rollout import member_keys, rollout, start_members
from closura.models.lorenz96 import Lorenz96State

MODEL = cl.Lorenz96(K=12, dt=0.05)
SMOOTHER = cl.IEnKS(members=14, window=3, inflation=1.02)


@pytest.fixture(scope="module")
def truth():
    return cl.simulate(MODEL, duration=12.0, spinup=10.0, every=0.05, key=jax.random.key(1))


@pytest.fixture(scope="module")
def twin(truth):
    return cl.observe(truth, cl.Observe(variables=("X",), every=0.1), key=jax.random.key(2))


@pytest.fixture(scope="module")
def analysis(truth, twin):
    return cl.assimilate(MODEL, twin, SMOOTHER, truth=truth, key=jax.random.key(3))


def test_smoothed_states_are_better_than_analyses(analysis):
    late = analysis.isel(time=slice(50, None)).mean()
    assert late.smoothed_rmse < 0.9 * late.analysis_rmse
    assert late.analysis_rmse < late.forecast_rmse < 0.5
    assert analysis.smoothed.dims == analysis.smoothed_spread.dims == ("time", "k")
    assert (analysis.attrs["window"], analysis.attrs["shift"]) == (3, 1)


def test_a_lag_makes_better_what_the_filter_leaves_as_it_is(truth, twin):
    local = cl.LETKF(members=8, radius=3.0, inflation=1.04)
    key = jax.random.key(3)
    plain = cl.assimilate(MODEL, twin, local, truth=truth, key=key)
    lagged = cl.assimilate(MODEL, twin, cl.EnKS(local, lag=3), truth=truth, key=key)
    np.testing.assert_allclose(lagged.analysis[:40], plain.analysis[:40], atol=1e-6)
    late = lagged.isel(time=slice(50, None)).mean()
    assert late.smoothed_rmse < 0.9 * late.analysis_rmse
    np.testing.assert_array_equal(lagged.smoothed[-1], lagged.analysis[-1])


def test_inflation_that_varies_is_that_of_the_filter_alone(truth, twin):
    varying = cl.AdaptiveInflation(start=1.05, varying=True)
    local = cl.LETKF(members=8, radius=3.0, inflation=varying)
    seen = twin.between(0.0, 2.0)
    plain = cl.assimilate(MODEL, seen, local, truth=truth, key=jax.random.key(3))
    lagged = cl.assimilate(MODEL, seen, cl.EnKS(local, lag=2), truth=truth, key=jax.random.key(3))
    np.testing.assert_allclose(lagged.inflation, plain.inflation, atol=1e-8)
    assert lagged.inflation.sizes["point"] == 12


def test_4dvar_finds_the_truth(truth, twin):
    solver = cl.FourDVar(scale=0.02, window=4, shift=2)
    found = cl.assimilate(MODEL, twin, solver, truth=truth, key=jax.random.key(3))
    late = found.isel(time=slice(50, None)).mean()
    assert late.smoothed_rmse < late.analysis_rmse < 0.5


@pytest.mark.parametrize("shift", [1, 3])
def test_windows_that_see_nothing_leave_the_run_as_it_is(shift):
    hybrid = cl.couple(
        cl.Lorenz96(K=12, dt=0.05, stepper="ab3"), cl.AR1Noise({"X": 0.9}, {"X": 0.5})
    )
    steps = np.array([1, 4, 5, 6, 9, 11, 14])
    blind = Observations(np.zeros((7, 2)), np.full(2, np.inf), steps * 0.05, lambda f: f.X[:2])
    keys = member_keys(jax.random.key(4), 3)
    start = start_members(hybrid, keys)
    free, _ = rollout(hybrid, start, 14, key=keys, members=True)
    solver = cl.IEnKS(members=3, window=4, shift=shift)
    cycles, last = run_cycles(
        hybrid, start, blind, solver, keys=keys, key=jax.random.key(5), keep_members=True
    )
    for members in cycles.members:
        np.testing.assert_allclose(members, free.X[steps - 1], atol=1e-9)
    np.testing.assert_allclose(cycles.smoothed[0], free.X[steps - 1].mean(axis=-1), atol=1e-9)
    assert int(last.step) == steps[2 + shift]  # where the next window would begin


def test_the_same_shapes_compile_once(truth, twin):
    traced = []

    class Counting(eqx.Module):
        def __call__(self, fields):
            traced.append(1)
            return fields.X

    def run(values):
        seen = Observations(values, twin.variance, twin.time, Counting())
        start = start_members(MODEL, keys)
        run_cycles(MODEL, start, seen, SMOOTHER, keys=keys, key=jax.random.key(0))
        return len(traced)

    keys = member_keys(jax.random.key(4), 14)
    first = run(twin.values)
    assert 0 < first == run(twin.values + 0.1)


@pytest.mark.parametrize("inner", [None, pytest.param(8, marks=pytest.mark.slow)])
def test_the_gradient_through_all_windows_agrees_with_differences(inner, twin):
    steps = np.array([1, 2, 4, 7])
    seen = Observations(twin.values[:4], twin.variance, steps * 0.05, lambda fields: fields.X)
    keys = member_keys(jax.random.key(4), 1)
    start = start_members(MODEL, keys)

    def loss(scale):
        solver = cl.FourDVar(scale, window=3, outer=2, inner=inner, covariance="identity")
        cycles, _ = run_cycles(MODEL, start, seen, solver, keys=keys, key=jax.random.key(0))
        return jnp.mean(cycles.analysis**2)

    slope = jax.grad(loss)(jnp.asarray(0.1))
    difference = (loss(jnp.asarray(0.1001)) - loss(jnp.asarray(0.0999))) / 2e-4
    np.testing.assert_allclose(slope, difference, rtol=1e-4)


def test_the_way_through_a_window_and_back_is_adjoint(twin):
    found = []

    class Probe(cl.IEnKS):
        def revise(self, ensemble, window, memory, key):
            tangent = jnp.sin(jnp.arange(ensemble.size)).reshape(ensemble.shape)
            states, pull = jax.vjp(window.carry, ensemble)
            forward = jax.jvp(window.carry, (ensemble,), (tangent,))[1]
            weights = jnp.cos(jnp.arange(states.size)).reshape(states.shape)
            pair = jnp.vdot(forward, weights), jnp.vdot(tangent, pull(weights)[0])
            jax.debug.callback(lambda *pair: found.append(pair), *pair)
            return cl.Revised(ensemble, memory)

    steps = np.array([1, 2, 4, 7])
    seen = Observations(twin.values[:4], twin.variance, steps * 0.05, lambda fields: fields.X)
    keys = member_keys(jax.random.key(4), 2)
    start = start_members(MODEL, keys)
    run_cycles(MODEL, start, seen, Probe(members=2, window=3), keys=keys, key=jax.random.key(0))
    jax.effects_barrier()
    there, back = np.array(found).T
    assert len(there) == 4 and np.abs(there).min() > 0.1
    np.testing.assert_allclose(there, back, rtol=1e-10)


def test_a_dead_member_is_replaced_and_counted(truth, twin):
    states = np.moveaxis(truth.X.values[0, ::17][:14], 0, -1).copy()
    states[4, 2] = np.nan
    with pytest.warns(cl.ClosuraWarning, match="1 members were not finite and were drawn anew"):
        found = cl.assimilate(
            MODEL, twin, SMOOTHER, truth=truth, initial=Lorenz96State(states),
            key=jax.random.key(3),
        )  # fmt: skip
    assert found.replaced.values.tolist() == [1] + [0] * 119
    assert found.analysis_rmse[50:].mean() < 0.5


def test_the_dead_of_the_start_are_counted_where_windows_do_not_divide_the_times(twin):
    seen = Observations(twin.values[:5], twin.variance, twin.time[:5], twin.operator)
    keys = member_keys(jax.random.key(4), 7)
    start = start_members(MODEL, keys)
    lost = start._replace(state=Lorenz96State(start.state.X.at[2, 1:5].set(jnp.nan)))
    solver = cl.IEnKS(members=7, window=3, shift=3)
    cycles, _ = run_cycles(MODEL, lost, seen, solver, keys=keys, key=jax.random.key(0))
    assert cycles.replaced.tolist() == [4, 0, 0, 0, 0]


def test_two_partial_losses_at_one_time_are_not_the_loss_of_all(twin):
    class Deadly(cl.IEnKS):
        killed: int = eqx.field(static=True, default=0)

        def revise(self, ensemble, window, memory, key):
            return cl.Revised(ensemble.at[3, : self.killed].set(jnp.nan), memory)

    seen = Observations(twin.values[:1], twin.variance, twin.time[:1], twin.operator)
    keys = member_keys(jax.random.key(4), 5)
    start = start_members(MODEL, keys)
    lost = start._replace(state=Lorenz96State(start.state.X.at[2, 2:].set(jnp.nan)))
    counts = []
    for killed in (2, 5):
        solver = Deadly(members=5, killed=killed)
        cycles, _ = run_cycles(MODEL, lost, seen, solver, keys=keys, key=jax.random.key(0))
        counts += cycles.replaced.tolist()
    assert counts == [5 - 1, 5]


def test_every_member_dead_is_an_error(truth, twin):
    states = Lorenz96State(jnp.full((12, 14), jnp.nan))
    with pytest.raises(ValueError, match=r"every member is dead \(not finite\) at time 0.1"):
        cl.assimilate(MODEL, twin, SMOOTHER, truth=truth, initial=states, key=jax.random.key(3))


def test_increments_of_overlapping_windows_become_pairs(analysis):
    pairs = cl.diagnose(analysis, target="increments", skip=5.0)
    wanted = analysis.increment.sel(time=5.3, method="nearest") / 0.1
    np.testing.assert_allclose(pairs.targets["X"][0, 1], wanted)


def test_increments_of_windows_that_jump_are_refused(analysis):
    with pytest.raises(ValueError, match="the windows of IEnKS moved on by 2 times"):
        cl.diagnose(analysis.assign_attrs(shift=2), target="increments")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cl.IEnKS(window=2, shift=3), "IEnKS: shift is 3 and window is 2; the shift must"),
        (lambda: cl.FourDVar(window=0), "FourDVar: window is 0; it counts times of observation"),
        (lambda: cl.IEnKS(members=1), "IEnKS: members is 1; an ensemble needs 2 or more"),
        (lambda: cl.IEnKS(iterations=0), "IEnKS: iterations is 0; it must be 1 or more"),
        (lambda: cl.IEnKS(certainty=0.0), "IEnKS: certainty is 0.0; it must be positive"),
        (lambda: cl.FourDVar(scale=-1.0), "FourDVar: scale is -1.0; it must be a positive"),
        (lambda: cl.FourDVar(inner=0), "FourDVar: inner is 0; it must be 1 or more"),
        (lambda: cl.EnKS(lag=0), "EnKS: lag is 0; it must be 1 or more"),
        (lambda: cl.EnKS(cl.HybridEnKF()), "EnKS: filter is a HybridEnKF, whose static covariance"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_settings_of_another_type_are_refused():
    # Tests check annotated types themselves, before the class can.
    filtered = SimpleNamespace(filter=cl.ThreeDVar(), lag=2)
    with pytest.raises(ValueError, match="EnKS: filter is a ThreeDVar; it must be an ensemble"):
        cl.EnKS.__check_init__(filtered)
    static = SimpleNamespace(scale=1.0, model_error=None, covariance="eye")
    with pytest.raises(ValueError, match="covariance is 'eye'; it must be 'climate' or 'identity'"):
        cl.FourDVar.__check_init__(static)


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        (cl.IEnKS(window=7), "IEnKS: window is 7 and there are observations at 4 times"),
        (cl.EnKS(lag=4), "EnKS: lag is 4 and there are observations at 4 times"),
    ],
)
def test_looking_back_further_than_there_is_anything_is_refused(solver, message, truth, twin):
    with pytest.raises(ValueError, match=message):
        cl.assimilate(MODEL, twin.between(0.0, 0.41), solver, truth=truth, key=jax.random.key(3))


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (lambda fields: jnp.round(fields.X), "the derivative of observation 0 is zero or not"),
        (lambda fields: jnp.argsort(fields.X), "the operator returns whole numbers; FourDVar"),
        (
            lambda fields: jax.pure_callback(lambda x: x, fields.X, fields.X),
            "the operator has no derivative in JAX; FourDVar needs a smooth operator; use IEnKS",
        ),
    ],
)
def test_an_operator_without_derivative_is_refused_by_4dvar(operator, message, truth, twin):
    seen = Observations(twin.values, twin.variance, twin.time, operator)
    with pytest.raises(ValueError, match=message):
        cl.assimilate(MODEL, seen, cl.FourDVar(), truth=truth, key=jax.random.key(3))


def test_a_singular_covariance_is_named(truth, twin):
    short = truth.isel(time=slice(0, 9))
    with pytest.warns(cl.ClosuraWarning, match=r"climatology is singular \(rank 8 of 12\)"):
        cl.assimilate(MODEL, twin, cl.FourDVar(), climatology=short, key=jax.random.key(3))
    constant = truth.isel(time=[0, 0, 0])
    with pytest.raises(ValueError, match=r"climatology \(3 states\) has the largest variance"):
        cl.assimilate(MODEL, twin, cl.FourDVar(), climatology=constant, key=jax.random.key(3))
