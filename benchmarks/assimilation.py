"""Closura's assimilation beside DAPPER's: `python -m benchmarks.assimilation --dapper PYTHON`.

Prints Markdown tables: filters on the setting sakov2008, a sweep of 64 settings, the LETKF on
grids of 40 to 40 000 points, and the memory of a state of a million numbers. DAPPER keeps its own
environment: name its Python, or have it importable here.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import measure
from benchmarks.measure import ROOT, cell, print_goal, print_table, ratios, spread

PARTS = ("filters", "sweep", "grids", "memory")
PEER = ROOT / "benchmarks" / "peers_dapper.py"
FASTER, SWEEP_FASTER = 10, 30  # goals: times DAPPER's speed
LARGEST = 4e9  # goal: bytes of a run with a million numbers and 20 members
FILTERS = {
    "EnKF": {"members": 40, "inflation": 1.06},
    "ETKF": {"members": 20, "inflation": 1.04, "rotation": True},
    "LETKF": {"members": 10, "radius": 6.0, "inflation": 1.04, "rotation": True},
}
THEIRS = {"members": "N", "inflation": "infl", "rotation": "rot", "radius": "loc_rad"}
LABELS = {
    "EnKF": "EnKF, perturbed observations, N = 40",
    "ETKF": "ETKF, N = 20, rotated",
    "LETKF": "LETKF, N = 10, r = 6, rotated",
}
MEMORY = """
import jax, time
jax.config.update("jax_enable_x64", True)
import closura as cl
model = cl.Lorenz96(K={size}, F=8.0, dt=0.05)
truth = cl.simulate(model, duration=1.0, every=0.05, key=jax.random.key(0))
network = cl.Observe(variables=("X",), every=0.05, stride={stride}, noise=1.0)
twin = cl.observe(truth, network, key=jax.random.key(1)).between(0.0, 0.07)
solver = cl.{solver}
begin = time.perf_counter()
found = cl.assimilate(model, twin, solver, truth=truth, key=jax.random.key(2))
assert found.analysis_rmse.item() < found.forecast_rmse.item()
print("seconds", time.perf_counter() - begin)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run the parts that it asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.assimilation", description=__doc__)
    parser.add_argument("--dapper", metavar="PYTHON", help="a Python that has DAPPER")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    chosen = parser.parse_args(arguments)
    os.environ.update(measure.ONE_THREAD)
    import jax

    jax.config.update("jax_enable_x64", True)
    print(f"Measured by `{_command(chosen)}` on {measure.machine()}.")
    print(f"Load averages before it began: {measure.load()}.", flush=True)
    parts = [chosen.only] if chosen.only else PARTS
    peer = start_peer(chosen.dapper) if {"filters", "sweep"} & set(parts) else None
    for part in parts:
        {
            "filters": lambda: measure_filters(
                peer, **({"cycles": 20, "repeats": 1} if chosen.quick else {})
            ),
            "sweep": lambda: measure_sweep(
                peer, **({"cycles": 20, "repeats": 1} if chosen.quick else {})
            ),
            "grids": lambda: measure_grids(
                **({"sizes": (40, 80), "repeats": 1} if chosen.quick else {})
            ),
            "memory": lambda: measure_memory(**({"size": 10_000} if chosen.quick else {})),
        }[part]()
    print(f"\nLoad averages after it: {measure.load()}.")
    return 0


