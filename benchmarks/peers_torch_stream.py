"""The same epoch in PyTorch: a DataLoader whose worker reads snapshots from the Zarr store.

Run by itself, by an interpreter that has torch and zarr: PATH WIDTH BATCH.
"""

import json
import os
import resource
import sys
import time

import numpy as np
import torch
import zarr
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

INPUTS, TARGETS = ("u", "v", "T", "q"), ("du", "dv")


class Snapshots(IterableDataset):
    """Snapshots in random order, each as (inputs, targets) of its columns, shuffled."""

    def __init__(self, path: str):
        self.path = path

    def __iter__(self):
        group = zarr.open_group(self.path, mode="r")
        draw = np.random.default_rng(0)
        count = group["u"].shape[1]
        for instant in draw.permutation(count)[: count - count // 5]:  # the rest is held out
            order = draw.permutation(group["u"].shape[0])
            yield tuple(
                torch.from_numpy(np.concatenate([group[n][:, instant] for n in names], 1)[order])
                for names in (INPUTS, TARGETS)
            )


def main(path: str, width: int, batch: int) -> None:
    """Train for one epoch and print the samples a second after the first snapshot.

    The processor's time a sample is that of both processes; the worker's begins with the import.
    """
    torch.manual_seed(0)
    torch.set_num_threads(max(1, (os.cpu_count() or 1) - 1))  # the worker has a core of its own
    group = zarr.open_group(path, mode="r")
    levels = group["u"].shape[-1]
    network = nn.Sequential(
        nn.Linear(4 * levels, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
        nn.Linear(width, 2 * levels),
    )  # fmt: skip
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss = nn.MSELoss()
    begin, worked, count = None, 0.0, 0
    for inputs, targets in DataLoader(Snapshots(path), batch_size=None, num_workers=1,
                                      prefetch_factor=2):  # fmt: skip
        for x, y in zip(inputs.split(batch), targets.split(batch), strict=True):
            optimiser.zero_grad()
            loss(network(x), y).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
        if begin is None:
            begin, worked = time.perf_counter(), time.process_time()
        else:
            count += len(inputs)
    assert begin is not None
    seconds, worked = time.perf_counter() - begin, time.process_time() - worked
    worker = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = (worked + worker.ru_utime + worker.ru_stime) / count
    print(json.dumps({"rate": count / seconds, "processor": processor}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
