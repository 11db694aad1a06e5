"""Networks of the whole sphere as operations on a grid, one after the other."""

from dataclasses import replace
from typing import Any

import numpy as np

from closura.export.container import Container
from closura.export.grid import (
    Coarsen,
    Convolve,
    GridOperation,
    Hear,
    Image,
    Merge,
    Mesh,
    Refine,
    Tell,
)
from closura.export.operations import Dense, Operation, Sphere
from closura.nets.graph import GraphNetwork, Layer
from closura.nets.mlp import MLP
from closura.nets.unet import Convolution, UNet

NOTHING = np.zeros(0, int)


def unfold_operations(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """Return operations in which every network of the sphere is what it consists of."""
    told: list[Operation] = []
    for one in operations:
        told += _network(one) if isinstance(one, Sphere) else [one]
    return tuple(told)


def dense_layers(network: MLP) -> list[Operation]:
    """Return the layers of a network of each column."""
    bends = [network.activation] * (len(network.weights) - 1) + ["none"]
    layers = zip(network.weights, network.offsets, bends, strict=True)
    return [Dense(np.asarray(w), np.asarray(offset), bend) for w, offset, bend in layers]


def _network(one: Sphere) -> list[Operation]:
    rows, lines = (1, *one.place)[-2:]
    network = one.network
    if isinstance(network, UNet):
        first, *told = _unet(network, (rows, lines))
    else:
        first, *told = _graph(network, (rows, lines))
    return [first, *dense_layers(network.column), *told]


def _unet(network: UNet, place: tuple[int, int]) -> list[GridOperation]:
    depth, signs = len(network.up), np.array(network.signs, int)
    extra = -place[0] % 2**depth
    poles, none = (network.poles[0], network.poles[1] and not extra), (False, False)

    def block(both: tuple[Convolution, ...], level: int, first: np.ndarray) -> list[GridOperation]:
        here, several = (poles if level == 0 else none), (first, NOTHING)
        return [
            Convolve(np.asarray(c.weights), np.asarray(c.offset), network.activation, here, turned)
            for c, turned in zip(both, several, strict=True)
        ]

    told: list[GridOperation] = [Image(place, network.poles, extra, signs)]
    for level, both in enumerate(network.down):
        told += block(both, level, signs if level == 0 else NOTHING)
        told += [Coarsen()] if level < depth else []
    for level in reversed(range(depth)):
        told += [Refine(), *block(network.up[level], level, NOTHING)]
    weights, offset = (np.asarray(a) for a in network.last)
    return [*told, Merge(weights, offset)]


def _graph(network: GraphNetwork, place: tuple[int, int]) -> list[GridOperation]:
    mesh = network.mesh
    assert mesh is not None
    step, turn = np.asarray(mesh.step), np.asarray(mesh.turn)
    geometry = np.concatenate([np.asarray(mesh.share)[..., None], step, turn], axis=-1)
    channels = network.layers[0].send.shape[0]
    told: list[GridOperation] = [Mesh(place, channels, np.asarray(mesh.index), geometry)]
    for number, layer in enumerate(network.layers):
        winds = network.winds if number == 0 and network.winds[0] else None
        told += _round(layer, network.activation, winds, stays=number > 0)
    last = np.asarray(network.last)
    return [*told, Merge(last, np.zeros(last.shape[1], last.dtype))]


def _round(layer: Layer, activation: str, winds: Any, *, stays: bool) -> list[GridOperation]:
    sent = [np.asarray(layer.send)] if winds is None else turned_parts(layer, winds)
    matrices = [*sent, np.asarray(layer.receive), np.asarray(layer.own)]
    nothing = [np.zeros(layer.send.shape[1], np.float32)] * len(sent)
    offsets = [*nothing, np.asarray(layer.message), np.asarray(layer.offset)]
    weights, gate, edge = (np.asarray(a) for a in (layer.heard, layer.gate, layer.edge))
    return [
        Tell(np.concatenate(matrices, axis=1), np.concatenate(offsets)),
        Hear(weights, gate, edge, activation, winds is not None, stays),
    ]


def turned_parts(layer: Layer, winds: Any) -> list[np.ndarray]:
    """Return matrices of what is sent as it is, and of what goes with cosine and sine of a turn."""
    send, (east, north) = np.asarray(layer.send), (list(one) for one in winds)
    still, along, across = send.copy(), np.zeros_like(send), np.zeros_like(send)
    still[east + north] = 0
    along[east + north] = send[east + north]
    across[east], across[north] = send[north], -send[east]
    return [still, along, across]


def unfold(container: Container) -> Container:
    """Return a container that the native runtime computes, without networks of the sphere."""
    return replace(container, operations=unfold_operations(container.operations))
