"""Winds as LMDZ's guide module reads them: u.nc, v.nc, and the levels beside them."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal

import netCDF4
import numpy as np
from jaxtyping import Float

from closura.grids.lmdz_grid import LmdzGrid

# Every netCDF library reads it, and a year of winds is larger than 2 GB.
FORMAT: Literal["NETCDF3_64BIT_OFFSET"] = "NETCDF3_64BIT_OFFSET"
PER_DAY = "m s-1 day-1"
VARIABLES = {"u": "UWND", "v": "VWND"}

Wind = Float[np.ndarray, "level rows lines"]


class GuideWriter:
    """Writes u.nc and v.nc record by record, as LMDZ's defaults want them.

    Levels run from the top down (`guide_invertp=y`), rows from south to north (`guide_inverty=y`),
    meridians from 180 W eastward with the first one repeated. The first record is for the instant
    at which the run begins.

    Args:
        folder: Where to write.
        grid: Of LMDZ.
        level: Pressure of the levels, the top first [Pa].
        hours: Between two records.
    """

    def __init__(
        self, folder: Path, grid: LmdzGrid, level: Float[np.ndarray, "level"], hours: float
    ):
        self.hours = hours
        rows = {"u": grid.latitude_u, "v": grid.latitude_v}
        lines = {"u": grid.longitude_u, "v": grid.longitude_v}
        self._files = {}
        for wind, name in VARIABLES.items():
            file = create(folder / f"{wind}.nc", level, rows[wind], lines[wind])
            made = file.createVariable(name, "f4", ("TIME", "LEVEL", "LAT", "LON"))
            made.units = PER_DAY
            made.long_name = f"tendency of {wind} to add"
            self._files[wind] = file

    def __enter__(self) -> "GuideWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for file in self._files.values():
            file.close()

    def write(self, record: int, winds: Mapping[str, Wind]) -> None:
        """Write one record of both winds.

        Args:
            record: Its number, from 0.
            winds: `u` and `v` at their own points [m s-1 day-1], (level, rows, iim + 1), levels
                from the top down and rows from north to south.
        """
        for wind, file in self._files.items():
            file["TIME"][record] = record * self.hours
            file[VARIABLES[wind]][record] = winds[wind][:, ::-1, :]


def create(
    path: Path,
    level: Float[np.ndarray, "level"],
    rows: Float[np.ndarray, "rows"],
    lines: Float[np.ndarray, "lines"],
) -> netCDF4.Dataset:
    """Return a new file with LMDZ's dimensions, rows turned from south to north."""
    file = netCDF4.Dataset(path, "w", format=FORMAT)
    axes = (("LEVEL", level / 100, "hPa"), ("LAT", rows[::-1], "degrees_north"),
            ("LON", lines, "degrees_east"))  # fmt: skip
    file.createDimension("TIME", None)
    time = file.createVariable("TIME", "f8", ("TIME",))
    time.units, time.long_name = "hours", "time since the run began"
    for name, values, units in axes:
        file.createDimension(name, len(values))
        axis = file.createVariable(name, "f8", (name,))
        axis[:] = values
        axis.units = units
    return file


def write_levels(
    folder: Path, grid: LmdzGrid, level: np.ndarray, ap: np.ndarray, bp: np.ndarray,
    surface_pressure: Float[np.ndarray, "rows lines"], records: int,
) -> None:  # fmt: skip
    """Write apbp.nc and ps.nc, by which LMDZ finds the pressure of the files' levels.

    Args:
        folder: Where to write.
        grid: Of LMDZ.
        level: Pressure of the levels, the top first [Pa].
        ap: First coefficient at the middle of the levels, the top first [Pa].
        bp: Second coefficient.
        surface_pressure: (jjm + 1, iim + 1), rows from north to south [Pa].
        records: Number of records of the winds.
    """
    with netCDF4.Dataset(folder / "apbp.nc", "w", format=FORMAT) as file:
        file.createDimension("LEVEL", len(level))
        for name, values, units in (("AP", ap, "Pa"), ("BP", bp, "1")):
            made = file.createVariable(name, "f8", ("LEVEL",))
            made[:] = values
            made.units = units
    with create(folder / "ps.nc", level, grid.latitude_u, grid.longitude_v) as file:
        made = file.createVariable("SP", "f4", ("TIME", "LAT", "LON"))
        made.units = "Pa"
        for record in range(records):
            made[record] = surface_pressure[::-1]


def read_record(folder: Path, wind: str, record: int) -> Wind:
    """Return a record as LMDZ holds it after reading: surface first, rows from north to south."""
    with netCDF4.Dataset(folder / f"{wind}.nc") as file:
        return np.asarray(file[VARIABLES[wind]][record], np.float64)[::-1, ::-1, :]


def count_records(folder: Path) -> int:
    """Return how many records u.nc holds."""
    with netCDF4.Dataset(folder / "u.nc") as file:
        return len(file.dimensions["TIME"])
