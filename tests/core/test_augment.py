import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.core.rollout import member_keys, rollout, start_members
from closura.testing import check_model

RING = cl.Lorenz96(K=7, F=9.0, dt=0.01)
CUBIC = cl.PolynomialClosure((-0.3, -1.3, 0.01))
HYBRID = cl.couple(RING, CUBIC + cl.PolynomialClosure((0.2, 0.1)))


@pytest.mark.parametrize(
    "model",
    [
        cl.augment(RING, F=(8.0, 1.0)),
        cl.augment(
            cl.Lorenz63(), rho=cl.LogNormal(28.0, 2.0), sigma=cl.Uniform(8.0, 12.0), walk=0.5
        ),
        cl.augment(cl.couple(RING, CUBIC), coefficients=(0.0, 0.1), F=(8.0, 1.0)),
        cl.augment(cl.couple(RING, cl.AR1Noise({"X": 0.9}, {"X": 1.0})), F=(8.0, 1.0)),
    ],
    ids=["forcing", "bounded and walking", "hybrid", "noisy hybrid"],
)
def test_an_augmented_model_keeps_the_laws(model):
    check_model(model)


def test_each_member_runs_with_its_own_parameter(key):
    unknown = cl.augment(RING, F=(8.0, 1.5))
    keys = member_keys(key, 3)
    begin = start_members(unknown, keys)
    together, last = rollout(unknown, begin, 5, key=keys, members=True)
    for member in range(3):
        alone = cl.Lorenz96(K=7, F=8.0 + 1.5 * float(begin.state.parameters.F[member]), dt=0.01)
        state = jax.tree.map(lambda leaf: leaf[..., member], begin.state.state)  # noqa: B023
        one, _ = rollout(alone, alone.start(state), 5)
        np.testing.assert_allclose(together.X[..., member], one.X, rtol=1e-12)
    np.testing.assert_array_equal(last.state.parameters.F, begin.state.parameters.F)


def test_a_walk_widens_with_the_root_of_time(key):
    unknown = cl.augment(RING, F=(8.0, 1.0), walk=0.5)
    begin = unknown.begin(jnp.full((7, 4000), 8.0), key)
    begin = begin._replace(state=type(unknown.initial_state(key).state)(begin.state))
    start = start_members(unknown, member_keys(key, 4000), states=begin)
    _, last = rollout(unknown, start, 100, key=member_keys(key, 4000), members=True)
    walked = np.asarray(last.state.parameters.F - begin.parameters.F)
    assert abs(walked.std() - 0.5) < 0.02  # one time unit; 4000 members know it to 1.1 %
    assert abs(walked.mean()) < 0.03


@pytest.mark.parametrize(
    ("prior", "lower", "median", "upper"),
    [
        (cl.LogNormal(8.0, 1.0), 0.0, 8.0 / (1 + 1 / 64) ** 0.5, np.inf),
        (cl.Uniform(6.0, 12.0), 6.0, 9.0, 12.0),
        (cl.TruncatedNormal(8.0, 2.0, 5.0, 11.0), 5.0, 8.0, 11.0),
    ],
    ids=["LogNormal", "Uniform", "TruncatedNormal"],
)
def test_no_increment_leaves_the_bounds(prior, lower, median, upper, key):
    unknown = cl.augment(RING, F=prior)
    state = unknown.initial_state(key)
    state = state._replace(parameters=state.parameters._replace(F=jnp.asarray(0.0)))
    np.testing.assert_allclose(unknown.value_of("F", unknown.fields(state).F), median, rtol=1e-6)
    for increment in (-4.0, 4.0):
        moved = unknown.fields(unknown.add(state, {"F": jnp.asarray(increment)})).F
        assert lower < float(unknown.value_of("F", moved)) < upper


