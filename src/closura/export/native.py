"""The compiled runtime, called from Python: it repeats cases, and tells which leaves it reaches."""

import atexit
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import numpy as np

from closura.export.cases import Cases, write_cases
from closura.export.compute import compute, reached_leaves
from closura.export.container import Container, write_container
from closura.export.grid import Around
from closura.export.operations import (
    Add,
    Operation,
    Select,
    Trees,
)

SOURCES = ("closura.F90", "driver.f90")
FLAGS = ("-O3", "-march=native")
TREES_AT_ONCE = 64  # whose leaves are told apart: a leaf then has as many values
LIMIT = 600  # [s] for compiling and for each run


def find_compiler() -> str | None:
    """Return the Fortran compiler: `FC`, or gfortran; None if there is none."""
    return shutil.which(os.environ.get("FC") or "gfortran")


@cache
def compile_driver(compiler: str) -> Path:
    """Compile runtime and driver, once a process: they are the same for every closure.

    Raises:
        ValueError: They do not compile; the compiler's first complaint is told.
    """
    build = Path(mkdtemp(prefix="closura-export-"))
    atexit.register(shutil.rmtree, build, ignore_errors=True)
    runtime = resources.files("closura.export") / "runtime"
    for name in SOURCES:
        (build / name).write_text((runtime / name).read_text())
    done = _run([compiler, *FLAGS, *SOURCES, "-o", "driver"], build)
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if "rror" in line]
        raise ValueError(
            f"{compiler} does not compile closura.F90 ({(said or ['no message'])[0]}); set FC to "
            "another Fortran 2008 compiler, or to none to export without running it."
        )
    return build / "driver"


def run_driver(
    program: Path, model: Path, cases: Path, sizes: tuple[int, int, int]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the tendencies and the memory (column, row) that the driver found, by precision.

    Args:
        program: The compiled driver.
        model: A `.closura` file.
        cases: Its recorded cases.
        sizes: Number of cases, of outputs, of remembered values.
    """
    with TemporaryDirectory() as place:
        found = Path(place) / "found.bin"
        files = [str(file.resolve()) for file in (program, model, cases)]
        done = _run([*files, str(found)], Path(place))
        values = np.fromfile(found, "<f8") if found.is_file() else np.zeros(0)
    count, outputs, remembered = sizes
    if len(values) != 2 * count * (outputs + remembered):
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ValueError(f"the compiled closure did not run to its end: {said[0]}.")
    each = np.split(values, 2)
    cut = count * outputs
    return {
        precision: (half[:cut].reshape(count, outputs), half[cut:].reshape(count, remembered))
        for precision, half in zip(("double", "single"), each, strict=True)
    }


def check_branches(program: Path, container: Container, cases: Cases) -> dict[str, int]:
    """Return how many ways down a tree were compared, and how many differ: 0 is wanted.

    The leaves of the trees are replaced by their numbers, one output a tree, and run natively.
    """
    compared = different = 0
    nothing = np.zeros((len(cases.inputs), 0))
    for numbered, wanted in numbered_leaves(container, cases.inputs):
        some = Cases(cases.inputs, nothing, nothing, wanted, nothing)
        with TemporaryDirectory() as build:
            model, recorded = Path(build) / "leaves.closura", Path(build) / "leaves.bin"
            write_container(model, numbered)
            write_cases(recorded, some, some, (1e30, 1e30))  # the driver's verdict is not asked for
            found = run_driver(program, model, recorded, (*wanted.shape, 0))["double"][0]
        compared += wanted.size
        different += int(np.sum(found != wanted))
    return {"compared": compared, "different": different}


def numbered_leaves(
    container: Container, columns: np.ndarray
) -> Iterator[tuple[Container, np.ndarray]]:
    """Give, for each table of trees, a container that returns leaves' numbers, and these.

    Args:
        container: What is shipped.
        columns: Inputs (column, input).
    """
    nothing = np.zeros((len(columns), 0))
    for place, one in enumerate(container.operations):
        if isinstance(one, Trees):
            start = max(
                n for n in range(place) if isinstance(container.operations[n], Select | Around)
            )
            before = container.operations[start:place]
            rows = Add(np.arange(one.inputs))
            panel = compute((*before, rows), columns, one.inputs, nothing)
            for first in range(0, len(one.roots), TREES_AT_ONCE):
                some = _some_trees(one, first, min(first + TREES_AT_ONCE, len(one.roots)))
                wanted = reached_leaves(some, panel).astype(float)
                yield _numbered(container, before, some), wanted


def _some_trees(trees: Trees, first: int, last: int) -> Trees:
    """Return some of the trees as a table of their own, whose leaves have numbers for values."""
    ends = [*trees.roots, len(trees.left)]
    nodes = slice(ends[first], ends[last])
    left, feature = trees.left[nodes] - ends[first], trees.feature[nodes]
    leaf = left == np.arange(len(left))
    numbers = np.where(leaf, np.cumsum(leaf) - 1, feature)
    values = np.arange(leaf.sum(), dtype=np.float32)[:, None]
    roots = trees.roots[first:last] - ends[first]
    return Trees(trees.inputs, roots, numbers, left, trees.threshold[nodes], values, 1.0)


def _numbered(container: Container, before: tuple[Operation, ...], trees: Trees) -> Container:
    """Return a container with one output a tree: the number of the leaf that is reached."""
    count = len(trees.roots)
    leaf = np.flatnonzero(trees.left == np.arange(len(trees.left)))
    owner = np.searchsorted(trees.roots, leaf, side="right") - 1
    values = np.where(owner[:, None] == np.arange(count), np.arange(len(owner))[:, None], 0)
    leaves = replace(trees, values=values.astype(np.float32))
    told = (*before, leaves, Add(np.arange(count)))
    return Container(container.inputs, container.outputs[:1] * count, told)


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False
    )
