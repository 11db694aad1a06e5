"""The mean of the targets by day of the year and hour: the correction that others must beat."""

import warnings

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from closura.closures.climatological import ClimatologicalTendency, harmonics
from closura.core.couple import ClosuraWarning
from closura.core.learner import AbstractLearner, Pairs
from closura.core.pieces import cut
from closura.grids.sun import YEAR

MOST_HOURS = 24  # of the day that are told apart


class ClimatologicalCorrection(AbstractLearner):
    """The mean tendency at each place, by day of the year and hour of the day if pairs have dates.

    A field that does not depend on the state: the baseline of every learned correction. In the
    year it is smoothed by keeping the mean and a few harmonics, by least squares; harmonics that
    the record does not determine, because it covers too little of a year, are left out, with a
    warning. Without a calendar among what the pairs were given it is the plain mean.

    Args:
        harmonics: Largest number of harmonics of the year; 0 is no season.
        hours: Number of times of day, evenly spaced from midnight, each with a mean of its own; 1
            is no daily cycle; None takes those that the pairs have, if they are evenly spaced and
            at most 24, and else every hour.

    Reference:
        Krinner et al. (2020), Commun. Earth Environ. 1, 29, doi:10.1038/s43247-020-00035-0.
    """

    harmonics: int = 3
    hours: int | None = None

    def __check_init__(self):
        if self.harmonics < 0:
            raise ValueError(
                f"ClimatologicalCorrection: harmonics is {self.harmonics}; it must be 0 or more."
            )
        if self.hours is not None and not 1 <= self.hours <= MOST_HOURS:
            raise ValueError(
                f"ClimatologicalCorrection: hours is {self.hours}; it must lie between 1 and "
                f"{MOST_HOURS}."
            )

    def fit(self, pairs: Pairs, *, key: Array | None = None) -> ClimatologicalTendency:
        """Return the mean tendency; the key is not needed.

        Raises:
            ValueError: A target is not finite, or an hour of the day has no samples.
        """
        day, hour = _dates(pairs)
        hours, first = self._hours(hour)
        kept = self._count_harmonics(day)
        if kept < self.harmonics and "calendar" in pairs.given:
            self._warn_of_season(day, kept)
        terms = 1 + 2 * kept
        bins = np.rint((hour - first) * hours / 24).astype(int) % hours
        if len(empty := np.setdiff1d(np.arange(hours), bins)):
            raise ValueError(
                f"ClimatologicalCorrection: no sample is near hour "
                f"{first + 24 / hours * empty[0]:g}, one of {hours} times of day; use fewer hours."
            )
        design = np.asarray(harmonics(jnp.asarray(day + hour / 24), terms))
        placed = np.zeros((len(design), hours, terms))
        placed[np.arange(len(design)), bins] = design
        rows = placed.reshape(len(design), hours * terms)
        gram = pairs.series * rows.T @ rows
        found = {name: _solve(gram, rows, name, pairs) for name in pairs.targets}
        return ClimatologicalTendency(
            {name: jnp.asarray(a.reshape(hours, terms, *a.shape[1:])) for name, a in found.items()},
            first,
            pairs.passport,
        )

    def _hours(self, hour: np.ndarray) -> tuple[int, float]:
        """Return the number of times of day, and the first of them."""
        if self.hours is not None:
            return self.hours, 0.0
        found = np.unique(np.round(hour, 6))
        even = np.allclose(found - found[0], np.arange(len(found)) * 24 / len(found))
        if even and len(found) <= MOST_HOURS:
            return len(found), float(found[0])
        return MOST_HOURS, 0.0

    def _count_harmonics(self, day: np.ndarray) -> int:
        """Return how many harmonics leave no hole: every (4 h)th part of the year has samples."""
        for count in range(self.harmonics, 0, -1):
            part = (day / YEAR * 4 * count).astype(int) % (4 * count)
            if len(np.unique(part)) == 4 * count:
                return count
        return 0

    def _warn_of_season(self, day: np.ndarray, kept: int) -> None:
        days = len(np.unique(day.astype(int)))
        season = "a smoother season than was asked for" if kept else "no season"
        warnings.warn(
            f"ClimatologicalCorrection: the record has samples on {days} of the days of a year, "
            f"which give {kept} of {self.harmonics} harmonics: the correction has {season}. Do not "
            "use it at times of the year that the record lacks.",
            ClosuraWarning,
            stacklevel=3,
        )


def _dates(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Return day of the year and hour of every time; zero where there is no calendar."""
    calendar = pairs.given.get("calendar")
    if calendar is None:
        return np.zeros(len(pairs.time)), np.zeros(len(pairs.time))
    return np.asarray(calendar["day"], float), np.asarray(calendar["hour"], float)


def _solve(gram: np.ndarray, rows: np.ndarray, name: str, pairs: Pairs) -> np.ndarray:
    """Return least-squares coefficients of a target, (term, *field), a piece in time at once."""
    target = pairs.targets[name]
    shape = np.shape(target)[2:]
    total = np.zeros((len(gram), int(np.prod(shape, dtype=int))))
    for series, times in cut(pairs):
        piece = np.asarray(target[series, times], float).sum(axis=0)
        total += rows[times].T @ piece.reshape(len(piece), -1)
    if not np.isfinite(total).all():
        raise ValueError(
            f"target {name!r} of the pairs holds values that are not finite; drop those times, or "
            "fill them, before fitting."
        )
    return np.linalg.solve(gram, total).reshape(-1, *shape)
