"""Published scores of localised filters on Lorenz-96, from DAPPER's settings and the book.

Expected values: the comments of DAPPER's `hoteit2015`, `spantini2019` and `frei2013bridging`, to
two digits from one run each; `SL_EAKF` run again with its own seed, 1000 times; the book's
"DA demo" replicated over five seeds (reference §1.12, §2.2).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.models.lorenz96 import Lorenz96State, TwoScaleState

pytestmark = pytest.mark.slow


class Setting(NamedTuple):
    """A twin experiment on Lorenz-96 with 40 points, F = 8."""

    dt: float
    interval: float
    duration: float
    burn_in: float
    stride: int
    variance: float
    start: float  # variance of truth and members about e_0


SETTINGS = {
    "hoteit2015": Setting(0.05, 0.05, 365.0, 4.0, 1, 1.0, 0.001),
    "sakov2008": Setting(0.05, 0.05, 250.0, 20.0, 1, 1.0, 0.001),
    "spantini2019": Setting(0.02, 0.4, 800.0, 20.0, 2, 0.5, 0.1),
    "frei2013": Setting(0.05, 0.4, 400.0, 20.0, 2, 0.5, 0.001),
}
# Solver, wanted, within: rounding of the published number, and two sampling errors of ours.
ROWS = [
    ("hoteit2015", cl.LETKF(10, radius=4.0, inflation=1.02, rotation=True), 0.21, 0.012),
    ("hoteit2015", cl.LETKF(10, radius=6.0, inflation=1.04, rotation=True), 0.20, 0.012),
    ("hoteit2015", cl.LETKF(10, radius=10.0, inflation=1.10, rotation=True), 0.22, 0.014),
    ("hoteit2015", cl.LETKF(10, radius=15.0, inflation=1.20), 0.29, 0.025),
    ("sakov2008", cl.LocalSerialEnSRF(7, radius=6.0, inflation=1.07, rotation=True), 0.2369, 0.014),
    ("sakov2008", cl.ETKF(20, inflation=cl.AdaptiveInflation(), rotation=True), 0.197, 0.012),
    # DAPPER's comment has 0.89 without rotation. DAPPER run again, unmodified, gave 1.10 +- 0.05
    # (seed 3000, 2000 times); with rotation we meet the comment, 0.887 and 0.849 for two truths.
    ("spantini2019", cl.LETKF(60, radius=4.0, inflation=1.02), 1.10, 0.13),
    ("spantini2019", cl.LETKF(60, radius=4.0, inflation=1.02, rotation=True), 0.89, 0.06),
    ("spantini2019", cl.OptimalInterpolation(), 2.5, 0.1),
    ("spantini2019", cl.ThreeDVar(scale=4.0, covariance="identity"), 2.3, 0.1),
    ("frei2013", cl.LETKF(400, radius=10 / 1.82, inflation=1.01, rotation=True), 0.79, 0.06),
]


def near_the_start(key, variance, *members):
    noise = jax.random.normal(key, (40, *members)) * variance**0.5
    return Lorenz96State(noise.at[0].add(1.0))


@pytest.fixture(scope="module")
def twins():
    """The truth and the observations of each setting."""
    found = {}
    for name, at in SETTINGS.items():
        start = near_the_start(jax.random.key(7), at.start)
        model = cl.Lorenz96(K=40, F=8.0, dt=at.dt)
        run = cl.simulate(
            model, duration=at.duration, every=at.interval, state=start, key=jax.random.key(0)
        )
        network = cl.Observe(("X",), every=at.interval, stride=at.stride, noise=at.variance**0.5)
        found[name] = (model, run, cl.observe(run, network, key=jax.random.key(8)))
    return found


@pytest.mark.parametrize(("setting", "solver", "wanted", "within"), ROWS)
def test_error_is_the_published_one(setting, solver, wanted, within, twins):
    model, run, twin = twins[setting]
    at = SETTINGS[setting]
    start = near_the_start(jax.random.key(9), at.start, solver.members)
    found = cl.assimilate(model, twin, solver, truth=run, initial=start, key=jax.random.key(10))
    error = float(found.analysis_rmse.sel(time=slice(at.burn_in, None)).mean())
    print(f"{setting} {type(solver).__name__} {solver.members}: {error:.4f}, wanted {wanted}")
    assert abs(error - wanted) < within
    assert found.attrs["diverged"] == 0


def book(seed, solver):
    """Error and spread over all steps of the book's setting, with a biased model."""
    random = np.random.default_rng(seed)
    fine = cl.Lorenz96TwoScale(K=40, J=10, F=10.0, dt=0.005)
    start = TwoScaleState(jnp.asarray(random.standard_normal(40)), jnp.zeros(400))
    run = cl.simulate(
        fine, duration=10.0, spinup=1.0, every=0.005, variables=("X",), state=start,
        key=jax.random.key(seed),
    )  # fmt: skip
    X, values = run.X.values[0], np.full((2000, 40), np.nan)
    for step in range(9, 2000, 10):  # eight of forty points, others each time
        seen = random.choice(40, 8, replace=False)
        values[step, seen] = X[step, seen] + 0.5 * random.standard_normal(8)
    everywhere = cl.observe(run, cl.Observe(("X",), every=0.005), key=jax.random.key(seed))
    twin = cl.Observations(values, np.full(40, 0.25), run.time.values, everywhere.operator)
    coarse = cl.Lorenz96(K=40, F=10.0, dt=0.005, stepper="Euler")
    climate = cl.simulate(
        coarse, duration=25.0, every=0.005, state=Lorenz96State(jnp.asarray(X[0])),
        key=jax.random.key(seed),
    )  # fmt: skip
    first = jnp.asarray(X[0][:, None] + random.standard_normal((40, solver.members)))
    found = cl.assimilate(
        coarse, twin, solver, truth=run, climatology=climate, initial=Lorenz96State(first),
        key=jax.random.key(seed + 1),
    )  # fmt: skip
    return float(np.sqrt((found.analysis_rmse**2).mean())), float(found.analysis_spread.mean())


def test_tapered_and_hybrid_covariances_are_those_of_the_book():
    # The book prints 0.881 and 0.775 for one run; its replication 0.857 +- 0.048, 0.705 +- 0.094.
    # Of its hybrid with a static weight of 0.1 there is no number.
    settings = {"radius": 5.0, "convention": "half-width", "rtpp": 0.65}
    solvers = (cl.LocalEnKF(500, **settings), cl.HybridEnKF(500, weight=0.1, **settings))
    plain, hybrid = (np.array([book(seed, solver) for seed in range(2)]) for solver in solvers)
    print(f"tapered {plain.mean(axis=0).round(3)}, with a tenth of the climate "
          f"{hybrid.mean(axis=0).round(3)} (error, spread)")  # fmt: skip
    assert abs(plain[:, 0].mean() - 0.857) < 0.07
    assert abs(plain[:, 1].mean() - 0.705) < 0.13
    assert hybrid[:, 0].mean() < plain[:, 0].mean()
