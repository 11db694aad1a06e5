import jax
import numpy as np
import pytest

import closura as cl
from closura.core.problem import Observations
from closura.core.progress import listen
from closura.data import runs

# The runs are short: whether a filter has diverged in them is part of what is compared.
pytestmark = pytest.mark.filterwarnings("ignore::closura.core.couple.ClosuraWarning")

MODEL = cl.Lorenz96(K=10, dt=0.05)
KEY = jax.random.key(4)
FILTER = cl.ETKF(members=7, rotation=True)
NETWORK = cl.Observe(variables=("X",), every=0.05)


@pytest.fixture(scope="module")
def truth():
    return cl.simulate(MODEL, duration=3.0, spinup=5.0, every=0.05, key=jax.random.key(1))


@pytest.fixture(scope="module")
def twin(truth):
    return cl.observe(truth, NETWORK, key=jax.random.key(2))


@pytest.fixture(scope="module")
def swept(truth, twin):
    grid = {"inflation": [1.0, 1.05, 1.3], "rtps": [0.0, 0.4]}
    return cl.sweep(MODEL, twin, FILTER, grid=grid, seeds=(0, 3), truth=truth, skip=1.0, key=KEY)


def alone(solver, seed, truth, twin, model=MODEL, skip=1.0):
    """Scores of one setting by the verb itself: means over the times after `skip`."""
    found = cl.assimilate(model, twin, solver, truth=truth, key=jax.random.fold_in(KEY, seed))
    late = found.sel(time=found.time > skip)
    return {
        "analysis_rmse": late.analysis_rmse.mean(),
        "forecast_rmse": late.forecast_rmse.mean(),
        "innovation_rms": late.innovation_rms.mean(),
        "analysis_spread": np.sqrt((late.analysis_spread**2).mean("k")).mean(),
        "diverged": found.attrs["diverged"],
        "replaced": found.attrs["replaced"],
    }


def assert_same(point, wanted):
    for name, value in wanted.items():
        np.testing.assert_allclose(point[name], value, rtol=1e-7, err_msg=name)


def test_a_sweep_has_what_its_runs_have_one_by_one(swept, truth, twin):
    assert dict(swept.sizes) == {"inflation": 3, "rtps": 2, "seed": 2}
    for inflation, rtps, seed in [(1.0, 0.4, 3), (1.3, 0.0, 0), (1.05, 0.4, 0)]:
        solver = cl.ETKF(members=7, rotation=True, inflation=inflation, rtps=rtps)
        point = swept.sel(inflation=inflation, rtps=rtps, seed=seed)
        assert_same(point, alone(solver, seed, truth, twin))


def test_radii_share_a_program_and_members_do_not(truth, twin, monkeypatch):
    compiled = count_programs(monkeypatch)
    grid = {"radius": [0.4, 1.5], "members": [5, 6]}
    found = cl.sweep(
        MODEL, twin, cl.LETKF(inflation=1.1), grid=grid, truth=truth, skip=1.0, key=KEY
    )
    assert compiled == {5, 6}
    for radius, members in [(0.4, 6), (1.5, 5)]:
        solver = cl.LETKF(members=members, radius=radius, inflation=1.1)
        point = found.sel(radius=radius, members=members, seed=0)
        assert_same(point, alone(solver, 0, truth, twin))


def count_programs(monkeypatch):
    """Return a set that collects the number of members of each program that is compiled."""
    traced, cycle = set(), runs.run_cycles

    def note(model, snapshot, *arguments, **named):
        traced.add(snapshot.state.X.shape[-1])
        return cycle(model, snapshot, *arguments, **named)

    monkeypatch.setattr(runs, "run_cycles", note)
    return traced


def test_other_values_of_the_same_settings_compile_nothing(swept, truth, twin, monkeypatch):
    compiled = count_programs(monkeypatch)
    grid = {"inflation": [1.01, 1.02, 1.07], "rtps": [0.1, 0.2]}
    cl.sweep(MODEL, twin, FILTER, grid=grid, seeds=(5, 7), truth=truth, skip=2.0, key=KEY)
    assert compiled == set()


def test_small_batches_give_the_same_and_are_reported(swept, truth, twin, monkeypatch):
    monkeypatch.setattr(runs, "MOST_AT_ONCE", 5)
    events = []
    with listen(lambda event, values: events.append((event, values["done"], values["total"]))):
        found = cl.sweep(
            MODEL, twin, FILTER, grid={"inflation": [1.0, 1.05, 1.3], "rtps": [0.0, 0.4]},
            seeds=(0, 3), truth=truth, skip=1.0, key=KEY,
        )  # fmt: skip
    # 12 runs in batches of at most 5: three of 4.
    assert events == [("sweep", 4, 12), ("sweep", 8, 12), ("sweep", 12, 12)]
    for name in swept:
        np.testing.assert_allclose(found[name], swept[name], rtol=1e-7)


