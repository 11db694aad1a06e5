"""Alternating timing, tables that paste into Markdown, and processes that tell their memory."""

import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
PACKAGES = ("jax", "dinosaur", "numpy", "numba", "torch", "scikit-learn", "zarr", "xarray")


class Candidate(NamedTuple):
    """Something to time.

    Attributes:
        name: What the table calls it.
        run: Does the work and returns when it is done.
        work: Units of work in one call, e.g. member-steps.
    """

    name: str
    run: Callable[[], Any]
    work: float


class Spread(NamedTuple):
    """Smallest, median and largest of repeated measurements."""

    least: float
    median: float
    most: float


def spread(values: Iterable[float]) -> Spread:
    """Return the smallest, median and largest value."""
    values = list(values)
    return Spread(min(values), statistics.median(values), max(values))


def alternate(
    candidates: Sequence[Candidate],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return the seconds per unit of work of each candidate, one number a round.

    Every candidate runs once untimed (compilation), then once a round; each round begins with
    another one, so that a disturbance of the machine falls on all of them alike. With
    `time.process_time` as clock, other processes are not counted.
    """
    for candidate in candidates:
        candidate.run()
    seconds: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    for number in range(repeats):
        first = number % len(candidates)
        for candidate in (*candidates[first:], *candidates[:first]):
            begin = clock()
            candidate.run()
            seconds[candidate.name].append((clock() - begin) / candidate.work)
    return seconds


def ratios(seconds: dict[str, list[float]], name: str, reference: str) -> Spread:
    """Return time over the reference's time, each taken within one round."""
    return spread(a / b for a, b in zip(seconds[name], seconds[reference], strict=True))


def cell(values: Spread, scale: float = 1.0, digits: int = 3) -> str:
    """Return ``median (least-most)`` with so many significant digits."""
    least, median, most = (f"{float(f'{scale * v:.{digits}g}'):g}" for v in values)
    return f"{median} ({least}–{most})"


def print_table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table under a heading."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    sys.stdout.flush()


def print_goal(wanted: str, found: str, *, holds: bool) -> None:
    """Print a goal, what was found, and whether it holds."""
    print(f"- goal: {wanted}: {'**held**' if holds else '**missed**'} ({found})", flush=True)


def machine() -> str:
    """Return the processor, its cores and the versions of what is compared, in one line."""
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"no {package}")
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()}; " + ", ".join(versions)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)
    }
    numbers = f"family {found.get('cpu family')}, model {found.get('model')}"
    return f"{found.get('model name', platform.machine())} ({numbers})"


def load() -> str:
    """Return how busy the machine is with other work: its load averages."""
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def pin(cores: int) -> None:
    """Keep this process on its last so many cores; call it before JAX is first used."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])
    else:
        print(f"(this system cannot pin a process to {cores} cores: figures are not pinned)")


class Child(NamedTuple):
    """What a finished process used.

    Attributes:
        seconds: Wall time.
        peak: Largest resident memory [bytes].
        output: What it printed.
    """

    seconds: float
    peak: int
    output: str


def run_child(command: Sequence[str], *, cwd: Path | None = None) -> Child:
    """Run a command and return its time, memory and output; raise if it fails."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=cwd or ROOT, env=os.environ | ONE_THREAD, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout as stream:
        output = stream.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begin
    if process.returncode:
        raise RuntimeError(
            f"{' '.join(command)} ended with {process.returncode}:\n{output[-2000:]}"
        )
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss counts bytes there, kB elsewhere
    return Child(seconds, usage.ru_maxrss * unit, output)
