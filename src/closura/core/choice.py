"""A setting that names one of several functions, with settings of its own."""

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple


class Choice(NamedTuple):
    """One function by name; plain, so that it can be compared and looked up.

    Attributes:
        name: Its name.
        settings: What it is called with, (name, value) each.
    """

    name: str
    settings: tuple[tuple[str, Any], ...] = ()

    def __call__(self, known: Mapping[str, Callable], *arguments: Any) -> Any:
        """Return what the function returns for these arguments and the settings."""
        return known[self.name](*arguments, **dict(self.settings))


def choose(argument: str, wanted: Any, known: Mapping[str, Callable]) -> Choice:
    """Return the choice that ``"name"`` or ``{"name": {"setting": value}}`` describes.

    Args:
        argument: What is chosen; begins every complaint.
        wanted: Name, or mapping of one name to its settings, or a `Choice`.
        known: Functions by name. What they take by keyword only are their settings.

    Raises:
        ValueError: There is no such name or setting; the nearest is offered.
    """
    if isinstance(wanted, Choice):
        wanted = {wanted.name: dict(wanted.settings)}
    if isinstance(wanted, str):
        wanted = {wanted: {}}
    if not isinstance(wanted, Mapping) or len(wanted) != 1:
        raise ValueError(
            f"{argument} is {wanted!r}; give one of {', '.join(known)}, or that name with its "
            "settings: {name: {setting: value}}."
        )
    ((name, settings),) = wanted.items()
    if name not in known:
        raise ValueError(f"{argument} is {name!r}{_nearest(name, known)}")
    taken = [
        parameter.name
        for parameter in inspect.signature(known[name]).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    for setting in settings or {}:
        if setting not in taken:
            raise ValueError(f"{argument} {name!r} has no {setting!r}{_nearest(setting, taken)}")
    return Choice(str(name), tuple((settings or {}).items()))


def _nearest(name: Any, known: Any) -> str:
    close = get_close_matches(str(name), list(known), n=1)
    guess = f"; did you mean {close[0]!r}?" if close else "."
    return f"{guess} There are: {', '.join(known) or 'no settings'}."
