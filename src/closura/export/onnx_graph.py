"""The operations of a `.closura` file as an ONNX graph: columns in, tendencies out."""

import json
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from closura import __version__
from closura.export.container import Container
from closura.export.grid import Around
from closura.export.onnx_novelty import novelty_weight
from closura.export.onnx_sphere import around_columns, sphere_network
from closura.export.onnx_trees import add_trees
from closura.export.operations import (
    Add,
    Clip,
    Dense,
    Finite,
    Noise,
    Novelty,
    Operation,
    Polynomial,
    Restore,
    Select,
    Sphere,
    Standardise,
    Trees,
)
from closura.export.support import SupportNovelty

MISSING = "an export to onnx needs onnx and onnxruntime: pip install 'closura[export]'"
OPSET, TREE_OPSET, IR_VERSION = 17, 3, 8  # read by every onnxruntime since 1.12
COLUMNS, MEMORY, TENDENCIES = "columns", "memory", "tendencies"


class Graph:
    """A graph that is being built: nodes in order, and the numbers that they use."""

    def __init__(self, kind: Any = np.float32):
        self.kind, self.count = np.dtype(kind), 0
        self.nodes: list[Any] = []
        self.numbers: list[Any] = []

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Append a node and return the name of what it gives."""
        from onnx import helper

        self.count += 1
        name = f"{operator.lower()}_{self.count}"
        told = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(
            helper.make_node(operator, inputs, [name], name=name, domain=domain, **told)
        )
        return name

    def number(self, values: Any, kind: Any = None) -> str:
        """Return the name of a constant, in the precision of the graph if none is given."""
        from onnx import numpy_helper

        self.count += 1
        array = np.asarray(values).astype(self.kind if kind is None else kind)
        name = f"number_{self.count}"
        self.numbers.append(numpy_helper.from_array(array, name))
        return name

    def bounded(self, values: Any) -> np.ndarray:
        """Return numbers that the graph's precision holds."""
        largest = float(np.finfo(self.kind).max)
        return np.clip(np.asarray(values, float), -largest, largest)

    def cast(self, value: str, kind: Any) -> str:
        """Return a value in another type."""
        from onnx import helper

        return self.node("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(kind)))

    def rename(self, value: str, name: str) -> None:
        """Give a value the name that the graph is to show."""
        self.nodes.append(_identity(value, name))

    def model(self, inputs: Sequence[Any], outputs: Sequence[Any], told: dict[str, str]) -> Any:
        """Return the graph as a checked ModelProto.

        Args:
            inputs: Name and shape (numbers, or names of what may vary) of each input.
            outputs: The same, for the outputs.
            told: Metadata.
        """
        import onnx
        from onnx import helper

        kind = helper.np_dtype_to_tensor_dtype(self.kind)
        given, found = (
            [helper.make_tensor_value_info(name, kind, shape) for name, shape in side]
            for side in (inputs, outputs)
        )
        read = {name for node in self.nodes for name in node.input}
        numbers = [one for one in self.numbers if one.name in read]
        graph = helper.make_graph(self.nodes, "closura", given, found, numbers)
        sets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", TREE_OPSET)]
        by = {"producer_name": "closura", "producer_version": __version__}
        model = helper.make_model(graph, opset_imports=sets, ir_version=IR_VERSION, **by)
        helper.set_model_props(model, told)
        onnx.checker.check_model(model)
        return model


def to_onnx(container: Container) -> bytes:
    """Return an ONNX model that computes what a container computes.

    Its input `columns` is (column, input) and its output `tendencies` (column, output), for any
    number of columns, both in float64 if the container is precise and else in float32. Where there
    is noise, `memory` (column, row) is a second input. Metadata hold names, units and the rest.
    """
    graph = Graph(np.float64 if container.precise else np.float32)
    total = _terms(graph, container)
    inputs = [(COLUMNS, ["column", len(container.inputs)])]
    if container.inputs:
        total = _guard(graph, total, container)
    if container.memory:
        inputs.append((MEMORY, ["column", container.memory]))
    graph.rename(total, TENDENCIES)
    outputs = [(TENDENCIES, ["column", len(container.outputs)])]
    return graph.model(inputs, outputs, describe(container)).SerializeToString()


def describe(container: Container) -> dict[str, str]:
    """Return what the metadata of a model say, as JSON by key."""
    noise = [one for one in container.operations if isinstance(one, Noise)]
    known = container.lower is not None and container.upper is not None
    told: dict[str, Any] = {
        "inputs": [[column.name, column.units] for column in container.inputs],
        "outputs": [[column.name, column.units] for column in container.outputs],
        "lower": np.asarray(container.lower).tolist() if known else None,
        "upper": np.asarray(container.upper).tolist() if known else None,
        "missing": container.missing,
        "phi": [value for one in noise for value in one.phi.tolist()],
        "sigma": [value for one in noise for value in one.sigma.tolist()],
        "about": container.about,
    }
    return {key: json.dumps(value, ensure_ascii=False) for key, value in told.items()}


def _terms(graph: Graph, container: Container) -> str:
    """Return the sum of all terms, (column, output)."""
    found, panel, row, count = [], COLUMNS, 0, len(container.outputs)
    told = fold_scaling(container.operations)
    for one in told:
        match one:
            case Select(inputs):
                panel = _choose(graph, COLUMNS, inputs, len(container.inputs))
            case Around():
                panel = around_columns(graph, one, COLUMNS, len(container.inputs))
            case Add(outputs):
                found.append(_spread(graph, panel, outputs, count))
            case Noise(outputs):
                rows = np.arange(row, row + len(outputs))
                held = _choose(graph, MEMORY, rows, container.memory)
                found.append(_spread(graph, held, outputs, count))
                row += len(outputs)
            case _:
                panel = _apply(graph, one, panel)
    return reduce(lambda total, term: graph.node("Add", total, term), found)


def fold_scaling(operations: Sequence[Operation]) -> list[Operation]:
    """Return operations in which a scaling after a dense layer is part of the layer."""
    told: list[Operation] = []
    for one in operations:
        before = told[-1] if told else None
        if isinstance(one, Restore) and isinstance(before, Dense) and before.activation == "none":
            weights, offset = before.weights.astype(float), before.offset.astype(float)
            told[-1] = Dense(weights * one.scale, offset * one.scale + one.centre)
        else:
            told.append(one)
    return told


def _apply(graph: Graph, one: Operation, panel: str) -> str:
    match one:
        case Standardise(centre, scale):
            moved = graph.node("Sub", panel, graph.number(centre))
            return graph.node("Div", moved, graph.number(scale))
        case Restore(centre, scale):
            wide = graph.node("Mul", panel, graph.number(scale))
            return graph.node("Add", wide, graph.number(centre))
        case Dense(weights, offset, activation):
            numbers = graph.number(weights), graph.number(offset)
            return bend(graph, activation, graph.node("Gemm", panel, *numbers))
        case Polynomial(exponents, coefficients):
            return graph.node(
                "MatMul", _monomials(graph, panel, exponents), graph.number(coefficients)
            )
        case Sphere():
            return sphere_network(graph, one, panel, bend)
        case Clip(lower, upper):
            kept = graph.node("Max", panel, graph.number(graph.bounded(lower)))
            return graph.node("Min", kept, graph.number(graph.bounded(upper)))
        case Finite():
            nothing = graph.node("IsNaN", graph.node("Mul", panel, graph.number(0.0)))
            return graph.node("Where", nothing, graph.number(0.0), panel)
        case Novelty() | SupportNovelty():
            return graph.node("Mul", panel, novelty_weight(graph, one, COLUMNS))
        case Trees():
            return add_trees(graph, one, panel)
    raise TypeError(f"no ONNX for {type(one).__name__}")


def bend(graph: Graph, activation: str, value: str) -> str:
    """Return an activation of a value; operators that exist in both precisions are used."""
    simple = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}
    if activation in simple:
        return graph.node(simple[activation], value)
    if activation == "none":
        return value
    if activation == "silu":
        return graph.node("Mul", value, graph.node("Sigmoid", value))
    one = graph.number(1.0)
    if activation != "gelu":
        zero = graph.number(0.0)
        above, below = graph.node("Max", value, zero), graph.node("Min", value, zero)
    match activation:
        case "leaky_relu":
            return graph.node("Add", above, graph.node("Mul", below, graph.number(0.01)))
        case "elu":
            return graph.node("Add", above, graph.node("Sub", graph.node("Exp", below), one))
        case "softplus":
            small = graph.node("Exp", graph.node("Sub", below, above))  # exp(-|value|)
            return graph.node("Add", above, graph.node("Log", graph.node("Add", one, small)))
        case "gelu":
            square = graph.node("Mul", value, value)
            factor = graph.node("Add", graph.node("Mul", square, graph.number(0.044715)), one)
            inner = graph.node("Mul", graph.node("Mul", value, factor),
                               graph.number(np.sqrt(2 / np.pi)))  # fmt: skip
            share = graph.node("Add", graph.node("Tanh", inner), one)
            return graph.node("Mul", graph.node("Mul", value, graph.number(0.5)), share)
    raise ValueError(f"there is no ONNX for the activation {activation!r}.")


