"""Message passing between neighbours on a sphere, with its weights as plain arrays."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from closura.nets.mlp import ACTIVATIONS, HALVED, MLP, initialise


class Mesh(eqx.Module):
    """Neighbours of every node, as many for each.

    Args:
        index: Which nodes they are.
        share: Weight of each in the mean of messages; 0 for one that is not there.
        step: Where they lie, along the east, north and up of the node.
        turn: Cosine and sine of the angle by which their winds turn on the way.
    """

    index: Int[Array, "node neighbour"]
    share: Float[Array, "node neighbour"]
    step: Float[Array, "node neighbour 3"]
    turn: Float[Array, "node neighbour 2"]


class Layer(NamedTuple):
    """Matrices of one round: from sender, receiver and edge to a message, and what it changes.

    The sender is multiplied by 1 + step @ gate, so that gradients are within easy reach.
    """

    send: Array
    receive: Array
    edge: Array
    gate: Array
    message: Array
    own: Array
    heard: Array
    offset: Array


class GraphNetwork(eqx.Module):
    """Rounds of messages between neighbours, beside a network of each node.

    A message is a function of the sender, the receiver and where the sender lies; each node takes
    in the mean of its messages. In the first round the sender's wind is turned into the
    receiver's east and north, so that poles are places as any other. Every node has the same
    number of neighbours, so messages are summed along an axis: no scatter.

    Made by `draw_graph`, with random weights.

    Args:
        column: The network of each node alone; the rest is added to what it says.
        layers: One a round.
        last: Matrix from the last round to the outputs.
        activation: Name of the activation, a key of `nets.mlp.ACTIVATIONS`.
        winds: Numbers of the channels that are eastward wind, and of those that are northward.
        mesh: The neighbours.
    """

    column: MLP
    layers: tuple[Layer, ...]
    last: Array
    activation: str = eqx.field(static=True)
    winds: tuple[tuple[int, ...], tuple[int, ...]] = eqx.field(static=True)
    mesh: Mesh | None = None

    def __call__(
        self, values: Float[Array, "sample node feature"]
    ) -> Float[Array, "sample node output"]:
        state = values
        for round_, layer in enumerate(self.layers):
            told = self._tell(state, layer, first=round_ == 0)
            taken = ACTIVATIONS[self.activation](
                state @ layer.own + told @ layer.heard + layer.offset
            )
            state = taken if round_ == 0 else state + taken
        return self.column(values) + state @ self.last

    def _tell(self, state: Array, layer: Layer, *, first: bool) -> Array:
        """Return the mean message that each node hears."""
        mesh = self.mesh
        if mesh is None:
            raise ValueError("this GraphNetwork has no mesh; `learners.graph.Graph` gives it one.")
        step, turn, share = (a.astype(state.dtype) for a in (mesh.step, mesh.turn, mesh.share))
        received = state @ layer.receive + layer.message
        edge = step @ layer.edge
        if first and self.winds[0]:
            sent = self._turned(state, layer.send, turn, mesh.index)
        else:
            sent = (state @ layer.send)[:, mesh.index]
        seen = sent * (1 + step @ layer.gate)
        message = ACTIVATIONS[self.activation](seen + received[:, :, None] + edge)
        return jnp.sum(share[..., None] * message, axis=2)

    def _turned(self, values: Array, send: Array, turn: Array, index: Array) -> Array:
        """Return values @ send at every neighbour, with winds turned on the way."""
        east, north = (list(channels) for channels in self.winds)
        rest = [c for c in range(values.shape[-1]) if c not in {*east, *north}]
        u, v = values[..., east], values[..., north]
        along = u @ send[east,] + v @ send[north,]
        across = u @ send[north,] - v @ send[east,]
        still = values[..., rest] @ send[rest,]
        width = send.shape[1]
        together = jnp.concatenate([still, along, across], axis=-1)[:, index]
        still, along, across = (together[..., n * width : (n + 1) * width] for n in range(3))
        return still + turn[..., :1] * along + turn[..., 1:] * across


def draw_graph(
    inputs: int,
    outputs: int,
    *,
    width: int,
    rounds: int,
    activation: str,
    winds: tuple[tuple[int, ...], tuple[int, ...]],
    key: Array,
) -> GraphNetwork:
    """Return a network without a mesh, which at first says what its column network says.

    Args:
        inputs: Number of channels of a node.
        outputs: Number of predicted channels.
        width: Channels of hidden states and messages.
        rounds: How often messages are passed: how many neighbours far a node sees.
        activation: Name of the activation.
        winds: Numbers of the channels that are eastward wind, and of those that are northward.
        key: Randomness of the weights.

    Reference:
        Gilmer et al. (2017), arXiv:1704.01212.
    """
    gain = 2 if activation in HALVED else 1

    def layer(key: Array, before: int) -> Layer:
        fan, after = 2 * before + 3, before + width
        rows = {"send": (before, fan), "receive": (before, fan), "edge": (3, fan), "gate": (3, 3),
                "own": (before, after), "heard": (width, after)}  # fmt: skip
        count = sum(size for size, _ in rows.values())
        normal = jax.random.normal(key, (count, width), jnp.float32)  # one: it compiles for long
        ends = np.cumsum([size for size, _ in rows.values()])[:-1].tolist()
        parts = zip(rows.items(), jnp.split(normal, ends), strict=True)
        drawn = {name: (gain / inputs) ** 0.5 * part for (name, (_, inputs)), part in parts}
        zero = jnp.zeros(width, jnp.float32)
        return Layer(**drawn, message=zero, offset=zero)

    first, *keys = jax.random.split(key, rounds + 1)
    layers = tuple(layer(k, inputs if n == 0 else width) for n, k in enumerate(keys))
    column = initialise(inputs, outputs, width=2 * width, depth=2, activation=activation, key=first)
    return GraphNetwork(column, layers, jnp.zeros((width, outputs), jnp.float32), activation, winds)
