"""The same small network, trained in PyTorch on one thread with batches drawn by index."""

import time
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn


def train(
    training: tuple[np.ndarray, np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray],
    *,
    sizes: Sequence[int],
    epochs: int,
    batch: int,
    learning_rate: float,
    seed: int,
) -> tuple[list[float], float]:
    """Return the seconds of each epoch (validation included) and the lowest held-out loss.

    Args:
        training: Standardised inputs and outputs, (sample, feature) and (sample, output).
        held_out: The same for validation.
        sizes: Values in each layer, inputs and outputs included.
        epochs: Number of passes over the data.
        batch: Samples a mini-batch.
        learning_rate: Step of Adam.
        seed: Randomness of weights and batches.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    inputs, outputs, held_inputs, held_outputs = (
        torch.tensor(np.asarray(a), dtype=torch.float32) for a in (*training, *held_out)
    )
    network = build(sizes)
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
    measure = nn.MSELoss()
    lowest, seconds = float("inf"), []
    for _ in range(epochs):
        begin = time.perf_counter()
        order = torch.randperm(len(inputs))
        for rows in order[: len(inputs) // batch * batch].split(batch):
            optimiser.zero_grad()
            measure(network(inputs[rows]), outputs[rows]).backward()
            optimiser.step()
        with torch.no_grad():
            lowest = min(lowest, measure(network(held_inputs), held_outputs).item())
        seconds.append(time.perf_counter() - begin)
    return seconds, lowest


def build(sizes: Sequence[int]) -> nn.Sequential:
    """Return a perceptron with ReLU between layers, He-normal weights and zero offsets."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layer = nn.Linear(before, after)
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])
