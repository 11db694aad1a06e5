"""A folder that a Fortran model can use: runtime, closure, driver, recorded cases, build files."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import jax

from closura.core.closure import AbstractClosure
from closura.core.learner import Pairs
from closura.data.store import write_json
from closura.export.cases import in_double, record, write_cases
from closura.export.container import write_container
from closura.export.gate import SinglePrecisionError, difference, prove, tolerances
from closura.export.readme import fill, fill_readme
from closura.export.translate import translate

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
    with jax.enable_x64(True), tempfile.TemporaryDirectory() as place:
        container, layout = translate(closure, pairs[0], missing=missing, source=source)
        double = record(in_double(closure), layout, pairs)
        single = record(in_double(closure), layout, pairs, single=True)
        trained = record(closure, layout, pairs)
        built = Path(place) / "export"
        built.mkdir()
        _write_runtime(built, name)
        model = built / f"{name}.closura"
        write_container(model, container)
        allowed = tolerances(container)
        write_cases(built / "cases.bin", double, single, (allowed["single"], allowed["double"]))
        cases = {"double": double, "single": single}
        try:
            figures = prove(built, name, cases)
        except SinglePrecisionError:  # its numbers cancel: columns stay single, sums do not
            write_container(model, replace(container, precise=True))
            figures = prove(built, name, cases)
        figures["as_trained"] = difference(double.tendencies, trained.tendencies)
        write_json(built / "parity.json", figures)
        page = (resources.files("closura.export") / "runtime" / "README.md").read_text()
        (built / "README.md").write_text(fill_readme(page, name, container, layout, figures))
        _move(built, folder)
    return figures


def _write_runtime(folder: Path, name: str) -> None:
    runtime = resources.files("closura.export") / "runtime"
    for file in RUNTIME:
        (folder / file).write_text(fill((runtime / file).read_text(), {"NAME": name}))


def _move(built: Path, folder: Path) -> None:
    """Give a finished folder its name; it appears whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(built, beside)
    try:
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
