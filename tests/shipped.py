"""Small containers that the tests of the exports share."""

import jax
import numpy as np

from closura.export.container import Column, Container
from closura.export.grid import (
    Around,
    Coarsen,
    Convolve,
    Hear,
    Image,
    Merge,
    Mesh,
    Refine,
    Tell,
)
from closura.export.operations import (
    Add,
    Clip,
    Dense,
    Finite,
    Noise,
    Novelty,
    Polynomial,
    Restore,
    Select,
    Standardise,
    TreeRounds,
    Trees,
)
from closura.export.support import SupportNovelty
from closura.nets.mlp import initialise

RING = tuple(Column(f"X({shift})", "m s-1") for shift in ("-2", "-1", "0", "+1", "+2"))


def network(width: int = 17) -> Container:
    """A network of 5 inputs, whose width fills no whole group of rows."""
    layers = initialise(5, 1, width=width, depth=2, activation="elu", key=jax.random.key(1))
    told = [
        Dense(np.asarray(weights), np.asarray(offset) + 0.1, bend)
        for weights, offset, bend in zip(
            layers.weights, layers.offsets, ("elu", "elu", "none"), strict=True
        )
    ]
    scaling, restore = (
        Standardise(np.arange(5.0), 1 + np.arange(5.0)),
        Restore(np.ones(1), np.ones(1)),
    )
    return Container(
        RING,
        (Column("X", "m s-2"),),
        (Select(np.arange(5)), scaling, *told, restore, Add(np.array([0]))),
        lower=-np.full(5, 50.0),
        upper=np.full(5, 50.0),
    )  # fmt: skip


def everything() -> Container:
    """A file of a few hundred bytes that has every operation."""
    threshold, values = np.array([0.5, 0, 0], np.float32), np.array([[1, 2], [3, 5]], np.float32)
    links = (np.array([0]), np.array([1, 0, 1]), np.array([1, 1, 2]))
    tree = Trees(2, *links, threshold, values, 1.0)
    dense = Dense(np.array([[1, 2], [4, 5]], np.float32), np.array([7, 8], np.float32), "silu")
    polynomial = Polynomial(np.array([[0, 0], [1, 2]]), np.array([[3.0, 1.0], [0.5, 2.0]]))
    add, both = Add(np.array([0, 1])), Select(np.array([1, 0]))
    noise = Noise(np.array([1, 0]), np.array([0.5, 0.25]), np.array([2.0, 3.0]))
    scaling, restore = Standardise(np.ones(2), np.ones(2)), Restore(np.ones(2), np.ones(2))
    boosted = rounds(np.random.default_rng(0), each=2, count=4)
    told = (both, scaling, dense, add, both, polynomial, add, both, tree, restore, add, noise)
    near, far = novelties()
    clip = Clip(np.array([-2.0, -1.0]), np.array([1.5, 0.5]))
    told = (both, boosted, clip, near, Finite(2), add, both, dense, far, add, *told)
    told = (both, scaling, support_vectors(), add, *told)
    return Container(RING[:2], RING[3:], told, np.zeros(2), np.ones(2), about={"a": 1})


def on_grid(place: tuple[int, int] = (2, 4)) -> Container:
    """A file of two inputs that has every operation on a grid."""
    draw, both = np.random.default_rng(5), np.array([0, 1])
    nothing, every, signs = np.zeros(0, int), Select(both), np.array([-1, 1])

    def numbers(*shape: int) -> np.ndarray:
        return draw.normal(size=shape).astype(np.float32)

    first = Convolve(numbers(3, 3, 2, 3), numbers(3), "relu", (True, False), signs)
    second = Convolve(numbers(3, 3, 3, 2), numbers(2), "silu", (False, False), nothing)
    third = Convolve(numbers(3, 3, 5, 2).astype(float), numbers(2), "tanh", (True, False), nothing)
    image = (Image(place, (True, False), place[0] % 2, signs), Dense(numbers(2, 2), numbers(2)))
    image += (first, Coarsen(), second, Refine(), third, Merge(numbers(2, 2), numbers(2)))
    index = draw.integers(0, np.prod(place), (np.prod(place), 3))
    hear = (Hear(numbers(2, 2), numbers(3, 2), numbers(3, 2), "gelu", True, False),
            Hear(numbers(2, 2), numbers(3, 2), numbers(3, 2), "elu", False, True))  # fmt: skip
    mesh = (Mesh(place, 2, index, numbers(*index.shape, 6)), Tell(numbers(2, 10), numbers(10)))
    mesh += (hear[0], Tell(numbers(2, 6), numbers(6)), hear[1], Merge(numbers(2, 2), numbers(2)))
    around = Around(place, (True, False), both[1:], signs[:1], both[:1])
    near = (around, Dense(numbers(10, 2), numbers(2)))
    noise, clip = Noise(both[::-1], np.array([0.5, 0.2]), np.ones(2)), Clip(-np.ones(2), np.ones(2))
    told = (*near, Add(both), every, *image, clip, Add(both[::-1]), every, *mesh, Add(both), noise)
    return Container(RING[:2], RING[3:], told, np.zeros(2), np.ones(2), about={"a": 1})


def rounds(draw: np.random.Generator, each: int = 3, count: int = 12) -> TreeRounds:
    """Boosted trees of 2 inputs: each tree asks once, and has two leaves."""
    roots = 3 * np.arange(count)
    feature = np.stack([np.arange(count) % 2, 2 * np.arange(count), 2 * np.arange(count) + 1])
    left = np.stack([roots + 1, roots + 1, roots + 2])
    threshold = np.zeros((3, count), np.float32)
    threshold[0] = draw.normal(size=count)
    values = draw.normal(size=(2 * count, 1)).astype(np.float32)
    return TreeRounds(2, roots, feature.T.ravel(), left.T.ravel(), threshold.T.ravel(), values,
                      1.0, each)  # fmt: skip


def novelties() -> tuple[Novelty, Novelty]:
    """A ramp over the range of two inputs, and a decay over their distance from the mean."""
    both, ends = np.array([1, 0]), (np.array([-0.5, 0.0]), np.array([0.5, 0.0]))
    ramp = Novelty(both, *ends, 0.0, 1, (0.1, 1.7, 0.5))
    whitening = np.array([[2.0, 0.5], [-0.25, 1.0]])
    return ramp, Novelty(
        both, np.array([0.1, 0.2]), whitening.ravel(), 0.4, 2, (0.1, 1.0, 0.3), True
    )


def support_vectors() -> SupportNovelty:
    """A ramp over what three support vectors of two inputs say; none weighs like another."""
    both, vectors = np.array([1, 0]), np.array([[0.5, -1.0], [0.0, 0.25], [2.0, 1.5]])
    scaling, weights = (np.array([0.1, -0.2]), np.array([1.5, 0.5])), np.array([1.0, 0.75, 0.5])
    return SupportNovelty(both, *scaling, vectors, weights, 0.4, -0.9, 1, (0.1, 0.8, 0.5))
