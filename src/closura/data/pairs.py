"""Training pairs from a user's own files, and pairs stored and read back."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from closura.core.lazy import LazyArray
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.core.variable import Variable
from closura.data.border import TENDENCY
from closura.data.dates import calendar_of, gaps_in
from closura.data.dimensions import SampleDims
from closura.data.files import Files, elapsed, find_files, open_merged
from closura.data.layouts import AbstractLayout
from closura.data.levels import STANDARD_GRAVITY, pressure_thickness, select_levels
from closura.data.missing import without_missing
from closura.data.places import house_names, places_of, turned_around
from closura.data.plausible import check_no_covariant, check_plausible, without_fill
from closura.data.reading import Reading, Specification, make_readings
from closura.data.stored_pairs import holds_pairs, load_pairs, save_pairs
from closura.data.units import convert_units

__all__ = ["load_pairs", "pressure_thickness", "read_pairs", "save_pairs"]


LOOKED_AT = 4  # samples that are held against what their unit allows
Levels = dict[str, tuple[np.ndarray, str]]


def read_pairs(
    files: Files,
    *,
    inputs: Mapping[str, Specification] | None = None,
    targets: Mapping[str, Specification] | None = None,
    sample: str = "time",
    level: str | Sequence[str] | None = None,
    series: str | Sequence[str] = (),
    static: Mapping[str, Specification] | None = None,
    weights: Mapping[str, Any] | None = None,
    skip: int = 0,
    on_missing: str = "error",
    layout: AbstractLayout | None = None,
    lazy: bool = False,
) -> Pairs:
    """Return pairs from netCDF or Zarr files, in the layout (series, time, *levels).

    Dimensions may come in any order; those of length 1 are dropped.

    Args:
        files: A path, a pattern, a name known to `fetch`, or several of these. Files with
            different variables must have the same samples; files with the same variables follow
            one another. Alone, a folder that `save_pairs` wrote is read back.
        inputs: What a closure shall see: own name to the files' name, or to a mapping (`Reading`)
            of ``variable``, ``units``, ``found``, ``scale``, ``specific_heat``, ``levels``.
        targets: What it shall return, in the same way. Sign: tendency to add.
        sample: Name of the dimension of time (or whatever counts the samples of a record).
        level: Names of the other dimensions that belong to one sample, in order.
        series: Names of dimensions whose points are records of their own, e.g. columns.
        static: Fields that never change and that features may ask for, e.g. the height of the
            ground; named as inputs are.
        weights: How the mass of a level is found: ``variable`` names it, or else arguments of
            `pressure_thickness`; ``levels`` as for a variable.
        skip: Number of samples to leave out at the start, e.g. of a spin-up.
        on_missing: ``"error"``, or ``"drop"`` to leave out samples with missing values.
        layout: What knows a model's own files, e.g. `Lmdz`; inputs, targets and dimensions that
            are not given are then its own.
        lazy: Leave inputs and targets in the files, to be read part by part when they are wanted.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A name, dimension, unit, time or value is not as it should be; the message
            says which, where, and what to do.
    """
    paths = find_files(files)
    if inputs is None and targets is None and len(paths) == 1 and holds_pairs(paths[0]):
        return load_pairs(paths[0], lazy=lazy)
    if layout is not None:
        inputs, targets = inputs or layout.inputs, targets or layout.targets
        sample, level = layout.sample, layout.level if level is None else level
    readings = {
        "inputs": make_readings("inputs", inputs), "targets": make_readings("targets", targets)
    }  # fmt: skip
    if on_missing not in ("error", "drop"):
        raise ValueError(f"on_missing is {on_missing!r}; it must be 'error' or 'drop'.")
    levels = (level,) if isinstance(level, str) else tuple(level or ())
    dims = SampleDims(sample, levels, (series,) if isinstance(series, str) else tuple(series))
    wanted = {r.variable for side in readings.values() for r in side.values()}
    still = make_readings("static", static) if static else {}
    wanted |= _names_in(weights) | {reading.variable for reading in still.values()}
    file = _opened(paths, wanted, dims, layout, skip, lazy=lazy)
    source = ", ".join(path.name for path in paths)
    pairs = _paired(file, readings, dims, weights, source, lazy=lazy)
    pairs = replace(pairs, static=_read_static(file, still, dims))
    return without_missing(pairs, on_missing, file, dims, readings)


def _opened(paths, wanted: set[str], dims, layout, skip: int, *, lazy: bool) -> xr.Dataset:
    """Return the wanted variables, without the samples to leave out."""
    if layout is None:
        check_no_covariant(wanted)
        file = open_merged(paths, sorted(wanted), dims.sample, lazy=lazy)
    else:
        file = layout.open(paths, wanted, lazy=lazy)
    count = file.sizes[dims.sample]
    if not isinstance(skip, int) or not 0 <= skip < count:
        raise ValueError(f"skip is {skip!r} and the files hold {count} samples; leave out fewer.")
    return file.isel({dims.sample: slice(skip, None)})


def _paired(file: xr.Dataset, readings, dims, weights, source: str, *, lazy: bool) -> Pairs:
    """Return what was read as pairs, missing values and all."""
    time, _ = _times(file, dims.sample)
    arrays, variables, lying = _read_all(file, readings, dims, lazy=lazy)
    units = tuple((n, variables[_key(n, readings)].units) for n in readings["targets"])
    dated = dims.sample in file.coords
    return Pairs(
        inputs=arrays["inputs"],
        targets=arrays["targets"],
        time=time,
        passport=Passport(target="file", source=source, units=units),
        variables=variables,
        warnings=_oddities(file, dims),
        weights=_weights(file, weights, dims),
        levels=lying,
        coordinates=places_of(file, dims.levels),
        given=calendar_of(file[dims.sample].values) if dated else {},
    )


def _read_static(file: xr.Dataset, readings: Mapping[str, Reading], dims) -> dict[str, np.ndarray]:
    """Return fields that never change, (*levels)."""
    found = {}
    for name, reading in readings.items():
        array = file[reading.variable]
        if dims.sample in array.dims:
            first, last = array.isel({dims.sample: 0}), array.isel({dims.sample: -1})
            if not np.allclose(first.values, last.values, rtol=0, atol=0, equal_nan=True):
                raise ValueError(
                    f"static.{name}: {reading.variable!r} changes along {dims.sample!r}; read it "
                    "as one of the inputs."
                )
            array = first
        foreign = [str(dim) for dim in array.dims if dim not in dims.levels]
        if foreign:
            raise ValueError(
                f"static.{name}: {reading.variable!r} has dimensions {dict(array.sizes)}; wanted "
                f"are some of {', '.join(dims.levels) or 'none'}. Name {foreign[0]!r} as level=."
            )
        array = array.transpose(*[dim for dim in dims.levels if dim in array.dims])
        found[name] = _in_units(name, array, reading)[0]
    return found


def _oddities(file: xr.Dataset, dims: SampleDims) -> tuple[str, ...]:
    """Return warnings of what is odd in the coordinates, and yet can be used."""
    gaps = gaps_in(file[dims.sample].values, dims.sample) if dims.sample in file.coords else ()
    return (*gaps, *turned_around(file, dims.levels))


def _names_in(weights: Mapping[str, Any] | None) -> set[str]:
    return {value for value in (weights or {}).values() if isinstance(value, str)}


def _times(file: xr.Dataset, sample: str) -> tuple[np.ndarray, str]:
    """Return increasing times as numbers, and their unit."""
    if sample not in file.coords:
        return np.arange(file.sizes[sample], dtype=float), "1"
    time, units = elapsed(file[sample].values)
    late = np.flatnonzero(~(np.diff(time) > 0))
    if late.size:
        place = int(late[0]) + 1
        what = "repeats" if time[place] == time[place - 1] else "comes before"
        raise ValueError(
            f"{sample} does not increase: sample {place} ({file[sample].values[place]}) {what} "
            f"the one before it, in {late.size} places; sort the file by {sample!r} and remove "
            "what is there twice (dataset.sortby, dataset.drop_duplicates)."
        )
    return time, units


def _key(name: str, readings: Mapping[str, Mapping[str, Reading]]) -> str:
    """Return the name that describes a target: its own unless an input has that."""
    return name + TENDENCY if name in readings["inputs"] else name


def _read_all(file, readings, dims, *, lazy) -> tuple[dict, dict[str, Variable], Levels]:
    arrays: dict[str, dict[str, Any]] = {"inputs": {}, "targets": {}}
    variables: dict[str, Variable] = {}
    levels: Levels = {}
    names = house_names(file, dims.levels)
    for side, entries in readings.items():
        for name, reading in entries.items():
            array = dims.arrange(file[reading.variable])
            array = select_levels(array, reading.levels, dims.levels)
            values: Any
            if lazy:
                values, units = _unread(name, file[reading.variable], reading, dims)
            else:
                values, units = _in_units(name, array, reading)
            arrays[side][name] = values
            if reading.found is None:
                check_plausible(name, reading.variable, np.asarray(values[:, :LOOKED_AT]), units)
            key = _key(name, readings) if side == "targets" else name
            about = str(array.attrs.get("long_name", reading.variable))
            variables[key] = Variable(
                key, units, tuple(names[str(d)] for d in array.dims[2:]), about
            )
            heights = [d for d in array.dims[2:] if array.ndim == 3 or names[str(d)] == "level"]
            if heights and heights[0] in array.coords:
                along = array[heights[0]]
                levels[key] = (along.values.astype(float), str(along.attrs.get("units", "")))
    return arrays, variables, levels


def _unread(name: str, raw: xr.DataArray, reading: Reading, dims) -> tuple[LazyArray, str]:
    """Return a variable of the files as pairs hold it, but unread, and its unit."""
    (own,) = dims.series if len(dims.series) == 1 else (None,)

    def found(series: slice, times: slice) -> tuple[np.ndarray, str]:
        picked = {dims.sample: times} | ({own: series} if own in raw.dims else {})
        array = select_levels(dims.arrange(raw.isel(picked)), reading.levels, dims.levels)
        values, units = _in_units(name, array, reading)
        return (values if own in raw.dims else values[series]), units

    first, units = found(slice(None), slice(0, 1))
    stored = {dim: max(lengths) for dim, lengths in raw.chunksizes.items()}
    chunks = (stored.get(own, len(first)), stored.get(dims.sample, 1))
    shape = (len(first), raw.sizes[dims.sample], *first.shape[2:])
    array = LazyArray(lambda s, t: found(s, t)[0], shape, first.dtype, chunks=chunks)
    return array, units


def _in_units(name: str, array: xr.DataArray, reading: Reading) -> tuple[np.ndarray, str]:
    values = without_fill(array.values.astype(np.float64)) * reading.scale
    said = array.attrs.get("units")
    found = reading.found if reading.found is not None else said
    if reading.units is None:
        return values, str(found or "")
    if found is None:
        raise ValueError(
            f"{reading.variable!r} has no units and {name} wants {reading.units!r}; if the values "
            f"are in that unit, say so: {name}: {{variable: {reading.variable}, units: "
            f"{reading.units}, found: {reading.units}}}."
        )
    try:
        converted = convert_units(
            values, str(found), reading.units, specific_heat=reading.specific_heat
        )
    except ValueError as error:
        raise ValueError(
            f"{reading.variable!r} has units {found!r} and {name} wants {reading.units!r}: {error} "
            f"If the file says it wrongly, give the true unit: found: {reading.units}."
        ) from error
    return np.asarray(converted), reading.units


def _weights(file: xr.Dataset, weights: Mapping[str, Any] | None, dims) -> np.ndarray | None:
    """Return the mass of each level [kg m-2], (level,) or (series, time, level)."""
    if weights is None:
        return None
    if len(dims.levels) != 1:
        raise ValueError(
            f"weights need one dimension of levels and level is {list(dims.levels)}; name it."
        )
    settings = dict(weights)
    levels = settings.pop("levels", None)
    if "variable" in settings:
        mass = file[settings["variable"]].astype("float64")
    else:
        mass = pressure_thickness(file, level=dims.levels[0], **settings) / STANDARD_GRAVITY
    mass = select_levels(mass.rename("weights"), levels, dims.levels)
    bad = int((~np.isfinite(mass.values)).sum())
    if bad:
        raise ValueError(
            f"weights: the mass of the levels is missing (NaN or fill value) in {bad} of "
            f"{mass.size} values; repair the file, or give weights that do not change in time."
        )
    if dims.sample not in mass.dims:
        ones = [dim for dim in mass.dims if mass.sizes[dim] == 1 and dim not in dims.levels]
        return mass.squeeze(ones).values
    return dims.arrange(mass).values
