"""A U-Net on images of the sphere, with its weights as plain arrays."""

from itertools import pairwise
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from closura.grids.poles import pad_sphere
from closura.nets.mlp import ACTIVATIONS, HALVED, MLP, initialise

WINDOW = 3  # points along each side of a convolution


class Convolution(NamedTuple):
    """Weights (row, column, inputs, outputs) and offset (outputs,) of a convolution."""

    weights: Array
    offset: Array


class UNet(eqx.Module):
    """Convolutions at ever coarser and again finer resolution, beside a network of each place.

    On the way down, means of 2 x 2 points follow two convolutions; on the way up each point is
    repeated and stands beside what was there on the way down. Convolutions see across the date
    line and the poles (`grids.poles.pad_sphere`). Rows that cannot be halved often enough are
    filled up beyond the last one. Shifting the image by ``2^depth`` longitudes shifts the answer.

    Made by `draw_unet`, with random weights.

    Args:
        column: The network of each place alone; the rest is added to what it says.
        down: Two convolutions at each resolution, the finest first.
        up: Two convolutions at each resolution but the coarsest, the finest first.
        last: Matrix and offset from the finest resolution to the outputs.
        activation: Name of the activation, a key of `nets.mlp.ACTIVATIONS`.
        poles: Whether the first and the last row of the image are poles.
        signs: One a channel of the image: -1 where it turns over across a pole.
    """

    column: MLP
    down: tuple[tuple[Convolution, Convolution], ...]
    up: tuple[tuple[Convolution, Convolution], ...]
    last: Convolution
    activation: str = eqx.field(static=True)
    poles: tuple[bool, bool] = eqx.field(static=True)
    signs: tuple[float, ...] = eqx.field(static=True)

    def __call__(
        self, values: Float[Array, "sample lat lon feature"]
    ) -> Float[Array, "sample lat lon output"]:
        rows = values.shape[1]
        extra = -rows % 2 ** len(self.up)
        image = values
        if extra:
            around = pad_sphere(values, extra, poles=self.poles, signs=self.signs)
            image = around[:, extra:, extra:-extra]
        poles = (self.poles[0], self.poles[1] and not extra)
        kept = []
        for level, block in enumerate(self.down):
            signs = self.signs if level == 0 else None
            image = self._block(image, block, poles if level == 0 else (False, False), signs)
            if level < len(self.up):
                kept.append(image)
                image = _halve(image)
        for level in reversed(range(len(self.up))):
            image = jnp.concatenate([kept[level], _double(image)], axis=-1)
            image = self._block(image, self.up[level], poles if level == 0 else (False, False))
        there = image @ self.last.weights + self.last.offset
        return self.column(values) + there[:, :rows]

    def _block(
        self,
        image: Array,
        block: tuple[Convolution, Convolution],
        poles: tuple[bool, bool],
        signs: tuple[float, ...] | None = None,
    ) -> Array:
        for convolution in block:
            padded = pad_sphere(image, WINDOW // 2, poles=poles, signs=signs)
            image = ACTIVATIONS[self.activation](_convolve(padded, convolution))
            signs = None  # what the first convolution makes of a wind has no direction
        return image


def draw_unet(
    inputs: int,
    outputs: int,
    *,
    width: int,
    depth: int,
    activation: str,
    poles: tuple[bool, bool],
    signs: tuple[float, ...],
    key: Array,
) -> UNet:
    """Return a U-Net with random weights, which at first says what its column network says.

    Args:
        inputs: Number of channels of the image.
        outputs: Number of predicted channels.
        width: Channels at the finest resolution; each halving doubles them.
        depth: Number of halvings.
        activation: Name of the activation.
        poles: Whether the first and the last row of the image are poles.
        signs: One an input: -1 where it turns over across a pole.
        key: Randomness of the weights.

    Reference:
        Ronneberger et al. (2015), arXiv:1505.04597; He et al. (2015), arXiv:1502.01852.
    """
    sizes = [width * 2**level for level in range(depth + 1)]
    own, beside = jax.random.split(key)
    down = list(pairwise([inputs, *sizes]))
    up = [(fine + coarse, fine) for fine, coarse in pairwise(sizes)]
    twice = [pair for before, after in (*down, *up) for pair in ((before, after), (after, after))]
    drawn = _draw(twice, activation, own)
    blocks = list(zip(drawn[::2], drawn[1::2], strict=True))
    column = initialise(
        inputs, outputs, width=4 * width, depth=2, activation=activation, key=beside
    )
    last = Convolution(jnp.zeros((width, outputs), jnp.float32), jnp.zeros(outputs, jnp.float32))
    first, second = tuple(blocks[: depth + 1]), tuple(blocks[depth + 1 :])
    return UNet(column, first, second, last, activation, poles, signs)


def _draw(sizes: list[tuple[int, int]], activation: str, key: Array) -> list[Convolution]:
    """Return convolutions of (inputs, outputs), from one draw: a draw takes long to compile."""
    shapes = [(WINDOW, WINDOW, inputs, outputs) for inputs, outputs in sizes]
    ends = np.cumsum([np.prod(shape) for shape in shapes])
    normal = jax.random.normal(key, (int(ends[-1]),), jnp.float32)
    gain = 2 if activation in HALVED else 1
    return [
        Convolution(
            (gain / (WINDOW**2 * shape[2])) ** 0.5 * part.reshape(shape),
            jnp.zeros(shape[3], jnp.float32),
        )
        for shape, part in zip(shapes, jnp.split(normal, ends[:-1].tolist()), strict=True)
    ]


def _convolve(image: Array, convolution: Convolution) -> Array:
    found = lax.conv_general_dilated(
        image, convolution.weights, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return found + convolution.offset


def _halve(image: Array) -> Array:
    """Return the means of 2 x 2 points."""
    samples, rows, lines, channels = image.shape
    return image.reshape(samples, rows // 2, 2, lines // 2, 2, channels).mean(axis=(2, 4))


def _double(image: Array) -> Array:
    """Return every point four times."""
    return jnp.repeat(jnp.repeat(image, 2, axis=1), 2, axis=2)
