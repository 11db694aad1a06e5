"""Pairs from a run of a model in which a closure, nudging above all, is recorded."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from closura.core.inputs import CALENDAR, Inputs
from closura.core.learner import Pairs
from closura.core.model import AbstractModel
from closura.core.passport import Passport
from closura.core.variable import Variable
from closura.data.border import TENDENCY, geography
from closura.data.finite import check_finite
from closura.data.recording import ADDED, BEFORE, CADENCES, TERMS, endings


def recorded_to_pairs(
    run: xr.Dataset,
    *,
    model: AbstractModel | None = None,
    skip: float = 0.0,
    inputs: Any = None,
) -> Pairs:
    """Return what a recorded closure saw, and the tendency that it gave, as pairs.

    The fields are those before the closure acted: what a learned closure in its place will see.
    Where several closures are recorded the one called ``Nudging`` is taken.

    Args:
        run: What `simulate(..., recorded=True)` returned, or its store, opened.
        model: The model without the recorded closure, for learners that run it.
        skip: Time to leave out at the start, while the run finds its reference [time units].
        inputs: What the run was given; its calendar goes with the pairs, as the closure saw it.

    Raises:
        ValueError: The run holds no record, several and none or more of them nudging, values
            that are not finite, or no time after `skip`.
    """
    chosen = _chosen(run)
    end = endings(len(run.attrs[TERMS]))[chosen]
    if "member" not in run.dims:
        run = run.expand_dims("member")
    run = run.isel(time=np.flatnonzero(run["time"].values > skip)).transpose("member", "time", ...)
    if run.sizes["time"] < 1:
        raise ValueError(f"skip is {skip:g} and leaves no time of the run.")
    names = [str(name) for name in run.data_vars]
    read = {n.removesuffix(BEFORE + end): n for n in names if n.endswith(BEFORE + end)}
    written = {n.removesuffix(ADDED + end): n for n in names if n.endswith(ADDED + end)}
    variables = {n: _described(run[stored], n) for n, stored in read.items()}
    variables |= {n + TENDENCY: _described(run[s], n + TENDENCY) for n, s in written.items()}
    values = {stored: run[stored].values for stored in (*read.values(), *written.values())}
    check_finite(run, values)
    return Pairs(
        inputs={name: values[stored] for name, stored in read.items()},
        targets={name: values[stored] for name, stored in written.items()},
        time=run["time"].values,
        passport=_passport(run, variables, tuple(written)),
        variables=variables,
        model=model,
        given=_given(run, inputs, int(run.attrs[CADENCES][chosen])),
        **geography(run[list(values)], model),
    )


def _passport(
    run: xr.Dataset, variables: dict[str, Variable], targets: tuple[str, ...]
) -> Passport:
    return Passport(
        target="nudging",
        operator=f"identity on {', '.join(n for n in variables if not n.endswith(TENDENCY))}",
        source=str(run.attrs.get("run", "")),
        units=tuple((name, variables[name + TENDENCY].units) for name in targets),
        model=str(run.attrs.get("model", "")).partition(" ")[0],
    )


def _given(run: xr.Dataset, inputs: Any, every: int) -> dict[str, dict[str, np.ndarray]]:
    """Return the calendar as the closure saw it in its last call before each saved instant."""
    if not isinstance(inputs, Inputs) or CALENDAR not in inputs.parts:
        return {}
    dt = float(run.attrs["dt"])
    elapsed = run["time"].values + float(run.attrs["spinup"])
    called = (np.round(elapsed / dt).astype(int) - 1) // every * every
    calendar = jax.vmap(inputs.parts[CALENDAR].at)(jnp.asarray(called + inputs.ahead))
    return {CALENDAR: {part: np.asarray(values) for part, values in calendar.items()}}


def _chosen(run: xr.Dataset) -> int:
    """Return the number of the record that is nudging, or of the only one."""
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
    return nudging[0] if len(held) > 1 else 0


def _described(array: xr.DataArray, name: str) -> Variable:
    dims = tuple(str(dim) for dim in array.dims if dim not in ("member", "time"))
    about = str(array.attrs.get("long_name", name)).rpartition(" before ")
    return Variable(name, str(array.attrs.get("units", "1")), dims, about[0] or about[2])
