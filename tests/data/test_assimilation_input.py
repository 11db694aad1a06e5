"""Bad input of an assimilation: each is one line that names what is wrong and what to do."""

from dataclasses import replace
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import closura as cl
from closura.core.problem import Background, Observations
from closura.data.background import background_of, check_arguments
from closura.data.verdict import judge, score
from closura.models.lorenz96 import Lorenz96State
from closura.solvers.baselines import measure_climate
from closura.solvers.ensemble import AbstractEnsembleSolver

MODEL = cl.Lorenz96(K=7, dt=0.05)
FILTER = cl.ETKF(members=6)


@pytest.fixture(scope="module")
def truth():
    return cl.simulate(MODEL, duration=2.0, spinup=3.0, every=0.05, key=jax.random.key(1))


@pytest.fixture(scope="module")
def twin(truth):
    return cl.observe(truth, cl.Observe(variables=("X",), every=0.05), key=jax.random.key(2))


def changed(twin, **settings):
    names = ("values", "variance", "time", "operator", "positions")
    return Observations(**({name: getattr(twin, name) for name in names} | settings))


def root(fields):
    return jnp.sqrt(fields.X - 100.0)


class Late(eqx.Module):
    """An operator that fails for states below its limit."""

    limit: float

    def __call__(self, fields):
        return jnp.where(fields.X.min() < self.limit, jnp.nan, fields.X)


@pytest.mark.parametrize(
    ("swap", "message"),
    [
        (lambda m, o, s: (m, s, o), r"observations is a ETKF; .* order is assimilate\(model, obse"),
        (lambda m, o, s: (o, m, s), "assimilate: model is a Observations; it must be a model such"),
        (lambda m, o, s: (m, o, cl.EKI()), "solver is a EKI; it must be a solver .* use calibrate"),
        (lambda m, o, s: (m, o, cl.ETKF), r"solver is the class ETKF; .* Call it: ETKF\(\.\.\.\)"),
        (lambda m, o, s: (cl.Lorenz96, o, s), "assimilate: model is the class Lorenz96; it must"),
    ],
)
def test_arguments_of_another_kind_are_named(swap, message, twin):
    with pytest.raises(ValueError, match=message):
        check_arguments(*swap(MODEL, twin, FILTER))


def test_a_number_of_members_is_whole():
    # Tests check annotated types themselves, before the class can.
    with pytest.raises(ValueError, match=r"members is 20\.0; it must be a whole number, such as"):
        AbstractEnsembleSolver.__check_init__(SimpleNamespace(members=20.0))


@pytest.mark.parametrize("shift", [2.0, -0.025])
def test_times_that_the_truth_does_not_hold_are_refused(shift, truth, twin):
    seen = changed(twin, time=twin.time + shift)
    with pytest.raises(ValueError, match="and is not saved at the observations' time") as caught:
        cl.assimilate(MODEL, seen, FILTER, truth=truth, key=jax.random.key(3))
    assert "observations.between(first, last)" in str(caught.value)


def test_an_operator_that_fails_at_once_is_refused(truth, twin):
    seen = changed(twin, operator=root)
    with pytest.raises(ValueError, match="operator returns nan for observation 0 of the climate's"):
        cl.assimilate(MODEL, seen, FILTER, truth=truth, key=jax.random.key(3))


def test_an_operator_that_fails_on_the_way_is_named(truth, twin):
    seen = changed(twin, operator=Late(limit=float(truth.X.min()) + 0.1))
    with pytest.raises(ValueError, match="operator is not finite for observation 0 at time"):
        cl.assimilate(MODEL, seen, FILTER, truth=truth, key=jax.random.key(3))


def test_an_operator_of_another_size_is_refused(truth, twin):
    seen = changed(twin, operator=lambda fields: fields.X[:3])
    with pytest.raises(ValueError, match=r"returns shape \(3,\) and there are 7 observations at a"):
        cl.assimilate(MODEL, seen, FILTER, truth=truth, key=jax.random.key(3))


