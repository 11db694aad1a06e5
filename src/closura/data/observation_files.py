"""Observations read from a user's table: CSV, netCDF or Zarr, one value a row."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from closura.core.model import AbstractModel
from closura.core.problem import Observations
from closura.data.points import Combined, Points, interpolate
from closura.data.units import convert_units, same_unit

COLUMNS = ("time", "place", "value", "error")


class Table(NamedTuple):
    """The rows of a file.

    Attributes:
        time: (row,).
        place: (row, coordinate).
        value: (row,).
        error: (row,) standard deviations.
        variable: Name of the variable of each row.
        units: Units that the file states, by column.
    """

    time: np.ndarray
    place: np.ndarray
    value: np.ndarray
    error: np.ndarray
    variable: np.ndarray
    units: dict[str, str]


def read_observations(
    path: str | Path,
    *,
    model: AbstractModel,
    variable: str | Sequence[str] | None = None,
    names: Mapping[str, str | Sequence[str]] | None = None,
    units: str | Mapping[str, str] | None = None,
    operator: Callable[..., Any] | None = None,
) -> Observations:
    """Return observations from a CSV or netCDF file, one value a row.

    Each row has a time [time units of the model, from the start of the run], a place along the
    coordinates of the model's `places`, a value and an error (standard deviation). Between points
    the model is interpolated linearly. Rows may come in any order; times need not be regular.

    Args:
        path: ``.csv`` with a header, or netCDF or Zarr with variables along one dimension.
        model: Whose variables are observed.
        variable: Name of the variable; None where a column ``variable`` names it row by row. With
            an operator, the names of all variables that it takes.
        names: Names in the file, by ``"time"``, ``"place"``, ``"value"``, ``"error"``,
            ``"variable"``, where they are called otherwise. A place of several coordinates has
            several: ``{"place": ("longitude", "latitude")}``, in the order of the model's.
        units: Units of values and errors, which are then converted to the model's: one, or one
            by variable. Needed where the model's variable has units and the file states none.
        operator: What is observed of the variables at each place, where that is not a variable
            itself: takes one array (place,) a variable and returns one, e.g. ``jnp.hypot`` for
            the speed of a wind. The values are in its units.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A column is missing, an error not positive, a place outside the domain, or
            units are not the model's.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; wanted a CSV, netCDF or Zarr file.")
    wanted = _wanted(path, names)
    rows = _read_csv(path, wanted) if path.suffix == ".csv" else _read_netcdf(path, wanted)
    table = _as_table(path, rows, wanted)
    _check_time(path, table, model)
    if operator is None:
        table = _name_variables(path, table, model, variable)
        table = _in_model_units(path, table, model, units)
    else:
        table = table._replace(variable=np.full(len(table.time), "seen together"))
    return _as_observations(path, table, model, operator, variable)


def _as_observations(path, table: Table, model: AbstractModel, operator, variable) -> Observations:
    """Return a row a time, a column a place of each variable."""
    time = np.unique(table.time)
    each = {str(k): _arrange(path, table, table.variable == k) for k in np.unique(table.variable)}
    values, variance = (
        np.concatenate([_spread_out(part[i], part[0], time) for part in each.values()], axis=1)
        for i in (2, 3)
    )
    places = np.concatenate([part[1] for part in each.values()])
    if operator is None:
        picks = tuple((name, *interpolate(model, name, part[1])) for name, part in each.items())
        seeing: Any = Points(picks)
    else:
        picks = tuple((n, *interpolate(model, n, places)) for n in _listed(variable))
        seeing = Combined(operator, tuple(Points((pick,)) for pick in picks))
    return Observations(values, np.nan_to_num(variance, nan=1.0), time, seeing, places)


def _listed(variable: str | Sequence[str] | None) -> tuple[str, ...]:
    if variable is None:
        raise ValueError(
            "operator is given and variable is None; name the variables that it takes, in its "
            "order: variable=('u', 'v')."
        )
    return (variable,) if isinstance(variable, str) else tuple(variable)


def _wanted(path: Path, names: Mapping[str, Any] | None) -> dict[str, tuple[str, ...]]:
    """Return the names in the file by column: several for the coordinates of a place."""
    given = dict(names or {})
    unknown = set(given) - {*COLUMNS, "variable"}
    if unknown:
        raise ValueError(
            f"names says what {sorted(unknown)[0]!r} is called in {path.name}; it may name "
            f"{', '.join(COLUMNS)}, variable."
        )
    wanted = {column: given.get(column, column) for column in (*COLUMNS, "variable")}
    return {c: (name,) if isinstance(name, str) else tuple(name) for c, name in wanted.items()}


def _read_csv(path: Path, wanted: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, skipinitialspace=True))
    held = list(rows[0]) if rows else []
    _check_columns(path, wanted, held)
    found: dict[str, Any] = {}
    for column, names in wanted.items():
        for name in names:
            if column == "variable":
                found |= {name: np.array([row[name] for row in rows])} if name in held else {}
            else:
                found[name] = np.array(
                    [_number(path, line, name, row[name]) for line, row in enumerate(rows, 2)]
                )
    return found


