"""Training of any network on pairs: scale, hold out blocks of time, descend, keep the best."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.closures.features import AbstractFeatures
from closura.closures.learned import LearnedClosure, Scaling
from closura.core.learner import Pairs
from closura.core.pieces import in_memory
from closura.learners.samples import Samples
from closura.learners.stream import samples_of
from closura.learners.tables import HELD, Table, measure_scaling, standardise
from closura.learners.training import Descent, check_hold_out, minimise
from closura.nets.mlp import check_choice

VALIDATION_SAMPLES = 131072  # held-out rows looked at after each epoch, evenly spread
WEIGHTS = ("equal", "mass")

# (inputs, outputs, key) -> a network with random parameters
Draw = Callable[[int, int, Array], Any]


@dataclass(frozen=True)
class Supervision:
    """How a network is trained on pairs.

    Args:
        owner: Name of the learner, for reports and errors.
        descent: Settings of the descent.
        held_out: Share of the times kept for validation.
        blocks: Number of held-out blocks of time.
        gap: Times dropped from training on each side of a held-out block.
        seeds: Number of networks trained at once.
        weigh: ``"equal"``: every output counts the same; ``"mass"``: by the mass of its level.
        memory: Bytes that training samples may take; more are read anew in each epoch.
    """

    owner: str
    descent: Descent
    held_out: float
    blocks: int
    gap: int
    seeds: int
    weigh: str = "equal"
    memory: float = HELD

    def check(self) -> None:
        """Raise ValueError if a setting cannot be."""
        check_hold_out(self.owner, self.held_out, self.blocks)
        check_choice(self.owner, "weigh", self.weigh, dict.fromkeys(WEIGHTS))
        self.descent.check(self.owner)
        check_least(self.owner, seeds=(self.seeds, 1), gap=(self.gap, 0))
        if not self.memory > 0:
            raise ValueError(
                f"{self.owner}: memory is {self.memory} bytes; it must be positive, e.g. 1e9."
            )

    def train(
        self,
        features: AbstractFeatures,
        pairs: Pairs,
        draw: Draw,
        *,
        key: Array,
        rescale: Callable[[Scaling], Scaling] = lambda scaling: scaling,
        attach: Callable[[Any], Any] = lambda rest: rest,
    ) -> LearnedClosure:
        """Return the best network on held-out times as a closure.

        Args:
            features: Bound features.
            pairs: What to fit.
            draw: Makes a network; called once a seed.
            key: Randomness of the initial parameters and of the order of samples.
            rescale: Changes the scaling that was measured, where a network wants another.
            attach: Gives the networks, without their parameters, what all share and none trains.
        """
        initial, order = jax.random.split(key)
        pairs = in_memory(pairs, self.memory)
        training, held = pairs.split(self.held_out, blocks=self.blocks, gap=self.gap)
        scaling = rescale(measure_scaling(features, training))
        sizes = len(scaling.mean), len(scaling.output_mean)
        networks = eqx.filter_vmap(lambda k: draw(*sizes, k))(jax.random.split(initial, self.seeds))
        parameters, rest = eqx.partition(networks, eqx.is_inexact_array)
        rest = attach(rest)
        weights = output_weights(self.owner, features, pairs) if self.weigh == "mass" else None
        found = minimise(
            mean_square_error,
            parameters,
            (rest, weights),
            self._samples(features, training, scaling),
            standardise(features, held, scaling, most=VALIDATION_SAMPLES),
            descent=self.descent,
            key=order,
            learner=self.owner,
            measure="1 - R2",
        )
        network = eqx.combine(found.parameters, rest)
        return LearnedClosure(features, scaling, network, pairs.passport)

    def _samples(self, features: AbstractFeatures, pairs: Pairs, scaling: Scaling) -> Samples:
        batch = min(self.descent.batch, self.descent.samples_per_epoch or self.descent.batch)
        return samples_of(self.owner, features, pairs, scaling, memory=self.memory, batch=batch)


def mean_square_error(
    parameters: Any, constants: tuple[Any, Array | None], batch: Table, stage: None
) -> Float[Array, ""]:
    """Return the (weighted) mean squared error of one network over standardised samples."""
    rest, weights = constants
    error = jnp.square(eqx.combine(parameters, rest)(batch.inputs) - batch.outputs)
    return jnp.mean(error) if weights is None else jnp.mean(weights * error)


def output_weights(owner: str, features: AbstractFeatures, pairs: Pairs) -> Float[Array, "output"]:
    """Return the mass of the level of each output, with mean 1.

    Raises:
        ValueError: The pairs do not know the mass of their levels.
    """
    shapes = {name: np.shape(a)[2:] for name, a in pairs.targets.items()}
    mass = None if pairs.weights is None else np.asarray(pairs.weights, float)
    if mass is None or any(shape[:1] != mass.shape[-1:] for shape in shapes.values()):
        raise ValueError(
            f"{owner}: weigh is 'mass' and the pairs know no mass for the levels of "
            f"{', '.join(shapes)}; set Pairs(weights=...), or use weigh='equal'."
        )
    column = mass.reshape(-1, mass.shape[-1]).mean(axis=0)
    like = {
        name: jnp.broadcast_to(column.reshape(-1, *[1] * (len(shape) - 1)), shape)
        for name, shape in shapes.items()
    }
    table = features.collect(like)
    row = table.reshape(-1, table.shape[-1])[0].astype(jnp.float32)
    return row / jnp.mean(row)


def supervision_of(learner: Any, *, memory: float = HELD) -> Supervision:
    """Return how a learner with the settings of `Network` is trained.

    Args:
        learner: Has the settings of `Descent` and `Supervision` as fields of the same names.
        memory: Bytes that training samples may take.
    """
    return Supervision(
        type(learner).__name__,
        Descent(**{setting.name: getattr(learner, setting.name) for setting in fields(Descent)}),
        learner.held_out, learner.blocks, learner.gap, learner.seeds, learner.weigh, memory,
    )  # fmt: skip


def check_least(owner: str, **values: tuple[int, int]) -> None:
    """Raise ValueError unless each (value, least) is at least that."""
    for name, (value, least) in values.items():
        if value < least:
            raise ValueError(f"{owner}: {name} is {value}; it must be {least} or more.")
