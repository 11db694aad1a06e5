import equinox as eqx
import jax.numpy as jnp
import pytest

import closura as cl
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


@pytest.mark.parametrize(
    "solver",
    [
        cl.EnKS(cl.LETKF(members=8, radius=3.0), lag=2),
        cl.IEnKS(members=12, window=3, shift=2, multiple=True, certainty=1.0),
        cl.FourDVar(window=3, model_error=0.1, scale=1.0),
        cl.FourDVar(covariance="identity", scale=1.0, inner=20),
    ],
)
def test_solvers_that_look_back_keep_the_laws(solver):
    check_solver(solver)


class Hurried(cl.IEnKS):
    def revise(self, ensemble, window, memory, key):
        still = window.forecast * 0 + ensemble  # as if nothing moved
        at_once = eqx.tree_at(lambda w: (w.carry, w.forecast), window, (lambda e: still, still))
        return super().revise(ensemble, at_once, memory, key)


def test_a_solver_that_ignores_the_way_through_the_window_is_found():
    with pytest.raises(AssertionError, match="at a window's end are missed"):
        check_solver(Hurried())
