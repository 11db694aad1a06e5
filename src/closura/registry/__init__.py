"""What an experiment can name, and how a name with settings becomes an object.

One line in `registry/names.py` plugs a class in. A class of your own needs no line: the dotted path
``type: mylab.models.Mine`` leads to it.
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from closura.registry.names import CONTRACTS, REGISTRY
from closura.registry.values import fits, members, nearest, only_its_class_can_check, plain, spell

__all__ = [
    "CONTRACTS", "REGISTRY", "build", "describe", "find", "foreign_sources", "nearest",
    "settings_of",
]  # fmt: skip

# Arguments that a fit, or a solver's preparation, fills in: nobody writes them into an experiment.
FILLED_BY_FIT = {
    "read", "written", "origin", "lower", "upper", "exponents", "climate", "local",
    "interval", "profile", "cosine", "layers", "area", "detector", "seen", "outputs",
    "layout", "mesh",
}  # fmt: skip

Resolve = Callable[[str, frozenset[str]], Any]


def build(kind: str, spec: Any, *, path: str = "", resolve: Resolve | None = None) -> Any:
    """Return the object that a name, or a mapping with `type` and settings, describes.

    Args:
        kind: Key of `REGISTRY`, e.g. ``"models"``.
        spec: ``"Name"``, ``"dotted.path.Name"`` or ``{"type": ..., setting: value, ...}``; values
            may be such mappings again.
        path: Where the spec stands in the experiment; begins every complaint.
        resolve: Says what else a bare string may mean: `(text, kinds wanted)` to an object or None.

    Raises:
        ValueError: Unknown type or setting (the nearest is offered), or a value that cannot be.
    """
    name, settings = _name_and_settings(kind, spec, path)
    made = find(kind, name, path=path)
    taken = settings_of(made)
    given = {}
    for key, value in settings.items():
        if key not in taken:
            raise ValueError(_at(path) + _unknown_setting(name, key, taken))
        given[key] = _convert(value, taken[key].annotation, key, _short(name), path, resolve)
    return _construct(made, _short(name), given, taken, path)


def find(kind: str, name: str, *, path: str = "") -> type:
    """Return the class that a registered name or a dotted path leads to.

    Raises:
        ValueError: There is none; the nearest name is offered.
    """
    if name in REGISTRY[kind]:
        return _load(REGISTRY[kind][name])
    if "." in name:
        return _foreign(kind, name, path)
    for other, names in REGISTRY.items():
        if name in names:
            raise ValueError(f"{_at(path)}{name} is one of the {other}; wanted one of the {kind}.")
    raise ValueError(
        f"{_at(path)}there is no {name!r} among the {kind}{nearest(name, REGISTRY[kind])} "
        f"There are: {', '.join(REGISTRY[kind])}; or give a dotted path, e.g. mylab.{kind}.Mine."
    )


def settings_of(made: type) -> dict[str, inspect.Parameter]:
    """Return what a class can be told in an experiment: its constructor's arguments, by name."""
    try:
        signature = inspect.signature(made, eval_str=True)
    except NameError:  # an annotation that exists for type checkers only
        signature = inspect.signature(made)
    gathering = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {
        name: parameter
        for name, parameter in signature.parameters.items()
        if parameter.kind not in gathering and not _is_filled(name, parameter)
    }


def describe(kind: str) -> dict[str, str]:
    """Return the first docstring line of every name of a kind, or what it must have installed."""
    return {name: _about(target) for name, target in REGISTRY[kind].items()}


def _about(target: str) -> str:
    try:
        return (inspect.getdoc(_load(target)) or "").partition("\n")[0]
    except ImportError as missing:  # it stands on a library that is not installed
        return str(missing)


def foreign_sources(value: Any) -> dict[str, Path]:
    """Return the source file of every class that dotted paths in a value lead to, by path.

    Only what was built before is found: nothing is imported.
    """
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return {name: file for item in value for name, file in foreign_sources(item).items()}
    module, _, attribute = value.rpartition(".") if isinstance(value, str) else ("", "", "")
    made = getattr(sys.modules.get(module), attribute, None) if module else None
    if not _derived(made, {_load(contract) for contract in CONTRACTS.values()}):
        return {}
    file = getattr(sys.modules.get(made.__module__), "__file__", None)  # none in a notebook
    return {value: Path(file)} if file else {}


def _is_filled(name: str, parameter: inspect.Parameter) -> bool:
    """Return whether nobody writes an argument into an experiment: then it has a default."""
    return name in FILLED_BY_FIT and parameter.default is not inspect.Parameter.empty


def _name_and_settings(kind: str, spec: Any, path: str) -> tuple[str, dict[str, Any]]:
    if isinstance(spec, str):
        return spec, {}
    if isinstance(spec, Mapping) and isinstance(spec.get("type"), str):
        return spec["type"], {str(key): value for key, value in spec.items() if key != "type"}
    raise ValueError(
        f"{_at(path)}found {spec!r}; wanted a name or a mapping with a type, "
        f"e.g. {{type: {next(iter(REGISTRY[kind]))}}}."
    )