class Peer:
    """A process with DAPPER that answers one order after the other."""

    def __init__(self, python: str):
        self.process = subprocess.Popen(
            [python, str(PEER)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._answer()

    def run(self, name: str, cycles: int, *, statistics: bool, **settings: Any) -> list[float]:
        """Return seconds, and the error of the analysis (NaN without statistics)."""
        assert self.process.stdin is not None
        theirs = {
            THEIRS[setting]: value for setting, value in settings.items() if setting in THEIRS
        }
        seed = settings.get("seed", 3000)
        order = {"filter": name, "settings": theirs, "cycles": cycles, "statistics": statistics}
        self.process.stdin.write(json.dumps(order | {"seed": seed}) + "\n")
        self.process.stdin.flush()
        return [float(word) for word in self._answer().split()]

    def _answer(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("=> "):
                return line.removeprefix("=> ")
        raise RuntimeError("DAPPER's process ended; run benchmarks/peers_dapper.py by hand.")


def start_peer(python: str | None) -> Peer | None:
    """Return a process that has DAPPER, or None and a line that says why."""
    asked = python or sys.executable
    found = subprocess.run(
        [asked, "-c", "import importlib.metadata as m; print(m.version('dapper'))"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if found.returncode:
        print(f"\n(DAPPER is left out: {asked} has none; name one that has: --dapper PYTHON)")
        return None
    print(f"\nDAPPER {found.stdout.strip()}, without progress bars and plots.", flush=True)
    return Peer(asked)


def twin(points: int, cycles: int, *, stride: int = 1) -> tuple[Any, Any, Any]:
    """Return Lorenz-96, its truth and observations of deviation 1 at every step."""
    import jax

    import closura as cl

    model = cl.Lorenz96(K=points, F=8.0, dt=0.05)
    key = jax.random.key(0)
    truth = cl.simulate(model, duration=max(cycles, 40) * 0.05, spinup=10.0, every=0.05, key=key)
    network = cl.Observe(variables=("X",), every=0.05, stride=stride, noise=1.0)
    seen = cl.observe(truth, network, key=jax.random.key(1))
    return model, truth, seen.between(0.0, (cycles + 0.5) * 0.05)


def cycles_of(name: str, model: Any, truth: Any, seen: Any) -> Any:
    """Return a function that runs the compiled cycles, as `assimilate` does, and the error."""
    import jax
    import numpy as np

    import closura as cl
    from closura.core.assimilate import run_cycles
    from closura.core.problem import Background
    from closura.core.rollout import member_keys, start_members
    from closura.models.lorenz96 import Lorenz96State

    places = model.places["X"]
    count = seen.sizes[1]
    at = places[:: len(places) // count]
    exact = truth.X.values[0]
    solver = getattr(cl, name)(**FILTERS[name])
    solver = solver.prepare(Background(exact.T[:, :5], places, at, model.periods))
    keys = member_keys(jax.random.key(2), solver.members)
    noise = np.random.default_rng(0).normal(size=(len(places), solver.members))
    start = start_members(model, keys, states=Lorenz96State(exact[0][:, None] + 0.3 * noise))

    def run() -> float:
        cycles, _ = run_cycles(model, start, seen, solver, keys=keys, key=jax.random.key(3))
        error = np.sqrt(((np.asarray(cycles.analysis) - exact[: len(seen.time)]) ** 2).mean(axis=1))
        return float(error[len(error) // 2 :].mean())

    return run


def measure_filters(peer: Peer | None, *, cycles: int = 400, repeats: int = 5) -> None:
    """Run each filter in turn with DAPPER's and print microseconds a cycle."""
    model, truth, seen = twin(40, cycles)
    rows, goals = [], []
    for name, label in LABELS.items():
        errors: dict[str, float] = {}
        run = cycles_of(name, model, truth, seen)
        begin = time.perf_counter()
        run()
        first = time.perf_counter() - begin
        seconds: dict[str, list[float]] = {}
        for _ in range(repeats):
            begin = time.perf_counter()
            errors["closura"] = run()
            seconds.setdefault("closura", []).append((time.perf_counter() - begin) / cycles)
            for who, statistics in (("DAPPER", True), ("DAPPER, no statistics", False)):
                if peer is not None:
                    took, error = peer.run(name, cycles, statistics=statistics, **FILTERS[name])
                    seconds.setdefault(who, []).append(took / cycles)
                    errors[who] = error
        for who, values in seconds.items():
            over = cell(ratios(seconds, who, "closura"))
            rate, least = f"{1 / min(values):,.0f}", f"{1e6 * min(values):.0f}"
            compiled = f"{first - cycles * min(values):.1f}" if who == "closura" else ""
            error = f"{errors[who]:.3f}" if errors[who] == errors[who] else ""
            rows.append((label, who, rate, least, cell(spread(values), 1e6), over, error, compiled))
            if who != "closura":
                goals.append(
                    (
                        f"{name}: {FASTER} times as fast as {who}",
                        min(values) / min(seconds["closura"]),
                    )
                )
    head = ("filter", "who", "cycles a second, best", "best µs a cycle", "median (range)",
            "time over closura's", "error", "compiling, s")  # fmt: skip
    print_table(
        f"Filters on sakov2008: 40 variables, {cycles} cycles, {repeats} rounds", head, rows
    )
    print()
    for wanted, found in goals:
        print_goal(wanted, f"{found:.1f} times, best against best", holds=found >= FASTER)


def measure_sweep(peer: Peer | None, *, cycles: int = 400, repeats: int = 3) -> None:
    """Run 16 inflations by 4 seeds of the ETKF in one sweep, and one after the other in DAPPER."""
    import jax
    import numpy as np

    import closura as cl

    model, truth, seen = twin(40, cycles)
    inflations = np.round(np.linspace(1.0, 1.15, 16), 2).tolist()
    solver = cl.ETKF(members=20, rotation=True)

    def run() -> float:
        begin = time.perf_counter()
        cl.sweep(
            model, seen, solver, grid={"inflation": inflations}, seeds=(0, 1, 2, 3), truth=truth,
            key=jax.random.key(4),
        )  # fmt: skip
        return time.perf_counter() - begin

    first = run()
    seconds: dict[str, list[float]] = {"closura": [run() for _ in range(repeats)]}
    if peer is not None:
        for who, statistics in (("DAPPER", True), ("DAPPER, no statistics", False)):
            total = 0.0
            for seed in range(4):
                for inflation in inflations:
                    settings = {"members": 20, "inflation": inflation, "rotation": True}
                    total += peer.run(
                        "ETKF", cycles, statistics=statistics, seed=3000 + seed, **settings
                    )[0]
            seconds[who] = [total]
    best = min(seconds["closura"])
    rows = [
        (
            who,
            cell(spread(values)),
            f"{64 * cycles / min(values):,.0f}",
            f"{min(values) / best:.1f}",
        )
        for who, values in seconds.items()
    ]
    print_table(
        f"64 settings of the ETKF, N = 20: 16 inflations by 4 seeds, {cycles} cycles each",
        ("who", "seconds", "cycles a second, best", "time over closura's best"),
        rows,
    )
    print(f"\nThe first sweep took {first:.1f} s: {first - best:.1f} s went into compilation.\n")
    for who, values in seconds.items():
        if who != "closura":
            found = min(values) / best
            wanted = f"the sweep {SWEEP_FASTER} times as fast as 64 runs of {who}"
            print_goal(wanted, f"{found:.1f} times", holds=found >= SWEEP_FASTER)


def measure_grids(*, sizes: Sequence[int] = (40, 400, 4000, 40_000), repeats: int = 3) -> None:
    """Time the LETKF on longer and longer rings of one density of observations."""
    rows, each = [], {}
    for size in sizes:
        cycles = max(2, min(200, 16_000 // size))
        begin = time.perf_counter()
        run = cycles_of("LETKF", *twin(size, cycles))
        setting_up = time.perf_counter() - begin
        run()
        seconds = []
        for _ in range(repeats):
            begin = time.perf_counter()
            run()
            seconds.append((time.perf_counter() - begin) / cycles)
        each[size] = min(seconds) / size
        rows.append(
            (
                f"{size:,}",
                cell(spread(seconds), 1e3),
                f"{1e6 * each[size]:.1f}",
                f"{setting_up:.1f}",
            )
        )
    print_table(
        "LETKF, N = 10, r = 6, every point observed, on rings of growing length",
        ("points", "ms a cycle", "best µs a point and cycle", "truth and neighbours, s"),
        rows,
    )
    print()
    growth = each[sizes[-1]] / each[sizes[1]]
    wanted = f"cost a point at {sizes[-1]:,} points at most 1.5 times that at {sizes[1]:,}"
    print_goal(wanted, f"{growth:.2f} times", holds=growth <= 1.5)


def measure_memory(*, size: int = 1_000_000) -> None:
    """Analyse one time of a large state in fresh processes and print peak memory."""
    settings = {
        "ETKF, every point observed": ("ETKF(members=20)", 1),
        "LETKF, r = 4, every tenth point observed": ("LETKF(members=20, radius=4.0)", 10),
    }
    rows, goals = [], []
    for label, (solver, stride) in settings.items():
        script = MEMORY.format(size=size, solver=solver, stride=stride)
        child = measure.run_child([sys.executable, "-c", script])
        seconds = float(child.output.split("seconds")[-1])
        rows.append((label, f"{child.peak / 1e9:.2f}", f"{seconds:.1f}"))
        goals.append((label, child.peak))
    print_table(
        f"One cycle of a state of {size:,} numbers, 20 members, in a fresh process",
        ("solver", "peak memory, GB", "`cl.assimilate`, s, compiling included"),
        rows,
    )
    print()
    for label, peak in goals:
        print_goal(f"{label} below 4 GB", f"{peak / 1e9:.2f} GB", holds=peak < LARGEST)


def _command(chosen: argparse.Namespace) -> str:
    words = ["python -m benchmarks.assimilation"]
    words += ["--dapper PYTHON"] if chosen.dapper else []
    words += [f"--only {chosen.only}"] if chosen.only else []
    return " ".join(words + ["--quick"] * chosen.quick)


if __name__ == "__main__":
    sys.exit(main())
