"""The gate: what is shipped must equal what was trained, or nothing is written."""

from pathlib import Path
from typing import Any

import numpy as np

from closura import __version__
from closura.export.cases import Cases
from closura.export.container import Container
from closura.export.native import check_branches, compile_driver, find_compiler, run_driver
from closura.export.operations import Trees
from closura.export.reading import read_container
from closura.export.states import WANTED

# Largest difference, relative to the largest value of the same output over the cases.
TOLERANCE = {"double": 1e-12, "single": 1e-5}
TREES = {"double": 1e-6, "single": 1e-6}  # they hold float32 values and branch in float32


def tolerances(container: Container) -> dict[str, float]:
    """Return what is allowed, by precision."""
    branches = any(isinstance(one, Trees) for one in container.operations)
    return dict(TREES if branches else TOLERANCE)


def difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest difference, each output (last axis) relative to its largest value."""
    if wanted.size == 0:
        return 0.0
    scale = np.abs(wanted).max(axis=0)
    apart = np.abs(found - wanted) / np.where(scale > 0, scale, 1.0)
    return float(np.where(np.isfinite(apart), apart, np.inf).max())


def prove(folder: Path, name: str, cases: dict[str, Cases]) -> dict[str, Any]:
    """Return how far the file, and the compiled runtime, are from the closure.

    Args:
        folder: The export folder, with runtime, closure and recorded cases.
        name: Name of the `.closura` file in it.
        cases: What is wanted, by precision.

    Raises:
        SinglePrecisionError: Too far in single precision, and only there.
        ValueError: Too far, or it does not compile or run.
    """
    model = folder / f"{name}.closura"
    held = read_container(model)
    double, allowed = cases["double"], tolerances(held)
    reference = difference(held.predict(double.inputs, double.memory), double.tendencies)
    hold("the file, read in Python,", reference, allowed["double"])
    compiler = find_compiler()
    figures: dict[str, Any] = {
        "closura": __version__,
        "cases": len(double.inputs),
        "wanted_cases": WANTED,
        "compiler": None if compiler is None else Path(compiler).name,
        "reference": {"largest": reference, "allowed": allowed["double"]},
        "native": {},
        "precise": held.precise,
    }
    if compiler is None:
        return figures
    program = compile_driver(compiler)
    sizes = (len(double.inputs), double.tendencies.shape[1], double.memory.shape[1])
    found = run_driver(program, model, folder / "cases.bin", sizes)
    for precision, (tendencies, memory) in found.items():
        wanted = cases[precision]
        largest = max(difference(tendencies, wanted.tendencies), difference(memory, wanted.after))
        kind = SinglePrecisionError if precision == "single" else ValueError
        hold(f"the compiled closure in {precision} precision", largest, allowed[precision], kind)
        figures["native"][precision] = {"largest": largest, "allowed": allowed[precision]}
    branches = check_branches(program, held, double)
    if branches["different"]:
        raise ValueError(
            f"{branches['different']} of {branches['compared']} ways down a tree end at another "
            "leaf in the compiled closure; nothing is written. Try FFLAGS without -ffast-math."
        )
    return figures | ({"branches": branches} if branches["compared"] else {})


class SinglePrecisionError(ValueError):
    """The closure loses more digits in single precision than is allowed."""


def hold(what: str, found: float, allowed: float, kind: type[ValueError] = ValueError) -> None:
    """Raise an error unless a difference is allowed."""
    if not found <= allowed:
        raise kind(
            f"{what} differs from the trained closure by {found:.1e} of an output's largest value, "
            f"wanted {allowed:.0e}; nothing is written."
        )
