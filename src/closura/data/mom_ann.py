"""Networks as MOM6 reads them: the netCDF layout of its module MOM_ANN."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from closura.data.store import read_dataset, write_atomically

MOST_LAYERS = 10  # matrices A0 to A9: MOM_ANN writes the number with one digit


class MomNetwork(NamedTuple):
    """Linear layers with a ReLU after each but the last, and a test that MOM6 repeats at its start.

    Args:
        weights: One matrix (inputs, outputs) a layer.
        offsets: One vector (outputs,) a layer.
        input_means: Subtracted from the inputs.
        input_norms: The inputs are then divided by these.
        output_means: Added to the outputs at the end.
        output_norms: The outputs are multiplied by these before.
        x_test: One column of inputs.
        y_test: What the network makes of it.
    """

    weights: tuple[np.ndarray, ...]
    offsets: tuple[np.ndarray, ...]
    input_means: np.ndarray
    input_norms: np.ndarray
    output_means: np.ndarray
    output_norms: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    def predict(self, columns: np.ndarray) -> np.ndarray:
        """Return outputs (column, output), computed in the order of MOM_ANN."""
        values = (columns - self.input_means) * (1.0 / self.input_norms)
        for number, (weights, offset) in enumerate(zip(self.weights, self.offsets, strict=True)):
            values = offset + values @ weights
            if number + 1 < len(self.weights):
                values = np.maximum(values, 0.0)
        return values * self.output_norms + self.output_means


def write_mom_network(path: str | Path, network: MomNetwork, about: dict[str, str]) -> None:
    """Write a network as netCDF, in double precision.

    Fortran reads A0 as (outputs, inputs), so its dimensions in the file are (inputs, outputs).

    Args:
        path: The file.
        network: What is written.
        about: Global attributes.

    Raises:
        ValueError: It has more layers than MOM_ANN can name.
    """
    if len(network.weights) > MOST_LAYERS:
        raise ValueError(
            f"the network has {len(network.weights)} layers, and MOM_ANN reads at most "
            f"{MOST_LAYERS}; learn a shallower one."
        )
    sizes = [len(network.input_means), *(len(offset) for offset in network.offsets)]
    numbers: dict[str, tuple] = {
        "num_layers": (("one",), np.array([len(sizes)], np.int32)),
        "layer_sizes": (("num_layers_",), np.array(sizes, np.int32)),
    }
    for number, (weights, offset) in enumerate(zip(network.weights, network.offsets, strict=True)):
        rows, columns = f"size{number}", f"size{number + 1}"
        numbers[f"A{number}"] = ((rows, columns), np.asarray(weights, np.float64))
        numbers[f"b{number}"] = ((columns,), np.asarray(offset, np.float64))
    last = f"size{len(network.weights)}"
    for name in ("input_means", "input_norms", "x_test"):
        numbers[name] = (("size0",), np.asarray(getattr(network, name), np.float64))
    for name in ("output_means", "output_norms", "y_test"):
        numbers[name] = ((last,), np.asarray(getattr(network, name), np.float64))
    plain = {name: {"_FillValue": None} for name in numbers}
    with write_atomically(path) as temporary:
        file = xr.Dataset(numbers, attrs=about)
        file.to_netcdf(temporary, engine="netcdf4", format="NETCDF3_64BIT", encoding=plain)


def read_mom_network(path: str | Path) -> MomNetwork:
    """Return a network that `write_mom_network` wrote."""
    held = read_dataset(path)
    count = int(held["num_layers"].values.ravel()[0]) - 1
    named = {
        name: held[name].values for name in MomNetwork._fields if name not in ("weights", "offsets")
    }
    return MomNetwork(
        tuple(held[f"A{number}"].values for number in range(count)),
        tuple(held[f"b{number}"].values for number in range(count)),
        **named,
    )
