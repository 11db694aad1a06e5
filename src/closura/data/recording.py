"""What recorded terms saw and gave: its names and units in a run."""

import re
from typing import Any

import equinox as eqx
import jax

from closura.core.couple import Coupled
from closura.core.model import AbstractModel, Snapshot
from closura.core.term import Term
from closura.core.variable import Variable
from closura.data.units import tendency_units

BEFORE, ADDED = "_before", "_added"
RECORD = re.compile(f"({BEFORE}|{ADDED})(_[0-9]+)?$")  # what follows the name of the field
# Attributes of a run: the classes of the recorded closures, in order, and how often each acts.
TERMS, CADENCES = "recorded", "recorded_every"


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
    for record, end in zip(records, endings(len(records)), strict=True):
        fields = record.before._asdict()
        found |= {f"{name}{BEFORE}{end}": array for name, array in fields.items()}
        found |= {f"{name}{ADDED}{end}": array for name, array in record.added.items()}
    return found


def recorded_variables(model: AbstractModel) -> dict[str, Variable]:
    """Return descriptions of all that a run of a coupled model may record, by name."""
    terms = recorded_terms(model)
    found = {}
    for term, end in zip(terms, endings(len(terms)), strict=True):
        who = type(term.closure).__name__
        for variable in model.variables:
            before, added = f"{variable.name}{BEFORE}{end}", f"{variable.name}{ADDED}{end}"
            units = tendency_units(variable.units, model.time_units)
            about = variable.long_name
            found[before] = Variable(before, variable.units, variable.dims, f"{about} before {who}")
            found[added] = Variable(added, units, variable.dims, f"tendency of {about} by {who}")
    return found


def recorded_attributes(model: AbstractModel) -> dict[str, Any]:
    """Return the attributes of a run that say what is recorded."""
    terms = recorded_terms(model)
    return {TERMS: [type(t.closure).__name__ for t in terms], CADENCES: [t.every for t in terms]}


def endings(count: int) -> tuple[str, ...]:
    """Return what the names of each record end with: nothing where there is one."""
    return ("",) if count == 1 else tuple(f"_{number}" for number in range(1, count + 1))
