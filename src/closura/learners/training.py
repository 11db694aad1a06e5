"""The one training loop: mini-batches inside a compiled epoch, early stopping between epochs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float, Int

from closura.core import progress
from closura.learners.processes import check_shares, shared
from closura.learners.samples import Held, Samples
from closura.nets.mlp import check_choice

WARM_UP = 0.05  # share of all updates over which the learning rate rises from zero
LAST_RATE = 0.01  # learning rate of the last update, relative to the highest
VALIDATION_BATCH = 8192  # held-out rows evaluated at once; an image has as many as places

# (parameters of one network, constants, batch, stage) -> mean loss over the batch
Loss = Callable[[Any, Any, Any, Any], Float[Array, ""]]


def _constant(peak: float, rise: int, total: int) -> optax.Schedule:
    return optax.warmup_constant_schedule(0.0, peak, rise)


def _cosine(peak: float, rise: int, total: int) -> optax.Schedule:
    return optax.warmup_cosine_decay_schedule(0.0, peak, rise, total, LAST_RATE * peak)


def _exponential(peak: float, rise: int, total: int) -> optax.Schedule:
    return optax.warmup_exponential_decay_schedule(0.0, peak, rise, max(1, total - rise), LAST_RATE)


SCHEDULES = {"constant": _constant, "cosine": _cosine, "exponential": _exponential}


@dataclass(frozen=True)
class Descent:
    """Settings of Adam with mini-batches.

    Args:
        epochs: Largest number of epochs.
        batch: Samples a mini-batch.
        learning_rate: Highest learning rate.
        schedule: How it falls after a warm-up: ``"cosine"``, ``"exponential"`` or ``"constant"``.
        weight_decay: Decoupled decay of matrices (AdamW), not of offsets; 0 is Adam.
        clip: Largest norm of the gradient.
        patience: Epochs without a better validation loss before training stops.
        samples_per_epoch: Samples drawn an epoch, without replacement; None takes all.

    Reference:
        Kingma and Ba (2015), arXiv:1412.6980; Loshchilov and Hutter (2019), arXiv:1711.05101.
    """

    epochs: int
    batch: int
    learning_rate: float
    schedule: str = "cosine"
    weight_decay: float = 0.0
    clip: float = 1.0
    patience: int = 10
    samples_per_epoch: int | None = None

    def check(self, owner: str) -> None:
        """Raise ValueError, in the name of the learner that uses them, if a setting cannot be."""
        for name in ("epochs", "batch", "patience", "samples_per_epoch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{owner}: {name} is {value}; it must be 1 or more.")
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(
                    f"{owner}: {name} is {getattr(self, name)}; it must be positive and finite."
                )
        if self.weight_decay < 0:
            raise ValueError(
                f"{owner}: weight_decay is {self.weight_decay}; it must be 0 or positive."
            )
        check_choice(owner, "schedule", self.schedule, SCHEDULES)

    def optimiser(self, updates: int) -> optax.GradientTransformation:
        """Return the update rule for a training of so many updates."""
        rise = int(WARM_UP * updates)
        rate = SCHEDULES[self.schedule](self.learning_rate, rise, updates)
        return optax.chain(
            optax.clip_by_global_norm(self.clip),
            optax.adamw(rate, weight_decay=self.weight_decay, mask=_matrices),
        )


def check_hold_out(owner: str, fraction: float, blocks: int) -> None:
    """Raise ValueError unless a fraction of time, cut into blocks, can be held out."""
    if not 0 < fraction < 1:
        raise ValueError(f"{owner}: held_out is {fraction}; it must lie between 0 and 1, e.g. 0.2.")
    if blocks < 1:
        raise ValueError(f"{owner}: blocks is {blocks}; it must be 1 or more.")


class Fitted(NamedTuple):
    """The best of all parameters that were tried, and its mean loss over held-out samples."""

    parameters: Any
    validation: float
    start: float


def minimise(
    loss: Loss,
    parameters: Any,
    constants: Any,
    training: Any,
    validation: Any,
    *,
    descent: Descent,
    key: Array,
    learner: str,
    measure: str,
    stages: Sequence[Any] | None = None,
) -> Fitted:
    """Train several sets of parameters at once and return the best by held-out loss.

    An epoch is one compiled scan over its mini-batches, traced once. All sets of parameters see
    the same mini-batches. An update whose gradient is not finite is left out. After each epoch the
    held-out loss is taken and ``progress.report("train", ...)`` tells it, with the learner's name,
    epoch, epochs, loss (mean over the epoch), validation, start (validation before the first
    epoch) and measure. The parameters of the start compete too: the result is never worse. Where
    several processes run together (see `distributed`), each works on its share of every batch.

    Args:
        loss: Mean loss of one set of parameters over a batch. Give the same function object each
            time: compiled epochs are found again by it.
        parameters: Arrays with the sets counted along the first axis (None elsewhere).
        constants: What the loss needs besides, any pytree; may hold things that are no arrays.
        training: Arrays with samples along the first axis, or `Samples` (see `Stream`).
        validation: Arrays of held-out samples.
        descent: Settings.
        key: Order of the samples.
        learner: Name for reports and errors.
        measure: What the loss is, in words, for reports.
        stages: One array (or pytree) an epoch that the loss is given; the last one is used for
            validation, and training does not stop before it is reached.

    Raises:
        FloatingPointError: No parameters with a finite held-out loss were found.
        ValueError: The processes cannot share the batches.
    """
    samples: Samples = training if hasattr(training, "parts") else Held(_on_device(training))
    drawn = min(samples.count, descent.samples_per_epoch or samples.count)
    batch = min(descent.batch, drawn)
    check_shares(learner, batch)
    each = drawn // batch  # updates an epoch
    shuffle = np.random.default_rng(int(jax.random.randint(key, (), 0, 2**31 - 1)))
    validation = _on_device(validation)
    stages = stages if stages is not None else [None] * descent.epochs
    earliest = next(i for i, stage in enumerate(stages) if stage is stages[-1])
    state = _begin(parameters, descent, descent.epochs * each)
    best = _Best(parameters, _validate(loss, parameters, constants, validation, stages[-1]))
    for epoch, stage in enumerate(stages):
        losses: Any = 0.0
        for part, rows in samples.parts(shuffle, each, batch):
            parameters, state, mean = shared(
                _epoch, (parameters, state), part, rows.astype(np.int32),
                (loss, constants, stage, samples.finish, descent, descent.epochs * each),
            )  # fmt: skip
            losses = losses + np.asarray(mean) * (len(rows) / each)
        found = _validate(loss, parameters, constants, validation, stages[-1])
        best.compare(parameters, found, patient=epoch < earliest)
        leader = best.leader
        progress.report(
            "train", learner=learner, epoch=epoch + 1, epochs=len(stages), measure=measure,
            loss=float(losses[leader]), validation=float(found[leader]),
            start=float(best.start[leader]),
        )  # fmt: skip
        if best.waited >= descent.patience:
            break
    return best.fitted(learner, epoch + 1, descent)


class _Best:
    """The best parameters of each set so far.

    Attributes:
        start: Held-out loss of each set at the start.
        loss: Lowest held-out loss of each set.
        waited: Number of comparisons since any set became better.
    """

    def __init__(self, parameters: Any, loss: Array):
        self.parameters = parameters
        self.start = self.loss = np.asarray(loss)
        self.waited = 0

    def compare(self, parameters: Any, loss: Array, *, patient: bool) -> None:
        """Keep the sets that are better; where one is patient, do not count the waiting."""
        found = np.asarray(loss)
        better = (found < self.loss) | (np.isfinite(found) & ~np.isfinite(self.loss))
        self.parameters = jax.vmap(_choose)(jnp.asarray(better), parameters, self.parameters)
        self.loss = np.where(better, found, self.loss)
        self.waited = 0 if better.any() or patient else self.waited + 1

    @property
    def leader(self) -> int:
        """The set with the lowest held-out loss."""
        return int(np.argmin(np.where(np.isfinite(self.loss), self.loss, np.inf)))

    def fitted(self, learner: str, epochs: int, descent: Descent) -> Fitted:
        """Return the parameters of the leader, if its loss is finite."""
        leader = self.leader
        if not np.isfinite(self.loss[leader]):
            raise FloatingPointError(
                f"{learner}: the held-out loss was never finite in {epochs} epochs; lower "
                f"learning_rate (it is {descent.learning_rate:g}), or look for extreme values in "
                "the pairs."
            )
        chosen = _pick(self.parameters, leader)
        return Fitted(chosen, float(self.loss[leader]), float(self.start[leader]))


@eqx.filter_jit
def _begin(parameters: Any, descent: Descent, updates: int) -> Any:
    return jax.vmap(descent.optimiser(updates).init)(parameters)


def _epoch(
    carried: tuple[Any, Any],
    training: Any,
    rows: Int[Array, "update batch"],
    settings: tuple[Loss, Any, Any, Any, Descent, int],
    average: Callable[[Any], Any],
) -> tuple[Any, Any, Float[Array, "set"]]:
    """Return parameters, optimiser state and mean loss after one pass over the rows."""
    loss, constants, stage, finish, descent, updates = settings
    optimiser = descent.optimiser(updates)

    def update_one(parameters: Any, state: Any, batch: Any) -> tuple[Any, Any, Array]:
        value, slope = average(jax.value_and_grad(loss)(parameters, constants, batch, stage))
        step, after = optimiser.update(slope, state, parameters)
        moved = optax.apply_updates(parameters, step)
        finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(a)) for a in jax.tree.leaves(slope)]))
        return *_choose(finite, (moved, after), (parameters, state)), value

    def update(carry: tuple[Any, Any], chosen: Array) -> tuple[tuple[Any, Any], Array]:
        batch = finish(jax.tree.map(lambda a: a[chosen], training))
        moved, after, values = jax.vmap(update_one, in_axes=(0, 0, None))(*carry, batch)
        return (moved, after), values

    (parameters, state), losses = lax.scan(update, carried, rows)
    return parameters, state, jnp.mean(losses, axis=0)


@eqx.filter_jit
def _validate(
    loss: Loss, parameters: Any, constants: Any, held: Any, stage: Any
) -> Float[Array, "set"]:
    """Return the mean loss over held-out samples, in pieces of equal size."""
    count = len(jax.tree.leaves(held)[0])
    pieces = -(-count // max(1, VALIDATION_BATCH // places_of(held)))
    size = count // pieces
    cut = jax.tree.map(lambda a: a[: pieces * size].reshape(pieces, size, *a.shape[1:]), held)
    each = jax.vmap(loss, in_axes=(0, None, None, None))
    return jnp.mean(lax.map(lambda piece: each(parameters, constants, piece, stage), cut), axis=0)


def places_of(samples: Any) -> int:
    """Return how many rows of features one sample has: 1, or the places of an image."""
    shape = jax.tree.leaves(samples)[0].shape
    return int(np.prod(shape[1:-1], dtype=int)) if len(shape) > 2 else 1


@jax.jit
def _pick(tree: Any, number: Any) -> Any:
    return jax.tree.map(lambda a: a[number], tree)


def _choose(better: Any, new: Any, old: Any) -> Any:
    """Return the new arrays if they are better, else the old ones."""
    return jax.tree.map(lambda n, o: jnp.where(better, n, o), new, old)


def _matrices(tree: Any) -> Any:
    """Return which arrays are matrices: those whose decay is wanted."""
    return jax.tree.map(lambda a: jnp.ndim(a) > 1, tree)


def _on_device(arrays: Any) -> Any:
    return jax.tree.map(jnp.asarray, arrays)