def _convert(
    value: Any, annotation: Any, key: str, owner: str, path: str, resolve: Resolve | None
) -> Any:
    """Return a YAML value as the type that a setting is annotated with."""
    options = members(annotation)
    wanted = _kinds(options)
    within = f"{path}.{key}" if path else key
    if isinstance(value, Mapping) and "type" in value:
        return build(_kind_of(value["type"], wanted, within), value, path=within, resolve=resolve)
    if isinstance(value, str) and (wanted or Any in options):
        text_allowed = Any in options or str in options
        found = _named(value, wanted, text_allowed, within, resolve)
        if found is not None:
            return found
    listed = _item_of(options)
    if listed is not None and isinstance(value, list | tuple):
        convert = [_convert(one, listed, key, owner, path, resolve) for one in value]
        return tuple(convert)
    if isinstance(value, list) and any(isinstance(i, Mapping) and "type" in i for i in value):
        return tuple(_convert(item, annotation, key, owner, path, resolve) for item in value)
    value = plain(value)
    if Any in options or inspect.Parameter.empty in options:
        return value
    for option in options:
        if fits(value, option):
            return float(value) if option is float else value
    contracts = {_load(CONTRACTS[kind]) for kind in wanted}
    free = [o for o in options if only_its_class_can_check(o) and not _derived(o, contracts)]
    if free and not isinstance(value, str | bool):
        return value
    raise ValueError(f"{_at(path)}{key} is {value!r}; {owner} wants {spell(options, wanted)}.")


def _item_of(options: tuple[Any, ...]) -> Any:
    """Return what a list may hold, where it is a list of any length of objects with names."""
    for option in options:
        item = get_args(option)
        if get_origin(option) is tuple and item[1:] == (Ellipsis,) and _kinds(members(item[0])):
            return item[0]
    return None


def _construct(
    made: type, name: str, given: dict[str, Any], taken: Mapping[str, inspect.Parameter], path: str
) -> Any:
    missing = [k for k, known in taken.items() if known.default is known.empty and k not in given]
    if missing:
        raise ValueError(
            f"{_at(path)}{name} needs {', '.join(map(repr, missing))}; add it. "
            f"It takes: {', '.join(taken)}."
        )
    try:
        return made(**given)
    except (ValueError, TypeError) as error:
        raise ValueError(_at(path) + " ".join(str(error).split())) from error


def _foreign(kind: str, name: str, path: str) -> type:
    """Return a class from outside the package by its dotted path."""
    module, _, attribute = name.rpartition(".")
    try:
        made = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{_at(path)}cannot import {name!r} (no module {error.name!r}); "
            "run where it can be imported, or put its folder on PYTHONPATH."
        ) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{_at(path)}there is no {attribute!r} in {module!r}.") from error
    contract = _load(CONTRACTS[kind])
    if not _derived(made, {contract}):
        raise ValueError(
            f"{_at(path)}{name} is none of the {kind}; derive it from {contract.__name__}."
        )
    return made


def _named(
    text: str, wanted: frozenset[str], text_allowed: bool, path: str, resolve: Resolve | None
) -> Any:
    """Return what a bare string stands for where an object is wanted; None if it stays text."""
    if resolve is not None and (found := resolve(text, wanted)) is not None:
        return found
    named = [kind for kind in sorted(wanted or REGISTRY) if text in REGISTRY[kind]]
    if not named and text_allowed:
        return None
    kind = named[0] if named else _kind_of(text, wanted, path)
    return build(kind, text, path=path, resolve=resolve)


def _kind_of(name: Any, wanted: frozenset[str], path: str) -> str:
    """Return the kind that a name belongs to, or the one wanted where the name does not tell."""
    named = [kind for kind in sorted(wanted or REGISTRY) if name in REGISTRY[kind]]
    if named or wanted:
        return named[0] if named else sorted(wanted)[0]
    if isinstance(name, str) and "." in name:
        module, _, attribute = name.rpartition(".")
        made = getattr(importlib.import_module(module), attribute, None)
        for kind, contract in CONTRACTS.items():
            if _derived(made, {_load(contract)}):
                return kind
    everything = [known for names in REGISTRY.values() for known in names]
    raise ValueError(f"{_at(path)}there is no type {name!r}{nearest(name, everything)}")


def _kinds(options: tuple[Any, ...]) -> frozenset[str]:
    """Return the kinds of object that an annotation allows."""
    return frozenset(
        kind
        for kind, contract in CONTRACTS.items()
        if any(_derived(option, {_load(contract)}) for option in options)
    )


def _derived(made: Any, contracts: set[type]) -> bool:
    return isinstance(made, type) and issubclass(made, tuple(contracts))


def _unknown_setting(name: str, key: str, taken: Mapping[str, Any]) -> str:
    takes = ", ".join(taken) or "no settings"
    return f"{_short(name)} has no setting {key!r}{nearest(key, taken)} It takes: {takes}."


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _at(path: str) -> str:
    return f"{path}: " if path else ""
