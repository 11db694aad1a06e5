"""Closura beside its peers on Lorenz-96: `python -m benchmarks.lorenz96`.

Prints Markdown tables: truth ensembles, training, hybrid steps, memory, start-up. Every part runs
in a process of its own, kept on one core or two, and everything that is compared runs in turn.
"""

import argparse
import importlib
import os
import subprocess
import sys
from collections.abc import Sequence

from benchmarks import measure

PARTS = ("truth", "training", "hybrid", "memory", "start")
TWICE = ("truth",)  # parts that are measured on one core and on two
WHOLE = ("memory", "start")  # parts that use the machine as a user would
QUICK = {
    "truth": {"ensembles": (3,), "sample": 300, "repeats": 2},
    "training": {"epochs": 2, "repeats": 1},
    "hybrid": {"ensembles": (1,), "sample": 40, "repeats": 2},
    "memory": {"states": 100_000, "experiment": False},
    "start": {"repeats": 2},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run the parts that it asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lorenz96", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    parser.add_argument("--cores", type=int, choices=(1, 2), help="on so many cores alone")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.here:
        run_here(chosen.only, chosen.cores, quick=chosen.quick)
        return 0
    print(f"Measured by `{_command(chosen)}` on {measure.machine()}.")
    print(f"Load averages before it began: {measure.load()}.", flush=True)
    codes = [
        run_apart(part, cores, quick=chosen.quick)
        for part in ([chosen.only] if chosen.only else PARTS)
        for cores in _cores(part, chosen.cores)
    ]
    return max(codes)


def run_apart(part: str, cores: int | None, *, quick: bool) -> int:
    """Run one part in a process of its own and return its exit code."""
    command = [sys.executable, "-m", "benchmarks.lorenz96", "--here", "--only", part]
    command += ["--quick"] * quick + (["--cores", str(cores)] if cores else [])
    return subprocess.run(command, env=os.environ | measure.ONE_THREAD, check=False).returncode


def run_here(part: str, cores: int | None, *, quick: bool) -> None:
    """Run one part in this process, pinned first: XLA counts cores when it is loaded."""
    if cores:
        measure.pin(cores)
    settings = dict(QUICK[part]) if quick else {}
    if part in TWICE:
        settings["cores"] = cores
    if part not in WHOLE:
        import jax

        jax.config.update("jax_enable_x64", True)
    try:
        module = importlib.import_module(f"benchmarks.{part}")
    except ModuleNotFoundError as missing:
        print(f"\n({part} is left out: {missing}; pip install -e '.[all,benchmark]')")
        return
    module.measure(**settings)


def _cores(part: str, asked: int | None) -> tuple[int | None, ...]:
    if asked:
        return (asked,)
    if part in TWICE:
        return (1, 2) if (os.cpu_count() or 1) > 1 else (1,)
    return (None,) if part in WHOLE else (1,)


def _command(chosen: argparse.Namespace) -> str:
    words = ["python -m benchmarks.lorenz96"]
    words += [f"--only {chosen.only}"] if chosen.only else []
    words += ["--quick"] if chosen.quick else []
    words += [f"--cores {chosen.cores}"] if chosen.cores else []
    return " ".join(words)


if __name__ == "__main__":
    sys.exit(main())
