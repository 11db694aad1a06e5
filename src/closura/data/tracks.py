"""Files that follow each other in time, opened but not read, and where their times lie."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from closura.core.durations import LENGTHS
from closura.core.model import AbstractModel
from closura.data.files import Files, find_files


class Track(NamedTuple):
    """Files with the same fields, one after the other.

    Attributes:
        names: Fields that they hold.
        pieces: The open files.
        times: Times of all states, dates or numbers.
        units: Unit of the times, where they are numbers.
        time: Name of the dimension of time.
    """

    names: tuple[str, ...]
    pieces: tuple[xr.Dataset, ...]
    times: np.ndarray
    units: str
    time: str

    def load(self, begin: int, end: int) -> xr.Dataset:
        """Return the states from one number to before another, in memory."""
        parts, start = [], 0
        for piece in self.pieces:
            stop = start + piece.sizes[self.time]
            if start < end and begin < stop:
                chosen = slice(max(begin - start, 0), min(end - start, stop - start))
                parts.append(piece.isel({self.time: chosen}).load())
            start = stop
        if len(parts) == 1:
            return parts[0]
        return xr.concat(parts, self.time, join="override", coords="minimal", compat="override")


def open_tracks(
    files: Files | xr.Dataset,
    model: AbstractModel,
    variables: Collection[str] | None,
    rename: Mapping[str, str],
    *,
    time: str,
    member: int,
) -> tuple[list[Track], str]:
    """Return the files in tracks that all have the same times, and their names in words.

    Raises:
        FileNotFoundError: A file is not there.
        ValueError: A field is in no file, or times differ, repeat, go back or have a gap.
    """
    label, opened = _opened(files)
    known = [variable.name for variable in model.variables]
    wanted = known if variables is None else list(variables)
    groups: dict[tuple[str, ...], list[xr.Dataset]] = {}
    for name, dataset in opened:
        dataset = dataset.rename({old: new for old, new in rename.items() if old in dataset})
        if "member" in dataset.dims:
            dataset = dataset.isel(member=member)
        held = tuple(n for n in wanted if n in dataset and time in dataset[n].dims)
        if time not in dataset.coords:
            raise ValueError(
                f"{name} has no coordinate {time!r}; it has {', '.join(map(str, dataset.coords))}."
                " Name it with time=."
            )
        if held:
            groups.setdefault(held, []).append(dataset[list(held)])
    found = {name for names in groups for name in names}
    missing = [name for name in wanted if name not in found]
    if not found or (variables is not None and missing):
        there = sorted({str(n) for _, dataset in opened for n in dataset.data_vars})
        raise ValueError(
            f"{label} holds no {missing[0]!r} that changes with {time!r}; it holds "
            f"{', '.join(there)}. Say what is what with rename={{'name in the file': 'u'}}."
        )
    tracks = [_track(names, pieces, time) for names, pieces in groups.items()]
    for other in tracks[1:]:
        if not np.array_equal(other.times, tracks[0].times):
            raise ValueError(
                f"the files of {', '.join(tracks[0].names)} have {len(tracks[0].times)} times from "
                f"{tracks[0].times[0]} and those of {', '.join(other.names)} {len(other.times)} "
                f"from {other.times[0]}; give files of the same times."
            )
    return tracks, label


def steps_of(track: Track, model: AbstractModel, begin: float | str | None) -> tuple[int, int]:
    """Return the time step of the first state, and the time steps between two.

    Raises:
        ValueError: Times are fewer than two, repeat, go back, have a gap or do not fit the step.
    """
    times = track.times
    if len(times) < 2:
        raise ValueError(f"the series has {len(times)} time; interpolation needs two or more.")
    origin = times[0] if begin is None else _as_time(begin, times)
    since = _in_model_time(times, origin, track, model)
    gaps = np.diff(since)
    usual = float(np.median(gaps))
    wrong = np.flatnonzero(~np.isclose(gaps, usual, rtol=1e-6))
    if wrong.size:
        index = next((i for i in wrong if gaps[i] <= 0), wrong[0])
        what = "repeats" if gaps[index] == 0 else "goes back" if gaps[index] < 0 else "has a gap"
        raise ValueError(
            f"the time axis {what}: {times[index + 1]} follows {times[index]}, and states are "
            f"{usual:g} {model.time_units} apart elsewhere. Sort and complete the files, or give "
            "those before or after."
        )
    every, first = round(usual / model.dt), round(float(since[0]) / model.dt)
    for what, steps, length in (("apart", every, usual), ("after step 0", first, float(since[0]))):
        if abs(steps * model.dt - length) > 1e-6 * model.dt * max(1, abs(steps)):
            raise ValueError(
                f"the states are {length:g} {model.time_units} {what}, no multiple of the time "
                f"step {model.dt:g}; choose a step that divides it."
            )
    if every < 1:
        raise ValueError(f"the times do not increase: {times[0]}, {times[1]}; sort the files.")
    return first, every


def _opened(files: Files | xr.Dataset) -> tuple[str, list[tuple[str, xr.Dataset]]]:
    if isinstance(files, xr.Dataset):
        return "the Dataset", [("the Dataset", files)]
    paths = find_files(files)
    label = ", ".join(path.name for path in paths[:3]) + (" ..." if len(paths) > 3 else "")
    return label, [(path.name, _open(path)) for path in paths]


def _open(path: Path) -> xr.Dataset:
    """Return a file as a lazy Dataset that reads what it is asked for, no more."""
    try:
        if path.is_dir():
            return xr.open_zarr(path, chunks=None, consolidated=False, decode_timedelta=False)
        return xr.open_dataset(path, decode_timedelta=False, cache=False)
    except (OSError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} cannot be read: {line}. Wanted: a netCDF file or Zarr."
        ) from error


def _track(names: tuple[str, ...], pieces: Sequence[xr.Dataset], time: str) -> Track:
    ordered = sorted(pieces, key=lambda piece: piece[time].values[0])
    times = np.concatenate([np.atleast_1d(piece[time].values) for piece in ordered])
    units = str(ordered[0][time].attrs.get("units", ""))
    return Track(names, tuple(ordered), times, units, time)


def _as_time(begin: float | str, times: np.ndarray) -> Any:
    """Return the beginning as a value like the times."""
    dates = np.issubdtype(times.dtype, np.datetime64)
    if dates != isinstance(begin, str):
        wanted = f"a date such as {str(times[0])[:16]!r}" if dates else "a number"
        raise ValueError(f"begin is {begin!r} and the first time is {times[0]}; give {wanted}.")
    if not dates:
        return float(begin)
    try:
        return np.datetime64(begin)
    except ValueError:
        raise ValueError(f"begin is {begin!r}; write the date as '1979-06-01T18:00'.") from None


def _in_model_time(
    times: np.ndarray, origin: Any, track: Track, model: AbstractModel
) -> np.ndarray:
    """Return times since the beginning in the model's unit."""
    if np.issubdtype(times.dtype, np.datetime64):
        _check_seconds(model, "dates")
        return np.asarray((times - origin) / np.timedelta64(1, "s"))
    if times.dtype == object:  # dates of another calendar
        _check_seconds(model, "dates")
        return np.array([(value - origin).total_seconds() for value in times])
    since = times.astype(float) - float(origin)
    units = track.units.partition(" since ")[0].strip()
    if units in ("", model.time_units) or (units == "1" and model.time_units == "1"):
        return since
    length = LENGTHS.get(units.lower(), LENGTHS.get(units.lower().removesuffix("s")))
    if length is None:
        raise ValueError(
            f"the times are in {units!r}, which is no unit of time; wanted {model.time_units!r}."
        )
    _check_seconds(model, f"in {units!r}")
    return since * length


def _check_seconds(model: AbstractModel, what: str) -> None:
    if model.time_units != "s":
        raise ValueError(
            f"the times are {what} and those of {type(model).__name__} are in units of "
            f"{model.time_units!r}; convert them to numbers of these."
        )
