"""Statistics of a long run, summed up while it goes by: no more than a block is in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import xarray as xr

from closura.metrics.circulation import cell_weights, ring_of, zonal_spectrum

MEAN, SQUARE, SPECTRUM, GLOBAL = "mean_", "square_", "spectrum_", "global_"
ADDED = "_added"  # ending of the field that holds what a closure added
SHARE = "share_"  # beginning of the name of what a guard did, a number at each instant


@dataclass
class RunningMeans:
    """Means, mean squares and spectra of the fields of a run that arrives piece by piece.

    Means are kept by block of time, so that their sampling error can be told from the blocks; all
    else over the whole run. A piece must lie inside one block.

    Args:
        block: Instants in a block.
    """

    block: int
    _blocks: list[dict[str, xr.DataArray]] = field(default_factory=list)
    _open: dict[str, xr.DataArray] = field(default_factory=dict)
    _filled: int = 0
    _square: dict[str, xr.DataArray] = field(default_factory=dict)
    _spectrum: dict[str, xr.DataArray] = field(default_factory=dict)
    _series: dict[str, list[xr.DataArray]] = field(default_factory=dict)
    _count: int = 0

    def add(self, piece: xr.Dataset) -> None:
        """Take in a stretch of a run, dimensions (time, *dims).

        Raises:
            ValueError: It does not fit into the block that is being filled.
        """
        times = piece.sizes["time"]
        if self._filled + times > self.block:
            raise ValueError(
                f"a piece has {times} instants and its block has room for "
                f"{self.block - self._filled}; cut pieces at the ends of blocks."
            )
        for name in map(str, piece.data_vars):
            values = piece[name].astype("float64")
            total = values.sum("time", skipna=False)
            self._open[name] = self._open.get(name, 0.0) + total
            self._square[name] = self._square.get(name, 0.0) + (values**2).sum("time", skipna=False)
            if not (name.endswith(ADDED) or name.startswith(SHARE)):
                self._describe(name, values)
        self._filled += times
        self._count += times
        if self._filled == self.block:
            self._close()

    @property
    def whole(self) -> int:
        """Number of blocks that are whole."""
        return len(self._blocks)

    def result(self) -> xr.Dataset:
        """Return the statistics of all whole blocks.

        - ``mean_X`` (block, *dims): means over each block
        - ``square_X`` (*dims): mean square over the run
        - ``spectrum_X`` (wave_number): variance along the ring, weighed by area and mass
        - ``global_X`` (time): mean over area and mass at each instant

        Raises:
            ValueError: No block is whole.
        """
        if not self._blocks:
            raise ValueError(
                f"{self._count} instants make no whole block of {self.block}; run longer, or take "
                "shorter blocks."
            )
        found: dict[str, xr.DataArray] = {}
        for name in self._blocks[0]:
            found[MEAN + name] = xr.concat([block[name] for block in self._blocks], "block")
            found[SQUARE + name] = self._square[name] / self._count
        for name, total in self._spectrum.items():
            found[SPECTRUM + name] = total / self._count
        for name, pieces in self._series.items():
            found[GLOBAL + name] = xr.concat(pieces, "time")
        return xr.Dataset(found)

    def _describe(self, name: str, values: xr.DataArray) -> None:
        """Add to the spectrum and to the series of global means."""
        dims = [dim for dim in values.dims if dim != "time"]
        weights = cell_weights(values.isel(time=0))
        self._series.setdefault(name, []).append(values.weighted(weights).mean(dims))
        ring = ring_of(dims)
        if ring is not None:
            total = zonal_spectrum(values, ring) * values.sizes["time"]
            self._spectrum[name] = self._spectrum.get(name, 0.0) + total

    def _close(self) -> None:
        self._blocks.append({name: total / self.block for name, total in self._open.items()})
        self._open, self._filled = {}, 0


def statistics_of(
    run: xr.Dataset, *, block: int, skip: int = 0, variables: Sequence[str] | None = None
) -> xr.Dataset:
    """Return the statistics of a run that is a Dataset, read a block at a time.

    Args:
        run: Dimensions (time, *dims); of a run with members pick one, or take each by itself.
        block: Instants in a block; what is left at the end is not used.
        skip: Instants to leave out at the start.
        variables: Which; all that depend on time if None.

    Raises:
        ValueError: The run is shorter than a block.
    """
    names = [
        str(n) for n in (variables or run.data_vars) if "time" in run[n].dims
    ]  # fmt: skip
    total = RunningMeans(block)
    for first in range(skip, run.sizes["time"] - block + 1, block):
        total.add(run[names].isel(time=slice(first, first + block)).load())
    return total.result()
