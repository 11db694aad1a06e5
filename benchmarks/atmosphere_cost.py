"""Part of the benchmark: wall time of a simulated day of the bare atmosphere, single precision."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax

import closura as cl
from benchmarks.measure import Candidate, alternate, cell, print_table, spread

SIZES = (("T21", 8), ("T31", 10), ("T42", 24))
DAY = 86400.0  # [s]


def measure(sizes: Sequence[tuple[str, int]] = SIZES, days: float = 0.5, repeats: int = 3) -> None:
    """Print the time a simulated day takes, and the time to compile it, at each size.

    Args:
        sizes: Truncation and number of sigma levels of each.
        days: Simulated in one call; a whole number of steps at every size.
        repeats: Timed calls of each size.
    """
    candidates, compiled = [], {}
    for resolution, levels in sizes:
        name, model = f"{resolution} L{levels}", cl.PrimitiveEquations(resolution, levels)
        steps = round(days * DAY / model.dt)
        start = model.start(model.initial_state(jax.random.key(0)))
        run = partial(_advance, model, start, steps)
        begin = time.perf_counter()
        run()
        compiled[name] = (model.dt, time.perf_counter() - begin)
        candidates.append(Candidate(name, run, days))
    seconds = alternate(candidates, repeats)
    rows = []
    for name, (dt, first) in compiled.items():
        step = [1e3 * value * dt / DAY for value in seconds[name]]
        day = cell(spread(seconds[name]))
        rows.append((name, f"{dt:g}", day, cell(spread(step)), f"{first:.1f}"))
    head = ("size", "dt [s]", "s per simulated day", "ms per step", "first call [s]")
    print_table("A day of the bare atmosphere, single precision", head, rows)


def _advance(model: cl.AbstractModel, start: Any, steps: int) -> None:
    jax.block_until_ready(cl.rollout(model, start, steps, every=steps))
