"""Scores that an experiment's file cannot say: adaptive inflation, and the book's "DA demo".

Those of localised filters in DAPPER's settings are the bundled `hoteit2015`, `spantini2019`,
`frei2013` and `sakov2008`. The book's demo was replicated over five seeds (reference §1.12).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.models.lorenz96 import Lorenz96State, TwoScaleState

pytestmark = pytest.mark.slow


def test_inflation_that_a_filter_finds_does_as_well_as_the_best_number():
    # DAPPER's setting sakov2008; run again with the tuned inflation of 1.04 it gives 0.197.
    model = cl.Lorenz96(K=40, F=8.0, dt=0.05)
    start = near_the_start(jax.random.key(7))
    run = cl.simulate(model, duration=250.0, every=0.05, state=start, key=jax.random.key(0))
    seen = cl.observe(run, cl.Observe(("X",), every=0.05), key=jax.random.key(8))
    solver = cl.ETKF(20, inflation=cl.AdaptiveInflation(), rotation=True)
    members = near_the_start(jax.random.key(9), solver.members)
    found = cl.assimilate(model, seen, solver, truth=run, initial=members, key=jax.random.key(10))
    error = float(found.analysis_rmse.sel(time=slice(20.0, None)).mean())
    print(f"ETKF with adaptive inflation: {error:.4f}")
    assert abs(error - 0.197) < 0.012
    assert found.attrs["diverged"] == 0


def near_the_start(key, *members):
    """Draws from the normal distribution that truth and members start from in DAPPER."""
    noise = jax.random.normal(key, (40, *members)) * 0.001**0.5
    return Lorenz96State(noise.at[0].add(1.0))


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
