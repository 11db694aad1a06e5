"""The closures that `benchmarks.shipping` times, with random numbers: only sizes count."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from closura.export.container import Column, Container
from closura.export.operations import (
    Add,
    Dense,
    Operation,
    Restore,
    Select,
    Sphere,
    Standardise,
    TreeRounds,
    Trees,
)
from closura.export.trees import MOST_TREES
from closura.nets.mlp import initialise
from closura.nets.unet import draw_unet

VALUES, WIDTH = 158, 128


class Sizes(NamedTuple):
    """How large everything is: as in LMDZ, unless told otherwise.

    Attributes:
        columns: Columns of a call.
        trees: Trees of the forest.
        depth: Their depth.
        rounds: Rounds of the boosted trees, of one tree an output.
        boosted_depth: Their depth.
        grid: Rows (poles among them) and longitudes of the U-Net.
        channels: Its inputs, and its outputs.
        width: Its channels at the finest resolution.
        halvings: How often it halves the resolution.
    """

    columns: int = 20306
    trees: int = 16
    depth: int = 13
    rounds: int = 24
    boosted_depth: int = 6
    grid: tuple[int, int] = (143, 144)
    channels: int = 79
    width: int = 16
    halvings: int = 2


QUICK = Sizes(
    columns=300, trees=2, depth=3, rounds=2, boosted_depth=2, grid=(7, 8), channels=3, width=2
)


def network() -> Container:
    """An MLP 158-128-128-158 with its scaling and training range."""
    layers = initialise(VALUES, VALUES, width=WIDTH, depth=2, activation="relu",
                        key=jax.random.key(0))  # fmt: skip
    bends = ("relu", "relu", "none")
    dense = [
        Dense(np.asarray(weights), np.asarray(offset), bend)
        for weights, offset, bend in zip(layers.weights, layers.offsets, bends, strict=True)
    ]
    return _container(_scaled(VALUES, dense), VALUES)


def save_network(container: Container, path: Path) -> None:
    """Write a network as arrays that another program can run, with some columns and its answer."""
    held: dict[str, np.ndarray] = {}
    for one in container.operations:
        match one:
            case Standardise(centre, scale):
                held |= {"centre": centre, "scale": scale}
            case Restore(_, scale):
                held["restore"] = scale
            case Dense(weights, offset):
                number = sum(name.startswith("weights") for name in held)
                held |= {f"weights_{number}": weights, f"offset_{number}": offset}
    columns = np.random.default_rng(0).random((60, len(container.inputs)))
    held |= {"columns": columns, "tendencies": container.predict(columns)}
    single = {name: array.astype(np.float32) for name, array in held.items()}
    np.savez(path, allow_pickle=False, **single)


def forest(sizes: Sizes) -> Container:
    """Full trees of random splits, 158 outputs in each leaf."""
    draw, leaves = np.random.default_rng(0), 2**sizes.depth
    values = draw.normal(size=(sizes.trees * leaves, VALUES)).astype(np.float32)
    links = _full_trees(draw, sizes.trees, sizes.depth)
    every = np.arange(VALUES)
    trees = Trees(VALUES, *links, values, float(sizes.trees))
    return _container((Select(every), trees, Add(every)), VALUES)


def boosted(sizes: Sizes) -> Container:
    """Rounds of one full tree an output, as the translation of boosted trees cuts them."""
    draw, every = np.random.default_rng(0), np.arange(VALUES)
    most = MOST_TREES // VALUES
    told: list[Operation] = []
    for first in range(0, sizes.rounds, most):
        count = min(most, sizes.rounds - first) * VALUES
        links = _full_trees(draw, count, sizes.boosted_depth)
        values = draw.normal(size=(count * 2**sizes.boosted_depth, 1)).astype(np.float32)
        told += [Select(every), TreeRounds(VALUES, *links, values, 1.0, VALUES), Add(every)]
    return _container(tuple(told), VALUES)


def image_network(sizes: Sizes) -> Container:
    """A U-Net of the whole sphere, which closes in longitude and goes on beyond both poles."""
    count = sizes.channels
    net = draw_unet(count, count, width=sizes.width, depth=sizes.halvings, activation="relu",
                    poles=(True, True), signs=(1.0,) * count, key=jax.random.key(0))  # fmt: skip
    sphere = Sphere(net, sizes.grid, count, count)
    return _container(_scaled(count, [sphere]), count)


def _full_trees(draw: np.random.Generator, trees: int, depth: int) -> tuple[np.ndarray, ...]:
    """Return roots, features (numbers of leaves), left children and thresholds of full trees."""
    nodes, leaves = 2 ** (depth + 1) - 1, 2**depth
    number, roots = np.arange(nodes), nodes * np.arange(trees)
    leaf = number >= leaves - 1
    feature = [
        np.where(leaf, number - leaves + 1 + tree * leaves, draw.integers(0, VALUES, nodes))
        for tree in range(trees)
    ]
    left = [np.where(leaf, number, 2 * number + 1) + root for root in roots]
    threshold = draw.uniform(0.2, 0.8, trees * nodes).astype(np.float32)
    return roots, np.concatenate(feature), np.concatenate(left), threshold


def _scaled(count: int, inside: list[Any]) -> tuple[Operation, ...]:
    every = np.arange(count)
    scaling = Standardise(np.full(count, 0.5), np.full(count, 0.3))
    restore = Restore(np.zeros(count), np.full(count, 2.0))
    return (Select(every), scaling, *inside, restore, Add(every))


def _container(operations: tuple[Operation, ...], count: int) -> Container:
    columns = tuple(Column(f"x({number})", "1") for number in range(1, count + 1))
    return Container(columns, columns, operations, np.full(count, -1.0), np.full(count, 2.0))
