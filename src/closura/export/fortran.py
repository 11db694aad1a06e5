"""A folder that a Fortran model can use: runtime, closure, driver, recorded cases, build files."""

from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from closura.core.closure import AbstractClosure
from closura.core.learner import Pairs
from closura.data.store import write_json
from closura.export.cases import write_cases
from closura.export.container import write_container
from closura.export.gate import SinglePrecisionError, difference, prove, tolerances
from closura.export.prepare import prepare, whole_folder
from closura.export.readme import fill, fill_readme
from closura.export.unfold import unfold

RUNTIME = ("closura.F90", "driver.f90", "Makefile", "CMakeLists.txt", "fpm.toml")


def export_fortran(
    closure: AbstractClosure,
    folder: Path,
    pairs: Sequence[Pairs],
    *,
    name: str,
    missing: str = "report",
    source: str = "",
) -> dict[str, Any]:
    """Write a closure as a folder for Fortran, once it is proved to be the same.

    Args:
        closure: What shall be shipped.
        folder: A folder that does not exist yet.
        pairs: Recorded pairs: the states of the first ones are repeated.
        name: Name of the `.closura` file.
        missing: What happens to columns that are not finite, see `Container`.
        source: Where the closure comes from.

    Returns:
        The figures that are in `parity.json`.

    Raises:
        ValueError: It cannot be shipped, or what is shipped differs from what was trained; then
            nothing is written.
    """
    with whole_folder(folder) as built:
        ready = prepare(closure, pairs, missing=missing, source=source)
        write_runtime(built, name)
        held = unfold(ready.container)
        model, allowed = built / f"{name}.closura", tolerances(held)
        write_container(model, held)
        cases = {"double": ready.double, "single": ready.single}
        limits = (allowed["single"], allowed["double"])
        write_cases(built / "cases.bin", ready.double, ready.single, limits)
        try:
            figures = prove(built, name, cases)
        except SinglePrecisionError:  # its numbers cancel: columns stay single, sums do not
            write_container(model, replace(held, precise=True))
            figures = prove(built, name, cases)
        figures["states"] = ready.states
        figures["as_trained"] = difference(ready.double.tendencies, ready.trained.tendencies)
        write_json(built / "parity.json", figures)
        page = (resources.files("closura.export") / "runtime" / "README.md").read_text()
        filled = fill_readme(page, name, ready.container, ready.layout, figures)
        (built / "README.md").write_text(filled)
    return figures


def write_runtime(folder: Path, name: str, files: Sequence[str] = RUNTIME) -> None:
    """Write runtime and build files, with the name of the closure filled in."""
    runtime = resources.files("closura.export") / "runtime"
    for file in files:
        (folder / file).write_text(fill((runtime / file).read_text(), {"NAME": name}))
