"""Explicit time steppers: one step of size dt for any pytree state."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax

Tendency = Callable[[Any], Any]


def _advance(state: Any, tendency: Any, dt: float) -> Any:
    """Return state + dt * tendency, array by array."""
    return jax.tree.map(lambda x, d: x + dt * d, state, tendency)


def _combine(weights: tuple[float, ...], tendencies: tuple[Any, ...]) -> Any:
    """Return the weighted sum of several tendencies, array by array."""
    return jax.tree.map(
        lambda *ds: sum(w * d for w, d in zip(weights, ds, strict=True)), *tendencies
    )


class AbstractStepper(eqx.Module):
    """How an ordinary differential equation is advanced by one step.

    To write one: (1) set `order`; (2) write `step`; (3) if it looks back in time, return what it
    must remember from `start` and from `step`. Everything must be a pure function of its arguments.
    """

    order: eqx.AbstractClassVar[int]

    def start(self, tendency: Tendency, state: Any, dt: float) -> Any:
        """Return what the stepper must remember before the first step (nothing by default)."""
        return ()

    @abstractmethod
    def step(self, tendency: Tendency, state: Any, memory: Any, dt: float) -> tuple[Any, Any]:
        """Return the state one step later and the new memory."""


class Euler(AbstractStepper):
    """Forward Euler: x + dt f(x). First order."""

    order: ClassVar[int] = 1

    def step(self, tendency, state, memory, dt):
        return _advance(state, tendency(state), dt), memory


class RK2(AbstractStepper):
    """Midpoint Runge-Kutta: x + dt f(x + dt/2 f(x)). Second order."""

    order: ClassVar[int] = 2

    def step(self, tendency, state, memory, dt):
        middle = _advance(state, tendency(state), dt / 2)
        return _advance(state, tendency(middle), dt), memory


class RK4(AbstractStepper):
    """Classical Runge-Kutta with four stages. Fourth order.

    The result is put together from the states of the stages, which says the same as the weighted
    sum of their tendencies: XLA then has no reason to compute the tendencies again.
    """

    order: ClassVar[int] = 4

    def step(self, tendency, state, memory, dt):
        second = _advance(state, tendency(state), dt / 2)
        third = _advance(state, tendency(second), dt / 2)
        fourth = _advance(state, tendency(third), dt)

        def combine(x: Any, x2: Any, x3: Any, x4: Any, rate: Any) -> Any:
            return x + (((x2 - x) + 2 * (x3 - x) + (x4 - x)) / 3 + dt / 6 * rate)

        return jax.tree.map(combine, state, second, third, fourth, tendency(fourth)), memory


class AB3(AbstractStepper):
    """Adams-Bashforth with three levels: one tendency a step. Third order.

    The two tendencies that the first step needs are taken from two Runge-Kutta steps backward in
    time, so no step differs from another and the order holds from the start.

    Reference:
        Durran (1991), Mon. Wea. Rev. 119, 702-720.
    """

    order: ClassVar[int] = 3

    def start(self, tendency, state, dt):
        once, _ = RK4().step(tendency, state, (), -dt)
        twice, _ = RK4().step(tendency, once, (), -dt)
        return tendency(once), tendency(twice)

    def step(self, tendency, state, memory, dt):
        before, long_before = memory
        now = tendency(state)
        mean = _combine((23 / 12, -16 / 12, 5 / 12), (now, before, long_before))
        return _advance(state, mean, dt), (now, before)


STEPPERS: dict[str, type[AbstractStepper]] = {
    "euler": Euler, "rk2": RK2, "rk4": RK4, "ab3": AB3,
}  # fmt: skip


def as_stepper(stepper: AbstractStepper | str) -> AbstractStepper:
    """Return the stepper, looked up if it is given by name ("euler", "rk2", "rk4", "ab3")."""
    if isinstance(stepper, AbstractStepper):
        return stepper
    if str(stepper).lower() not in STEPPERS:
        raise ValueError(
            f"stepper is {stepper!r}; it must be one of {', '.join(STEPPERS)}, "
            "or an instance of a class derived from closura.AbstractStepper."
        )
    return STEPPERS[stepper.lower()]()
