"""A shipped closure on one core: 20 306 columns of 158 values, and a sphere, as in LMDZ.

python -m benchmarks.shipping [--rounds 15] [--quick] [--torch-python PYTHON]

In Fortran natively and through ONNX Runtime, and through ONNX Runtime and PyTorch in Python. What
it prints is Markdown. PYTHON is an interpreter that has torch, if this one has not.
"""

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
from ctypes.util import find_library
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import (
    ROOT,
    cell,
    load,
    machine,
    pin,
    print_goal,
    print_table,
    run_child,
    spread,
)
from benchmarks.shipping_grid import measure_natively
from benchmarks.shipping_models import (
    QUICK,
    VALUES,
    WIDTH,
    Sizes,
    boosted,
    forest,
    image_network,
    network,
    save_network,
)
from closura.export.container import write_container
from closura.export.native import FLAGS, find_compiler
from closura.export.onnx import with_graph
from closura.export.onnx_graph import to_onnx

HEADING = ("who", "ms a call", "of the processor", "ms to load (of the processor)",
           "MB at most, columns included")  # fmt: skip
SESSION = ROOT / "benchmarks" / "shipping_session.py"
NETWORK = f"network {VALUES}-{WIDTH}-{WIDTH}-{VALUES}"
LIBRARIES: dict[str, list[str]] = {
    "plain": [],
    "blas": ["-lopenblas"],
    "onnx": ["libonnxruntime.so.1", "-Wl,-rpath,$ORIGIN"],
}
TORCH = f"{NETWORK}, PyTorch"
NUMBERS = re.compile(r"[\d\s.eE+-]+")
SWITCHES: dict[str, list[str]] = {
    "plain": [],
    "blas": ["-DCLOSURA_BLAS"],
    "onnx": ["-DCLOSURA_ONNX"],
}


class Found(NamedTuple):
    """Seconds of loading, of each call, of bare sgemm beside it, and the largest memory [kB].

    `busy` are the seconds of each call (and `loading_busy` of loading) in which a processor was at
    work on it: all of them on a quiet machine.
    """

    loading: float
    loading_busy: float
    seconds: list[float]
    bare: list[float]
    busy: list[float]
    peak: float


def compile_program(compiler: str, build: Path, way: str) -> Path:
    """Return the compiled program: ``"plain"``, or with ``"blas"`` or ``"onnx"``."""
    names = ["closura_onnx.F90", "closura.F90"] if way == "onnx" else ["closura.F90"]
    with resources.as_file(resources.files("closura.export") / "runtime") as runtime:
        sources = [*(str(runtime / name) for name in names), str(SESSION.with_name("shipping.f90"))]
        switches = [*FLAGS, "-cpp", *SWITCHES[way]]
        command = [compiler, *switches, *sources, "-o", str(build / way), *LIBRARIES[way]]
        subprocess.run(command, cwd=build, check=True)
    return build / way


def link_onnxruntime(build: Path) -> None:
    """Put the library of the Python package where the linker and the program look for it."""
    import onnxruntime

    place = Path(onnxruntime.__file__).parent / "capi"
    (build / "libonnxruntime.so.1").symlink_to(next(place.glob("libonnxruntime.so*")))


def measure(command: list[str | Path], rounds: int, columns: int) -> Found:
    """Return the timings of one model by one program."""
    child = run_child([*map(str, command), str(rounds), str(columns)])
    lines = child.output.splitlines()
    told = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    numbers = [line for line in lines if NUMBERS.fullmatch(line)]  # libraries may warn between
    first, _, *timed = (line.split() for line in numbers)  # the first round is untimed
    seconds, bare, busy = (list(map(float, column)) for column in zip(*timed, strict=True))
    peak = float(told[0]) if told else float("nan")
    return Found(*map(float, first), seconds, bare, busy, peak)


def measure_torch(python: str | None, build: Path, rounds: int, columns: int) -> Found | None:
    """Return the timings of the same network in PyTorch; None where there is no PyTorch."""
    if python is None and importlib.util.find_spec("torch") is None:
        return None
    save_network(network(), build / "network.npz")
    told = [python or sys.executable, SESSION.with_name("shipping_torch.py")]
    return measure([*told, build / "network.npz"], rounds, columns)


def print_figures(found: dict[str, Found], columns: int) -> None:
    """Print the table: wall time, and beside it how much of it a processor was at work."""
    rows = [_row(name, one) for name, one in found.items()]
    bare = next(iter(found.values())).bare
    rows.append(("three bare sgemm", cell(spread(bare), 1e3), "", "", ""))
    if TORCH not in found:
        print(
            "\nThe table has no row for PyTorch: name an interpreter that has it, --torch-python."
        )
    print_table(
        f"{columns} columns of {VALUES} values, single precision, one core",
        HEADING,
        rows,
    )


def _row(name: str, one: Found) -> tuple[str, ...]:
    loading = f"{1e3 * one.loading:.3g} ({1e3 * one.loading_busy:.3g})"
    calls = (cell(spread(some), 1e3) for some in (one.seconds, one.busy))
    return (name, *calls, loading, f"{one.peak / 1e3:.0f}")