def test_a_function_makes_a_twin_for_each_seed():
    def make(key):
        truth = cl.simulate(MODEL, duration=2.0, spinup=5.0, every=0.05, key=key)
        return truth, cl.observe(truth, NETWORK, key=key)

    grid = {"inflation": [1.02, 1.04]}
    found = cl.sweep(MODEL, make, FILTER, grid=grid, seeds=(2, 9), skip=1.0, key=KEY)
    truth, twin = make(jax.random.fold_in(KEY, 9))
    solver = cl.ETKF(members=7, rotation=True, inflation=1.04)
    assert_same(found.sel(inflation=1.04, seed=9), alone(solver, 9, truth, twin))


def test_models_by_name_are_a_dimension(truth, twin):
    models = {"true": MODEL, "weak": cl.Lorenz96(K=10, F=6.5, dt=0.05)}
    found = cl.sweep(MODEL, twin, FILTER, grid={"model": models}, truth=truth, skip=1.0, key=KEY)
    assert found.model.values.tolist() == ["true", "weak"]
    assert_same(found.sel(model="weak", seed=0), alone(FILTER, 0, truth, twin, models["weak"]))


def test_a_run_that_dies_leaves_the_others_alone(truth, twin):
    found = cl.sweep(
        MODEL, twin, FILTER, grid={"inflation": [1.05, 1e200]}, truth=truth, skip=1.0, key=KEY
    )
    assert_same(
        found.sel(inflation=1.05, seed=0),
        alone(cl.ETKF(members=7, rotation=True, inflation=1.05), 0, truth, twin),
    )
    dead = found.sel(inflation=1e200, seed=0)
    assert dead.diverged and np.isnan(dead.analysis_rmse) and dead.replaced > 7


def test_without_a_truth_there_are_innovations(twin):
    found = cl.sweep(MODEL, twin, FILTER, grid={"inflation": [1.05, 1.1]}, skip=1.0, key=KEY)
    assert "analysis_rmse" not in found
    assert not found.diverged.any()
    one = cl.assimilate(
        MODEL, twin, cl.ETKF(members=7, rotation=True, inflation=1.1),
        key=jax.random.fold_in(KEY, 0),
    )  # fmt: skip
    wanted = one.innovation_rms.sel(time=one.time > 1.0).mean()
    np.testing.assert_allclose(found.innovation_rms.sel(inflation=1.1, seed=0), wanted, rtol=1e-7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": {"inflaton": [1.0]}}, "ETKF has no setting 'inflaton'; did you mean 'inflation'"),
        ({"grid": {"radius": [4.0]}}, "ETKF has no setting 'radius'. It takes: members, inflation"),
        ({"grid": {}}, "grid is empty; give one setting or more"),
        ({"grid": {"rtps": []}}, r"grid\['rtps'\] is empty; give one value or more"),
        ({"grid": {"rtps": 0.3}}, r"grid\['rtps'\] is 0.3; wanted are several values"),
        ({"grid": {"model": [MODEL]}}, r'grid\["model"\] is a sequence; give models by name'),
        ({"grid": {"members": [1]}}, "ETKF: members is 1; an ensemble needs 2 or more"),
        ({"seeds": (1, 1)}, r"seeds is \(1, 1\); wanted are one number or more, none twice"),
        ({"skip": 3.0}, "skip is 3 and the observations end at 3; skip less"),
        ({"cluster": "there"}, "cluster is 'there'; wanted is 'local' or the address"),
    ],
)
def test_a_wrong_argument_is_told(changes, message, truth, twin):
    if "cluster" in changes:
        pytest.importorskip("distributed")
    settings = {"grid": {"inflation": [1.0]}} | changes
    with pytest.raises(ValueError, match=message):
        cl.sweep(MODEL, twin, FILTER, truth=truth, key=KEY, **settings)


def test_a_truth_beside_a_function_is_refused(truth, twin):
    with pytest.raises(ValueError, match="truth is given although observations is a function"):
        cl.sweep(
            MODEL, lambda key: (truth, twin), FILTER, grid={"rtps": [0.1]}, truth=truth, key=KEY
        )


def test_twins_of_other_times_are_refused(truth, twin):
    def make(key):
        late = bool(
            jax.random.key_data(key)[0] == jax.random.key_data(jax.random.fold_in(KEY, 1))[0]
        )
        time = twin.time[:9] + 0.05 * late
        return truth, Observations(twin.values[:9], twin.variance, time, twin.operator)

    with pytest.raises(
        ValueError, match=r"the observations of seed 1 are .* all must have the same"
    ):
        cl.sweep(MODEL, make, FILTER, grid={"rtps": [0.1]}, seeds=(0, 1), key=KEY)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of the cluster's own processes and sockets
def test_a_cluster_gives_the_same_numbers(truth, twin):
    pytest.importorskip("distributed")
    arguments = {
        "grid": {"members": [6, 7], "inflation": [1.05, 1.2]}, "seeds": (0, 1), "truth": truth,
        "skip": 1.0, "key": KEY,
    }  # fmt: skip
    here = cl.sweep(MODEL, twin, FILTER, **arguments)
    there = cl.sweep(MODEL, twin, FILTER, cluster="local", **arguments)
    for name in here:
        np.testing.assert_array_equal(there[name], here[name])
