"""A multilayer perceptron on tables, with its weights as plain arrays."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
}

# Gain of the initial weights' variance over 1 / inputs, for layers that a bend at zero halves.
HALVED = frozenset({"relu", "leaky_relu", "elu", "gelu", "silu"})


class MLP(eqx.Module):
    """Layers of values @ weights + offset, with an activation after each but the last.

    Made by `initialise`, with random weights.

    Args:
        weights: One matrix (inputs, outputs) a layer, in float32.
        offsets: One vector (outputs,) a layer.
        activation: Name of the activation, a key of `ACTIVATIONS`.
    """

    weights: tuple[Float[Array, "_ _"], ...]
    offsets: tuple[Float[Array, "_"], ...]
    activation: str = eqx.field(static=True, default="relu")

    def __check_init__(self):
        check_choice("MLP", "activation", self.activation, ACTIVATIONS)
        if len(self.weights) != len(self.offsets) or not self.weights:
            raise ValueError(
                f"MLP has {len(self.weights)} matrices and {len(self.offsets)} offsets; "
                "give one of each a layer, and at least one layer."
            )

    def __call__(self, values: Float[Array, "*sample feature"]) -> Float[Array, "*sample output"]:
        bend = ACTIVATIONS[self.activation]
        for weights, offset in zip(self.weights[:-1], self.offsets[:-1], strict=True):
            values = bend(values @ weights + offset)
        return values @ self.weights[-1] + self.offsets[-1]


def initialise(
    inputs: int, outputs: int, *, width: int, depth: int, activation: str, key: Array
) -> MLP:
    """Return a network with random weights and zero offsets, in float32.

    Weights are normal with variance 2 / inputs before an activation that is flat on one side
    (He et al.), and 2 / (inputs + outputs) elsewhere (Glorot and Bengio).

    Args:
        inputs: Number of features.
        outputs: Number of predicted values.
        width: Number of values in each hidden layer.
        depth: Number of hidden layers; 0 is an affine map.
        activation: Name of the activation.
        key: Randomness of the weights.

    Reference:
        He et al. (2015), arXiv:1502.01852; Glorot and Bengio (2010), AISTATS 9.
    """
    sizes = (inputs, *([width] * depth), outputs)
    weights = []
    for layer, (before, after) in enumerate(pairwise(sizes)):
        halved = layer < depth and activation in HALVED
        variance = 2 / before if halved else 2 / (before + after)
        draw = jax.random.normal(jax.random.fold_in(key, layer), (before, after), jnp.float32)
        weights.append(variance**0.5 * draw)
    offsets = tuple(jnp.zeros(size, jnp.float32) for size in sizes[1:])
    return MLP(tuple(weights), offsets, activation)


def check_choice(owner: str, setting: str, found: str, choices: Mapping[str, Any]) -> None:
    """Raise ValueError, naming the nearest choice, unless `found` is one of the choices."""
    if found not in choices:
        near = get_close_matches(str(found), choices, n=1)
        hint = f" did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"{owner}: {setting} is {found!r};{hint} It must be one of {', '.join(choices)}."
        )
