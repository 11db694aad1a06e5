"""Lorenz's ring of slow variables, alone and coupled to a ring of fast ones."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.core.model import AbstractODE, check_positive
from closura.core.steppers import RK4, AbstractStepper, as_stepper
from closura.core.variable import Variable
from closura.grids.ring import with_halo


class Lorenz96State(NamedTuple):
    """Slow variables X on a ring."""

    X: Float[Array, "k"]


class TwoScaleState(NamedTuple):
    """Slow variables X on a ring of K, fast variables Y on one ring of K J."""

    X: Float[Array, "k"]
    Y: Float[Array, "kj"]


SLOW = Variable("X", "1", ("k",), "slow variable")
FAST = Variable("Y", "1", ("kj",), "fast variable")


def _slow_tendency(X: Float[Array, "k"], F: float | Array) -> Float[Array, "k"]:
    """Return X_{k-1} (X_{k+1} - X_{k-2}) - X_k + F."""
    count = X.shape[0]
    halo = with_halo(X, 2, 1)
    return halo[1 : count + 1] * (halo[3 : count + 3] - halo[:count]) - X + F


def _check_ring(owner: str, K: int) -> None:
    if K < 4:
        raise ValueError(f"{owner}: K is {K}; the advection needs a ring of at least 4 points.")


class Lorenz96(AbstractODE):
    """dX_k/dt = X_{k-1} (X_{k+1} - X_{k-2}) - X_k + F on a ring of K points.

    One model time unit stands for about 5 days of the atmosphere.

    Args:
        K: Number of points, at least 4.
        F: Forcing.
        dt: Time step [model time unit].
        stepper: Time stepper, or its name.

    Reference:
        Lorenz (1996), Predictability: a problem partly solved, ECMWF Seminar on Predictability.
    """

    K: int = eqx.field(static=True, default=40)
    F: float | Array = 8.0
    dt: float = eqx.field(static=True, default=0.05)
    stepper: AbstractStepper = eqx.field(converter=as_stepper, default=RK4())

    def __check_init__(self):
        check_positive("Lorenz96", dt=self.dt)
        _check_ring("Lorenz96", self.K)

    @property
    def time_units(self) -> str:
        return "1"

    @property
    def variables(self) -> tuple[Variable, ...]:
        return (SLOW,)

    @property
    def places(self) -> dict[str, np.ndarray]:
        """Number of the point along the ring."""
        return {"X": np.arange(float(self.K))[:, None]}

    @property
    def periods(self) -> tuple[float, ...]:
        return (float(self.K),)

    def initial_state(self, key: Array) -> Lorenz96State:
        """Return normal X of mean and deviation F / 4: spin it up before use."""
        return Lorenz96State(self.F / 4 * (1 + jax.random.normal(key, (self.K,))))

    def tendency(self, state: Lorenz96State, inputs: Any = None) -> Lorenz96State:
        return Lorenz96State(_slow_tendency(state.X, self.F))


class Lorenz96TwoScale(AbstractODE):
    """A ring of K slow variables, each driving and driven by J fast ones.

    ::

        dX_k/dt = X_{k-1} (X_{k+1} - X_{k-2}) - X_k + F - (h c / b) sum_j Y_{j,k}
        dY_j/dt = -c b Y_{j+1} (Y_{j+2} - Y_{j-1}) - c Y_j + (h c / b) X_{k(j)}

    The fast variables form one ring of length K J: the last of one slow point neighbours the
    first of the next. With ``scaling="rasp"`` the coupling is a mean instead of a sum:
    -h c mean_j(Y) in the first line, c (h / J) X in the second (the same model if J = b).

    Args:
        K: Number of slow points, at least 4.
        J: Number of fast points per slow one.
        F: Forcing.
        h: Coupling strength.
        b: Amplitude ratio of slow to fast.
        c: Time-scale ratio of slow to fast.
        dt: Time step [model time unit].
        scaling: ``"lorenz"`` or ``"rasp"``.
        stepper: Time stepper, or its name.

    Reference:
        Lorenz (1996), Predictability: a problem partly solved; Wilks (2005), Q. J. R. Meteorol.
        Soc. 131, 389-407, doi:10.1256/qj.04.03; scaling "rasp": Rasp (2020), Geosci. Model Dev.
        13, 2185-2196, doi:10.5194/gmd-13-2185-2020.
    """

    K: int = eqx.field(static=True, default=8)
    J: int = eqx.field(static=True, default=32)
    F: float | Array = 20.0
    h: float | Array = 1.0
    b: float | Array = 10.0
    c: float | Array = 10.0
    dt: float = eqx.field(static=True, default=0.001)
    scaling: str = eqx.field(static=True, default="lorenz")
    stepper: AbstractStepper = eqx.field(converter=as_stepper, default=RK4())

    def __check_init__(self):
        check_positive("Lorenz96TwoScale", dt=self.dt)
        _check_ring("Lorenz96TwoScale", self.K)
        if self.J < 1:
            raise ValueError(f"Lorenz96TwoScale: J is {self.J}; it must be 1 or more.")
        if self.scaling not in ("lorenz", "rasp"):
            raise ValueError(
                f"Lorenz96TwoScale: scaling is {self.scaling!r}; it must be 'lorenz' or 'rasp'."
            )

    @property
    def time_units(self) -> str:
        return "1"

    @property
    def variables(self) -> tuple[Variable, ...]:
        return (SLOW, FAST)

    @property
    def places(self) -> dict[str, np.ndarray]:
        """Number of the slow point along the ring; its fast points lie evenly about it."""
        fast = (np.arange(self.K * self.J) + 0.5) / self.J - 0.5
        return {"X": np.arange(float(self.K))[:, None], "Y": fast[:, None]}

    @property
    def periods(self) -> tuple[float, ...]:
        return (float(self.K),)

    def initial_state(self, key: Array) -> TwoScaleState:
        """Return X of amplitude F / 4 and small Y, both normal: spin it up before use."""
        slow, fast = jax.random.split(key)
        return TwoScaleState(
            self.F / 4 * (1 + jax.random.normal(slow, (self.K,))),
            0.1 * jax.random.normal(fast, (self.K * self.J,)),
        )

    def coupling(self, state: TwoScaleState) -> Float[Array, "k"]:
        """Return what the fast variables add to dX/dt: the term that a closure stands in for."""
        total = state.Y.reshape(self.K, self.J).sum(axis=1)
        return -self._slow_strength * total

    def tendency(self, state: TwoScaleState, inputs: Any = None) -> TwoScaleState:
        slow = _slow_tendency(state.X, self.F) + self.coupling(state)
        return TwoScaleState(slow, self._fast_tendency(state))

    @property
    def _slow_strength(self) -> float | Array:
        ratio = self.J if self.scaling == "rasp" else self.b
        return self.h * self.c / ratio

    def _fast_tendency(self, state: TwoScaleState) -> Float[Array, "kj"]:
        count = self.K * self.J
        halo = with_halo(state.Y, 1, 2)
        advection = halo[2 : count + 2] * (halo[3 : count + 3] - halo[:count])
        above = jnp.broadcast_to(state.X[:, None], (self.K, self.J)).reshape(count)
        return -self.c * self.b * advection - self.c * state.Y + self._slow_strength * above

    def disturb_unresolved(self, state: TwoScaleState, key: Array) -> TwoScaleState:
        """Return the state with noise of a tenth of their spread added to the fast variables.

        What this model itself makes of so small an error is the floor of any forecast that does
        not know the fast variables. It is not an estimate of Y given X: the slow variables have
        felt the true fast ones, and so know more of them than an independent draw does.
        """
        noise = jax.random.normal(key, state.Y.shape, state.Y.dtype)
        return state._replace(Y=state.Y + 0.1 * jnp.std(state.Y) * noise)
