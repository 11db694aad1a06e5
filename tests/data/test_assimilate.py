import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.core.assimilate import run_cycles
from closura.core.problem import Observations
from closura.core.rollout import member_keys, start_members
from closura.models.lorenz96 import Lorenz96State

MODEL = cl.Lorenz96(K=12, dt=0.05)
FILTER = cl.ETKF(members=14, inflation=1.02)


@pytest.fixture(scope="module")
def truth():
    return cl.simulate(MODEL, duration=15.0, spinup=10.0, every=0.05, key=jax.random.key(1))


@pytest.fixture(scope="module")
def twin(truth):
    return cl.observe(truth, cl.Observe(variables=("X",), every=0.05), key=jax.random.key(2))


@pytest.fixture(scope="module")
def analysis(truth, twin):
    return cl.assimilate(MODEL, twin, FILTER, truth=truth, key=jax.random.key(3))


def test_the_analysis_is_better_than_forecast_and_observations(analysis):
    late = analysis.isel(time=slice(100, None)).mean()
    assert late.analysis_rmse < late.forecast_rmse < 0.5  # observations: 1
    assert 0.5 < late.analysis_spread / late.analysis_rmse < 2
    assert analysis.attrs["diverged"] == 0
    assert dict(analysis.sizes) == {"time": 300, "k": 12, "observation": 12}


def test_the_increment_leads_from_forecast_to_analysis(analysis):
    np.testing.assert_allclose(analysis.forecast + analysis.increment, analysis.analysis)


def test_the_innovation_is_what_was_seen_and_not_foreseen(analysis, twin):
    np.testing.assert_allclose(analysis.innovation, twin.values - analysis.forecast.values)


def test_the_same_key_gives_the_same_analysis(analysis, truth, twin):
    again = cl.assimilate(MODEL, twin, FILTER, truth=truth, key=jax.random.key(3))
    np.testing.assert_array_equal(again.analysis, analysis.analysis)


def test_kept_members_have_the_mean_that_is_kept_otherwise(analysis, truth, twin):
    found = cl.assimilate(
        MODEL, twin, FILTER, truth=truth, keep_members=True, key=jax.random.key(3)
    )
    assert found.analysis.dims == ("member", "time", "k")
    np.testing.assert_allclose(found.analysis.mean("member"), analysis.analysis, atol=1e-8)
    np.testing.assert_allclose(
        found.analysis.std("member", ddof=1), analysis.analysis_spread, atol=1e-8
    )


def test_irregular_times_and_gaps_are_no_trouble(truth, twin):
    chosen = np.sort(np.random.default_rng(0).choice(300, 220, replace=False))
    values = twin.values[chosen].copy()
    values[::7, 3:5] = np.nan
    seen = Observations(values, twin.variance, twin.time[chosen], twin.operator)
    found = cl.assimilate(MODEL, seen, FILTER, truth=truth, key=jax.random.key(3))
    assert found.analysis_rmse[100:].mean() < 0.6
    assert np.isnan(found.innovation.values[7, 3])


def test_regular_gaps_give_what_irregular_code_gives(truth, twin):
    # The same observations with one more, empty, time: the gaps are then irregular.
    values = np.full((41, 12), np.nan)
    values[[*range(0, 39, 2), 40]] = twin.values[[*range(1, 40, 2), 41]]
    kept = Observations(twin.values[1:42:2], twin.variance, twin.time[1:42:2], twin.operator)
    time = np.append(twin.time[1:41], twin.time[41])
    with_holes = Observations(values, twin.variance, time, twin.operator)
    solver = cl.DEnKF(members=14)
    first = cl.assimilate(MODEL, kept, solver, truth=truth, key=jax.random.key(3))
    second = cl.assimilate(MODEL, with_holes, solver, truth=truth, key=jax.random.key(3))
    np.testing.assert_allclose(second.analysis[-1], first.analysis[-1], rtol=1e-6)


@pytest.mark.parametrize(
    "solver", [cl.LETKF(members=8, radius=2.0, inflation=1.05), cl.ThreeDVar(scale=0.05)]
)
def test_other_solvers_run_in_the_same_cycle(solver, truth, twin):
    found = cl.assimilate(MODEL, twin, solver, truth=truth, key=jax.random.key(3))
    assert found.analysis_rmse[100:].mean() < 0.6


def test_a_hybrid_is_assimilated_like_any_model(truth, twin):
    hybrid = cl.couple(MODEL, cl.PolynomialClosure(coefficients=(0.1, -0.01)))
    found = cl.assimilate(hybrid, twin, FILTER, truth=truth, key=jax.random.key(3))
    assert found.analysis_rmse[100:].mean() < 0.6


def test_without_a_truth_the_model_finds_its_own_climate(twin):
    found = cl.assimilate(MODEL, twin, FILTER, key=jax.random.key(3))
    assert "analysis_rmse" not in found
    assert found.attrs["diverged"] == 0


def test_a_model_of_two_variables_names_them(key):
    model = cl.Lorenz96TwoScale(K=5, J=3, dt=0.005)
    truth = cl.simulate(model, duration=1.0, spinup=1.0, every=0.05, key=key)
    twin = cl.observe(truth, cl.Observe(variables=("X",), every=0.05), key=key)
    found = cl.assimilate(model, twin, cl.LETKF(members=6, radius=1.0), truth=truth, key=key)
    assert found.increment_X.dims == ("time", "k")
    assert found.analysis_spread_Y.dims == ("time", "kj")


