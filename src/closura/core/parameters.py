"""Models with other values of named parameters, their closures' parameters included."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from closura.core.couple import Coupled
from closura.core.model import AbstractModel


def with_parameters(model: AbstractModel, parameters: Mapping[str, Array]) -> AbstractModel:
    """Return the model with parameters replaced, in the model itself or in one of its closures.

    Args:
        model: Any model, a coupled one too.
        parameters: Values by name: a setting of the model or of a closure, or
            ``Class.setting`` where several have a setting of that name.

    Raises:
        ValueError: Nothing, or more than one thing, has that name; it is no number; or the shape
            differs.
    """
    for name, value in parameters.items():
        model = _replace(model, name, value)
    return model


def parameter_of(model: AbstractModel, name: str) -> Any:
    """Return the number or array that a name stands for; see `with_parameters`.

    Raises:
        ValueError: Nothing, or more than one thing, has that name.
    """
    place, setting = _find(model, name)
    return getattr(_owners(model)[place], setting)


def _replace(model: AbstractModel, name: str, value: Array) -> AbstractModel:
    place, setting = _find(model, name)
    _check_shape(_owners(model)[place], setting, value)
    return eqx.tree_at(lambda whole: getattr(_owners(whole)[place], setting), model, value)


def _find(model: AbstractModel, name: str) -> tuple[int, str]:
    """Return which owner a name means, and the setting of it."""
    owner_name, _, setting = name.rpartition(".")
    owners = {
        place: owner
        for place, owner in enumerate(_owners(model))
        if setting in _settings(owner) and owner_name in ("", type(owner).__name__)
    }
    if len(owners) != 1:
        raise ValueError(_why_not(model, name, list(owners.values())))
    (place,) = owners
    return place, setting


def _owners(model: AbstractModel) -> list[Any]:
    if isinstance(model, Coupled):
        return [model.model, *(term.closure for term in model.terms)]
    return [model]


def _settings(owner: Any) -> list[str]:
    """Return the names of what may be replaced: numbers and arrays that are no part of the shape.

    A static setting, a count or a time step, is compiled in.
    """
    return [
        name
        for name, known in getattr(owner, "__dataclass_fields__", {}).items()
        if not known.metadata.get("static", False) and _is_number(getattr(owner, name, None))
    ]


def _is_number(value: Any) -> bool:
    return (isinstance(value, float | int) and not isinstance(value, bool)) or eqx.is_array(value)


def _check_shape(owner: Any, setting: str, value: Array) -> None:
    wanted = jnp.shape(getattr(owner, setting))
    if jnp.shape(value) != wanted:
        raise ValueError(
            f"{setting} of {type(owner).__name__} has shape {wanted} and the parameter "
            f"{jnp.shape(value)}; give its prior arrays of that shape."
        )


def _why_not(model: AbstractModel, name: str, found: list[Any]) -> str:
    if found:
        options = ", ".join(f"{type(owner).__name__}.{name}" for owner in found)
        return f"the parameter {name!r} may be one of {options}; name it so."
    known = [f"{type(o).__name__}.{s}" for o in _owners(model) for s in _settings(o)]
    return f"there is no parameter {name!r}; there are: {', '.join(known)}."
