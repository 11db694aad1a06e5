"""The crossing between States and xarray: names, dimensions, order and units are checked here."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from closura.core.model import AbstractModel
from closura.core.variable import Variable
from closura.data.recording import recorded_variables
from closura.data.units import convert_units, same_unit, tendency_units

TENDENCY = "_tendency"


def to_dataset(
    model: AbstractModel,
    fields: Any,
    *,
    time: Any,
    member: Any = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Return recorded fields as a Dataset with dimensions (member, time, *dims).

    Args:
        model: What the fields belong to; says names, units, dimensions and coordinates.
        fields: NamedTuple or dictionary of arrays ``(time, *dims)``, or ``(time, *dims, member)``
            as `rollout` stacks them. ``"<name>_tendency"`` is a tendency of the variable,
            ``"<name>_before"`` and ``"<name>_added"`` what a recorded term saw and gave.
        time: Times [model.time_units], one per instant.
        member: Numbers of the members; counted from 0 if not given. Where the arrays have no axis
            of members, the Dataset has none.
        attrs: Attributes of the Dataset.

    Raises:
        ValueError: A name is not a variable of the model, or a shape does not fit.
    """
    named = as_dictionary(fields)
    time = np.atleast_1d(np.asarray(time))
    described = describe_variables(model) | recorded_variables(model)
    variables: dict[str, tuple] = {}
    sizes: dict[str, int] = {}
    for name, array in named.items():
        if name not in described:
            raise ValueError(_not_found(name, described, type(model).__name__, "has the variables"))
        dims, values = _arranged(described[name], np.asarray(array), len(time), model)
        about = {"units": described[name].units, "long_name": described[name].long_name}
        variables[name] = (dims, values, about)
        for dim, size in zip(dims, values.shape, strict=True):
            if sizes.setdefault(dim, size) != size:
                raise ValueError(
                    f"{name!r} has {size} points along {dim!r} and another variable has "
                    f"{sizes[dim]}; all must agree."
                )
    coordinates = _coordinates(model, sizes)
    coordinates["time"] = ("time", time, time_attributes(model))
    if "member" in sizes:
        numbers = np.arange(sizes["member"]) if member is None else np.atleast_1d(member)
        coordinates["member"] = ("member", numbers, {"long_name": "ensemble member"})
    return xr.Dataset(variables, coordinates, dict(attrs or {}))


def from_dataset(
    model: AbstractModel,
    dataset: xr.Dataset,
    *,
    time: int = -1,
    member: int | None = None,
    units: Mapping[str, str] | None = None,
) -> Any:
    """Return one instant of a Dataset as a State of the model.

    Dimensions in another order are transposed, a coordinate in reverse is turned round. For a
    model whose fields are not its State (see `AbstractModel.fields`) it returns the fields.

    Args:
        model: Whose variables to read.
        dataset: Holds every variable of the model; may hold more.
        time: Which instant, by position; the last by default.
        member: Which member, by position; None takes all, on the last axis, where there are any.
        units: Units that the file's values have, by variable: they are then converted.

    Raises:
        ValueError: A name, dimension, size, coordinate or unit is not what the model wants.
    """
    template = _template(model)
    for dim, index in (("time", time), ("member", member)):
        if dim in dataset.dims and index is not None:
            dataset = dataset.isel({dim: _position(dim, index, dataset.sizes[dim])})
    found = {
        variable.name: _read(model, variable, dataset, getattr(template, variable.name), units)
        for variable in model.variables
    }
    return type(template)(**found)


def describe_variables(model: AbstractModel) -> dict[str, Variable]:
    """Return the model's variables and their tendencies, by the names that files use."""
    described = {variable.name: variable for variable in model.variables}
    for variable in model.variables:
        name = variable.name + TENDENCY
        units = tendency_units(variable.units, model.time_units)
        about = f"tendency of {variable.long_name}"
        described[name] = Variable(name, units, variable.dims, about)
    return described


def geography(run: xr.Dataset, model: AbstractModel | None = None) -> dict[str, Any]:
    """Return `coordinates` and `static` of the pairs that are made of a run.

    Where the model of the pairs knows its own coordinates they count, for the run may be on
    another grid. Static fields are the variables of the run that have neither time nor member.
    """
    moving = {"time", "member"}
    dims = {str(d) for name in run.data_vars for d in run[name].dims} - moving
    still = [n for n in run.data_vars if run[n].dims and moving.isdisjoint(run[n].dims)]
    found = {dim: run[dim].values for dim in sorted(dims) if dim in run.coords}
    own = {} if model is None else model.coordinates
    return {
        "coordinates": found | {dim: np.asarray(values) for dim, values in own.items()},
        "static": {str(name): run[name].values for name in still},
    }


def time_attributes(model: AbstractModel) -> dict[str, str]:
    """Return the attributes of the coordinate "time" of a run."""
    units = model.time_units
    return {"units": units, "long_name": "time [model time units]" if units == "1" else "time"}


def as_dictionary(fields: Any) -> dict[str, Any]:
    """Return fields by name, from a NamedTuple or a dictionary."""
    return dict(fields) if isinstance(fields, Mapping) else fields._asdict()