def _monomials(graph: Graph, panel: str, exponents: np.ndarray) -> str:
    """Return (column, term): products of as many columns as the highest degree, or of ones."""
    ones = graph.node("Pad", panel, graph.number([0, 1, 0, 0], np.int64), graph.number(1.0))
    degree = int(exponents.sum(axis=1).max(initial=0))
    factors = np.zeros((len(exponents), max(degree, 1)), np.int64)
    for term, powers in enumerate(exponents):
        chosen = np.repeat(np.arange(1, exponents.shape[1] + 1), powers)
        factors[term, : len(chosen)] = chosen
    picked = [
        graph.node("Gather", ones, graph.number(column, np.int64), axis=1) for column in factors.T
    ]
    return reduce(lambda product, factor: graph.node("Mul", product, factor), picked)


def _choose(graph: Graph, value: str, columns: np.ndarray, count: int) -> str:
    if np.array_equal(columns, np.arange(count)):
        return value
    return graph.node("Gather", value, graph.number(columns, np.int64), axis=1)


def _spread(graph: Graph, panel: str, outputs: np.ndarray, count: int) -> str:
    """Return a panel as (column, output), zero where it says nothing."""
    if np.array_equal(outputs, np.arange(count)):
        return panel
    place = np.zeros((len(outputs), count))
    place[np.arange(len(outputs)), outputs] = 1
    return graph.node("MatMul", panel, graph.number(place))


def together(operations: Sequence[Operation]) -> int:
    """Return the number of columns that only make sense together."""
    wide = (o for o in operations if isinstance(o, Sphere | Around))
    return max((int(np.prod(one.place)) for one in wide), default=1)


def _guard(graph: Graph, total: str, container: Container) -> str:
    """Return tendencies that are zero or NaN in columns with a value that is not finite."""
    count = together(container.operations)
    nothing = graph.node("Mul", COLUMNS, graph.number(0.0))
    wide, whole = count * len(container.inputs), count * len(container.outputs)
    if count > 1:
        nothing = graph.node("Reshape", nothing, graph.number([-1, wide], np.int64))
        total = graph.node("Reshape", total, graph.number([-1, whole], np.int64))
    told = graph.node("ReduceSum", nothing, graph.number([1], np.int64), keepdims=1)
    instead = graph.number(0.0 if container.missing == "zero" else np.nan)
    total = graph.node("Where", graph.node("IsNaN", told), instead, total)
    shape = graph.number([-1, len(container.outputs)], np.int64)
    return graph.node("Reshape", total, shape) if count > 1 else total


def _identity(value: str, name: str) -> Any:
    from onnx import helper

    return helper.make_node("Identity", [value], [name], name=name)
