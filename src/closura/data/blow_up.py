"""When, where and by which term a run blew up, in one line: its last steps are made again."""

from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jax import lax
from jaxtyping import Array

from closura.core.couple import Coupled
from closura.core.members import finite_members
from closura.core.model import AbstractModel, Snapshot
from closura.core.rollout import step_members
from closura.core.term import watched_memory

ROUNDING = 1e-6  # share of the change below which the model's own part is what rounding left


class Trace(NamedTuple):
    """The last steps of one member: the two last finite snapshots, and the one after."""

    earlier: Snapshot
    last: Snapshot
    broken: Snapshot


class Change(NamedTuple):
    """What one term did in the last finite step.

    Attributes:
        who: Class of the closure, or of the model.
        field: Name of the field that it changed most, beside what the field held before.
        rate: Its largest absolute tendency there [unit of the field per time unit].
        size: That change beside the spread of the field before; infinite if not finite.
    """

    who: str
    field: str
    rate: float
    size: float


def explain_blow_up(
    model: AbstractModel,
    began: Snapshot,
    *,
    member: int,
    spinup: int,
    limit: int,
    inputs: Any,
    key: Array,
) -> str:
    """Return in one line when and where a member blew up, and which term changed most before.

    Args:
        model: The model.
        began: A finite snapshot of this member alone, members on the last axis.
        member: Its number.
        spinup: Steps before time 0.
        limit: Steps by which it is known to have blown up.
        inputs: What the model reads.
        key: The key of the member, on the first axis.
    """
    trace = _trace(model, began, inputs, key, limit)
    step = int(trace.broken.step)
    when = f"member {member} blew up at time {(step - spinup) * model.dt:g} (step {step})"
    if bool(_alive(trace.broken)):
        return f"{when}: it did not when its steps were made again."
    before, last, broken = (_fields(model, snapshot) for snapshot in (began, *trace[1:]))
    with np.errstate(over="ignore", invalid="ignore"):
        where = _place(model, before, last, broken)
        changes = sorted(_changes(model, trace, before, inputs, key), key=lambda c: -c.size)
    if not changes:
        return f"{when}: {where}; it was finite only at its start."
    units = {v.name: "" if v.units == "1" else f" {v.units}" for v in model.variables}
    per = "time unit" if model.time_units == "1" else model.time_units
    said = [f"{c.who} ({c.rate:.3g}{units[c.field]} per {per} in {c.field})" for c in changes]
    others = f"; after it {', '.join(said[1:])}" if len(said) > 1 else ""
    return f"{when}: {where}; the largest tendency in the step before was that of {said[0]}{others}"


def one_of(snapshot: Snapshot, index: int) -> Snapshot:
    """Return one member of a snapshot, on an axis of length one."""
    moving = (snapshot.state, snapshot.memory)
    state, memory = jax.tree.map(lambda leaf: leaf[..., index : index + 1], moving)
    return snapshot._replace(state=state, memory=memory)


@eqx.filter_jit
def _trace(model, began: Snapshot, inputs: Any, key: Array, limit: Any) -> Trace:
    def finite(trace: Trace) -> Array:
        return _alive(trace.broken) & (trace.broken.step - began.step < limit)

    def step(trace: Trace) -> Trace:
        present = None if inputs is None else inputs.at(trace.broken.step)
        return Trace(
            trace.last, trace.broken, step_members(model, trace.broken, present, key, True)
        )

    return lax.while_loop(finite, step, Trace(began, began, began))


def _alive(snapshot: Snapshot) -> Array:
    return finite_members(snapshot.state).all()


def _fields(model: AbstractModel, snapshot: Snapshot) -> dict[str, np.ndarray]:
    """Return the fields of one member as NumPy arrays in double precision."""
    state = jax.tree.map(lambda leaf: leaf[..., 0], snapshot.state)
    fields = model.fields(state)._asdict()
    return {name: np.asarray(values, float) for name, values in fields.items()}


