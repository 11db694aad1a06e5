"""What a model is given from outside at each time step: a contract, several by name, the date."""

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int

from closura.core.durations import days, duration, hours

REFERENCE, CALENDAR = "reference", "calendar"  # names of inputs that closures know
MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
CALENDARS = ("standard", "noleap", "360_day")
_DATE = re.compile(r"(\d{1,4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2}))?)?")


class AbstractInputs(eqx.Module):
    """Anything that a model or its closures read and that changes with the step.

    To write one: (1) `at` gives the present values, in compiled code too; (2) `check_covers`
    raises where it has none. One that does not fit into memory also (3) gives with `between` what
    a stretch of a run needs, and (4) says with `longest` how many steps that may be.
    """

    @abstractmethod
    def at(self, step: Int[Array, ""] | int) -> Any:
        """Return the values at a time step."""

    @abstractmethod
    def check_covers(self, first: int, last: int) -> None:
        """Raise ValueError unless there are values for every step from first to last."""

    def between(self, first: int, last: int) -> "AbstractInputs":
        """Return inputs that need hold no more than the steps from first to last: in memory."""
        return self

    @property
    def longest(self) -> int | None:
        """Number of steps that `between` should hold at most; None if it does not matter."""
        return None


class Inputs(AbstractInputs):
    """Several inputs by name; closures get a mapping: ``Inputs(reference=..., calendar=...)``.

    `Nudging` reads ``"reference"``, closures that depend on the date ``"calendar"``.

    Args:
        ahead: Steps by which all are read ahead. 1, because closures that act after a step see
            the state at its end and want the values of that time; 0 for closures that act inside
            the tendency.
        parts: Inputs by name.
    """

    parts: dict[str, Any]
    ahead: int = eqx.field(static=True)

    def __init__(self, *, ahead: int = 1, **parts: Any):
        if not parts:
            raise ValueError("Inputs is empty; name at least one: Inputs(reference=...).")
        if ahead not in (0, 1):
            raise ValueError(f"Inputs: ahead is {ahead}; it must be 0 or 1.")
        self.parts, self.ahead = dict(parts), ahead

    def at(self, step: Int[Array, ""] | int) -> dict[str, Any]:
        return {name: part.at(step + self.ahead) for name, part in self.parts.items()}

    def check_covers(self, first: int, last: int) -> None:
        for name, part in self.parts.items():
            try:
                part.check_covers(min(first + self.ahead, last), last)
            except ValueError as error:
                raise ValueError(f"the input {name!r} is too short: {error}") from None

    def between(self, first: int, last: int) -> "Inputs":
        begun = min(first + self.ahead, last)
        held = {
            name: part.between(begun, last) if isinstance(part, AbstractInputs) else part
            for name, part in self.parts.items()
        }
        return Inputs(ahead=self.ahead, **held)

    @property
    def longest(self) -> int | None:
        limits = [part.longest for part in self.parts.values() if isinstance(part, AbstractInputs)]
        return min((limit for limit in limits if limit is not None), default=None)


class Calendar(AbstractInputs):
    """Day of the year and hour of the day at each step.

    ``at`` returns ``{"day": 1 ... 365 (366, 360), "hour": 0 <= hour < 24}``.

    Args:
        begin: Date of step 0, ``"1979-06-01"`` or ``"1979-06-01T18:00"``, universal time.
        dt: Time step [s]; it must divide a day.
        calendar: ``"standard"`` (leap years as in the Gregorian one), ``"noleap"`` or
            ``"360_day"``.
    """

    begin: str = eqx.field(static=True)
    dt: float = eqx.field(static=True, converter=lambda value: duration(value, name="dt"))
    calendar: str = eqx.field(static=True, default="standard")

    def __check_init__(self):
        if self.calendar not in CALENDARS:
            raise ValueError(
                f"Calendar: calendar is {self.calendar!r}; it must be one of "
                f"{', '.join(CALENDARS)}."
            )
        _parse(self.begin, self.calendar)
        if self.dt <= 0 or abs(days / self.dt - round(days / self.dt)) > 1e-9:
            raise ValueError(
                f"Calendar: dt is {self.dt:g} s, which does not divide a day; the hour would "
                "drift. Use a step such as 1800 s."
            )

    def at(self, step: Int[Array, ""] | int) -> dict[str, Array]:
        year, month, day, second = _parse(self.begin, self.calendar)
        daily = round(days / self.dt)
        step = jnp.asarray(step, jnp.int32)
        rest = (step % daily) * self.dt + second
        over = (rest >= days).astype(jnp.int32)
        elapsed = step // daily + over
        hour = (rest - over * days) / hours
        return {"day": self._day_of_year(year, month, day, elapsed), "hour": hour}

    def check_covers(self, first: int, last: int) -> None:
        """Do nothing: there is always a date."""

    def _day_of_year(self, year: int, month: int, day: int, elapsed: Array) -> Array:
        if self.calendar == "360_day":
            return (30 * (month - 1) + day - 1 + elapsed) % 360 + 1
        if self.calendar == "noleap":
            return (sum(MONTHS[: month - 1]) + day - 1 + elapsed) % 365 + 1
        # A Gregorian era is 400 years; counted within the one that holds the first day.
        years = year % 400
        past = sum(MONTHS[: month - 1]) + day - 1 + int(month > 2 and _is_leap(year))
        count = (_days_before(jnp.asarray(years)) + past + elapsed) % 146_097
        guess = count * 400 // 146_097
        guess = jnp.where(_days_before(guess) > count, guess - 1, guess)
        guess = jnp.where(_days_before(guess + 1) <= count, guess + 1, guess)
        return count - _days_before(guess) + 1


def named(inputs: Any, name: str, who: str) -> Any:
    """Return one of several inputs by name, for a closure that reads it.

    Raises:
        ValueError: There is none of that name.
    """
    if not isinstance(inputs, Mapping) or name not in inputs:
        held = ", ".join(inputs) if isinstance(inputs, Mapping) else "nothing by name"
        raise ValueError(
            f"{who} reads the input {name!r} and the model is given {held}; pass "
            f"inputs=cl.Inputs({name}=...) to simulate or rollout."
        )
    return inputs[name]


class Steady(AbstractInputs):
    """Inputs that never change, such as the mean of one month held for ever.

    Args:
        values: Any pytree of arrays.
    """

    values: Any

    def at(self, step: Int[Array, ""] | int) -> Any:
        return self.values

    def check_covers(self, first: int, last: int) -> None:
        """Do nothing: they hold for ever."""


def _days_before(year: Array) -> Array:
    """Return the days from the beginning of a 400-year era, itself a leap year, to that year."""
    return 365 * year + (year + 3) // 4 - (year + 99) // 100 + (year > 0)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _parse(begin: str, calendar: str) -> tuple[int, int, int, int]:
    """Return year, month, day and second of the day of a date in words."""
    found = _DATE.fullmatch(begin.strip()) if isinstance(begin, str) else None
    if found is not None:
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
        leap = calendar == "standard" and month == 2 and _is_leap(year)
        lengths = (30,) * 12 if calendar == "360_day" else MONTHS
        if 1 <= month <= 12 and 1 <= day <= lengths[month - 1] + leap and hour < 24:
            return year, month, day, 3600 * hour + 60 * minute + second
    raise ValueError(
        f"begin is {begin!r}, which is no date of the calendar {calendar!r}; write it as "
        "'1979-06-01' or '1979-06-01T18:00'."
    )
