"""Training an 8-16-16-8 network: closura beside PyTorch, both on one thread."""

import time
from statistics import median
from typing import Any

import jax
import numpy as np

import closura as cl
from benchmarks.data import pairs
from benchmarks.measure import cell, print_table, ratios, spread
from closura.core.progress import listen
from closura.learners.tables import measure_scaling, standardise

BATCH, RATE = 1024, 3e-3


def learner(epochs: int) -> Any:
    """Return the recipe: plain Adam at one rate, no early stop, no clipping that bites."""
    return cl.Network(
        features=cl.Whole(), width=16, depth=2, activation="relu", epochs=epochs, batch=BATCH,
        samples_per_epoch=None, learning_rate=RATE, schedule="constant", clip=1e9, patience=epochs,
    )  # fmt: skip


def train_closura(epochs: int, seed: int) -> tuple[list[float], float, float]:
    """Return seconds of each epoch after the first, lowest held-out loss, seconds in all."""
    instants, losses = [], []

    def note(event: str, values: dict[str, Any]) -> None:
        if event == "train":
            instants.append(time.perf_counter())
            losses.append(values["validation"])

    begin = time.perf_counter()
    with listen(note):
        learner(epochs).fit(pairs(), key=jax.random.key(seed))
    return list(np.diff(instants)), min(losses), time.perf_counter() - begin


def train_torch(epochs: int, seed: int) -> tuple[list[float], float]:
    """Return the seconds of each epoch and the lowest held-out loss; raise if torch is missing."""
    from benchmarks import peers_torch

    training, held = pairs().split(0.2, blocks=5)
    features = cl.Whole().bind(pairs())
    scaling = measure_scaling(features, training)
    tables = [standardise(features, part, scaling) for part in (training, held)]
    return peers_torch.train(
        *((table.inputs, table.outputs) for table in tables),
        sizes=(8, 16, 16, 8), epochs=epochs, batch=BATCH, learning_rate=RATE, seed=seed,
    )  # fmt: skip


def measure(*, epochs: int = 20, repeats: int = 5) -> None:
    """Train in turn and print seconds an epoch, compilation and final losses."""
    pairs()
    *_, first = train_closura(epochs, 0)
    seconds: dict[str, list[float]] = {"closura": []}
    losses: dict[str, list[float]] = {"closura": [], "PyTorch": []}
    whole = []
    for seed in range(repeats):
        each, loss, total = train_closura(epochs, seed)
        losses["closura"].append(loss)
        seconds["closura"].append(median(each))
        whole.append(total)
        try:
            each, loss = train_torch(epochs, seed)
            losses["PyTorch"].append(loss)
            seconds.setdefault("PyTorch", []).append(median(each[1:]))
        except ModuleNotFoundError as missing:
            print(f"\n(PyTorch is left out: {missing}; see docs/performance.md)")
            break
    reference = "PyTorch" if "PyTorch" in seconds else "closura"
    rows = [
        (
            name,
            cell(spread(values), 1e3),
            cell(ratios(seconds, name, reference)),
            cell(spread(losses[name])),
        )
        for name, values in seconds.items()
    ]
    print_table(
        f"Training an 8-16-16-8 network: 20 000 samples, batch {BATCH}, {epochs} epochs, one core",
        (
            "who",
            "ms an epoch, with validation",
            f"time over {reference}'s",
            "held-out 1 − R² over seeds",
        ),
        rows,
    )
    print(
        f"\nclosura's first `fit` took {first:.2f} s and later ones {median(whole):.2f} s: "
        f"{first - median(whole):.2f} s went into compilation, once a process."
    )
