"""A small closure as Fortran source with its numbers in it: nothing to load, nothing to link."""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from closura import __version__
from closura.core.closure import AbstractClosure
from closura.core.learner import Pairs
from closura.data.store import write_json
from closura.export.cases import write_cases
from closura.export.fortran import write_runtime
from closura.export.gate import TOLERANCE, difference, hold
from closura.export.native import LIMIT, find_compiler, run_driver
from closura.export.prepare import Prepared, prepare, whole_folder
from closura.export.readme import fill, fill_readme
from closura.export.source_text import TEMPLATE, write_module
from closura.export.states import WANTED

STRICT = ("-std=f2008", "-Wall", "-Wextra", "-Werror", "-O1")


def export_source(
    closure: AbstractClosure,
    folder: Path,
    pairs: Sequence[Pairs],
    *,
    name: str,
    missing: str = "report",
    source: str = "",
) -> dict[str, Any]:
    """Write a small closure as one Fortran module, once it is compiled and proved to be the same.

    Args:
        closure: An equation, a polynomial or a very small network.
        folder: A folder that does not exist yet.
        pairs: Recorded pairs: the states of the first ones are repeated.
        name: Name of the module, and of its file.
        missing: What a column with NaN gets: ``"zero"``, or NaN.
        source: Where the closure comes from.

    Returns:
        The figures that are in `parity.json`.

    Raises:
        ValueError: It cannot be written as source, there is no Fortran compiler, or what was
            written differs from what was trained; then nothing is written.
    """
    compiler = find_compiler()
    if compiler is None:
        raise ValueError(
            "source cannot be proved without a Fortran compiler: install gfortran, or set FC."
        )
    module = re.sub("-", "_", name).lower()
    _check_name(module, name)
    with whole_folder(folder) as built:
        ready = prepare(closure, pairs, missing=missing, source=source)
        (built / f"{name}.f90").write_text(write_module(ready.container, module))
        limits = (TOLERANCE["single"], TOLERANCE["double"])
        write_cases(built / "cases.bin", ready.double, ready.single, limits)
        write_runtime(built, name, ("source_driver.f90", "source.mk"))
        driver = fill((built / "source_driver.f90").read_text(), {"MODULE": module})
        (built / "source_driver.f90").unlink()
        (built / "driver.f90").write_text(driver)
        (built / "source.mk").rename(built / "Makefile")
        figures = _prove(compiler, built, name, ready)
        write_json(built / "parity.json", figures)
        page = (resources.files("closura.export") / "runtime" / "source.md").read_text()
        filled = fill_readme(page, name, ready.container, ready.layout, figures)
        (built / "README.md").write_text(fill(filled, {"MODULE": module}))
    return figures


def _check_name(module: str, name: str) -> None:
    """Refuse the name of a module that would clash with a name in the shipped files."""
    driver = (resources.files("closura.export") / "runtime" / "source_driver.f90").read_text()
    code = re.sub(
        r"'[^'\n]*'|![^\n]*|@MODULE@\w*", "", driver + TEMPLATE.replace("@NAME@", "@MODULE@")
    )
    if module in re.findall(r"[a-z]\w*", code.lower()):
        raise ValueError(
            f"{name!r} is a name that the shipped driver uses itself, so it cannot be that of the "
            f"module; export it as {name + '_closure'!r}."
        )


def _prove(compiler: str, built: Path, name: str, ready: Prepared) -> dict[str, Any]:
    """Compile and run what was written; return how far it is from the closure."""
    strict = STRICT if "gfortran" in Path(compiler).name else ("-O1",)
    sources = [str(built / f"{name}.f90"), str(built / "driver.f90")]
    sizes = (len(ready.double.inputs), ready.double.tendencies.shape[1], 0)
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(
            [compiler, *strict, *sources, "-o", "driver"], cwd=place, capture_output=True,
            text=True, timeout=LIMIT, check=False,
        )  # fmt: skip
        if done.returncode:
            said = [line.strip() for line in done.stderr.splitlines() if "rror" in line]
            raise ValueError(f"{compiler} does not compile the source ({said[0]}).")
        driver, cases = Path(place) / "driver", built / "cases.bin"
        found = run_driver(driver, built / f"{name}.f90", cases, sizes)
    figures: dict[str, Any] = {
        "closura": __version__,
        "cases": len(ready.double.inputs),
        "wanted_cases": WANTED,
        "states": ready.states,
        "compiler": Path(compiler).name,
        "native": {},
        "precise": False,
        "as_trained": difference(ready.double.tendencies, ready.trained.tendencies),
    }
    for precision, (tendencies, _) in found.items():
        wanted = ready.double if precision == "double" else ready.single
        largest = difference(tendencies, np.asarray(wanted.tendencies))
        hold(f"the compiled source in {precision} precision", largest, TOLERANCE[precision])
        figures["native"][precision] = {"largest": largest, "allowed": TOLERANCE[precision]}
    return figures
