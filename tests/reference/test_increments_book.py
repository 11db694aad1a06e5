"""The chapter "Learning DA increments" of the Lorenz-96 book, carried to its end.

Setting of the book (reference §1.13): K = 8, J = 32, F = 18; a one-scale model without closure,
stepped by Euler at 0.005; 50 members, all points observed with deviation 0.1 every 10 steps,
covariances between points set to zero, relaxation 0.86, 400 times. The book learns from the
increments and never puts back what it learned. Errors are root mean squares over all time steps
and points of the mean, as there: 0.231 in the book, 0.19 to 0.29 over twelve seeds of a
replication of it, 0.134 with the quartic of Wilks (2005).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.models.lorenz96 import Lorenz96State

FINE = cl.Lorenz96TwoScale(K=8, J=32, F=18.0, dt=0.005)
COARSE = cl.Lorenz96(K=8, F=18.0, dt=0.005, stepper="Euler")
WILKS = cl.PolynomialClosure(coefficients=(-0.275, -1.59, 0.0190, 0.0130, -0.000707))
# A half-width below half the distance of two points leaves each to its own observation.
FILTER = cl.LocalEnKF(members=50, radius=0.4, convention="half-width", rtpp=0.86)


def run_and_twin(seed):
    """A truth at every step, and observations that are missing at nine steps of ten."""
    run = cl.simulate(
        FINE, duration=20.0, spinup=5.0, every=0.005, variables=("X",), key=jax.random.key(seed)
    )
    noise = 0.1 * np.random.default_rng(seed).standard_normal((4000, 8))
    values = np.full((4000, 8), np.nan)
    values[9::10] = (run.X.values[0] + noise)[9::10]
    seen = cl.observe(run, cl.Observe(variables=("X",), every=0.005), key=jax.random.key(seed))
    return run, cl.Observations(values, np.full(8, 0.01), run.time.values, seen.operator)


def analyse(model, run, twin, seed):
    """The Dataset, and the error and spread over all steps."""
    near = 0.1 * jax.random.normal(jax.random.key(seed + 7), (8, FILTER.members))
    start = Lorenz96State(jnp.asarray(run.X.values[0, 0])[:, None] + near)
    found = cl.assimilate(model, twin, FILTER, truth=run, initial=start, key=jax.random.key(seed))
    error = float(np.sqrt((found.analysis_rmse**2).mean()))
    return found, error, float(found.analysis_spread.mean())


@pytest.mark.slow
def test_a_closure_learned_from_the_books_increments_repairs_its_model():
    rows = []
    for seed in range(6):
        run, twin = run_and_twin(seed)
        held = run_and_twin(seed + 50)
        found, error, spread = analyse(COARSE, run, twin, seed)
        pairs = cl.diagnose(found.isel(time=slice(9, None, 10)), target="increments", skip=1.0)
        learned = cl.Polynomial(degree=4).fit(pairs, key=jax.random.key(0))
        _, after, narrow = analyse(cl.couple(COARSE, learned), *held, seed)
        _, floor, _ = analyse(cl.couple(COARSE, WILKS), *held, seed)
        rows.append((error, spread, after, narrow, floor))
        print(f"seed {seed}: before {error:.3f} ({spread:.3f}), after {after:.3f} ({narrow:.3f}), "
              f"quartic of Wilks {floor:.3f}")  # fmt: skip
    error, spread, after, narrow, floor = np.mean(rows, axis=0)
    print(f"mean: before {error:.3f} ({spread:.3f}), after {after:.3f} ({narrow:.3f}), {floor:.3f}")
    assert all(0.18 < row[0] < 0.30 for row in rows)
    assert all(row[2] < row[0] for row in rows)
    assert after < 0.16
