"""Scores of DAPPER's settings of small systems (reference §2.2-2.3).

DAPPER's numbers come from one run each, to two digits. Ours is the median over several runs, each
with a truth, observations and members of its own: a filter that is lost once in twenty runs (so
are DAPPER's: 2.4 and 4.1 instead of 0.47 with OptPF, N = 100) leaves the median where it is.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.models.lorenz63 import Lorenz63State
from closura.models.lorenz96 import Lorenz96State

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::closura.core.couple.ClosuraWarning"),
]


class Setting(NamedTuple):
    """A twin experiment: what runs, what is seen, where it starts, what is left out."""

    model: cl.AbstractModel
    network: cl.Observe
    duration: float
    burn_in: float
    start: Callable


def near_zero(key, *members):
    return Lorenz96State(0.001**0.5 * jax.random.normal(key, (10, *members)))


def near_a_wing(key, *members):
    centre = jnp.array([1.509, -1.531, 25.46]).reshape(3, *(1 for _ in members))
    return Lorenz63State(*(centre + 2**0.5 * jax.random.normal(key, (3, *members))))


SETTINGS = {
    # Every second of ten points, variance 1.5^2: with 1.5, as in DAPPER 1.7, all errors are
    # lower (0.31 for the EnKF-N); the numbers here belong to 1.5^2.
    "bocquet2010": Setting(
        cl.Lorenz96(K=10, F=8.0, dt=0.05),
        cl.Observe(("X",), every=0.05, stride=2, noise=1.5), 64.0, 20.0, near_zero,
    ),
    "sakov2012": Setting(
        cl.Lorenz63(dt=0.01),
        cl.Observe(("x", "y", "z"), every=0.25, noise=2**0.5), 250.0, 16.0, near_a_wing,
    ),
    "wiljes2017": Setting(
        cl.Lorenz63(dt=0.01),
        cl.Observe(("x",), every=0.12, noise=8**0.5), 480.0, 4.0, near_a_wing,
    ),
}  # fmt: skip


def bootstrap(members, threshold, regularisation):
    return cl.ParticleFilter(members, threshold=threshold, regularisation=regularisation)


def optimal(members, threshold, regularisation, spread):
    return cl.OptimalParticleFilter(
        members, threshold=threshold, regularisation=regularisation, spread=spread
    )


ROWS = [
    ("bocquet2010", cl.EnKFN(8, certainty=1.3, rotation=True), 0.44, 9),
    ("bocquet2010", bootstrap(50, 0.3, 1.7), 1.15, 20),
    ("bocquet2010", bootstrap(100, 0.2, 1.3), 0.43, 9),
    ("bocquet2010", bootstrap(800, 0.2, 0.8), 0.29, 7),
    ("bocquet2010", optimal(50, 0.25, 1.4, 0.4), 0.75, 20),
    ("bocquet2010", optimal(100, 0.2, 1.0, 0.3), 0.44, 9),
    ("bocquet2010", optimal(800, 0.2, 0.6, 0.1), 0.28, 5),
    ("sakov2012", cl.Climatology(), 7.6, 5),
    ("sakov2012", cl.OptimalInterpolation(), 1.25, 5),
    ("sakov2012", cl.ThreeDVar(scale=0.1), 1.04, 9),
    ("sakov2012", cl.ETKF(3, inflation=1.3), 0.80, 15),
    ("sakov2012", cl.ETKF(10, inflation=1.02, rotation=True), 0.60, 15),
    ("sakov2012", cl.EnKF(10, inflation=1.04), 0.65, 15),
    ("sakov2012", cl.EnKF(100, inflation=1.01), 0.56, 7),
    ("sakov2012", cl.EnKFN(3), 0.60, 9),
    ("sakov2012", cl.EnKFN(10, rotation=True), 0.54, 9),
    ("sakov2012", bootstrap(100, 0.3, 2.4), 0.38, 7),
    ("sakov2012", bootstrap(800, 0.2, 0.9), 0.28, 5),
    ("sakov2012", bootstrap(4000, 0.05, 0.7), 0.27, 3),
    ("wiljes2017", cl.OptimalInterpolation(), 5.4, 5),
    # DAPPER's table says 3.0; three runs of it, over 480 time units, give 3.15, 3.21 and 3.22.
    ("wiljes2017", cl.ThreeDVar(scale=0.3), 3.21, 9),
]


def run_once(setting, solver, seed):
    """Return the mean error of the analysis over one run after the burn-in."""
    begin, see, members, draw = jax.random.split(jax.random.key(seed), 4)
    truth = cl.simulate(
        setting.model, duration=setting.duration, every=setting.network.every,
        state=setting.start(begin), key=begin,
    )  # fmt: skip
    found = cl.assimilate(
        setting.model, cl.observe(truth, setting.network, key=see), solver, truth=truth,
        initial=setting.start(members, solver.members), key=draw,
    )  # fmt: skip
    return float(found.analysis_rmse.sel(time=slice(setting.burn_in, None)).mean())


@pytest.mark.parametrize(
    ("name", "solver", "wanted", "runs"),
    ROWS,
    ids=[f"{name}-{type(s).__name__}-{s.members}" for name, s, _, _ in ROWS],
)
def test_error_is_that_of_dapper(name, solver, wanted, runs):
    errors = np.array([run_once(SETTINGS[name], solver, 100 + number) for number in range(runs)])
    median = float(np.median(errors))
    print(f"wanted {wanted}, ours {median:.3f}, {errors.min():.3f} to {errors.max():.3f}")
    assert abs(median - wanted) < 0.04