def test_an_array_is_one_field_with_dimensions_of_its_own(key):
    unknown = cl.augment(
        cl.couple(RING, CUBIC), coefficients=(np.array([0.1, 0.2, 0.3]), 0.1), F=(8.0, 1.0)
    )
    fields = unknown.fields(unknown.initial_state(key))
    shapes = {name: leaf.shape for name, leaf in fields._asdict().items()}
    assert shapes == {"X": (7,), "coefficients": (3,), "F": ()}
    median = unknown.value_of("coefficients", np.zeros((5, 3)))
    np.testing.assert_allclose(median, np.tile([0.1, 0.2, 0.3], (5, 1)))


@pytest.mark.parametrize(
    ("model", "named", "message"),
    [
        (RING, {}, "no parameter is named; write e.g. F="),
        (RING, {"G": (8.0, 1.0)}, "no parameter 'G'; there are: Lorenz96.F"),
        (HYBRID, {"coefficients": (0.0, 1.0)}, "'coefficients' may be one of Polynom"),
        (RING, {"dt": (0.01, 0.001)}, "no parameter 'dt'; there are: Lorenz96.F"),
        (RING, {"F": ([8.0, 9.0], 1.0)}, r"prior of F has shape \(2,\) and the parameter \(\)"),
        (RING, {"F": 8.0}, r"F is 8.0; wanted a pair \(mean, deviation\), or Normal"),
        (RING, {"F": (8.0, 1.0), "walk": {"h": 1.0}}, "walk is {'h': 1.0}; give one number of 0"),
        (RING, {"F": (8.0, -1.0)}, "Normal: deviation is -1.0; it must be positive"),
    ],
)
def test_what_cannot_be_estimated_is_refused(model, named, message):
    with pytest.raises(ValueError, match=message):
        cl.augment(model, **named)


def test_a_walk_without_a_key_is_refused(key):
    unknown = cl.augment(RING, F=(8.0, 1.0), walk=0.1)
    with pytest.raises(ValueError, match="walk at random: give a key"):
        unknown.step(unknown.start(unknown.initial_state(key)))


@pytest.fixture(scope="module")
def truth():
    ring = cl.Lorenz96(K=12, F=9.0, dt=0.05)
    return cl.simulate(ring, duration=30.0, spinup=10.0, every=0.05, key=jax.random.key(1))


@pytest.fixture(scope="module")
def twin(truth):
    return cl.observe(truth, cl.Observe(variables=("X",), every=0.05), key=jax.random.key(2))


@pytest.mark.parametrize("prior", [cl.Normal(7.0, 1.0), cl.LogNormal(7.0, 1.0)], ids=repr)
def test_a_filter_finds_the_forcing(truth, twin, prior):
    unknown = cl.augment(cl.Lorenz96(K=12, F=7.0, dt=0.05), F=prior)
    solver = cl.EnKFN(members=16, certainty=2.0)
    found = cl.assimilate(unknown, twin, solver, truth=truth, key=jax.random.key(3))
    forcing = unknown.value_of("F", found.analysis_F.isel(time=slice(400, None)))
    assert abs(float(forcing.mean()) - 9.0) < 0.15
    assert found.analysis_rmse[300:].mean() < 0.4  # over X alone
    assert found.analysis_F.dims == ("time",)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:ETKF diverged")  # too short a run to find the truth
def test_a_sweep_scores_the_state_as_assimilate_does(truth, twin):
    unknown = cl.augment(cl.Lorenz96(K=12, F=7.0, dt=0.05), F=(7.0, 1.0))
    part, key = twin.between(0.0, 1.5), jax.random.key(3)
    solver = cl.ETKF(members=8)
    swept = cl.sweep(unknown, part, solver, grid={"inflation": [1.1]}, truth=truth, key=key)
    one = cl.ETKF(members=8, inflation=1.1)
    found = cl.assimilate(unknown, part, one, truth=truth, key=jax.random.fold_in(key, 0))
    np.testing.assert_allclose(swept.analysis_rmse.item(), found.analysis_rmse.mean(), rtol=1e-9)