def measure_all(
    compiler: str, build: Path, rounds: int, sizes: Sizes, torch_python: str | None
) -> dict[str, Found]:
    """Write the models, compile the programs, and return the timings by name."""
    link_onnxruntime(build)
    plain, blas, graph = (compile_program(compiler, build, way) for way in LIBRARIES)
    grown = f"forest, {sizes.trees} trees, depth {sizes.depth}"
    summed = f"boosted trees, {sizes.rounds} rounds of {VALUES}, depth {sizes.boosted_depth}"
    models = {NETWORK: network(), grown: forest(sizes), summed: boosted(sizes)}
    found = {}
    for number, (name, model) in enumerate(models.items()):
        native, held, alone = (build / f"{number}{end}" for end in (".closura", ".graph", ".onnx"))
        write_container(native, model)
        write_container(held, with_graph(model))
        alone.write_bytes(to_onnx(model))
        if name == NETWORK:  # what trees do is no matter of sgemm
            found[f"{name}, OpenBLAS"] = measure([blas, native], rounds, sizes.columns)
        found[f"{name}, no library"] = measure([plain, native], rounds, sizes.columns)
        found[f"{name}, ONNX in Fortran"] = measure([graph, held], rounds, sizes.columns)
        told = [sys.executable, SESSION, alone]
        found[f"{name}, ONNX in Python"] = measure([*told], rounds, sizes.columns)
        if name == NETWORK:
            torch = measure_torch(torch_python, build, rounds, sizes.columns)
            found |= {} if torch is None else {TORCH: torch}
    return found


def measure_image(compiler: str, build: Path, rounds: int, sizes: Sizes) -> dict[str, Found]:
    """Return the timings of one sphere through a U-Net."""
    model, held = build / "image.onnx", image_network(sizes)
    model.write_bytes(to_onnx(held))
    count = sizes.grid[0] * sizes.grid[1]
    command = (compiler, *FLAGS)
    found = measure_natively(command, build, rounds, held, count, measure)
    return found | {"ONNX in Python": measure([sys.executable, SESSION, model], rounds, count)}


def print_image(found: dict[str, Found], sizes: Sizes) -> None:
    """Print the rows of the U-Net."""
    rows, lines = sizes.grid
    halved = f"{sizes.halvings} halvings, {sizes.width} channels at the finest"
    told = [_row(f"U-Net of {halved}, {name}", one) for name, one in found.items()]
    title = f"A sphere of {rows} x {lines} with {sizes.channels} channels, single precision"
    print_table(f"{title}, one core", HEADING, told)


def print_goals(found: dict[str, Found]) -> None:
    """Print what was wanted, and whether it holds."""
    with_blas = found[f"{NETWORK}, OpenBLAS"]
    ratio = spread(a / b for a, b in zip(with_blas.seconds, with_blas.bare, strict=True))
    print()
    print_goal("with BLAS at most 1.15 of bare sgemm", cell(ratio), holds=ratio.median <= 1.15)
    grown = next(name for name in found if name.startswith("forest"))
    limits = {f"{NETWORK}, no library": 90, f"{NETWORK}, ONNX in Fortran": 60, grown: 100}
    for name, goal in limits.items():
        median = 1e3 * spread(found[name].seconds).median
        print_goal(f"{name} at most {goal} ms", f"{median:.3g} ms", holds=median <= goal)
    native = [one for name, one in found.items() if "ONNX" not in name and name != TORCH]
    slowest = max(native, key=lambda one: one.loading)
    told = f"{slowest.loading:.2g} s at most, {slowest.loading_busy:.2g} s of the processor"
    print_goal("native loading under 0.1 s", told, holds=slowest.loading < 0.1)


def main(rounds: int, sizes: Sizes, torch_python: str | None = None) -> None:
    """Compile, run in turn, and print the tables and the goals.

    Raises:
        SystemExit: A compiler or a library is missing; the line says which.
    """
    compiler = check_parts()
    print(f"Measured on {machine()}. Load averages before it began: {load()}.", flush=True)
    with tempfile.TemporaryDirectory() as place:
        found = measure_all(compiler, Path(place), rounds, sizes, torch_python)
        image = measure_image(compiler, Path(place), rounds, sizes)
    print_figures(found, sizes.columns)
    print_image(image, sizes)
    print_goals(found)


def check_parts() -> str:
    """Return the compiler; raise SystemExit where it or a library is missing."""
    compiler = find_compiler()
    if compiler is None:
        raise SystemExit("benchmarks.shipping needs a Fortran compiler: apt-get install gfortran")
    if find_library("openblas") is None:
        raise SystemExit("benchmarks.shipping needs OpenBLAS: apt-get install libopenblas-dev")
    if any(importlib.util.find_spec(one) is None for one in ("onnx", "onnxruntime")):
        raise SystemExit("benchmarks.shipping needs ONNX Runtime: pip install 'closura[export]'")
    return compiler


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--torch-python", help="an interpreter that has torch")
    chosen = parser.parse_args()
    pin(1)
    if chosen.quick:
        main(2, QUICK, chosen.torch_python)
    else:
        main(chosen.rounds, Sizes(), chosen.torch_python)
