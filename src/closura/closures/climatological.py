"""A tendency that depends on the date alone, as found in the mean of a nudged run."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from closura.closures.features import field
from closura.core.closure import AbstractMemorylessClosure
from closura.core.passport import Passport
from closura.grids.sun import YEAR


class ClimatologicalTendency(AbstractMemorylessClosure):
    """Add the mean tendency of the present day of the year and hour of the day.

    In the year it is a sum of harmonics, in the day linear between hours that are evenly
    spaced. With one harmonic term and one hour it is constant and needs no calendar;
    otherwise it reads the day and hour of ``inputs["calendar"]``.

    Args:
        coefficients: By field, (hour, term, *field): for each hour the mean, then cosine and sine
            of each harmonic of the year [unit of the field per time unit].
        first: First of the hours [hours].
        origin: Passport of the pairs it was fitted on.
    """

    coefficients: dict[str, Float[Array, "hour term ..."]]
    first: float = eqx.field(static=True, default=0.0)
    origin: Passport | None = eqx.field(static=True, default=None)

    @property
    def passport(self) -> Passport | None:
        return self.origin

    @property
    def hours(self) -> int:
        """Number of hours of the day that are known."""
        return next(iter(self.coefficients.values())).shape[0]

    @property
    def terms(self) -> int:
        """Number of harmonic terms, the mean included."""
        return next(iter(self.coefficients.values())).shape[1]

    def tendency(self, fields: Any, inputs: Any = None) -> dict[str, Array]:
        if self.hours == self.terms == 1:
            return {
                name: a[0, 0].astype(field(fields, name).dtype)
                for name, a in self.coefficients.items()
            }
        if inputs is None or "calendar" not in inputs:
            raise ValueError(
                "this climatological tendency depends on the date and was given no calendar; run "
                "with inputs that hold 'calendar'."
            )
        day, hour = (field(inputs["calendar"], part) for part in ("day", "hour"))
        place = (jnp.asarray(hour) - self.first) * (self.hours / 24)
        before = jnp.floor(place).astype(jnp.int32)
        weight = place - before
        year = harmonics(jnp.asarray(day) + jnp.asarray(hour) / 24, self.terms)
        found = {}
        for name, a in self.coefficients.items():
            now = (1 - weight) * a[before % self.hours] + weight * a[(before + 1) % self.hours]
            found[name] = jnp.tensordot(year, now, axes=1).astype(field(fields, name).dtype)
        return found

    def __repr__(self) -> str:
        return (
            f"ClimatologicalTendency({', '.join(self.coefficients)}; {self.hours} hours a day, "
            f"{self.terms // 2} harmonics of the year)"
        )


def harmonics(day: Float[Array, "..."], terms: int) -> Float[Array, "... term"]:
    """Return 1, then cosine and sine of each harmonic of the year, for a day of the year."""
    turn = 2 * jnp.pi * day / YEAR
    waves = [wave(k * turn) for k in range(1, terms // 2 + 1) for wave in (jnp.cos, jnp.sin)]
    return jnp.stack([jnp.ones_like(turn), *waves], axis=-1)
