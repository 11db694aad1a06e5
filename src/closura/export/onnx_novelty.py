"""The weight that falls with how new a column is, as nodes of ONNX."""

from typing import TYPE_CHECKING, Any

import numpy as np

from closura.export.operations import Novelty
from closura.export.support import SupportNovelty

if TYPE_CHECKING:
    from closura.export.onnx_graph import Graph


def novelty_weight(graph: "Graph", one: Novelty | SupportNovelty, columns: str) -> str:
    """Return the weight of each column, (column, 1), computed in float64.

    In float32 a column at the edge of what is known could fall on the other side of a mask.
    """

    def number(values: Any) -> str:
        return graph.number(values, np.float64)

    def node(operator: str, *inputs: Any, **attributes: Any) -> str:
        named = [one if isinstance(one, str) else number(one) for one in inputs]
        return graph.node(operator, *named, **attributes)

    chosen = graph.node("Gather", columns, graph.number(one.inputs, np.int64), axis=1)
    seen = graph.cast(chosen, np.float64)
    if isinstance(one, SupportNovelty):
        return graph.cast(_respond(node, one, _support_score(node, one, seen)), graph.kind)
    moved = node("Sub", seen, one.first)
    if one.distance:
        axes = node("MatMul", moved, one.second.reshape(len(one.inputs), -1))
        mean = node("ReduceMean", node("Mul", axes, axes), axes=[1], keepdims=1)
        score = node("Sub", node("Sqrt", mean), one.offset)
    else:
        varies = one.second > one.first
        within = node("Div", moved, np.where(varies, one.second - one.first, 1.0))
        above = node("Sub", within, np.where(varies, 1.0, 0.0))
        high = node("ReduceMax", above, axes=[1], keepdims=1)
        low = node("Neg", node("ReduceMin", within, axes=[1], keepdims=1))
        score = node("Add", node("Max", high, 0.0), node("Max", low, 0.0))
    return graph.cast(_respond(node, one, score), graph.kind)


def _support_score(node: Any, one: SupportNovelty, seen: str) -> str:
    """Return the score of each column; |x - vector|^2 by its three products."""
    scaled = node("Div", node("Sub", seen, one.centre), one.scale)
    squares = node("MatMul", node("Mul", scaled, scaled), np.ones((len(one.inputs), 1)))
    both = node("MatMul", scaled, -2 * one.vectors.T)
    distance = node("Add", node("Add", squares, both), (one.vectors**2).sum(axis=1))
    bumps = node("Exp", node("Mul", node("Max", distance, 0.0), -one.gamma))
    return node("Sub", node("MatMul", bumps, -one.heights[:, None]), one.offset)


def _respond(node: Any, one: Novelty | SupportNovelty, score: str) -> str:
    cutoff, end, rate = one.numbers
    if one.response == 0:
        return node("Where", node("LessOrEqual", score, cutoff), 1.0, 0.0)
    if one.response == 1:
        weight = node("Div", node("Sub", end, score), end - cutoff)
        return node("Max", node("Min", weight, 1.0), 0.0)
    weight = node("Exp", node("Mul", node("Sub", score, cutoff), np.log(rate)))
    return node("Min", weight, 1.0)
