"""A U-Net of the whole sphere in the native runtime, as a part of `benchmarks.shipping`."""

import subprocess
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT
from closura.export.container import Container, write_container
from closura.export.unfold import unfold

PROGRAM = ROOT / "benchmarks" / "shipping_grid.f90"
WAYS: dict[str, tuple[list[str], list[str]]] = {
    "no library": ([], []),
    "OpenBLAS": (["-DCLOSURA_BLAS"], ["-lopenblas"]),
}


def measure_natively(
    compiler: Sequence[str],
    build: Path,
    rounds: int,
    container: Container,
    columns: int,
    measure: Callable[[list[Any], int, int], Any],
) -> dict[str, Any]:
    """Return the timings of one sphere, with and without a library.

    Args:
        compiler: The Fortran compiler and its flags.
        build: A folder to compile in.
        rounds: How many calls are timed.
        container: What is timed.
        columns: Number of columns of a sphere.
        measure: Runs a program and reads what it prints.
    """
    model = build / "sphere.closura"
    write_container(model, unfold(container))
    found = {}
    with resources.as_file(resources.files("closura.export") / "runtime") as runtime:
        for name, (switches, libraries) in WAYS.items():
            program = build / f"sphere_{'blas' if libraries else 'plain'}"
            sources = [str(runtime / "closura.F90"), str(PROGRAM)]
            command = [*compiler, "-cpp", *switches, *sources, "-o", str(program)]
            subprocess.run([*command, *libraries], cwd=build, check=True)
            found[f"Fortran, {name}"] = measure([program, model], rounds, columns)
    return found