def _arranged(
    variable: Variable, array: np.ndarray, times: int, model: AbstractModel
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return dimension names and values with members (if any) first: a view, not a copy."""
    dims = ("time", *variable.dims)
    extra = array.ndim - len(dims)
    if extra not in (0, 1) or array.shape[0] != times:
        raise ValueError(
            f"{variable.name!r} has shape {array.shape}; {type(model).__name__} wants "
            f"({', '.join(dims)}) with {times} times, and members, if any, on the last axis."
        )
    return (("member", *dims), np.moveaxis(array, -1, 0)) if extra else (dims, array)


def _coordinates(model: AbstractModel, sizes: Mapping[str, int]) -> dict[str, tuple]:
    coordinates = {}
    for dim in sizes:
        if dim in ("time", "member"):
            continue
        values = np.asarray(model.coordinates.get(dim, np.arange(sizes[dim])))
        if values.shape != (sizes[dim],):
            raise ValueError(
                f"the coordinate {dim!r} of {type(model).__name__} has shape {values.shape} for "
                f"{sizes[dim]} points; give one value per point."
            )
        coordinates[dim] = (dim, values)
    return coordinates


def _template(model: AbstractModel) -> Any:
    """Return shapes of the fields of one instant."""
    state = eqx.filter_eval_shape(model.initial_state, jax.random.key(0))
    return eqx.filter_eval_shape(model.fields, state)


def _position(dim: str, index: int, size: int) -> int:
    if not -size <= index < size:
        raise ValueError(
            f"{dim} is {index} and the dataset holds {size}; positions go from 0 to {size - 1}."
        )
    return index


def _read(
    model: AbstractModel,
    variable: Variable,
    dataset: xr.Dataset,
    template: Any,
    units: Mapping[str, str] | None,
) -> jax.Array:
    owner = type(model).__name__
    if variable.name not in dataset:
        held = [str(name) for name in dataset.data_vars]
        raise ValueError(_not_found(variable.name, held, "the dataset", "holds"))
    array = dataset[variable.name]
    wanted = (*variable.dims, *(("member",) if "member" in array.dims else ()))
    if set(array.dims) != set(wanted):
        raise ValueError(
            f"{variable.name!r} has dimensions ({', '.join(map(str, array.dims))}); {owner} wants "
            f"({', '.join(variable.dims)}). Rename with dataset.rename, select with dataset.isel."
        )
    array = _oriented(model, array.transpose(*wanted))
    found = array.shape[: len(variable.dims)]
    if found != template.shape:
        raise ValueError(
            f"{variable.name!r} has shape {found}; {owner} wants {template.shape} along "
            f"({', '.join(variable.dims)}). Interpolate it, or build the model with that size."
        )
    values = _in_units(owner, variable, array, units)
    return jnp.asarray(values.astype(values.dtype.newbyteorder("="), copy=False))


def _oriented(model: AbstractModel, array: xr.DataArray) -> xr.DataArray:
    """Return the array with its coordinates running as the model's do."""
    for dim, values in model.coordinates.items():
        if dim not in array.dims or dim not in array.coords:
            continue
        wanted, found = np.asarray(values), array[dim].values
        if wanted.shape != found.shape or _close(found, wanted):
            continue
        if not _close(found[::-1], wanted):
            raise ValueError(
                f"{array.name!r} has {dim} {found[0]} ... {found[-1]}; {type(model).__name__} "
                f"wants {wanted[0]} ... {wanted[-1]}. Interpolate with dataset.interp({dim}=...)."
            )
        array = array.isel({dim: slice(None, None, -1)})
    return array


def _close(found: np.ndarray, wanted: np.ndarray) -> bool:
    if found.dtype.kind in "iuf" and wanted.dtype.kind in "iuf":
        return bool(np.allclose(found, wanted, rtol=1e-5, atol=1e-6 * np.ptp(wanted)))
    return bool(np.array_equal(found, wanted))


def _in_units(
    owner: str, variable: Variable, array: xr.DataArray, units: Mapping[str, str] | None
) -> np.ndarray:
    declared = (units or {}).get(variable.name)
    if declared is not None:
        return np.asarray(convert_units(array.values, declared, variable.units))
    found = array.attrs.get("units", "1" if variable.units == "1" else None)
    if found is None:
        raise ValueError(
            f"{variable.name!r} has no units; {owner} wants {variable.units!r}. "
            f'Pass units={{"{variable.name}": "{variable.units}"}} to say what they are.'
        )
    if not same_unit(str(found), variable.units):
        raise ValueError(
            f"{variable.name!r} has units {found!r}; {owner} wants {variable.units!r}. "
            f'Pass units={{"{variable.name}": "{found}"}} to convert on reading.'
        )
    return np.asarray(array.values)


def _not_found(name: str, held: Any, owner: str, verb: str) -> str:
    nearest = get_close_matches(name, list(held), n=1, cutoff=0.5)
    guess = f"; did you mean {nearest[0]!r}?" if nearest else "."
    return f"there is no {name!r}: {owner} {verb} {', '.join(held)}{guess}"


def check_shapes(
    model: AbstractModel, found: Mapping[str, tuple[int, ...]], wanted: Any, *, remedy: str
) -> None:
    """Raise ValueError unless the shapes of fields are those wanted, which are the model's."""
    for name, shape in found.items():
        expected = getattr(wanted, name).shape
        if shape != expected:
            kind = type(model).__name__
            raise ValueError(f"{name} has shape {shape} and {kind} wants {expected}; {remedy}.")