def test_a_position_outside_the_domain_is_refused(truth, twin):
    line = np.linspace(20.0, 26.0, 7)[:, None] * 1000  # metres where the model counts points
    seen = changed(twin, operator=lambda fields: fields.X, positions=line)
    known = Background(np.zeros((7, 2)), np.arange(7.0)[:, None], seen.positions)
    with pytest.raises(ValueError, match=r"LETKF: observation 0 at \(20000\) lies outside the dom"):
        cl.LETKF(5, radius=2.0).prepare(known)


def test_a_climate_that_does_not_vary_is_refused():
    with pytest.raises(
        ValueError, match="ThreeDVar: the climatology does not vary, its covariance"
    ):
        measure_climate(Background(np.ones((4, 9))), "ThreeDVar")
    holed = np.random.default_rng(0).normal(size=(4, 9))
    holed[2, 3] = np.nan
    with pytest.raises(
        ValueError, match="ThreeDVar: the climatology holds values that are not fin"
    ):
        measure_climate(Background(holed), "ThreeDVar")


def test_fewer_states_than_numbers_make_a_covariance_that_can_be_used(twin, key):
    # Rank 2 of 7: singular, and yet only the sum with the errors' covariance is ever solved.
    sample = np.random.default_rng(0).normal(size=(7, 3))
    solver = cl.ThreeDVar(scale=1.0).prepare(Background(sample))
    seen = cl.core.problem.Observed(jnp.ones(7), jnp.ones(7), lambda state: state)
    assert np.isfinite(solver.analyse(jnp.zeros((7, 1)), seen, key)).all()


def test_members_that_are_all_dead_are_an_error(truth, twin):
    states = Lorenz96State(jnp.full((7, 6), jnp.inf))
    with pytest.raises(ValueError, match=r"every member is dead \(not finite\) at time 0.05"):
        cl.assimilate(MODEL, twin, FILTER, truth=truth, initial=states, key=jax.random.key(3))


def verdict(truth, twin, error, spread=1.0):
    """The verdict on analyses that miss the truth by some error, time by time."""
    size = truth.sizes["time"]
    exact = truth.X.values[0]
    means = exact + np.broadcast_to(error, (size,))[:, None] * np.where(np.arange(7) % 2, 1, -1)
    arrays = {
        "analysis": (("time", "k"), means),
        "analysis_spread": (("time", "k"), np.full((size, 7), spread)),
        "replaced": ("time", np.zeros(size, int)),
    }
    about = {"solver": "ETKF", "members": 6}
    found = xr.Dataset(arrays, {"time": truth.time.values}, about)
    found = score(MODEL, found, truth, forecast=means, analysis=means)
    return judge(found, MODEL, twin, Lorenz96State(jnp.zeros(7))).attrs["diverged"]


@pytest.fixture(scope="module")
def long_truth():
    times = np.arange(1.0, 201.0)
    values = 3.0 * np.random.default_rng(0).standard_normal((1, 200, 7))
    return xr.Dataset({"X": (("member", "time", "k"), values)}, {"time": times})


def test_an_error_below_that_of_the_climate_passes(long_truth, twin):
    assert verdict(long_truth, twin, 2.0) == 0


@pytest.mark.filterwarnings("ignore::closura.core.couple.ClosuraWarning")
@pytest.mark.parametrize(
    "case",
    {
        "no better than the climate": (3.05, 3.0),
        "unaware of its error": (1.0, 0.2),
        "lost in the last tenth alone": (np.where(np.arange(200) < 180, 0.5, 3.5), 3.0),
        "not finite at the last time": (np.where(np.arange(200) < 199, 0.5, np.nan), 1.0),
        "infinite at one time": (np.where(np.arange(200) == 50, np.inf, 0.5), 1.0),
    }.items(),
    ids=lambda case: case[0],
)
def test_a_filter_that_lost_the_truth_is_never_a_plain_number(case, long_truth, twin):
    error, spread = case[1]
    assert verdict(long_truth, twin, error, spread) == 1


