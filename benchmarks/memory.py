"""Memory and time of the two large things a user does: a long run to disk, and an experiment."""

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Child, print_goal, print_table, run_child

GIGA = 1e9
SIMULATE = """
import jax
jax.config.update("jax_enable_x64", True)
import closura as cl
model = cl.Lorenz96(K=8, F=20.0, dt=0.005)
run = cl.simulate(model, duration={states} * model.dt, key=jax.random.key(0), path="run.zarr")
assert run.sizes["time"] == {states}, run.sizes
"""


def measure(*, states: int = 10_000_000, experiment: bool = True) -> None:
    """Run both in fresh processes and print peak memory, time and size on disk."""
    rows, goals = [], []
    with tempfile.TemporaryDirectory() as folder:
        child = run_child([sys.executable, "-c", SIMULATE.format(states=states)], cwd=Path(folder))
        name = f"`cl.simulate`: {states:,} saved states of Lorenz96(K=8) to Zarr"
        rows.append(_row(name, child, Path(folder)))
        goals.append((f"{name} below 1.5 GB", child.peak, 1.5 * GIGA))
    if experiment:
        with tempfile.TemporaryDirectory() as folder:
            child = run_child([*closura_program(), "run", "lorenz96"], cwd=Path(folder))
            rows.append(_row("`closura run lorenz96`", child, Path(folder)))
            goals.append(("`closura run lorenz96` below 2 GB", child.peak, 2 * GIGA))
    print_table("Memory", ("what", "peak memory, GB", "seconds", "on disk, GB"), rows)
    print()
    for wanted, peak, limit in goals:
        print_goal(wanted, f"{peak / GIGA:.2f} GB", holds=peak < limit)


def _row(name: str, child: Child, folder: Path) -> tuple[str, ...]:
    written = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return name, f"{child.peak / GIGA:.2f}", f"{child.seconds:.1f}", f"{written / GIGA:.2f}"


def closura_program() -> list[str]:
    """Return the command line's program, next to this interpreter if it is there."""
    program = Path(sys.executable).parent / ("closura.exe" if os.name == "nt" else "closura")
    return [str(program)] if program.exists() else [sys.executable, "-m", "closura.cli"]
