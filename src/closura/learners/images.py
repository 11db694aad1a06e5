"""Networks that see the whole sphere at once: a U-Net and a graph network.

Each holds a network of the column and adds to it what only the surroundings tell. An instant is one
sample of the whole and thousands of columns, so the network of the column is trained first, on
columns, as `Network` is; then both together, on instants. The best parameters on held-out times
are kept, those of the start among them: what columns know is not lost to the noise that the larger
network could learn by heart.
"""

from dataclasses import replace
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from closura.closures.atmosphere import Column, LatLonImage, bound
from closura.closures.columns import WIND, ColumnLayout
from closura.closures.features import AbstractFeatures
from closura.closures.learned import LearnedClosure, Scaling
from closura.closures.mesh import SphereMesh
from closura.core.learner import AbstractLearner, Pairs
from closura.learners.network import Network
from closura.learners.supervised import check_least, supervision_of
from closura.nets.graph import GraphNetwork, draw_graph
from closura.nets.mlp import ACTIVATIONS, MLP, check_choice
from closura.nets.unet import UNet as Net
from closura.nets.unet import draw_unet


class UNet(AbstractLearner):
    """A U-Net of the whole atmosphere, levels as channels, beside a network of each column.

    That network, of two layers of ``4 width``, is trained first, on columns; then all of it as
    `Network` is, a sample being an instant. Winds are scaled without taking off their mean, so that
    they can turn over across a pole.

    Args:
        features: How the state is seen: a `LatLonImage`.
        width: Channels at the finest resolution; each halving doubles them.
        depth: Number of halvings; the number of longitudes must allow them.
        activation: Name of the activation: relu, gelu, silu ...
        columns: Epochs of the network of the column alone, of 131072 columns each; 0 is none.
        epochs: Largest number of epochs of the whole.
        batch: Instants a mini-batch.
        samples_per_epoch: Instants drawn an epoch, anew each time; None takes all.
        learning_rate: Highest learning rate of Adam.
        schedule: How it falls after a warm-up: ``"cosine"``, ``"exponential"`` or ``"constant"``.
        weight_decay: Decoupled decay of the matrices (AdamW).
        clip: Largest norm of the gradient.
        patience: Epochs without improvement before training stops.
        held_out: Share of the times kept for validation.
        blocks: Number of held-out blocks of time.
        gap: Times dropped from training on each side of a held-out block.
        seeds: Number of networks trained at once.
        weigh: ``"equal"`` or ``"mass"``, see `Network`.

    Reference:
        Ronneberger et al. (2015), arXiv:1505.04597; Bora et al. (2025), arXiv:2512.03309.
    """

    together: ClassVar[bool] = True
    features: AbstractFeatures = LatLonImage()
    width: int = 16
    depth: int = 2
    activation: str = "relu"
    columns: int = 20
    epochs: int = 8
    batch: int = 4
    samples_per_epoch: int | None = None
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    weight_decay: float = 0.0
    clip: float = 1.0
    patience: int = 10
    held_out: float = 0.2
    blocks: int = 5
    gap: int = 0
    seeds: int = 1
    weigh: str = "equal"

    def __check_init__(self):
        check_choice("UNet", "activation", self.activation, ACTIVATIONS)
        check_least("UNet", width=(self.width, 1), depth=(self.depth, 0), columns=(self.columns, 0))
        supervision_of(self).check()

    def fit(self, pairs: Pairs, *, key: Array) -> LearnedClosure:
        """Return the trained network as a closure.

        Raises:
            ValueError: The features are no image, or the longitudes cannot be halved so often.
        """
        features = self.features.bind(pairs)
        if not isinstance(features, LatLonImage):
            raise ValueError(f"UNet wants LatLonImage and has {type(features).__name__}; set it.")
        layout = bound(features)
        lines = layout.place[1]
        if lines % 2**self.depth:
            raise ValueError(
                f"UNet: {lines} longitudes cannot be halved {self.depth} times; use a smaller "
                "depth."
            )

        first, rest = jax.random.split(key)
        column = column_network(self, features, pairs, width=4 * self.width, key=first)

        def draw(inputs: int, outputs: int, key: Array) -> Net:
            drawn = draw_unet(
                inputs, outputs, width=self.width, depth=self.depth, activation=self.activation,
                poles=layout.poles, signs=layout.signs, key=key,
            )  # fmt: skip
            return _begin_with(column, drawn)

        return supervision_of(self).train(
            features, pairs, draw, key=rest, rescale=lambda s: scale_winds(s, layout)
        )


