"""A ReLU network as the file that MOM6's module MOM_ANN reads, with its embedded self-test."""

from collections.abc import Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from closura import __version__
from closura.core.closure import AbstractClosure
from closura.core.learner import Pairs
from closura.data.mom_ann import MomNetwork, read_mom_network, write_mom_network
from closura.data.store import write_json
from closura.export.cases import Cases
from closura.export.container import Container
from closura.export.gate import TOLERANCE, difference, hold
from closura.export.grid import Around
from closura.export.operations import Add, Dense, Operation, Restore, Select, Standardise
from closura.export.prepare import prepare, whole_folder
from closura.export.readme import fill_readme
from closura.export.states import WANTED

REFUSED = (
    "MOM6 reads one network of dense layers with relu, and {what} cannot be shipped as that; "
    "export it to fortran or onnx."
)


def export_mom6(
    closure: AbstractClosure,
    folder: Path,
    pairs: Sequence[Pairs],
    *,
    name: str,
    missing: str = "report",
    source: str = "",
) -> dict[str, Any]:
    """Write a ReLU network for MOM6, once it is proved to be the same.

    Args:
        closure: A network with relu, or a linear closure.
        folder, pairs, name, source: See `export_fortran`.
        missing: MOM6 has no guard; anything but ``"report"`` is refused.

    Returns:
        The figures that are in `parity.json`.

    Raises:
        ValueError: It cannot be shipped, or what is shipped differs from what was trained; then
            nothing is written.
    """
    if missing != "report":
        raise ValueError(
            f"missing is {missing!r}, but MOM6 has no guard of columns that hold NaN; use report."
        )
    with whole_folder(folder) as built:
        ready = prepare(closure, pairs, missing=missing, source=source)
        network = _network(ready.container, ready.double)
        model = built / f"{name}.nc"
        write_mom_network(model, network, _about(ready.container, source))
        held, allowed = read_mom_network(model), TOLERANCE["double"]
        largest = difference(held.predict(ready.double.inputs), ready.double.tendencies)
        hold("the netCDF file, computed as MOM_ANN does,", largest, allowed)
        figures: dict[str, Any] = {
            "closura": __version__,
            "cases": len(ready.double.inputs),
            "wanted_cases": WANTED,
            "states": ready.states,
            "runtime": "a computation as in MOM_ANN",
            "native": {"double": {"largest": largest, "allowed": allowed}},
            "precise": False,
            "as_trained": difference(ready.double.tendencies, ready.trained.tendencies),
        }
        write_json(built / "parity.json", figures)
        page = (resources.files("closura.export") / "runtime" / "mom6.md").read_text()
        filled = fill_readme(page, name, ready.container, ready.layout, figures)
        (built / "README.md").write_text(filled)
    return figures


def _network(container: Container, cases: Cases) -> MomNetwork:
    """Return a container as MOM6 can hold it, with the case of the largest result as its test."""
    first, *told, last = _one_term(container)
    inputs = len(container.inputs)
    _placed = partial(_place, len(container.outputs))
    centre, scale = np.zeros(inputs), np.ones(inputs)
    restored, widened = np.zeros(len(last.outputs)), np.ones(len(last.outputs))
    if isinstance(told[0], Standardise):
        centre, scale = told[0].centre, told[0].scale
        told = told[1:]
    if isinstance(told[-1], Restore):
        restored, widened = told[-1].centre, told[-1].scale
        told = told[:-1]
    layers = [_dense(one) for one in told]
    bends = [one.activation for one in layers]
    if bends != ["relu"] * (len(bends) - 1) + ["none"]:
        raise ValueError(REFUSED.format(what=f"one with {bends[0]}"))
    order, test = np.argsort(first.inputs), int(np.argmax(np.abs(cases.tendencies).max(axis=1)))
    weights = [one.weights.astype(float) for one in layers]
    offsets = [one.offset.astype(float) for one in layers]
    weights[0] = weights[0][order]
    weights[-1], offsets[-1] = _placed(weights[-1], last), _placed(offsets[-1], last)
    return MomNetwork(
        tuple(weights), tuple(offsets), centre[order], scale[order], _placed(restored, last),
        _placed(widened, last), cases.inputs[test], cases.tendencies[test],
    )  # fmt: skip


def _one_term(container: Container) -> tuple[Any, ...]:
    """Return the operations of a closure of one term that reads and writes everything once."""
    if container.missing != "report":
        raise ValueError(REFUSED.format(what="a Fallback, which MOM6 has no place for,"))
    told = container.operations
    terms = sum(isinstance(one, Select | Around) for one in told)
    if container.memory or terms != 1:
        raise ValueError(REFUSED.format(what="noise or a sum of closures"))
    first, last = told[0], told[-1]
    if isinstance(first, Around):
        raise ValueError(REFUSED.format(what="a neighbourhood of columns"))
    assert isinstance(first, Select) and isinstance(last, Add)
    read = sorted(first.inputs.tolist())
    if read != list(range(len(container.inputs))) or len(told) < 3:
        raise ValueError(REFUSED.format(what="a closure that reads a value twice"))
    return told


def _place(outputs: int, values: np.ndarray, last: Add) -> np.ndarray:
    """Return values (..., row) as (..., output); zero for outputs that are not predicted."""
    found = np.zeros((*values.shape[:-1], outputs))
    found[..., last.outputs] = values
    return found


def _dense(one: Operation) -> Dense:
    if not isinstance(one, Dense):
        what = {"Trees": "a forest", "Polynomial": "a polynomial"}.get(type(one).__name__)
        raise ValueError(REFUSED.format(what=what or f"{type(one).__name__}"))
    return one


def _about(container: Container, source: str) -> dict[str, str]:
    return {
        "title": str(container.about.get("closure", "")),
        "source": f"{source}, closura {__version__}",
        "inputs": ", ".join(f"{one.name} [{one.units}]" for one in container.inputs),
        "outputs": ", ".join(f"{one.name} [{one.units}]" for one in container.outputs),
        "sign": "tendency to add",
    }