def _number(path: Path, line: int, name: str, text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        raise ValueError(
            f"{path.name}, line {line}: {name} is {text!r}; wanted is a number."
        ) from None


def _read_netcdf(path: Path, wanted: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    opened = xr.open_zarr(path) if path.is_dir() else xr.open_dataset(path, decode_times=False)
    with opened as file:
        held = [str(name) for name in file.variables]
        _check_columns(path, wanted, held)
        names = [name for each in wanted.values() for name in each if name in held]
        return {name: file[name].load() for name in names}


def _check_columns(path: Path, wanted: Mapping[str, tuple[str, ...]], held: list[str]) -> None:
    for column in COLUMNS:
        for name in wanted[column]:
            if name not in held:
                several = " (several for several coordinates)" if column == "place" else ""
                raise ValueError(
                    f"{path.name} has no {name!r}; it has {', '.join(held) or 'no rows'}. Say "
                    f"what it is called{several}: names={{{column!r}: ...}}."
                )


def _as_table(path: Path, rows: Mapping[str, Any], wanted: Mapping[str, tuple[str, ...]]) -> Table:
    """Return the rows by column; the variable is empty where no column names it."""
    column = {c: [np.ravel(np.asarray(rows[n])) for n in wanted[c]] for c in COLUMNS}
    about = {c: dict(getattr(rows[wanted[c][0]], "attrs", {})) for c in COLUMNS}
    stated = {c: str(attrs["units"]) for c, attrs in about.items() if "units" in attrs}
    time, value, error = (column[c][0].astype(float) for c in ("time", "value", "error"))
    _check_positive(path, error)
    named = np.ravel(np.asarray(rows.get(wanted["variable"][0], np.full(len(time), ""))))
    kinds = np.array([str(name).strip() for name in named])
    return Table(time, np.stack(column["place"], axis=1), value, error, kinds, stated)


def _name_variables(path: Path, table: Table, model: AbstractModel, variable: Any) -> Table:
    """Return the table with the variable of each row, as told or as the file says."""
    known = [v.name for v in model.variables]
    if variable is not None and not isinstance(variable, str):
        raise ValueError(
            f"variable is {variable!r}; several are named by a column 'variable' of the file, or "
            "seen together through operator=."
        )
    kinds = table.variable if variable is None else np.full(len(table.time), variable)
    if not all(kinds) and len(known) > 1:
        raise ValueError(
            f"{path.name} has no column 'variable' and variable is None; name what is observed, "
            f"one of {', '.join(known)}."
        )
    kinds = np.where(kinds == "", known[0], kinds)
    for kind in sorted(set(kinds.tolist()) - set(known)):
        raise ValueError(
            f"{path.name} observes {kind!r}, which {type(model).__name__} does not have; it has "
            f"{', '.join(known)}."
        )
    return table._replace(variable=kinds)


def _check_positive(path: Path, error: np.ndarray) -> None:
    if not (error > 0).all():
        first = int(np.argmax(~(error > 0)))
        raise ValueError(
            f"{path.name}: error is {error[first]:g} in row {first + 1} of the data; a standard "
            "deviation must be positive."
        )


def _check_time(path: Path, table: Table, model: AbstractModel) -> None:
    stated = table.units.get("time")
    if stated is not None and not same_unit(stated, model.time_units):
        raise ValueError(
            f"{path.name}: time has units {stated!r}; {type(model).__name__} wants "
            f"{model.time_units!r}, counted from the start of the run. Convert the times."
        )


def _in_model_units(path: Path, table: Table, model: AbstractModel, units: Any) -> Table:
    """Return the table with values and errors in the units of the model's variables."""
    value, error = table.value.copy(), table.error.copy()
    for variable in model.variables:
        rows = table.variable == variable.name
        if not rows.any():
            continue
        declared = units if isinstance(units, str) else (units or {}).get(variable.name)
        stated = table.units.get("value", "1" if variable.units == "1" else None)
        if declared is None and (stated is None or not same_unit(stated, variable.units)):
            has = "no units" if stated is None else f"units {stated!r}"
            raise ValueError(
                f"{path.name}: the values of {variable.name!r} have {has}; {type(model).__name__} "
                f"wants {variable.units!r}. Pass units={stated or variable.units!r} to convert "
                "on reading."
            )
        if declared is not None:
            value[rows] = convert_units(value[rows], declared, variable.units)
            step = convert_units(np.array([0.0, 1.0]), declared, variable.units)
            error[rows] *= step[1] - step[0]  # an error has no offset
    return table._replace(value=value, error=error)


def _arrange(path: Path, table: Table, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return times, places, and values and variances (time, place) of some rows."""
    place, column = np.unique(table.place[rows], axis=0, return_inverse=True)
    time, row = np.unique(table.time[rows], return_inverse=True)
    column = column.reshape(-1)
    twice = np.flatnonzero(np.bincount(row * len(place) + column) > 1)
    if twice.size:
        where = ", ".join(f"{x:g}" for x in place[twice[0] % len(place)])
        raise ValueError(
            f"{path.name} has several values at time {time[twice[0] // len(place)]:g} and place "
            f"{where}; average them first."
        )
    values = np.full((len(time), len(place)), np.nan)
    variance = np.full(values.shape, np.nan)
    values[row, column], variance[row, column] = table.value[rows], table.error[rows] ** 2
    return time, place, values, variance


def _spread_out(part: np.ndarray, time: np.ndarray, all_times: np.ndarray) -> np.ndarray:
    """Return rows put at their places among all times, NaN elsewhere."""
    whole = np.full((len(all_times), part.shape[1]), np.nan)
    whole[np.searchsorted(all_times, time)] = part
    return whole
