"""A model of your own: Lorenz (1984), tried with the laws, and a term of it learned back.

python examples/own_model.py
"""

from typing import NamedTuple

import equinox as eqx
import jax
from jaxtyping import Array, Float

import closura as cl
from closura.testing import check_model


class Lorenz84State(NamedTuple):
    """Westerly wind x, and the cosine y and sine z of a chain of eddies."""

    x: Float[Array, ""]
    y: Float[Array, ""]
    z: Float[Array, ""]


class Lorenz84(cl.AbstractODE):
    """dx/dt = -y^2 - z^2 - a x + a F, dy/dt = x y - b x z - y + G, dz/dt = b x y + x z - z.

    One model time unit, the damping time of the eddies, stands for about 5 days.

    Args:
        F: Symmetric thermal forcing.
        G: Asymmetric thermal forcing: land and sea.
        a: Damping of the wind, relative to that of the eddies.
        b: Displacement of the eddies by the wind, relative to their growth.
        dt: Time step [model time unit].
        stepper: Time stepper.

    Reference:
        Lorenz (1984), Tellus A 36, 98-110, doi:10.3402/tellusa.v36i2.11473.
    """

    F: float = 8.0
    G: float = 1.0
    a: float = 0.25
    b: float = 4.0
    dt: float = eqx.field(static=True, default=0.025)
    stepper: cl.AbstractStepper = cl.RK4()

    @property
    def time_units(self) -> str:
        return "1"

    @property
    def variables(self) -> tuple[cl.Variable, ...]:
        return (
            cl.Variable("x", "1", (), "westerly wind"),
            cl.Variable("y", "1", (), "cosine of the eddies"),
            cl.Variable("z", "1", (), "sine of the eddies"),
        )

    def initial_state(self, key: Array) -> Lorenz84State:
        return Lorenz84State(*jax.random.normal(key, (3,)))

    def tendency(self, state: Lorenz84State, inputs: None = None) -> Lorenz84State:
        x, y, z = state
        return Lorenz84State(
            -(y**2) - z**2 - self.a * x + self.a * self.F,
            x * y - self.b * x * z - y + self.G,
            self.b * x * y + x * z - z,
        )


def main() -> None:
    """Try the laws, then learn the forcing G that a model without it lacks."""
    jax.config.update("jax_enable_x64", True)
    truth, coarse = Lorenz84(), Lorenz84(G=0.0)
    check_model(truth)
    run = cl.simulate(truth, duration=50.0, spinup=20.0, every=0.05, key=jax.random.key(0))
    pairs = cl.diagnose(run, truth=truth, coarse=coarse, target="coupling")
    closure = cl.Linear(features=cl.Whole()).fit(pairs)
    state = coarse.initial_state(jax.random.key(1))
    learned = closure.tendency(state)
    print("tendency to add:", {name: round(float(rate), 6) for name, rate in learned.items()})


if __name__ == "__main__":
    main()
