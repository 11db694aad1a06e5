"""A multilayer perceptron of the features."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from closura.closures.features import AbstractFeatures, Stencil
from closura.closures.learned import LearnedClosure
from closura.core.learner import AbstractLearner, Pairs
from closura.learners.tables import Table, measure_scaling, standardise
from closura.learners.training import Descent, check_hold_out, minimise
from closura.nets.mlp import ACTIVATIONS, MLP, check_choice, initialise

VALIDATION_SAMPLES = 131072  # held-out samples looked at after each epoch, evenly spread


class Network(AbstractLearner):
    """A multilayer perceptron trained by Adam on standardised features and targets, in float32.

    The last `held_out` of each of `blocks` stretches of time is kept from training. Training
    stops when the loss there has not fallen for `patience` epochs, and the best weights are kept.
    With `seeds` > 1 several networks are trained at once and the best on held-out times is
    returned. The loss is 1 - R², the share of the target's training variance that is left,
    averaged over outputs.

    Args:
        features: How the state is seen; the point and two neighbours on each side by default.
        width: Values in each hidden layer.
        depth: Hidden layers; 0 is an affine map.
        activation: Name of the activation: relu, tanh, gelu, silu, elu ...
        epochs: Largest number of epochs.
        batch: Samples a mini-batch.
        samples_per_epoch: Samples drawn an epoch, anew each time; None takes all.
        learning_rate: Highest learning rate of Adam.
        schedule: How it falls after a warm-up: ``"cosine"``, ``"exponential"`` or ``"constant"``.
        weight_decay: Decoupled decay of the matrices (AdamW).
        clip: Largest norm of the gradient.
        patience: Epochs without improvement before training stops.
        held_out: Share of the times kept for validation.
        blocks: Number of held-out blocks of time.
        gap: Times dropped from training on each side of a held-out block.
        seeds: Number of networks trained at once.
    """

    features: AbstractFeatures = Stencil(radius=2)
    width: int = 32
    depth: int = 2
    activation: str = "relu"
    epochs: int = 40
    batch: int = 1024
    samples_per_epoch: int | None = 131072
    learning_rate: float = 5e-3
    schedule: str = "cosine"
    weight_decay: float = 0.0
    clip: float = 1.0
    patience: int = 10
    held_out: float = 0.2
    blocks: int = 5
    gap: int = 0
    seeds: int = 1

    def __check_init__(self):
        check_choice("Network", "activation", self.activation, ACTIVATIONS)
        check_hold_out("Network", self.held_out, self.blocks)
        self._descent().check("Network")
        for name, least in (("width", 1), ("depth", 0), ("seeds", 1), ("gap", 0)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"Network: {name} is {getattr(self, name)}; it must be {least} or more."
                )

    def fit(self, pairs: Pairs, *, key: Array) -> LearnedClosure:
        """Return the trained network as a closure."""
        initial, order = jax.random.split(key)
        training, held = pairs.split(self.held_out, blocks=self.blocks, gap=self.gap)
        features = self.features.bind(pairs)
        scaling = measure_scaling(features, training)
        networks = self._initialise(len(scaling.mean), len(scaling.output_mean), initial)
        parameters, rest = eqx.partition(networks, eqx.is_inexact_array)
        found = minimise(
            mean_square_error,
            parameters,
            rest,
            standardise(features, training, scaling),
            _thin(standardise(features, held, scaling)),
            descent=self._descent(),
            key=order,
            learner="Network",
            measure="1 - R2",
        )
        return LearnedClosure(
            features, scaling, eqx.combine(found.parameters, rest), pairs.passport
        )

    def _descent(self) -> Descent:
        return Descent(
            epochs=self.epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            weight_decay=self.weight_decay,
            clip=self.clip,
            patience=self.patience,
            samples_per_epoch=self.samples_per_epoch,
        )

    def _initialise(self, inputs: int, outputs: int, key: Array) -> MLP:
        """Return `seeds` networks as one, counted along the first axis of every array."""

        def draw(key: Array) -> MLP:
            return initialise(
                inputs, outputs, width=self.width, depth=self.depth,
                activation=self.activation, key=key,
            )  # fmt: skip

        return eqx.filter_vmap(draw)(jax.random.split(key, self.seeds))


def mean_square_error(parameters: Any, rest: Any, batch: Table, stage: None) -> Float[Array, ""]:
    """Return the mean squared error of one network over a batch of a standardised table."""
    network = eqx.combine(parameters, rest)
    return jnp.mean(jnp.square(network(batch.inputs) - batch.outputs))


def _thin(table: Table) -> Table:
    """Return evenly spread rows of a table, not more than one look at an epoch is worth."""
    return Table(*(column[:: -(-len(column) // VALIDATION_SAMPLES)] for column in table))
