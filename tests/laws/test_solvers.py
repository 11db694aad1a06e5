import equinox as eqx
import jax.numpy as jnp
import pytest

from closura.core.problem import AbstractMemorylessSolver
from closura.registry import REGISTRY, find
from closura.solvers.ensemble import ETKF
from closura.testing import check_solver


@pytest.mark.parametrize("name", REGISTRY["solvers"])
def test_every_registered_solver_keeps_the_laws(name):
    check_solver(find("solvers", name)())


class Stubborn(AbstractMemorylessSolver):
    members: int = eqx.field(static=True, default=5)

    def analyse(self, ensemble, observed, key):
        return ensemble + 1e-6 * jnp.sum(observed.weight)


class Drifting(AbstractMemorylessSolver):
    members: int = eqx.field(static=True, default=5)

    def analyse(self, ensemble, observed, key):
        return ETKF(5).analyse(ensemble + 0.1, observed, key)


def test_a_solver_that_misses_perfect_observations_is_found():
    with pytest.raises(AssertionError, match="perfect observations are missed"):
        check_solver(Stubborn())


def test_a_solver_that_moves_without_information_is_found():
    with pytest.raises(AssertionError, match="no information moves the mean"):
        check_solver(Drifting())