def test_a_dead_member_is_replaced_and_counted(truth, twin):
    states = np.moveaxis(truth.X.values[0, ::21][:14], 0, -1).copy()
    states[4, 2] = np.nan
    with pytest.warns(cl.ClosuraWarning, match="1 members were not finite and were drawn anew"):
        found = cl.assimilate(
            MODEL, twin, FILTER, truth=truth, initial=Lorenz96State(states), key=jax.random.key(3)
        )
    assert found.replaced.values.tolist() == [1] + [0] * 299
    assert found.analysis_rmse[100:].mean() < 0.5


def test_living_members_are_left_as_they_are(truth, twin, key):
    states = jnp.asarray(np.moveaxis(truth.X.values[0, ::21][:14], 0, -1))
    blind = Observations(twin.values[:1], np.full(12, np.inf), twin.time[:1], twin.operator)
    keys = member_keys(key, 14)

    def forecast(states):
        start = start_members(MODEL, keys, states=Lorenz96State(states))
        _, last = run_cycles(MODEL, start, blind, cl.ETKF(members=14), keys=keys, key=key)
        return np.asarray(last.state.X)

    whole, mended = forecast(states), forecast(states.at[4, 2].set(jnp.nan))
    alive = np.arange(14) != 2
    np.testing.assert_allclose(mended[:, alive], whole[:, alive], atol=1e-10)
    assert np.isfinite(mended).all()


def test_every_member_dead_is_an_error(truth, twin):
    states = Lorenz96State(jnp.full((12, 14), jnp.nan))
    with pytest.raises(ValueError, match=r"every member is dead \(not finite\) at time 0.05"):
        cl.assimilate(MODEL, twin, FILTER, truth=truth, initial=states, key=jax.random.key(3))


def test_one_survivor_is_no_ensemble(truth, twin):
    states = np.moveaxis(truth.X.values[0, ::21][:14], 0, -1).copy()
    states[4, 1:] = np.nan
    with pytest.raises(ValueError, match=r"every member is dead \(not finite\) at time 0.05"):
        cl.assimilate(
            MODEL, twin, FILTER, truth=truth, initial=Lorenz96State(states), key=jax.random.key(3)
        )


def test_a_diverged_filter_says_so(truth, twin):
    collapsing = cl.ETKF(members=3, inflation=0.8)
    with pytest.warns(cl.ClosuraWarning, match="ETKF diverged: in the second half"):
        found = cl.assimilate(MODEL, twin, collapsing, truth=truth, key=jax.random.key(3))
    assert found.attrs["diverged"] == 1
    with pytest.raises(ValueError, match="the assimilation diverged, and its increments"):
        cl.diagnose(found, target="increments")


def test_observations_beyond_the_truth_are_refused(truth, twin):
    late = Observations(twin.values, twin.variance, twin.time + 1.0, twin.operator)
    with pytest.raises(ValueError, match=r"the truth covers times 0.05 to 15 and is not saved"):
        cl.assimilate(MODEL, late, FILTER, truth=truth, key=jax.random.key(3))


def test_an_unknown_variable_is_refused(truth, twin):
    operator = type(twin.operator)((("Z", *twin.operator.picks[0][1:]),))
    seen = Observations(twin.values, twin.variance, twin.time, operator)
    with pytest.raises(ValueError, match="the observations see 'Z', which Lorenz96 does not have"):
        cl.assimilate(MODEL, seen, FILTER, truth=truth, key=jax.random.key(3))


def test_another_number_of_states_than_members_is_refused(truth, twin):
    states = Lorenz96State(jnp.ones((12, 5)))
    with pytest.raises(ValueError, match=r"initial has \[5\] states on its last axis and ETKF has"):
        cl.assimilate(MODEL, twin, FILTER, truth=truth, initial=states, key=jax.random.key(3))


def test_increments_become_pairs_from_the_analysis_before(analysis):
    pairs = cl.diagnose(analysis, target="increments", skip=5.0)
    assert pairs.time[0] == pytest.approx(5.05)
    np.testing.assert_allclose(
        pairs.inputs["X"][0, 3], analysis.analysis.sel(time=5.2, method="nearest")
    )
    wanted = analysis.increment.sel(time=5.25, method="nearest") / 0.05
    np.testing.assert_allclose(pairs.targets["X"][0, 3], wanted)
    assert pairs.passport.target == "increments"
    assert pairs.passport.disagreements(MODEL) == ()
    assert pairs.variables["X_tendency"].dims == ("k",)


@pytest.mark.parametrize(
    ("solver", "mixed"),
    [
        (cl.ETKF(14, inflation=1.02, rotation=True), True),
        (cl.EnKS(cl.ETKF(14, inflation=1.02, rotation=True), lag=1), True),
        (cl.IEnKS(14, inflation=1.02, rotation=True), True),
        (cl.ParticleFilter(14), True),
        (cl.EnKS(FILTER, lag=1), False),
    ],
    ids=lambda value: getattr(type(value), "__name__", ""),
)
def test_members_that_are_mixed_have_no_increments_of_their_own(solver, mixed, analysis):
    assert solver.keeps_members is not mixed
    members = analysis.expand_dims(member=2).assign_attrs(keeps_members=int(solver.keeps_members))
    if mixed:
        with pytest.raises(ValueError, match="ETKF mixes or resamples its members, so that incre"):
            cl.diagnose(members, target="increments")
    else:
        assert cl.diagnose(members, target="increments").inputs["X"].shape[0] == 2


def test_an_analysis_says_whether_it_keeps_its_members(analysis):
    assert analysis.attrs["keeps_members"] == 1


def test_a_run_without_increments_is_refused(truth):
    with pytest.raises(ValueError, match="this Dataset holds no 'increment'; it holds X"):
        cl.diagnose(truth, target="increments")
