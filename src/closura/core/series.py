"""Inputs that change in time: forcings, a reanalysis to nudge to, surface fluxes."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from closura.core.inputs import MONTHS, AbstractInputs, Calendar


class Series(AbstractInputs):
    """Values at regular steps, interpolated linearly in between.

    The run stops with an error where the series begins later or ends earlier than the run: an
    input is never held beyond its data.

    Args:
        values: Any pytree of arrays, time on the first axis, at least two times.
        first: Time step of the first value.
        every: Time steps between two values.
    """

    values: Any
    first: int = eqx.field(static=True, default=0)
    every: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        lengths = {jnp.shape(leaf)[0] for leaf in jax.tree.leaves(self.values)}
        if len(lengths) != 1 or min(lengths) < 2:
            raise ValueError(
                f"the arrays of a Series have lengths {sorted(lengths)} in time; "
                "all need the same length, of two or more."
            )
        if self.every < 1:
            raise ValueError(f"every is {self.every}; it counts time steps and must be 1 or more.")

    @property
    def last(self) -> int:
        """Last time step that the series covers."""
        return self.first + self.every * (jax.tree.leaves(self.values)[0].shape[0] - 1)

    def at(self, step: Int[Array, ""] | int) -> Any:
        """Return the values at a time step, as one instant of the pytree."""
        return interpolate(self.values, jnp.asarray(step) - self.first, self.every)

    def check_covers(self, first: int, last: int) -> None:
        """Raise ValueError unless every step from first to last lies within the series."""
        check_within(first, last, self.first, self.last)


class Stretch(AbstractInputs):
    """A part of a series: like `Series`, but where it begins is data, so that parts compile once.

    Args:
        values: Any pytree of arrays, time on the first axis.
        first: Time step of the first value.
        every: Time steps between two values.
    """

    values: Any
    first: Int[Array, ""]
    every: int = eqx.field(static=True)

    def at(self, step: Int[Array, ""] | int) -> Any:
        return interpolate(self.values, jnp.asarray(step) - self.first, self.every)

    def check_covers(self, first: int, last: int) -> None:
        count = jax.tree.leaves(self.values)[0].shape[0]
        check_within(first, last, int(self.first), int(self.first) + self.every * (count - 1))


class Yearly(AbstractInputs):
    """Values through the year, again every year, interpolated linearly in between.

    Args:
        values: Any pytree of arrays, through the year on the first axis: 12 are in the middle of
            the months, 365 in the middle of the days.
        calendar: Says which day it is.
        days: Days of the year of the values, increasing, 0 the midnight that begins it; needed
            where their number is another.
    """

    values: Any
    calendar: Calendar
    days: tuple[float, ...] = eqx.field(static=True, default=())

    def __init__(self, values: Any, calendar: Calendar, days: tuple[float, ...] = ()):
        self.values, self.calendar = jax.tree.map(jnp.asarray, values), calendar
        counts = {leaf.shape[0] for leaf in jax.tree.leaves(self.values)}
        self.days = tuple(float(d) for d in days) or _days(max(counts), calendar.length)
        if counts != {len(self.days)}:
            raise ValueError(
                f"Yearly has arrays of lengths {sorted(counts)} through the year and "
                f"{len(self.days)} days; give a day for each, or 12 or 365 values."
            )
        gaps = [later - earlier for earlier, later in zip(self.days, self.days[1:], strict=False)]
        within = self.days[0] >= 0 and self.days[-1] < calendar.length
        if min(gaps, default=1.0) <= 0 or not within:
            raise ValueError(
                f"Yearly: days go from {self.days[0]:g} to {self.days[-1]:g}; they must increase "
                f"and lie within the year, 0 to {calendar.length:g}."
            )

    def at(self, step: Int[Array, ""] | int) -> Any:
        date = self.calendar.at(step)
        now = jnp.minimum(date["day"] - 1 + date["hour"] / 24, self.calendar.length)
        days = jnp.asarray(self.days)
        after = jnp.searchsorted(days, now, side="right")
        before, later = (after - 1) % len(self.days), after % len(self.days)
        gap = (days[later] - days[before]) % self.calendar.length
        past = (now - days[before]) % self.calendar.length
        gap = jnp.where(gap > 0, gap, self.calendar.length)  # one value alone, all year round
        return jax.tree.map(lambda leaf: _mix(leaf[before], leaf[later], past, gap), self.values)

    def check_covers(self, first: int, last: int) -> None:
        """Do nothing: a year follows every year."""


def interpolate(values: Any, elapsed: Array, every: int) -> Any:
    """Return values at a number of steps after the first, between two neighbours in time."""
    count = jax.tree.leaves(values)[0].shape[0]
    elapsed = jnp.clip(elapsed, 0, every * (count - 1))
    index = jnp.clip(elapsed // every, 0, max(count - 2, 0))
    # From the neighbour, not from the first value: so a part of the series gives the same bits.
    past = elapsed - index * every
    following = jnp.minimum(index + 1, count - 1)
    return jax.tree.map(lambda leaf: _mix(leaf[index], leaf[following], past, every), values)


def check_within(first: int, last: int, begun: int, ended: int) -> None:
    """Raise ValueError unless the steps of a run lie within those of its inputs."""
    if first < begun or last > ended:
        raise ValueError(
            f"the run goes from step {first} to {last} and its inputs cover steps "
            f"{begun} to {ended}; give a longer series or a shorter run."
        )


def _mix(earlier: Array, later: Array, past: Array, gap: Any) -> Array:
    """Return the value when some of the gap between two is past."""
    dtype = jnp.result_type(earlier.dtype, jnp.float32)
    weight = jnp.asarray(past, dtype) / jnp.asarray(gap, dtype)
    return (1 - weight) * earlier + weight * later


def _days(count: int, length: float) -> tuple[float, ...]:
    """Return the middle of each month, or of each of some equal parts of the year."""
    if count == 12 and length != 360:
        ends = [sum(MONTHS[: month + 1]) for month in range(12)]
        return tuple(end - month / 2 for end, month in zip(ends, MONTHS, strict=True))
    if count in (1, 12, 360, 365, 366):
        return tuple((index + 0.5) * min(length, 365.0) / count for index in range(count))
    return ()