class Graph(AbstractLearner):
    """A graph network of the whole atmosphere, beside a network of each column.

    That network, of two layers of ``2 width``, is trained first, on columns; then all of it as
    `Network` is, a sample being an instant. Winds are scaled by one deviation a level, without
    taking off their mean, so that they can be turned.

    Args:
        features: How the state is seen: a `SphereMesh`.
        width: Channels of hidden states and messages.
        rounds: How often messages are passed: how many neighbours far a column sees.
        activation: Name of the activation: relu, gelu, silu ...
        columns: Epochs of the network of the column alone, of 131072 columns each; 0 is none.
        epochs: Largest number of epochs of the whole.
        batch: Instants a mini-batch.
        samples_per_epoch: Instants drawn an epoch, anew each time; None takes all.
        learning_rate: Highest learning rate of Adam.
        schedule: How it falls after a warm-up: ``"cosine"``, ``"exponential"`` or ``"constant"``.
        weight_decay: Decoupled decay of the matrices (AdamW).
        clip: Largest norm of the gradient.
        patience: Epochs without improvement before training stops.
        held_out: Share of the times kept for validation.
        blocks: Number of held-out blocks of time.
        gap: Times dropped from training on each side of a held-out block.
        seeds: Number of networks trained at once.
        weigh: ``"equal"`` or ``"mass"``, see `Network`.

    Reference:
        Gilmer et al. (2017), arXiv:1704.01212.
    """

    together: ClassVar[bool] = True
    features: AbstractFeatures = SphereMesh()
    width: int = 32
    rounds: int = 2
    activation: str = "relu"
    columns: int = 20
    epochs: int = 8
    batch: int = 4
    samples_per_epoch: int | None = None
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    weight_decay: float = 0.0
    clip: float = 1.0
    patience: int = 10
    held_out: float = 0.2
    blocks: int = 5
    gap: int = 0
    seeds: int = 1
    weigh: str = "equal"

    def __check_init__(self):
        check_choice("Graph", "activation", self.activation, ACTIVATIONS)
        check_least(
            "Graph", width=(self.width, 1), rounds=(self.rounds, 1), columns=(self.columns, 0)
        )
        supervision_of(self).check()

    def fit(self, pairs: Pairs, *, key: Array) -> LearnedClosure:
        """Return the trained network as a closure.

        Raises:
            ValueError: The features are no mesh.
        """
        features = self.features.bind(pairs)
        if not isinstance(features, SphereMesh):
            raise ValueError(f"Graph wants SphereMesh and has {type(features).__name__}; set it.")
        layout = bound(features)
        first, rest = jax.random.split(key)
        column = column_network(self, features, pairs, width=2 * self.width, key=first)

        def draw(inputs: int, outputs: int, key: Array) -> GraphNetwork:
            drawn = draw_graph(
                inputs, outputs, width=self.width, rounds=self.rounds,
                activation=self.activation, winds=wind_channels(layout), key=key,
            )  # fmt: skip
            return _begin_with(column, drawn)

        return supervision_of(self).train(
            features, pairs, draw, key=rest,
            rescale=lambda s: scale_winds(s, layout),
            attach=lambda rest: eqx.tree_at(
                lambda n: n.mesh, rest, features.mesh, is_leaf=lambda leaf: leaf is None
            ),
        )  # fmt: skip


def column_network(learner: Any, features: Any, pairs: Pairs, *, width: int, key: Array) -> Any:
    """Return the network of the column that a network of the sphere begins with, trained.

    Args:
        learner: A `UNet` or `Graph`; None is returned where its `columns` is 0.
        features: Its bound features; columns see the same channels.
        pairs: What to fit.
        width: Values in each of its two hidden layers.
        key: Randomness of its training.
    """
    if not learner.columns:
        return None
    names = ("variables", "scalars", "input_levels", "output_levels")
    seen = Column(**{name: getattr(features, name) for name in names})
    same = ("activation", "weight_decay", "held_out", "blocks", "gap", "seeds", "weigh")
    alone = Network(
        features=seen, width=width, epochs=learner.columns,
        **{name: getattr(learner, name) for name in same},
    )  # fmt: skip
    trained = replace(supervision_of(alone), owner=type(learner).__name__).train(
        seen.bind(pairs), pairs, alone.draw, key=key,
        rescale=lambda s: scale_winds(s, bound(features)),
    )  # fmt: skip
    return trained.predictor


def _begin_with(column: MLP | None, network: Any) -> Any:
    """Return a network of the sphere with the network of the column that was trained."""
    return network if column is None else eqx.tree_at(lambda n: n.column, network, column)


def scale_winds(scaling: Scaling, layout: ColumnLayout) -> Scaling:
    """Return the scaling with one deviation for both winds of a level, about zero."""
    square = jnp.square(scaling.deviation) + jnp.square(scaling.mean)
    wind = jnp.asarray(layout.signs) < 0
    mean = jnp.where(wind, 0.0, scaling.mean)
    deviation = jnp.where(wind, jnp.sqrt(square), scaling.deviation)
    for east, north in zip(*wind_channels(layout), strict=True):
        both = jnp.sqrt(0.5 * (square[east] + square[north]))
        deviation = deviation.at[jnp.asarray([east, north])].set(both)
    return replace(scaling, mean=mean, deviation=deviation)


def wind_channels(layout: ColumnLayout) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the numbers of the channels of eastward and of northward wind, level by level.

    Both are empty where one of the two is not read.
    """
    first, found = 0, {}
    for slot in layout.read:
        if slot.name in WIND:
            found[slot.name] = tuple(range(first, first + slot.size))
        first += slot.size
    if any(name not in found for name in WIND):
        return (), ()
    return found[WIND[0]], found[WIND[1]]