def judged_by_innovations(twin, size, expected, **changes):
    """The verdict without a truth, on innovations of a size and what is expected of them."""
    shape = twin.values.shape
    innovation = np.full(shape, float(size))
    innovation[twin.time > changes.get("last", np.inf)] = np.nan
    analysis = np.full(shape, changes.get("analysis", 0.5))
    arrays = {
        "analysis": (("time", "k"), analysis),
        "forecast_spread": (("time", "k"), np.ones(shape)),
        "innovation": (("time", "observation"), innovation),
        "innovation_expected": (("time", "observation"), np.full(shape, expected)),
        "innovation_rms": ("time", np.abs(innovation[:, 0])),
        "replaced": ("time", np.zeros(shape[0], int)),
    }
    found = xr.Dataset(arrays, {"time": twin.time}, {"solver": "ETKF", "members": 6})
    seen = changed(twin, values=innovation * 3)
    return judge(found, MODEL, seen, Lorenz96State(jnp.zeros(7))).attrs["diverged"]


@pytest.mark.filterwarnings("ignore::closura.core.couple.ClosuraWarning")
def test_without_a_truth_innovations_are_held_against_the_members_predictions(twin):
    # The spread of the state, 1, has other units than the observations of 1000 X.
    assert judged_by_innovations(twin, 1000.0, 1001.2) == 0
    assert judged_by_innovations(twin, 1000.0, 200.0) == 1


@pytest.mark.filterwarnings("ignore::closura.core.couple.ClosuraWarning")
def test_where_nothing_is_observed_nothing_is_judged(twin):
    assert judged_by_innovations(twin, 1.0, 1.0, last=0.5) == 0
    assert judged_by_innovations(twin, 1.0, 1.0, last=0.5, analysis=np.nan) == 1


@pytest.mark.filterwarnings("ignore::closura.core.couple.ClosuraWarning")
@pytest.mark.parametrize("solver", [FILTER, cl.IEnKS(members=6, window=2)], ids=["time", "window"])
def test_what_is_expected_of_innovations_has_their_units(solver, truth, twin):
    error = np.linspace(50.0, 80.0, 7)
    seen = changed(
        twin, values=1000 * twin.values, variance=error**2, operator=lambda f: 1000 * f.X
    )
    found = cl.assimilate(
        MODEL, seen, solver, climatology=truth, keep_members=True, key=jax.random.key(3)
    )
    wanted = np.hypot(1000 * found.forecast.std("member", ddof=1), error)
    np.testing.assert_allclose(found.innovation_expected, wanted, rtol=1e-9)


@pytest.mark.parametrize(
    ("units", "said"),
    [
        (("1", "1"), "root mean square error over all variables"),
        (
            ("K", "Pa"),
            "root mean square error over all variables, whose units differ (X [K], Y [Pa]): the "
            "largest numbers rule it",
        ),
    ],
    ids=["alike", "different"],
)
def test_an_error_over_different_units_says_so(units, said):
    class Measured(cl.Lorenz96TwoScale):
        @property
        def variables(self):
            named = zip(super().variables, units, strict=True)
            return tuple(replace(variable, units=unit) for variable, unit in named)

    values = np.ones((1, 3, 5))
    fields = {"X": (("member", "time", "k"), values)}
    fields["Y"] = (("member", "time", "kj"), np.ones((1, 3, 20)))
    truth = xr.Dataset(fields, {"time": [0.1, 0.2, 0.3]})
    found = score(Measured(K=5, J=4), truth[["time"]], truth, analysis=np.ones((3, 25)))
    assert found.analysis_rmse.attrs["long_name"] == said


def test_a_variable_without_places_lies_nowhere(twin):
    class Half(cl.Lorenz96TwoScale):
        @property
        def places(self):
            return {"X": np.arange(float(self.K))[:, None]}

    model = Half(K=5, J=4)
    places = background_of(model, changed(twin, operator=lambda f: f.X), np.zeros((25, 2))).places
    np.testing.assert_array_equal(places[:5, 0], np.arange(5))
    assert np.isnan(places[5:]).all()
