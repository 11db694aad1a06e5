"""Whether a value from YAML is of the type that a constructor's argument is annotated with."""

import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin

SPELLED = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def nearest(word: Any, words: Iterable[Any]) -> str:
    """Return "; did you mean 'x'?", or "." where nothing is near."""
    known = {str(candidate).lower(): str(candidate) for candidate in words}
    close = difflib.get_close_matches(str(word).lower(), known, n=1, cutoff=0.6)
    return f"; did you mean {known[close[0]]!r}?" if close else "."


def members(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the annotation itself."""
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(get_args(annotation))
    return (annotation,)


def plain(value: Any) -> Any:
    """Return lists as tuples, all the way down: settings must be hashable."""
    if isinstance(value, list | tuple):
        return tuple(plain(item) for item in value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value


def fits(value: Any, option: Any) -> bool:
    """Return whether a value is of a type; whole numbers are numbers, truth values are not."""
    origin = get_origin(option)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(option))
    if option is None or option is type(None):
        return value is None
    if option in (float, int):
        wanted = int | float if option is float else int
        return isinstance(value, wanted) and not isinstance(value, bool)
    if origin is tuple:
        return _fits_tuple(value, get_args(option))
    concrete = origin or option
    return isinstance(concrete, type) and isinstance(value, concrete)


def only_its_class_can_check(option: Any) -> bool:
    """Return whether a type is beyond YAML (an array, a callable): its owner must complain."""
    concrete = (int, float, str, bool, dict, tuple, None, type(None))
    return option not in concrete and get_origin(option) not in (Literal, tuple, dict)


def spell(options: Iterable[Any], kinds: Iterable[str]) -> str:
    """Return in words which values are wanted."""
    words = [f"one of the {kind}" for kind in sorted(kinds)]
    for option in options:
        if option in SPELLED:
            words.append(SPELLED[option])
        elif get_origin(option) is Literal:
            words += [repr(choice) for choice in get_args(option)]
        elif get_origin(option) is tuple:
            item = SPELLED.get(get_args(option)[0])
            words.append(f"a list of {item.split()[-1]}s" if item else "a list")
        elif option is type(None):
            words.append("null")
    return " or ".join(dict.fromkeys(words)) or "another value"


def _fits_tuple(value: Any, items: tuple[Any, ...]) -> bool:
    if not isinstance(value, tuple):
        return False
    if len(items) == 2 and items[1] is Ellipsis:
        items = (items[0],) * len(value)
    return len(value) == len(items) and all(
        any(fits(item, option) for option in members(wanted))
        for item, wanted in zip(value, items, strict=True)
    )
