"""Fine-tuning a closure inside the running model: gradients of forecasts, not of tendencies."""

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from closura.closures.learned import LearnedClosure
from closura.closures.physical import PolynomialClosure, evaluate_monomials
from closura.core.closure import AbstractClosure, terms
from closura.core.couple import Coupled, compose
from closura.core.learner import AbstractLearner, Pairs
from closura.core.model import AbstractModel, Snapshot
from closura.core.rollout import step_members
from closura.learners.tables import tables
from closura.learners.training import Descent, check_hold_out, minimise
from closura.learners.windows import (
    cut_windows,
    measure_pace,
    measure_sampling,
    recorded_states,
    state_template,
)
from closura.nets.forest import TreeTable

MEMBERS = Snapshot(-1, None, -1)  # type: ignore[arg-type]  # axes of a snapshot of many windows


class Online(AbstractLearner):
    """Train a closure on the forecasts of the model that it is coupled to.

    The record is cut into windows. The coupled model forecasts each one from its first state, and
    the squared error of all states along the way is brought down by Adam, its gradient taken
    through the model's steps. Scalings stay as they are. Held out are whole windows inside the
    last `held_out` of each of `blocks` stretches of time, the same times that `Network` holds
    out; the closure with the lowest error there is returned, and the start competes.

    The loss is the mean squared error [unit of the field, squared]; where the model has several
    fields, their mean weighted by the inverse of each one's variance.

    Args:
        start: Where to begin: a closure, or a learner, which is fitted first.
        model: The coarse model; `model.dt` must divide the interval of the pairs, or be a
            multiple of it.
        window: Length of a forecast [time steps].
        grow: Lengths to begin with; each is used for as many epochs as the full window.
        epochs: Largest number of epochs, over all lengths.
        batch: Windows a mini-batch.
        learning_rate: Highest learning rate of Adam.
        schedule: How it falls: ``"cosine"``, ``"exponential"`` or ``"constant"``.
        clip: Largest norm of the gradient.
        patience: Epochs without improvement before training stops.
        held_out: Share of the times kept for validation.
        blocks: Number of held-out blocks of time.
        checkpoint: Recompute each step on the way back instead of storing what it did: memory of
            one state a step, and faster on a CPU.

    Reference:
        Um et al. (2020), arXiv:2007.00016; Frezat et al. (2022), doi:10.1029/2022MS003124.
    """

    together: ClassVar[bool] = True
    start: AbstractLearner | AbstractClosure
    model: AbstractModel
    window: int = 128
    grow: tuple[int, ...] = eqx.field(converter=tuple, default=(32,))
    epochs: int = 16
    batch: int = 32
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    clip: float = 1.0
    patience: int = 5
    held_out: float = 0.2
    blocks: int = 5
    checkpoint: bool = True

    def __check_init__(self):
        check_hold_out("Online", self.held_out, self.blocks)
        self._descent().check("Online")
        if self.window < 1 or any(not 1 <= length <= self.window for length in self.grow):
            raise ValueError(
                f"Online: window is {self.window} and grow {self.grow}; "
                "both count time steps, and grow must lie between 1 and window."
            )

    def fit(self, pairs: Pairs, *, key: Array) -> AbstractClosure:
        """Return the fine-tuned closure.

        Raises:
            ValueError: The pairs do not hold the model's whole state at regular times that fit its
                time step, or no window fits; or the closure is random or has nothing to tune.
        """
        first, order = jax.random.split(key)
        sampling = measure_sampling("Online", pairs)
        pace = measure_pace(sampling.interval, self.model, self.window)
        truth = recorded_states(pairs, self.model)
        mask = pairs.held_out(self.held_out, blocks=self.blocks)
        training, held = cut_windows(truth, mask, sampling.unbroken, pace)
        closure = self.start
        if isinstance(closure, AbstractLearner):
            closure = closure.fit(pairs, key=first)
        _check_tunable(closure)
        coupled = compose(self.model, closure)
        chosen = _trainable(coupled, len(terms(closure)))
        origin, rest = eqx.partition(coupled, chosen)
        scale = jax.tree.map(lambda a: jnp.ones((), a.dtype), origin)
        scale = _scale_polynomials(scale, coupled, pairs)
        shift = jax.tree.map(lambda a: jnp.zeros_like(a)[None], origin)
        found = minimise(
            forecast_error,
            shift,
            Setting(rest, origin, scale, _weights(truth), pace.every, self.checkpoint),
            training,
            held,
            descent=self._descent(),
            key=order,
            learner="Online",
            measure="mean squared error of the forecast",
            stages=self._lengths(pace.every),
        )
        tuned = eqx.combine(_shifted(origin, scale, found.parameters), rest)
        return _closure_of(tuned, len(terms(closure)), self.model.dt)

    def _descent(self) -> Descent:
        return Descent(
            epochs=self.epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            clip=self.clip,
            patience=self.patience,
        )

    def _lengths(self, every: int) -> list[Array]:
        """Return the number of states that the loss looks at in each epoch."""
        lengths = [*self.grow, self.window]
        counts = [jnp.asarray(max(1, length // every), jnp.int32) for length in lengths]
        # The last epoch always sees the whole window.
        return [
            counts[-1 - (self.epochs - 1 - epoch) * len(counts) // self.epochs]
            for epoch in range(self.epochs)
        ]


class Setting(eqx.Module):
    """What a forecast needs besides the parameters that are tuned.

    Args:
        rest: The coupled model without its tuned arrays.
        origin: Those arrays as they were at the start.
        scale: Size of a unit change of each.
        weights: Weight of each field in the loss.
        every: Time steps between two recorded states.
        checkpoint: Whether steps are recomputed on the way back.
    """

    rest: Any
    origin: Any
    scale: Any
    weights: dict[str, Array]
    every: int = eqx.field(static=True)
    checkpoint: bool = eqx.field(static=True)


def forecast_error(
    shift: Any, setting: Setting, truth: Mapping[str, Array], length: Int[Array, ""]
) -> Float[Array, ""]:
    """Return the weighted mean squared error of forecasts over the first states of windows.

    Args:
        shift: Change of the tuned arrays, in units of `setting.scale`.
        setting: The rest.
        truth: States by field, (window, state, *field); forecasts start from the first.
        length: Number of states after the first that count; later ones are not computed.
    """
    coupled = eqx.combine(_shifted(setting.origin, setting.scale, shift), setting.rest)
    truth = {name: jnp.moveaxis(a, 0, -1) for name, a in truth.items()}
    state = state_template(coupled)._replace(**{name: a[0] for name, a in truth.items()})
    snapshot = jax.vmap(lambda s: coupled.start(s), in_axes=-1, out_axes=MEMBERS)(state)

    def ahead(snapshot: Snapshot) -> Snapshot:
        def one(now: Snapshot, _: None) -> tuple[Snapshot, None]:
            return step_members(coupled, now, None, None, True), None

        return lax.scan(one, snapshot, None, length=setting.every)[0]

    def forecast(carry: tuple[Snapshot, Array], wanted: Any) -> tuple[Any, Array]:
        snapshot, index = carry
        snapshot = lax.cond(index < length, ahead, lambda same: same, snapshot)
        error = sum(
            setting.weights[name] * jnp.mean(jnp.square(getattr(snapshot.state, name) - a))
            for name, a in wanted.items()
        )
        return (snapshot, index + 1), jnp.where(index < length, error, 0)

    body = jax.checkpoint(forecast, prevent_cse=False) if setting.checkpoint else forecast
    later = {name: a[1:] for name, a in truth.items()}
    _, errors = lax.scan(body, (snapshot, jnp.zeros((), jnp.int32)), later)
    return jnp.sum(errors) / length


def _shifted(origin: Any, scale: Any, shift: Any) -> Any:
    return jax.tree.map(lambda a, s, d: a + s * d, origin, scale, shift)


def _weights(truth: Mapping[str, np.ndarray]) -> dict[str, Array]:
    """Return the weight of each field: the inverse of its variance, with sum one."""
    inverse = {name: 1 / max(float(np.var(a)), 1e-300) for name, a in truth.items()}
    total = sum(inverse.values())
    return {name: jnp.asarray(value / total) for name, value in inverse.items()}


def _check_tunable(closure: AbstractClosure) -> None:
    if closure.random:
        raise ValueError(
            "Online tunes deterministic closures and this one draws random numbers; "
            "tune first and add the noise after: WithNoise(Online(...))."
        )
    arrays = jax.tree.leaves(eqx.filter(closure, eqx.is_inexact_array))
    if not arrays:
        raise ValueError(
            f"Online has nothing to tune: {type(closure).__name__} holds no floating-point arrays."
        )


def _trainable(coupled: Coupled, count: int) -> Any:
    """Return a tree of flags like the coupled model: True for the arrays that are tuned."""
    flags = jax.tree.map(lambda _: False, coupled)
    for index in range(len(coupled.terms) - count, len(coupled.terms)):
        closure = coupled.terms[index].closure
        tuned = jax.tree.map(lambda _: False, closure)
        place = _tuned_part(closure)
        tuned = eqx.tree_at(place, tuned, jax.tree.map(eqx.is_inexact_array, place(closure)))
        flags = eqx.tree_at(lambda c, i=index: c.terms[i].closure, flags, tuned)
    return flags


def _tuned_part(closure: AbstractClosure) -> Any:
    """Return a function from a closure to the part of it that is tuned."""
    if isinstance(closure, LearnedClosure) and isinstance(closure.predictor, TreeTable):
        return lambda c: c.predictor.value
    if isinstance(closure, LearnedClosure):
        return lambda c: c.predictor
    if isinstance(closure, PolynomialClosure):
        return lambda c: c.coefficients
    return lambda c: c


def _scale_polynomials(scale: Any, coupled: Coupled, pairs: Pairs) -> Any:
    """Return the scale with a unit change of a coefficient worth one deviation of the target."""
    for index, term in enumerate(coupled.terms):
        closure = term.closure
        if (
            not isinstance(closure, PolynomialClosure)
            or scale.terms[index].closure.coefficients is None
        ):
            continue
        table = next(tables(closure.features, pairs))
        monomials = evaluate_monomials(jnp.asarray(table.inputs), closure.exponents)
        size = jnp.sqrt(jnp.mean(jnp.square(monomials), axis=0))
        worth = np.std(table.outputs) / jnp.where(size > 0, size, jnp.inf)
        scale = eqx.tree_at(lambda s, i=index: s.terms[i].closure.coefficients, scale, worth)
    return scale


def _closure_of(coupled: Coupled, count: int, dt: float) -> AbstractClosure:
    """Return the last terms' closures as one, with a passport that says how they were tuned."""
    closures = [term.closure for term in coupled.terms[-count:]]
    return reduce(add, [_stamped(closure, dt) for closure in closures])


def _stamped(closure: AbstractClosure, dt: float) -> AbstractClosure:
    if not isinstance(closure, LearnedClosure | PolynomialClosure) or closure.origin is None:
        return closure
    tuned = replace(closure.origin, target="trajectory", dt=dt, stepper_order=None)
    return replace(closure, origin=tuned)