def _place(model: AbstractModel, before: Any, last: Any, broken: Any) -> str:
    """Return which field left first, and where: what broke, or departed most before it did."""
    bad = {name: ~np.isfinite(values) for name, values in broken.items()}
    local = {name: flags for name, flags in bad.items() if flags.any() and not flags.all()}
    departure = {name: np.abs(last[name] - before[name]) / _spread(before[name]) for name in before}
    if local:  # a model on a grid breaks at a point, a spectral one everywhere at once
        departure = {name: np.where(flags, departure[name], -1) for name, flags in local.items()}
    name = max(departure, key=lambda n: float(np.nanmax(departure[n])))
    index = np.unravel_index(int(np.nanargmax(departure[name])), departure[name].shape)
    about = next(v for v in model.variables if v.name == name)
    there = ", ".join(
        f"{dim} {np.asarray(model.coordinates.get(dim, np.arange(size)))[i]:g}"
        for dim, size, i in zip(about.dims, departure[name].shape, index, strict=True)
    )
    what = "is not finite" if local else "had departed most"
    value = f"{last[name][index]:.3g} {about.units}".removesuffix(" 1")
    return f"{name} {what} at {there or 'its one value'}, where it was {value} a step before"


def _changes(
    model: AbstractModel, trace: Trace, before: dict[str, np.ndarray], inputs: Any, key: Array
) -> list[Change]:
    """Return what the model itself and every term did in the last step that stayed finite."""
    if int(trace.earlier.step) == int(trace.last.step):
        return []
    earlier, last = (_fields(model, snapshot) for snapshot in trace[:2])
    total = {name: np.asarray((last[name] - earlier[name]) / model.dt) for name in last}
    if not isinstance(model, Coupled):
        return [_change(type(model).__name__, total, before, model.dt)]
    found, own = [], total
    for name, rates in _tendencies(model, trace.earlier, inputs, key):
        own = {n: np.asarray(rate - rates.get(n, 0.0)) for n, rate in own.items()}
        found.append(_change(name, rates, before, model.dt))
    own = {n: np.where(np.abs(r) > ROUNDING * np.abs(total[n]), r, 0.0) for n, r in own.items()}
    found.append(_change(type(model.model).__name__, own, before, model.dt))
    return [change for change in found if change.size > 0]


def _tendencies(
    model: Coupled, snapshot: Snapshot, inputs: Any, key: Array
) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Return what each term that acts gives in the step after a snapshot: all are recorded."""
    alone = snapshot._replace(
        state=jax.tree.map(lambda leaf: leaf[..., 0], snapshot.state),
        memory=jax.tree.map(lambda leaf: leaf[..., 0], snapshot.memory),
    )
    fields = model.fields(alone.state)
    pairs = list(zip(model.terms, alone.memory.terms, strict=True))
    memories = tuple(watched_memory(term, memory, fields) for term, memory in pairs)
    watched = Coupled(model.model, tuple(replace(term, record=True) for term in model.terms))
    present = None if inputs is None else inputs.at(snapshot.step)
    begun = alone._replace(memory=alone.memory._replace(terms=memories))
    records = watched.recorded(watched.step(begun, present, key[0]))
    return [
        (type(term.closure).__name__, {n: np.asarray(r, float) for n, r in record.added.items()})
        for term, record in zip(model.terms, records, strict=True)
        if term.apply and record.added
    ]


def _change(
    who: str, rates: dict[str, np.ndarray], before: dict[str, np.ndarray], dt: float
) -> Change:
    sizes = {}
    for name, rate in rates.items():
        size = float(np.abs(rate).max()) * dt / _spread(before[name])
        sizes[name] = size if np.isfinite(size) else np.inf
    name = max(sizes, key=lambda n: sizes[n])
    return Change(who, name, float(np.abs(rates[name]).max()), sizes[name])


def _spread(values: np.ndarray) -> float:
    """Return the median departure of a field; its size, or 1, where it does not vary."""
    departure = np.abs(values - np.median(values))  # no squares: one point may be near overflow
    return float(np.median(departure)) or float(np.abs(values).max()) or 1.0
