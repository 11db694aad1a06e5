"""Times the network of `benchmarks.shipping` in PyTorch, and prints what `shipping.f90` prints.

python benchmarks/shipping_torch.py NETWORK ROUNDS COLUMNS

NETWORK is an .npz with the arrays that `save_network` writes. It runs in an interpreter of its own,
which needs nothing of closura.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

CLOSE = 1e-5  # of the largest value: what single precision allows


class Shipped(torch.nn.Module):
    """Dense layers with ReLU between them, and the scaling around them."""

    def __init__(self, held: dict[str, np.ndarray]):
        super().__init__()
        count = sum(name.startswith("weights") for name in held)
        layers: list[torch.nn.Module] = []
        for number in range(count):
            weights = torch.tensor(held[f"weights_{number}"].T)
            layer = torch.nn.Linear(weights.shape[1], weights.shape[0])
            layer.weight.data = weights.contiguous()
            layer.bias.data = torch.tensor(held[f"offset_{number}"])
            layers += [layer, torch.nn.ReLU()]
        self.layers = torch.nn.Sequential(*layers[:-1])
        for name in ("centre", "scale", "restore"):
            self.register_buffer(name, torch.tensor(held[name]))

    def forward(self, columns: torch.Tensor) -> torch.Tensor:
        return self.restore * self.layers((columns - self.centre) / self.scale)


def main(network: str, rounds: int, columns: int) -> None:
    """Load the network, check what it computes, and run it on one thread, once untimed."""
    torch.set_num_threads(1)
    begin, idle = time.perf_counter(), time.process_time()
    with np.load(network) as file:
        held = dict(file)
    model = Shipped(held).eval()
    print(time.perf_counter() - begin, time.process_time() - idle)
    with torch.no_grad():
        apart = np.abs(model(torch.tensor(held["columns"])).numpy() - held["tendencies"]).max()
        if apart > CLOSE * np.abs(held["tendencies"]).max():
            raise SystemExit(f"PyTorch computes another network: it differs by {apart:.1e}")
        values = torch.rand(columns, held["columns"].shape[1])
        for _ in range(rounds + 1):
            begin, idle = time.perf_counter(), time.process_time()
            model(values)
            print(time.perf_counter() - begin, 0.0, time.process_time() - idle)
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    print(*(line for line in lines if line.startswith("VmHWM:")))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
