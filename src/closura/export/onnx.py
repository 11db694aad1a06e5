"""A folder with a closure as ONNX, which other programs run through ONNX Runtime."""

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from closura import __version__
from closura.core.closure import AbstractClosure
from closura.core.learner import Pairs
from closura.data.store import write_json
from closura.export.cases import Cases, write_cases
from closura.export.container import Container, write_container
from closura.export.fortran import write_runtime
from closura.export.gate import SinglePrecisionError, difference, hold, tolerances
from closura.export.native import numbered_leaves
from closura.export.onnx_graph import COLUMNS, MEMORY, MISSING, TENDENCIES, to_onnx, together
from closura.export.operations import Noise, OnnxGraph
from closura.export.prepare import Prepared, prepare, whole_folder
from closura.export.readme import fill_readme
from closura.export.states import WANTED

FILES = ("closura.F90", "closura_onnx.F90", "driver.f90", "onnx.mk")


def export_onnx(
    closure: AbstractClosure,
    folder: Path,
    pairs: Sequence[Pairs],
    *,
    name: str,
    missing: str = "report",
    source: str = "",
) -> dict[str, Any]:
    """Write a closure as ONNX, once ONNX Runtime is proved to compute the same.

    The folder also holds the same graph as a `.closura` file, with the Fortran runtime that hands
    it to ONNX Runtime.

    Args:
        closure: What shall be shipped.
        folder, pairs, name, missing, source: See `export_fortran`.

    Returns:
        The figures that are in `parity.json`.

    Raises:
        ImportError: onnx or onnxruntime is not installed.
        ValueError: It cannot be shipped, or what is shipped differs from what was trained; then
            nothing is written.
    """
    if any(importlib.util.find_spec(one) is None for one in ("onnx", "onnxruntime")):
        raise ImportError(MISSING)
    with whole_folder(folder) as built:
        ready = prepare(closure, pairs, missing=missing, source=source)
        try:
            held, figures = ready.container, _prove(ready.container, ready)
        except SinglePrecisionError:  # its numbers cancel
            held = replace(ready.container, precise=True)
            figures = _prove(held, ready)
        (built / f"{name}.onnx").write_bytes(to_onnx(held))
        write_runtime(built, name, FILES)
        (built / "onnx.mk").rename(built / "Makefile")
        write_container(built / f"{name}.closura", with_graph(held))
        allowed, exact = tolerances(held), "double" if held.precise else "single"
        double = ready.double if held.precise else ready.single  # a graph of float32 rounds inputs
        limits = (allowed["single"], allowed[exact])
        write_cases(built / "cases.bin", double, ready.single, limits)
        write_json(built / "parity.json", figures)
        page = (resources.files("closura.export") / "runtime" / "onnx.md").read_text()
        filled = fill_readme(page, name, held, ready.layout, figures)
        (built / "README.md").write_text(filled)
    return figures


def with_graph(container: Container) -> Container:
    """Return a container whose operations are one ONNX graph, and the noise of the host."""
    noise = tuple(one for one in container.operations if isinstance(one, Noise))
    others = tuple(one for one in container.operations if not isinstance(one, Noise))
    if not others:
        return container
    content = to_onnx(replace(container, operations=others))
    sizes, sphere = (len(container.inputs), len(container.outputs)), together(others)
    graph = OnnxGraph(*sizes, content, container.precise, sphere)
    return replace(container, operations=(graph, *noise), precise=False)  # the graph knows


def open_session(content: bytes) -> Any:
    """Return an ONNX Runtime session of one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_onnx(content: bytes, cases: Cases, *, precise: bool) -> np.ndarray:
    """Return the tendencies (column, output) that ONNX Runtime finds."""
    kind = np.float64 if precise else np.float32
    given = {COLUMNS: cases.inputs.astype(kind)}
    if cases.memory.shape[1]:
        given[MEMORY] = cases.memory.astype(kind)
    session = open_session(content)
    names = {one.name for one in session.get_inputs()}
    fed = {name: value for name, value in given.items() if name in names}
    return session.run([TENDENCIES], fed)[0].astype(float)


def _prove(held: Container, ready: Prepared) -> dict[str, Any]:
    import onnxruntime

    precision = "double" if held.precise else "single"
    cases = ready.double if held.precise else ready.single
    allowed = tolerances(held)[precision]
    found = run_onnx(to_onnx(held), cases, precise=held.precise)
    largest = difference(found, cases.tendencies)
    whole = together(held.operations) > 1  # ONNX Runtime has no convolution in float64
    kind = ValueError if held.precise or whole else SinglePrecisionError
    hold(f"the ONNX graph in {precision} precision", largest, allowed, kind)
    figures: dict[str, Any] = {
        "closura": __version__,
        "cases": len(cases.inputs),
        "wanted_cases": WANTED,
        "states": ready.states,
        "runtime": f"onnxruntime {onnxruntime.__version__}",
        "native": {precision: {"largest": largest, "allowed": allowed}},
        "precise": held.precise,
        "as_trained": difference(ready.double.tendencies, ready.trained.tendencies),
    }
    branches = _check_branches(held, cases)
    return figures | ({"branches": branches} if branches["compared"] else {})


def _check_branches(held: Container, cases: Cases) -> dict[str, int]:
    """Return how many ways down a tree were compared; raise where one ends at another leaf."""
    compared = different = 0
    nothing = np.zeros((len(cases.inputs), 0))
    for numbered, wanted in numbered_leaves(held, cases.inputs):
        exact = replace(numbered, precise=held.precise)
        some = Cases(cases.inputs, nothing, nothing, wanted, nothing)
        found = run_onnx(to_onnx(exact), some, precise=held.precise)
        compared += wanted.size
        different += int(np.sum(found != wanted))
    if different:
        raise (ValueError if held.precise else SinglePrecisionError)(
            f"{different} of {compared} ways down a tree end at another leaf in the ONNX graph; "
            "nothing is written."
        )
    return {"compared": compared, "different": 0}
