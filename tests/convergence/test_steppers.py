"""Each stepper converges at the order that it states, alone and with a closure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl

ORDERS = {"euler": 1, "rk2": 2, "ab3": 3, "rk4": 4}


def error_after_one_unit(stepper: str, steps: int, hybrid: bool) -> float:
    """Distance of Lorenz-63 from a run with a 64 times smaller RK4 step, after 0.5 time units."""
    fixed = cl.PolynomialClosure((0.3, -0.5), variable="x")

    def end(count: int, kind: str) -> np.ndarray:
        model = cl.Lorenz63(dt=0.5 / count, stepper=kind)
        model = cl.couple(model, ScalarPolynomial(fixed)) if hybrid else model
        state = cl.Lorenz63().initial_state(jax.random.key(3))
        states, _ = cl.rollout(model, model.start(state), count, every=count)
        return np.array([states.x[-1], states.y[-1], states.z[-1]])

    return float(np.linalg.norm(end(steps, stepper) - end(64 * steps, "rk4")))


class ScalarPolynomial(cl.AbstractMemorylessClosure):
    """A polynomial of x alone, for a model whose variables are single numbers."""

    polynomial: cl.PolynomialClosure

    def tendency(self, fields, inputs=None):
        c = self.polynomial.coefficients
        return {"x": jnp.polyval(c[::-1], fields.x)}


@pytest.mark.parametrize("hybrid", [False, True], ids=["alone", "with closure"])
@pytest.mark.parametrize("stepper", ORDERS)
def test_error_falls_with_the_stated_order(stepper, hybrid):
    coarse, fine = (error_after_one_unit(stepper, n, hybrid) for n in (256, 512))
    assert np.log2(coarse / fine) == pytest.approx(ORDERS[stepper], abs=0.2)


@pytest.mark.parametrize("stepper", ORDERS)
def test_stepper_states_its_order(stepper):
    assert cl.Lorenz63(stepper=stepper).stepper.order == ORDERS[stepper]
