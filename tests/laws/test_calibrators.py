import equinox as eqx
import jax.numpy as jnp
import pytest

from closura.core.calibrate import AbstractCalibrator
from closura.core.posterior import Ensemble
from closura.registry import REGISTRY, find
from closura.solvers.kalman_inversion import EKI
from closura.testing import check_calibrator

# Smaller than their defaults, and those that want a simulator that repeats itself.
SMALL = {"MCMC": {"draws": 400, "warmup": 200, "chains": 2}, "MAP": {"starts": 2}}
STRICT = {"MCMC", "MAP"}
LONG = {"CES", "NPE"}  # they train for a minute
NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if name in LONG else name
    for name in REGISTRY["calibrators"]
]


@pytest.mark.parametrize("name", NAMES)
def test_every_registered_calibrator_keeps_the_laws(name):
    calibrator = find("calibrators", name)(**SMALL.get(name, {}))
    check_calibrator(calibrator, forgives=name not in STRICT)


class Stubborn(AbstractCalibrator):
    members: int = eqx.field(static=True, default=50)

    def solve(self, problem, *, key):
        return Ensemble(problem.prior, problem.prior.draw(self.members, key=key))


class Hasty(AbstractCalibrator):
    def solve(self, problem, *, key):
        found = EKI(50).solve(problem, key=key)
        return Ensemble(problem.prior, found.members + jnp.array([[1.0], [0.0]]))


def test_a_calibrator_that_ignores_what_was_measured_is_found():
    with pytest.raises(AssertionError, match="a measurement without error is missed"):
        check_calibrator(Stubborn())


def test_a_calibrator_that_moves_without_information_is_found():
    with pytest.raises(AssertionError, match="says nothing moves the prior's mean"):
        check_calibrator(Hasty())
