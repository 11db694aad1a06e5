"""Learning from more data than memory: columns of LMDZ's size, an epoch from a Zarr store.

Snapshots of 20 306 columns with 79 levels of u, v, T and q teach the tendencies of u and v. The
same network learns from the store, from as many snapshots as memory holds, and in PyTorch.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import closura as cl
from benchmarks.measure import (
    ROOT,
    Spread,
    cell,
    load,
    print_goal,
    print_table,
    run_child,
    spread,
)
from closura.core.lazy import LazyArray
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.core.progress import listen
from closura.learners import samples, supervised
from closura.learners.tables import measure_scaling

COLUMNS, LEVELS, WIDTH, BATCH = 20306, 79, 128, 1024
INPUTS, TARGETS = ("u", "v", "T", "q"), ("du", "dv")
HELD_SNAPSHOTS = 40  # 1.5 GB of samples in single precision
MEMORY, MOST = 1e9, 3e9  # bytes for samples, and for the whole process
EPOCHS = 2  # the first one compiles, the second one counts


def write(path: Path, snapshots: int) -> float:
    """Write random columns and a law of them, a snapshot at a time, and return the seconds."""

    def values(name: str, instant: int) -> np.ndarray:
        if name in TARGETS:
            first, second = (
                values(n, instant) for n in (("u", "v") if name == "du" else ("q", "u"))
            )
            return np.tanh(first) * second
        draw = np.random.default_rng([instant, INPUTS.index(name)])
        return draw.standard_normal((COLUMNS, LEVELS), np.float32)

    def lazy(name: str) -> LazyArray:
        def read(columns: slice, times: slice) -> np.ndarray:
            instants = range(times.start, times.stop)
            return np.stack([values(name, n)[columns] for n in instants], axis=1)

        return LazyArray(read, (COLUMNS, snapshots, LEVELS), np.float32, chunks=(COLUMNS, 1))

    inputs, targets = ({n: lazy(n) for n in names} for names in (INPUTS, TARGETS))
    begin = time.perf_counter()
    cl.save_pairs(path, Pairs(inputs, targets, np.arange(float(snapshots)), Passport("file")))
    return time.perf_counter() - begin


class Timed:
    """Samples that note how long the updates of each epoch take."""

    def __init__(self, inner: Any):
        self.inner, self.seconds, self.processor = inner, [], []

    @property
    def count(self) -> int:
        return self.inner.count

    @property
    def finish(self) -> Any:
        return self.inner.finish

    def parts(self, *arguments: Any) -> Iterator[Any]:
        begin, worked = time.perf_counter(), time.process_time()
        yield from self.inner.parts(*arguments)
        self.seconds.append(time.perf_counter() - begin)
        self.processor.append(time.process_time() - worked)


def train(path: Path, memory: float, snapshots: int | None) -> dict[str, float]:
    """Train the network on a store; return samples a second and the like of the last epoch."""
    pairs = cl.load_pairs(path, lazy=True)
    pairs = pairs if snapshots is None else pairs.at(slice(snapshots))
    timed: list[Timed] = []
    made = supervised.samples_of

    def samples_of(*arguments: Any, **settings: Any) -> Timed:
        timed.append(Timed(made(*arguments, **settings)))
        return timed[0]

    supervised.samples_of = samples_of
    # Columns are standard normal already: a look at a few is enough, and is not what is measured.
    supervised.measure_scaling = lambda features, pairs: measure_scaling(
        features, pairs.at(slice(4))
    )
    heard: list[Any] = []
    learner = cl.Network(
        features=cl.Whole(), width=WIDTH, depth=2, epochs=EPOCHS, batch=BATCH, memory=memory,
        samples_per_epoch=None,
    )  # fmt: skip
    with listen(lambda event, values: heard.append(values)):
        learner.fit(pairs, key=jax.random.key(0))
    held = isinstance(timed[0].inner, samples.Held)
    count = timed[0].count
    return {"rate": count / timed[0].seconds[-1], "processor": timed[0].processor[-1] / count,
            "count": count, "held": held, "loss": heard[-1]["validation"]}  # fmt: skip


def measure(
    *,
    snapshots: int = 120,
    rounds: int = 3,
    folder: str | None = None,
    torch_python: str | None = None,
) -> None:
    """Run each way in a process of its own, in turn, and print the table.

    Args:
        snapshots: Length of the record.
        rounds: How often each way runs.
        folder: Where the store is kept, to be used again; a temporary one if None.
        torch_python: An interpreter that has torch and zarr; PyTorch is left out if None.
    """
    with tempfile.TemporaryDirectory(prefix="closura-benchmark-") as temporary:
        path = Path(folder or temporary) / f"columns_{snapshots}.zarr"
        if not path.is_dir():
            print(f"\nwrote {snapshots} snapshots in {write(path, snapshots):.0f} s", flush=True)
        compare(path, snapshots, rounds, torch_python)


def compare(path: Path, snapshots: int, rounds: int, torch_python: str | None) -> None:
    """Train on the store from it, in memory and in PyTorch, and print rates, memory and goals."""
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    held = min(snapshots, HELD_SNAPSHOTS)
    memory = min(MEMORY, size / 3)  # a store that was scaled down does not fit either
    ways = {
        f"closura, from Zarr ({snapshots} snapshots)": _closura(path, memory, None),
        f"closura, in memory ({held} snapshots)": _closura(path, 1e11, held),
    }
    if torch_python is not None:
        script = ROOT / "benchmarks" / "peers_torch_stream.py"
        ways[f"PyTorch, DataLoader, from Zarr ({snapshots} snapshots)"] = [
            torch_python, str(script), str(path), str(WIDTH), str(BATCH),
        ]  # fmt: skip
    found: dict[str, list[Way]] = {name: [] for name in ways}
    for number in range(rounds):  # each round begins with another way
        names = [*ways][number % len(ways) :] + [*ways][: number % len(ways)]
        for name in names:
            found[name].append(_run(ways[name]))
    print_table(
        f"An epoch of a {4 * LEVELS}-{WIDTH}-{WIDTH}-{2 * LEVELS} network: {COLUMNS} columns a "
        f"snapshot, {size / 1e9:.2f} GB on disk, load {load()}",
        ("way", "1000 samples a second", "µs of the processor a sample", "peak memory, GB"),
        [_row(name, runs) for name, runs in found.items()],
    )
    streamed, kept, *others = found.values()
    peak = max(run.peak for run in streamed)
    print()
    print_goal(f"peak memory at most {MOST / 1e9:.0f} GB", f"{peak / 1e9:.2f}", holds=peak <= MOST)
    share = _over(streamed, kept)
    print_goal("from Zarr at least 0.8 of the rate in memory", cell(share),
               holds=share.median >= 0.8)  # fmt: skip
    for other in others:
        print(f"\nclosura from Zarr over PyTorch from Zarr: {cell(_over(streamed, other))}")


class Way(NamedTuple):
    """One run of one way: samples a second, seconds of the processor a sample, bytes at most."""

    rate: float
    processor: float
    peak: int


def _row(name: str, runs: list[Way]) -> tuple[str, ...]:
    rate, processor = (spread(values) for values in list(zip(*runs, strict=True))[:2])
    peak = max(run.peak for run in runs)
    return name, cell(rate, 1e-3), cell(processor, 1e6), f"{peak / 1e9:.2f}"


def _over(first: list[Way], second: list[Way]) -> Spread:
    """Return the rate of one way over that of another, each taken within a round."""
    return spread(one.rate / other.rate for one, other in zip(first, second, strict=True))


def _closura(path: Path, memory: float, snapshots: int | None) -> list[str]:
    words = [str(path), str(memory), str(snapshots or "")]
    return [sys.executable, "-m", "benchmarks.atmosphere_streaming", *words]


def _run(command: list[str]) -> Way:
    child = run_child(command)
    told = json.loads(child.output.splitlines()[-1])
    return Way(told["rate"], told["processor"], child.peak)


if __name__ == "__main__":
    store, memory_, snapshots_ = sys.argv[1:]
    print(json.dumps(train(Path(store), float(memory_), int(snapshots_) if snapshots_ else None)))
