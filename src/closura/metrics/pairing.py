"""How a score meets its data: variable by variable, aligned exactly, in the same units."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

Frame = xr.DataArray | xr.Dataset
Dims = str | Iterable[Hashable] | None


def per_variable(
    measure: Callable[..., xr.DataArray],
    over: Dims,
    *,
    independent: bool = False,
    **frames: Frame,
) -> Frame:
    """Apply a measure to arrays, or to each variable of Datasets that hold the same variables.

    The arrays are checked, aligned and turned into float64 on the way. A run that blew up gives
    infinities or NaN in the result, not floating-point warnings.

    Args:
        measure: Called as `measure(*arrays, dims)`, with the dimensions to reduce.
        over: Dimensions to reduce; None is all. A variable of a Dataset that lacks one of them
            is reduced over the others.
        independent: If true, the frames are samples of their own, which need not match along the
            reduced dimensions.
        frames: The forecast, the truth and so on, by the names that error messages use.

    Returns:
        A DataArray, or a Dataset where the frames are Datasets.

    Raises:
        TypeError: If only some of the frames are Datasets.
        ValueError: If variables, units, coordinates or the names in `over` do not match.
    """
    check_kinds(frames)
    available = dict.fromkeys(dim for frame in frames.values() for dim in frame.dims)
    wanted = wanted_dims(over, tuple(available))

    def measured(arrays: Mapping[str, xr.DataArray]) -> xr.DataArray:
        dims = tuple(d for d in wanted if any(d in array.dims for array in arrays.values()))
        _check_units(arrays)
        aligned = align_exactly(arrays, exclude=dims if independent else ())
        with np.errstate(over="ignore", invalid="ignore"):
            return measure(*(a.astype("float64", copy=False) for a in aligned), dims)

    arrays = {key: frame for key, frame in frames.items() if isinstance(frame, xr.DataArray)}
    if arrays:
        return measured(arrays)
    names = next(iter(frames.values()))
    return xr.Dataset(
        {name: measured({key: frame[name] for key, frame in frames.items()}) for name in names}
    )


def align_exactly(
    arrays: Mapping[str, xr.DataArray], exclude: Iterable[Hashable] = ()
) -> tuple[xr.DataArray, ...]:
    """Return the arrays if their coordinates are equal along every dimension they share.

    Raises:
        ValueError: If they are not; xarray alone would drop what does not match.
    """
    try:
        return xr.align(*arrays.values(), join="exact", exclude=exclude, copy=False)
    except ValueError as error:
        sizes = ", ".join(f"{name} {dict(array.sizes)}" for name, array in arrays.items())
        raise ValueError(
            f"Coordinates differ: {sizes}. A score wants equal coordinates along every shared "
            "dimension; select or interpolate one onto the other first "
            "(for rounding in a coordinate: a.assign_coords(time=b.time))."
        ) from error


def choose(setting: Any, name: Hashable) -> Any:
    """Return the part of a setting that belongs to one variable.

    Raises:
        KeyError: If the setting is given by variable and this one is not there.
    """
    if not isinstance(setting, Mapping):
        return setting
    if name not in setting:
        raise KeyError(
            f"No entry for variable {name!r} among {list(setting)}. "
            "Give one for each variable, or a single one for all."
        )
    return setting[name]


def weighted_mean(
    values: xr.DataArray, weights: xr.DataArray | None, dims: tuple[Hashable, ...]
) -> xr.DataArray:
    """Return sum(w x) / sum(w), or the plain mean without weights; any NaN gives NaN.

    Args:
        values: What to average.
        weights: Not negative, any unit, on some of the dimensions of `values`. A NaN in `values`
            counts even where its weight is zero.
        dims: Dimensions to reduce.

    Raises:
        ValueError: If the weights have a dimension or a coordinate that the values lack.
    """
    if weights is None:
        return values.mean(dims, skipna=False)
    foreign = [dim for dim in weights.dims if dim not in values.dims]
    if foreign:
        raise ValueError(
            f"weights vary along {foreign}, but variable {values.name!r} has only "
            f"{list(values.dims)}. Pass a Dataset of weights, one for each variable."
        )
    values, weights = align_exactly({"values": values, "weights": weights})
    weights = weights.astype("float64", copy=False).broadcast_like(values)
    total = weights.sum(dims, skipna=False)
    return (values * weights).sum(dims, skipna=False) / total.where(total != 0.0)


def describe(values: xr.DataArray, long_name: str, units: str | None) -> xr.DataArray:
    """Return the array with these attributes and no others; None leaves the units unsaid."""
    attributes = {"long_name": long_name}
    if units is not None:
        attributes["units"] = units
    return values.drop_attrs(deep=False).assign_attrs(attributes)


def without(dims: Iterable[Hashable], *unwanted: Hashable) -> tuple[Hashable, ...]:
    """Return the dimensions that are not among the unwanted ones."""
    return tuple(dim for dim in dims if dim not in unwanted)


def check_kinds(frames: Mapping[str, object]) -> None:
    """Raise TypeError or ValueError unless all are arrays, or Datasets of the same variables."""
    for name, frame in frames.items():
        if not isinstance(frame, xr.DataArray | xr.Dataset):
            raise TypeError(
                f"{name} is a {type(frame).__name__}; a score wants an xarray DataArray or "
                "Dataset. Wrap it: xr.DataArray(values, dims=...)."
            )
    datasets = {name: set(f) for name, f in frames.items() if isinstance(f, xr.Dataset)}
    if datasets and len(datasets) < len(frames):
        arrays = [name for name in frames if name not in datasets]
        raise TypeError(
            f"{list(datasets)} are Datasets but {arrays} are not. Pass all as Datasets, or pick "
            "one variable of each: forecast['x'], truth['x']."
        )
    if len({frozenset(variables) for variables in datasets.values()}) > 1:
        found = "; ".join(f"{name} has {sorted(map(str, v))}" for name, v in datasets.items())
        raise ValueError(
            f"Datasets hold different variables: {found}. "
            "Select those that all have: forecast[['x', 'y']]."
        )


def wanted_dims(over: Dims, available: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
    """Return the dimensions that `over` names, all if None; ValueError if one is not there."""
    if over is None:
        return available
    wanted = (over,) if isinstance(over, str) else tuple(over)
    unknown = [dim for dim in wanted if dim not in available]
    if unknown:
        raise ValueError(
            f"over names {unknown}, but the data have dimensions {list(available)}. "
            "Name some of these, or leave over=None for all."
        )
    return wanted


def check_dim(array: xr.DataArray, dim: Hashable, argument: str) -> None:
    """Raise ValueError unless the array has this dimension, named by this argument."""
    if dim not in array.dims:
        raise ValueError(
            f"{argument} is {dim!r}, but variable {array.name!r} has dimensions "
            f"{list(array.dims)}. Name one of these, or rename the dimension."
        )


def _check_units(arrays: Mapping[str, xr.DataArray]) -> None:
    units = {key: a.attrs["units"] for key, a in arrays.items() if "units" in a.attrs}
    if len(set(units.values())) > 1:
        name = next(iter(arrays.values())).name
        found = ", ".join(f"{unit!r} in {key}" for key, unit in units.items())
        raise ValueError(
            f"{name!r} has units {found}; a score wants one unit. Convert one of them, "
            "or correct its attrs['units']."
        )
