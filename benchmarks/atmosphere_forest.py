"""A random forest of columns: 16 trees of depth 13, grown in one process and by two workers."""

import json
import resource
import sys
import time
from typing import Any

import numpy as np

from benchmarks.measure import load, print_table, run_child
from closura.learners.forest import Growth
from closura.learners.tables import Table

TREES, INPUTS, OUTPUTS = 16, 6, 4
SETTINGS = {"max_depth": 13, "max_leaf_nodes": None, "min_samples_leaf": 5, "max_samples": 0.5}
WORKERS = 2


def grow(columns: int, workers: int) -> dict[str, Any]:
    """Grow the forest and return seconds, nodes, and the largest memory of a worker [bytes]."""
    draw = np.random.default_rng(0)
    inputs = draw.standard_normal((columns, INPUTS), np.float32)
    # A sum: greedy splits see nothing of a product, and trees would stay small.
    outputs = np.tanh(inputs[:, :OUTPUTS]) + 0.5 * inputs[:, 2 : 2 + OUTPUTS].astype(np.float64)
    growth, table = Growth(TREES, SETTINGS, seed=1), Table(inputs, outputs)
    begin = time.perf_counter()
    if workers == 0:
        trees = growth.grow(table, threads=1, cluster=None)
        seconds = time.perf_counter() - begin
    else:
        import distributed

        with distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster:
            begin = time.perf_counter()
            trees = growth.grow(table, threads=1, cluster=cluster.scheduler_address)
            seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {"seconds": seconds, "nodes": sum(len(t.left) for t in trees), "worker": peak}


def measure(*, columns: int = 2_000_000) -> None:
    """Grow the same forest both ways, each in a process of its own, and print time and memory."""
    rows, found = [], []
    for workers in (0, WORKERS):
        child = run_child(
            [sys.executable, "-m", "benchmarks.atmosphere_forest", str(columns), str(workers)]
        )
        told = json.loads(child.output.splitlines()[-1])
        found.append(told)
        name = f"{workers} Dask workers" if workers else "one process"
        peak = f"{told['worker'] / 1e9:.2f}" if workers else ""
        rows.append((name, f"{told['seconds']:.0f}", f"{child.peak / 1e9:.2f}", peak))
    assert found[0]["nodes"] == found[1]["nodes"]
    print_table(
        f"A forest of {TREES} trees of depth 13: {columns:,} columns of {INPUTS} inputs and "
        f"{OUTPUTS} outputs, load {load()}",
        ("way", "seconds", "peak memory, GB", "of the largest worker, GB"),
        rows,
    )
    print(f"\nThe trees are the same, {found[0]['nodes']:,} nodes.")


if __name__ == "__main__":
    print(json.dumps(grow(*map(int, sys.argv[1:]))))
