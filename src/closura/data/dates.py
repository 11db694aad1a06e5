"""Day of the year and hour of the day of dates, as closures know them from a run's calendar."""

import numpy as np

from closura.core.inputs import CALENDAR
from closura.data.files import elapsed

DAY = np.timedelta64(1, "D")
USUAL = 0.5  # share of the intervals that are the usual one, from which on others are gaps


def calendar_of(values: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Return what `Calendar` gives at dates, by the name of the input; nothing for plain numbers.

    Args:
        values: Dates of NumPy, or of a model's calendar (cftime).
    """
    if np.issubdtype(values.dtype, np.datetime64):
        year, date = values.astype("datetime64[Y]"), values.astype("datetime64[D]")
        day = (date - year.astype("datetime64[D]")) // DAY + 1
        hour = (values - date) / np.timedelta64(1, "h")
    elif values.dtype == object and all(hasattr(v, "timetuple") for v in values):
        day = np.array([v.timetuple().tm_yday for v in values])
        hour = np.array([v.hour + v.minute / 60 + v.second / 3600 for v in values])
    else:
        return {}
    return {CALENDAR: {"day": day.astype(np.int32), "hour": np.asarray(hour, float)}}


def gaps_in(values: np.ndarray, sample: str) -> tuple[str, ...]:
    """Return a warning where samples of an otherwise even record are missing."""
    time, units = elapsed(values)
    if time.size < 3:
        return ()
    steps = np.diff(time)
    usual = float(np.median(steps))
    wide = np.flatnonzero(steps > 1.5 * usual)
    even = np.mean(np.isclose(steps, usual, rtol=1e-3)) >= USUAL
    if not (even and wide.size):
        return ()
    first, unit = int(wide[0]), "" if units == "1" else f" {units}"
    apart = f"{steps[first]:g}{unit} apart where {usual:g} is usual"
    return (
        f"{sample} has {wide.size} gaps, the first between samples {first} ({values[first]}) and "
        f"{first + 1} ({values[first + 1]}), {apart}; what needs neighbours in time (memory, "
        "blocks) takes them for neighbours.",
    )
