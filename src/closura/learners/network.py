"""A multilayer perceptron of the features."""

from typing import ClassVar

from jaxtyping import Array

from closura.closures.features import AbstractFeatures, Stencil
from closura.closures.learned import LearnedClosure
from closura.core.learner import AbstractLearner, Pairs
from closura.learners.supervised import check_least, supervision_of
from closura.nets.mlp import ACTIVATIONS, MLP, check_choice, initialise


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
        weigh: ``"equal"``: every output counts the same in the loss; ``"mass"``: by the mass of
            its level, where the pairs know it.
        memory: Memory that the training samples may take [bytes]; a larger record is read anew in
            each epoch, the next part while the present one is used.
    """

    together: ClassVar[bool] = True
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
    weigh: str = "equal"
    memory: float = 1e9

    def __check_init__(self):
        check_choice("Network", "activation", self.activation, ACTIVATIONS)
        supervision_of(self, memory=self.memory).check()
        check_least("Network", width=(self.width, 1), depth=(self.depth, 0))

    def fit(self, pairs: Pairs, *, key: Array) -> LearnedClosure:
        """Return the trained network as a closure."""
        return supervision_of(self, memory=self.memory).train(
            self.features.bind(pairs), pairs, self.draw, key=key
        )

    def draw(self, inputs: int, outputs: int, key: Array) -> MLP:
        """Return a network with random weights."""
        return initialise(
            inputs, outputs, width=self.width, depth=self.depth,
            activation=self.activation, key=key,
        )  # fmt: skip
