"""The contracts of solvers that look back: over a window of observations, or with a lag."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from closura.core.problem import AbstractSolver, Observed


class Window(eqx.Module):
    """Several times of observation as a solver sees them, and the way from their beginning on.

    Args:
        values: Observations at the last times of the window, those that count; 0 where missing.
        weight: 1 / standard deviation of their errors; 0 where missing.
        operator: State vector to (observation,).
        carry: ``carry(ensemble, errors)``: from ensembles (state, member) at the window's
            beginning to those at each of its times, (time, state, member); `errors`, of that
            shape or None, is added on arrival at each time. Pure; jvp and vjp go through it.
        forecast: Where the ensemble that the solver is given is carried to.
        lengths: Length of the interval before each time [time units of the model]; 0 for places
            in the window that lie before the start of the run.
        errors: Model errors found so far, contained in `forecast`; None unless the solver
            estimates them.
    """

    values: Float[Array, "used observation"]
    weight: Float[Array, "used observation"]
    operator: Callable[[Array], Array]
    carry: Callable[..., Array]
    forecast: Float[Array, "time state member"]
    lengths: Float[Array, "time"]
    errors: Float[Array, "time state member"] | None = None

    def predict(
        self, states: Float[Array, "time state member"]
    ) -> Float[Array, "observation member"]:
        """Return what each member says would be observed, in units of the error, all in a row."""
        see = jax.vmap(jax.vmap(self.operator, in_axes=-1, out_axes=-1))
        seen = self.weight[..., None] * see(states[-len(self.values) :])
        return seen.reshape(-1, seen.shape[-1])

    def depart(
        self, predicted: Float[Array, "observation member"]
    ) -> Float[Array, "observation member"]:
        """Return observations minus what `predict` returned."""
        return (self.weight * self.values).reshape(-1, 1) - predicted

    def whiten(
        self, states: Float[Array, "time state member"]
    ) -> tuple[Float[Array, "observation member"], Float[Array, "observation"]]:
        """Return predicted anomalies and the mean's departure, in units of the error."""
        predicted = self.predict(states)
        mean = predicted.mean(axis=-1, keepdims=True)
        return predicted - mean, self.depart(mean)[:, 0]


class Revised(NamedTuple):
    """What a solver makes of a window: the ensemble at its beginning, and what it remembers.

    Attributes:
        ensemble: At the window's beginning, (state, member).
        memory: Of the layout that `init` returned.
        errors: Model errors on arrival at each time; None unless the solver estimates them.
    """

    ensemble: Array
    memory: Any
    errors: Array | None = None


class AbstractWindowSolver(AbstractSolver):
    """How the ensemble at the beginning of a window is made to agree with all that is seen in it.

    To write one: (1) declare `members`, `window`, `shift` and `multiple`; (2) write `revise`.
    The window holds `window` times and moves on by `shift`. Each observation counts once, when it
    is among the `shift` newest; with `multiple` it counts in every window that holds it, with
    weights that add up to 1. Solvers know no model: they get what carries states through.
    """

    window: eqx.AbstractVar[int]
    shift: eqx.AbstractVar[int]
    multiple: eqx.AbstractVar[bool]

    def __check_init__(self):
        owner = type(self).__name__
        if self.window < 1:
            raise ValueError(
                f"{owner}: window is {self.window}; it counts times of observation and must be 1 "
                "or more."
            )
        if not 1 <= self.shift <= self.window:
            raise ValueError(
                f"{owner}: shift is {self.shift} and window is {self.window}; the shift must lie "
                "between 1 and the window, or observations would be passed over."
            )

    @property
    def estimates_model_error(self) -> bool:
        """Whether `revise` returns errors of the model."""
        return False

    @property
    def differentiates(self) -> bool:
        """Whether the operator and the model are differentiated."""
        return False

    @abstractmethod
    def revise(
        self, ensemble: Float[Array, "state member"], window: Window, memory: Any, key: Array
    ) -> Revised:
        """Return the ensemble at the window's beginning, given what was seen in the window."""

    def init(self, ensemble: Float[Array, "state member"]) -> Any:
        return ()

    def __call__(self, ensemble, observed: Observed, memory, key):
        """Return the analysis of one time: that of a window in which nothing moves."""

        def stay(ensemble: Array, errors: Array | None = None) -> Array:
            return ensemble[None] if errors is None else ensemble[None] + errors

        still = Window(
            observed.values[None], observed.weight[None], observed.operator, stay,
            ensemble[None], jnp.zeros(1, ensemble.dtype),
            jnp.zeros_like(ensemble)[None] if self.estimates_model_error else None,
        )  # fmt: skip
        revised = self.revise(ensemble, still, memory, key)
        return revised.ensemble, revised.memory


class AbstractSmoother(AbstractSolver):
    """A filter that also revises its last analyses with every new observation.

    To write one: (1) declare `members` and `lag`; (2) write `init` and `__call__`; (3) return
    from `past` what the memory holds.
    """

    lag: eqx.AbstractVar[int]

    @abstractmethod
    def past(self, memory: Any) -> Float[Array, "time state member"]:
        """Return the ensemble of the last time and of the `lag` before it, the newest first."""
