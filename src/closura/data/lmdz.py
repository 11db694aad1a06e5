"""What LMDZ's guide module saves, guide_ins.nc, as states and tendencies at the centres."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar

import numpy as np
import xarray as xr

from closura.core.durations import duration
from closura.data.files import find_files
from closura.data.layouts import COLUMNS, AbstractLayout
from closura.data.lmdz_grid_files import Grid, read_grid
from closura.data.lmdz_rates import RATES, increments_a_day
from closura.data.lmdz_states import hybrid_coefficients, read_states
from closura.data.plausible import without_fill
from closura.grids.lmdz_grid import physical_wind, to_centres, u_to_centres, v_to_centres
from closura.grids.lmdz_guide import DAY

WIND, PER_TIME = {"units": "m s-1"}, {"units": "m s-2"}
DIMS = ("time", *COLUMNS)
RECORDS_AT_ONCE = 4  # of a file that is not held in memory: 26 MB a field of 144 x 142 x 79
COMPONENTS = {"u": "eastward", "v": "northward"}
TO_CENTRES = {"u": u_to_centres, "v": v_to_centres}


@dataclass(frozen=True)
class Lmdz(AbstractLayout):
    """LMDZ's guide_ins.nc, written with `guide_sav=y`: what nudging saw and what it added.

    On offer are `u` and `v` [m s-1] before nudging, `u_tendency` and `v_tendency` [m s-2] to add,
    `pressure` [Pa], and every variable of `states`. All of them stand at the centres, as LMDZ's
    physics sees them: winds are half sums of their neighbours, the two poles are left out (winds
    are 0 there in the file), levels run from the top down, latitudes from south to north,
    longitudes eastward from 0.

    The file holds no times: record 0 is the state at `start`. Its increments are covariant, and
    depending on the version of LMDZ `ucov` is given per day or per call of the guide (dyn3dmem),
    which `"measured"` tells from au, ua and u in the same file.

    Args:
        start: Date of the first record, e.g. "1981-01-01"; several files, one each. Times count
            from the first record where it is not given.
        every: Between two records: 24 hours / `iguide_sav`.
        states: Further files of the same instants on the grid of the physics (histins.nc), for
            temperature, humidity, surface pressure.
        ucov: What the file's increments of u are: "measured", "per day" or "per call".
        vcov: The same for v.
        call: Time between two calls of the guide (dtvr * iperiod); needed for "per call".
        calendar: "standard", "noleap", "360_day", as in the model's `calend`.
    """

    inputs: ClassVar = {"u": "u", "v": "v"}
    targets: ClassVar = {"u": "u_tendency", "v": "v_tendency"}

    start: str | tuple[str, ...] | None = None
    every: str | float = "6 hours"
    states: str | tuple[str, ...] | None = None
    ucov: str = "measured"
    vcov: str = "measured"
    call: str | float | None = None
    calendar: str = "standard"

    def __post_init__(self):
        for name in ("ucov", "vcov"):
            if getattr(self, name) not in RATES:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(RATES)}."
                )
        if "per call" in (self.ucov, self.vcov) and self.call is None:
            raise ValueError(
                "increments per call need the time between two calls; add call: 15 minutes (dtvr * "
                "iperiod of LMDZ)."
            )
        if not duration(self.every, name="every") > 0:
            raise ValueError(f"every is {self.every!r}; it must be positive.")

    def beside(self) -> list[Path]:
        return [] if self.states is None else find_files(_listed(self.states))

    def open(
        self, paths: Sequence[Path], wanted: Collection[str], *, lazy: bool = False
    ) -> xr.Dataset:
        starts = self._starts(len(paths))
        parts = []
        for path, start in zip(paths, starts, strict=True):
            file = _guide_file(path, lazy=lazy)
            parts.append(self._read(file, path.name, wanted, start))
            if not lazy:
                file.close()
        whole = parts[0] if len(parts) == 1 else xr.concat(
            parts, "time", data_vars="minimal", coords="minimal", compat="override", join="exact"
        )  # fmt: skip
        missing = [name for name in wanted if name not in whole]
        if missing and self.states is not None:
            whole = whole.merge(read_states(self.beside(), missing, whole, lazy=lazy), join="exact")
        elif missing:
            held = sorted(map(str, whole.data_vars)) + list(_GUIDE)
            near = get_close_matches(missing[0], held, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(
                f"{missing[0]!r} is not in {paths[0].name}; {hint}LMDZ's guide saves "
                f"{', '.join(_GUIDE)}. For temperature and more give the physics' instantaneous "
                "output, states: histins.nc."
            )
        return self._with_hybrid(whole, paths)

    def _with_hybrid(self, whole: xr.Dataset, paths: Sequence[Path]) -> xr.Dataset:
        """Return the Dataset with `ap` [Pa] and `bp` of its levels, where a file has them."""
        found = hybrid_coefficients([*paths, *self.beside()], whole.sizes["level"])
        if found is None:
            return whole
        return whole.assign_coords(ap=("level", found[0]), bp=("level", found[1]))

    def _starts(self, count: int) -> list[str | None]:
        given = _listed(self.start) if self.start is not None else []
        if count > 1 and len(given) != count:
            raise ValueError(
                f"there are {count} files and start names {len(given)} dates; guide_ins.nc holds "
                "no times, so give one date a file, in the same order."
            )
        return list(given) if given else [None]

    def _read(
        self, file: xr.Dataset, name: str, wanted: Collection[str], start: str | None
    ) -> xr.Dataset:
        grid = read_grid(file, name)
        found = {}
        rates = {}
        if {"u_tendency", "v_tendency"} & set(wanted):
            kinds = {"u": self.ucov, "v": self.vcov}
            call = None if self.call is None else duration(self.call, name="call")
            rates = increments_a_day(file, grid, kinds, call, name)
        for variable in wanted:
            if variable in _GUIDE:
                found[variable] = _GUIDE[variable](file, grid, rates)
        times = _times(file.sizes["TIME"], start, self.calendar, duration(self.every))
        return xr.Dataset(found, {"time": times} | grid.coordinates())


def _winds(component: str):
    def read(file: xr.Dataset, grid: Grid, rates: dict[str, float]) -> xr.Variable:
        about = WIND | {"long_name": f"{COMPONENTS[component]} wind before nudging"}
        return _applied(file[component], TO_CENTRES[component], grid, about)

    return read


def _tendencies(component: str):
    def read(file: xr.Dataset, grid: Grid, rates: dict[str, float]) -> xr.Variable:
        length = grid.cu if component == "u" else grid.cv
        factor = rates[component] / DAY

        def convert(covariant: np.ndarray) -> np.ndarray:
            return factor * TO_CENTRES[component](physical_wind(covariant, length))

        about = PER_TIME | {"long_name": f"nudging of the {COMPONENTS[component]} wind, to add"}
        return _applied(file[f"{component}cov"], convert, grid, about)

    return read


def _pressure(file: xr.Dataset, grid: Grid, rates: dict[str, float]) -> xr.Variable:
    about = {"units": "Pa", "long_name": "pressure at the middle of levels"}
    return _applied(file["SP"], to_centres, grid, about)


def _applied(
    variable: xr.DataArray, convert: Callable[[np.ndarray], np.ndarray], grid: Grid, about: dict
) -> xr.Variable:
    """Return a variable moved to the centres and turned; a dask array stays one, unread."""

    def turned(values: np.ndarray) -> np.ndarray:
        return grid.arrange(convert(without_fill(values.astype(np.float64))))

    data = variable.data
    if isinstance(data, np.ndarray):
        return xr.Variable(DIMS, turned(data), about)
    lengths = ((grid.level.size,), (grid.latitude.size,), (grid.longitude.size,))
    chunks = (data.chunks[0], *lengths)
    return xr.Variable(DIMS, data.map_blocks(turned, dtype=float, chunks=chunks), about)


_GUIDE = {
    "u": _winds("u"), "v": _winds("v"),
    "u_tendency": _tendencies("u"), "v_tendency": _tendencies("v"), "pressure": _pressure,
}  # fmt: skip


def _guide_file(path: Path, *, lazy: bool) -> xr.Dataset:
    chunks = {"TIME": RECORDS_AT_ONCE} if lazy else None
    try:
        return xr.open_dataset(path, decode_times=False, engine="netcdf4", chunks=chunks)
    except (OSError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} cannot be read: {line}. Wanted: LMDZ's guide_ins.nc.") from error


def _times(count: int, start: str | None, calendar: str, step: float) -> xr.Variable:
    """Return the times of the records: dates, or seconds since the first where it has none."""
    seconds = step * np.arange(count)
    if start is None:
        return xr.Variable("time", seconds, {"units": "s"})
    try:
        first = xr.date_range(str(start), periods=1, calendar=calendar, use_cftime=True)[0]
    except ValueError as error:
        raise ValueError(
            f"start is {start!r}, which is no date of the calendar {calendar!r}; write for example "
            "1981-01-01 or 1981-01-01 06:00."
        ) from error
    dates = first + np.array([np.timedelta64(round(s), "s").item() for s in seconds])
    if calendar == "standard":
        dates = np.array([np.datetime64(d.isoformat(), "ns") for d in dates])
    return xr.Variable("time", dates)


def _listed(value: str | tuple[str, ...]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
