"""A shipped closure in Fortran on one core: 20 306 columns of 158 values, as in LMDZ.

python -m benchmarks.shipping [--rounds 15]
"""

import argparse
import subprocess
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

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
from closura.export.container import Column, Container, write_container
from closura.export.native import FLAGS, find_compiler
from closura.export.operations import Add, Dense, Restore, Select, Standardise, Trees
from closura.nets.mlp import initialise

COLUMNS, VALUES, WIDTH = 20306, 158, 128
TREES, DEPTH = 16, 13


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


def network() -> Container:
    """An MLP 158-128-128-158 with its scaling and training range."""
    layers = initialise(VALUES, VALUES, width=WIDTH, depth=2, activation="relu",
                        key=jax.random.key(0))  # fmt: skip
    bends = ("relu", "relu", "none")
    dense = [
        Dense(np.asarray(weights), np.asarray(offset), bend)
        for weights, offset, bend in zip(layers.weights, layers.offsets, bends, strict=True)
    ]
    number = np.arange(VALUES)
    scaling = Standardise(np.full(VALUES, 0.5), np.full(VALUES, 0.3))
    restore = Restore(np.zeros(VALUES), np.full(VALUES, 2.0))
    return _container((Select(number), scaling, *dense, restore, Add(number)))


def forest() -> Container:
    """Full trees of random splits, 158 outputs in each leaf."""
    draw = np.random.default_rng(0)
    nodes, leaves = 2 ** (DEPTH + 1) - 1, 2**DEPTH
    number = np.arange(nodes)
    leaf = number >= leaves - 1
    roots = nodes * np.arange(TREES)
    feature = [
        np.where(leaf, number - leaves + 1 + tree * leaves, draw.integers(0, VALUES, nodes))
        for tree in range(TREES)
    ]
    left = [np.where(leaf, number, 2 * number + 1) + root for root in roots]
    threshold = draw.uniform(0.2, 0.8, TREES * nodes).astype(np.float32)
    values = draw.normal(size=(TREES * leaves, VALUES)).astype(np.float32)
    trees = Trees(VALUES, roots, np.concatenate(feature), np.concatenate(left), threshold, values,
                  float(TREES))  # fmt: skip
    every = np.arange(VALUES)
    return _container((Select(every), trees, Add(every)))


def _container(operations: tuple[Any, ...]) -> Container:
    columns = tuple(Column(f"x({number})", "1") for number in range(1, VALUES + 1))
    return Container(columns, columns, operations, np.full(VALUES, -1.0), np.full(VALUES, 2.0))


def compile_program(compiler: str, build: Path, *, blas: bool) -> Path:
    """Return the compiled program, with dense layers through OpenBLAS or the runtime's own."""
    with resources.as_file(resources.files("closura.export") / "runtime") as runtime:
        sources = [str(runtime / "closura.F90"), str(ROOT / "benchmarks" / "shipping.f90")]
        program = build / ("blas" if blas else "plain")
        switch = ["-DCLOSURA_BLAS"] if blas else []
        library = ["-lopenblas"] if blas else []
        command = [compiler, *FLAGS, "-cpp", *switch, *sources, "-o", str(program), *library]
        subprocess.run(command, cwd=build, check=True)
    return program


def measure(program: Path, model: Path, rounds: int) -> Found:
    """Return the timings of one model by one program."""
    child = run_child([str(program), str(model), str(rounds)])
    first, _, *lines = child.output.splitlines()  # the first round is untimed
    told = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    timed = [line.split() for line in lines if not line.startswith("VmHWM:")]
    seconds, bare, busy = (list(map(float, column)) for column in zip(*timed, strict=True))
    peak = float(told[0]) if told else float("nan")
    return Found(*map(float, first.split()), seconds, bare, busy, peak)


def torch_seconds(rounds: int) -> list[float] | None:
    """Return the seconds of the same network in PyTorch on one thread; None without PyTorch."""
    try:
        import torch
    except ModuleNotFoundError:
        return None
    import time

    torch.set_num_threads(1)
    layers = [torch.nn.Linear(VALUES, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, WIDTH),
              torch.nn.ReLU(), torch.nn.Linear(WIDTH, VALUES)]  # fmt: skip
    model, values = torch.nn.Sequential(*layers), torch.rand(COLUMNS, VALUES)
    found = []
    with torch.no_grad():
        for _ in range(rounds + 1):
            begin = time.perf_counter()
            2.0 * model((values - 0.5) / 0.3)
            found.append(time.perf_counter() - begin)
    return found[1:]


def print_figures(found: dict[str, Found], torch: list[float] | None) -> None:
    """Print the table: wall time, and beside it how much of it a processor was at work."""
    rows = [
        (
            name,
            cell(spread(one.seconds), 1e3),
            cell(spread(one.busy), 1e3),
            f"{1e3 * one.loading:.3g} ({1e3 * one.loading_busy:.3g})",
            f"{one.peak / 1e3:.0f}",
        )
        for name, one in found.items()
    ]
    bare = next(iter(found.values())).bare
    rows.append(("three bare sgemm", cell(spread(bare), 1e3), "", "", ""))
    if torch is not None:
        rows.append(("network, PyTorch", cell(spread(torch), 1e3), "", "", ""))
    else:
        print("PyTorch is not installed here: the table has no row for it")
    heading = ("who", "ms a call", "of the processor", "ms to load (of the processor)")
    print_table(
        f"{COLUMNS} columns of {VALUES} values, single precision, one core",
        (*heading, "MB at most, columns included"),
        rows,
    )


def main(rounds: int) -> None:
    """Compile, run in turn, and print the table and the goals."""
    compiler = find_compiler()
    if compiler is None:
        raise SystemExit("benchmarks.shipping needs a Fortran compiler: apt-get install gfortran")
    print(f"{machine()}; {COLUMNS} columns, one core; load {load()}")
    with tempfile.TemporaryDirectory() as place:
        build = Path(place)
        write_container(build / "network.closura", network())
        write_container(build / "forest.closura", forest())
        blas, plain = (compile_program(compiler, build, blas=way) for way in (True, False))
        found = {
            "network, OpenBLAS": measure(blas, build / "network.closura", rounds),
            "network, no library": measure(plain, build / "network.closura", rounds),
            f"forest, {TREES} trees, depth {DEPTH}": measure(
                plain, build / "forest.closura", rounds
            ),
        }
    torch = torch_seconds(rounds)
    with_blas, without, grown = found.values()
    print_figures(found, torch)
    ratio = spread(a / b for a, b in zip(with_blas.seconds, with_blas.bare, strict=True))
    print()
    print_goal("with BLAS at most 1.15 of bare sgemm", cell(ratio), holds=ratio.median <= 1.15)
    for name, one, goal in (("without BLAS", without, 90), ("forest", grown, 100)):
        median = 1e3 * spread(one.seconds).median
        print_goal(f"{name} at most {goal} ms", f"{median:.3g} ms", holds=median <= goal)
    slowest = max(one.loading for one in found.values())
    print_goal("loading under 0.1 s", f"{slowest:.2g} s at most", holds=slowest < 0.1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    pin(1)
    main(parser.parse_args().rounds)
