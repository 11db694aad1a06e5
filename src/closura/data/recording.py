"""What recorded terms saw and gave: its names and units in a run, and the pairs made of it."""

import re
from typing import Any

import equinox as eqx
import jax
import numpy as np
import xarray as xr

from closura.core.couple import Coupled
from closura.core.learner import Pairs
from closura.core.model import AbstractModel, Snapshot
from closura.core.passport import Passport
from closura.core.term import Term
from closura.core.variable import Variable
from closura.data.units import tendency_units

BEFORE, ADDED = "_before", "_added"
RECORD = re.compile(f"({BEFORE}|{ADDED})(_[0-9]+)?$")  # what follows the name of the field
TERMS = "recorded"  # attribute of a run: the classes of the recorded closures, in order


def recorded_terms(model: AbstractModel) -> tuple[Term, ...]:
    """Return the terms of a model that are recorded."""
    return tuple(t for t in model.terms if t.record) if isinstance(model, Coupled) else ()


def recorded_names(model: AbstractModel, inputs: Any = None) -> tuple[str, ...]:
    """Return the names under which a run keeps its records.

    Args:
        model: The coupled model.
        inputs: Its inputs at step 0.

    Raises:
        ValueError: Nothing in the model is recorded.
    """
    terms = recorded_terms(model)
    if not terms:
        raise ValueError(
            f"recorded is True and nothing in {type(model).__name__} is recorded; say which with "
            "couple(model, closure, record=True)."
        )

    def begun(key: Any, present: Any) -> dict[str, Any]:
        return recorded_values(model, model.start(model.initial_state(key), key, present))

    return tuple(eqx.filter_eval_shape(begun, jax.random.key(0), inputs))


def recorded_values(model: AbstractModel, snapshot: Snapshot) -> dict[str, Any]:
    """Return what the terms of a coupled model saw and gave when they last acted, by name."""
    assert isinstance(model, Coupled)
    records = model.recorded(snapshot)
    found: dict[str, Any] = {}
    for record, end in zip(records, _endings(len(records)), strict=True):
        fields = record.before._asdict()
        found |= {f"{name}{BEFORE}{end}": array for name, array in fields.items()}
        found |= {f"{name}{ADDED}{end}": array for name, array in record.added.items()}
    return found


def recorded_variables(model: AbstractModel) -> dict[str, Variable]:
    """Return descriptions of all that a run of a coupled model may record, by name."""
    terms = recorded_terms(model)
    found = {}
    for term, end in zip(terms, _endings(len(terms)), strict=True):
        who = type(term.closure).__name__
        for variable in model.variables:
            before, added = f"{variable.name}{BEFORE}{end}", f"{variable.name}{ADDED}{end}"
            units = tendency_units(variable.units, model.time_units)
            about = variable.long_name
            found[before] = Variable(before, variable.units, variable.dims, f"{about} before {who}")
            found[added] = Variable(added, units, variable.dims, f"tendency of {about} by {who}")
    return found


def recorded_to_pairs(
    run: xr.Dataset, *, model: AbstractModel | None = None, skip: float = 0.0
) -> Pairs:
    """Return what a recorded closure saw, and the tendency that it gave, as pairs.

    The fields are those before the closure acted: what a learned closure in its place will see.
    Where several closures are recorded the one called ``Nudging`` is taken.

    Args:
        run: What `simulate(..., recorded=True)` returned, or its store, opened.
        model: The model without the recorded closure, for learners that run it.
        skip: Time to leave out at the start, while the run finds its reference [time units].

    Raises:
        ValueError: The run holds no record, several and none or more of them nudging, values
            that are not finite, or no time after `skip`.
    """
    end = _ending_of(run)
    if "member" not in run.dims:
        run = run.expand_dims("member")
    run = run.isel(time=np.flatnonzero(run["time"].values > skip))
    if run.sizes["time"] < 1:
        raise ValueError(f"skip is {skip:g} and leaves no time of the run.")
    names = [str(name) for name in run.data_vars]
    inputs = {n.removesuffix(BEFORE + end): n for n in names if n.endswith(BEFORE + end)}
    targets = {n.removesuffix(ADDED + end): n for n in names if n.endswith(ADDED + end)}
    variables = {n: _described(run[stored], n) for n, stored in inputs.items()}
    variables |= {f"{n}_tendency": _described(run[s], f"{n}_tendency") for n, s in targets.items()}
    units = tuple((name, variables[f"{name}_tendency"].units) for name in targets)
    return Pairs(
        inputs={name: _values(run[stored]) for name, stored in inputs.items()},
        targets={name: _values(run[stored]) for name, stored in targets.items()},
        time=run["time"].values,
        passport=Passport(
            target="nudging",
            operator=f"identity on {', '.join(inputs)}",
            source=str(run.attrs.get("run", "")),
            units=units,
            model=str(run.attrs.get("model", "")).partition(" ")[0],
        ),
        variables=variables,
        model=model,
    )


def _endings(count: int) -> tuple[str, ...]:
    """Return what the names of each record end with: nothing where there is one."""
    return ("",) if count == 1 else tuple(f"_{number}" for number in range(1, count + 1))


def _ending_of(run: xr.Dataset) -> str:
    """Return the ending of the record that is nudging, or of the only one."""
    held = np.atleast_1d(run.attrs.get(TERMS, ())).tolist()
    if not held:
        raise ValueError(
            "target 'nudging' needs what a recorded closure saw and gave, and the run holds "
            f"{', '.join(map(str, run.data_vars))}; couple(model, closure, record=True), then "
            "simulate(..., recorded=True)."
        )
    nudging = [index for index, name in enumerate(held) if name == "Nudging"]
    if len(held) > 1 and len(nudging) != 1:
        raise ValueError(
            f"the run holds records of {', '.join(held)} and it is not clear which one to learn; "
            "record one, or one Nudging beside others."
        )
    return _endings(len(held))[nudging[0] if len(held) > 1 else 0]


def _described(array: xr.DataArray, name: str) -> Variable:
    dims = tuple(str(dim) for dim in array.dims if dim not in ("member", "time"))
    about = str(array.attrs.get("long_name", name)).rpartition(" before ")
    return Variable(name, str(array.attrs.get("units", "1")), dims, about[0] or about[2])


def _values(array: xr.DataArray) -> np.ndarray:
    """Return values (series, time, *field), a series a member.

    Raises:
        ValueError: Not all are finite.
    """
    array = array.transpose("member", "time", ...)
    values = np.asarray(array.values)
    bad = ~np.isfinite(values)
    if bad.any():
        member, time = np.argwhere(bad)[0][:2]
        raise ValueError(
            f"{array.name} is not finite in {bad.sum()} of {bad.size} values, first in member "
            f"{member} at time {array['time'].values[time]:g}: the run blew up. Drop that member "
            "(run.isel(member=...)), cut the run before it, or shorten dt."
        )
    return values
