"""What a user says of one variable of the files: its name, its units, what to make of them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from numbers import Real
from typing import Any

Specification = str | Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """How one variable is taken from the files.

    Args:
        variable: Its name in the files.
        units: Unit wanted; that of the files if not given.
        found: Unit that the values really have (after `scale`), where the files say it wrongly.
        scale: What to multiply the files' values with.
        specific_heat: [J kg-1 K-1] to turn heating per mass ("W/kg") into "K/s".
        levels: Two numbers, the range of the level coordinate to keep, both included; or a list
            of true and false, one a level; or a slice.
    """

    variable: str
    units: str | None = None
    found: str | None = None
    scale: float = 1.0
    specific_heat: float | None = None
    levels: Any = None


def make_readings(side: str, given: Mapping[str, Specification] | None) -> dict[str, Reading]:
    """Return how each variable of one side is read.

    Raises:
        ValueError: A setting is unknown or of the wrong kind; the message says which.
    """
    if not given:
        raise ValueError(f"{side} is empty; name one variable or more: {side}={{'T': 'TEMP'}}.")
    known = [field.name for field in fields(Reading)]
    found = {}
    for name, entry in given.items():
        settings = {"variable": entry} if isinstance(entry, str) else {"variable": name, **entry}
        for key in settings:
            if key not in known:
                nearest = get_close_matches(key, known, n=1)
                guess = f"did you mean {nearest[0]!r}? " if nearest else ""
                raise ValueError(
                    f"{side}.{name} has no setting {key!r}; {guess}It takes: {', '.join(known)}."
                )
        _check_types(f"{side}.{name}", settings)
        found[name] = Reading(**settings)
    return found


def _check_types(owner: str, settings: Mapping[str, Any]) -> None:
    wanted = {"variable": str, "units": str, "found": str, "scale": Real, "specific_heat": Real}
    for key, kind in wanted.items():
        value = settings.get(key)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            what = "a number" if kind is Real else "a text"
            raise ValueError(f"{owner}: {key} is {value!r}; it must be {what}.")
