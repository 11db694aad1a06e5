"""Durations as people say them, "6 hours", and the seconds that they are."""

import re
from typing import Any

seconds = 1.0
minutes = 60.0  # [s]
hours = 3600.0  # [s]
days = 86400.0  # [s]; a mean solar day, as calendars count
weeks = 7 * days  # [s]

LENGTHS = {
    "second": seconds, "minute": minutes, "hour": hours, "day": days, "week": weeks,
    "s": seconds, "min": minutes, "h": hours, "d": days,
}  # fmt: skip
_SPOKEN = re.compile(r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z]*)\s*")


def duration(value: Any, *, name: str = "duration", time_units: str = "s") -> float:
    """Return a length of time as a number: ``"6 hours"`` is 21600.0; a number stays as it is.

    Args:
        value: Number [time_units], or text: a number and second, minute, hour, day or week, also
            in the plural or as s, min, h, d.
        name: What the length is of; begins the complaint.
        time_units: Unit of the model's time. Text is refused unless it is seconds: a model
            without units has no hours.

    Raises:
        ValueError: It is no length of time, or text where time is not in seconds.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _SPOKEN.fullmatch(value) if isinstance(value, str) else None
    unit = found.group(2).lower() if found else ""
    length = LENGTHS.get(unit, LENGTHS.get(unit.removesuffix("s")))
    number = _number(found.group(1)) if found else None
    if number is None or (unit and length is None):
        raise ValueError(
            f"{name} is {value!r}; write a number and a unit, e.g. '6 hours' or '300 days' "
            "(second, minute, hour, day, week; months and years have no one length)."
        )
    if not unit:
        return number
    if time_units != "s":
        raise ValueError(
            f"{name} is {value!r} and the time of this model is in units of {time_units!r}, not "
            "seconds; give a number of these."
        )
    assert length is not None
    return number * length


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
