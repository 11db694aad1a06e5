"""The cost of a hybrid step, in steps of the coarse model and of the fine one."""

from collections.abc import Mapping
from typing import Any, NamedTuple

COARSE = ("coarse", "no closure", "coarse step")
FINE = ("fine", "truth", "fine step")
SECONDS = ("seconds_per_step", "seconds", "microseconds_per_step", "value")


class Price(NamedTuple):
    """What one closure costs.

    Args:
        name: The closure.
        over_coarse: Time of a hybrid step over that of a coarse step.
        over_fine: The same over the fine model's time for the same interval; NaN if unknown.
    """

    name: str
    over_coarse: float
    over_fine: float


def prices_of(price: Any) -> tuple[Price, ...]:
    """Return the price of every model that `price.json` holds."""
    if not isinstance(price, Mapping):
        return ()
    nested = next((price[k] for k in ("models", "closures", "hybrids") if k in price), price)
    coarse, fine = _seconds(price, COARSE), _seconds(price, FINE)
    found = []
    for name, entry in nested.items() if isinstance(nested, Mapping) else ():
        if isinstance(entry, Mapping):
            ratio = _ratio(entry, ("ratio_to_coarse", "relative_to_coarse"), coarse)
            share = _ratio(entry, ("ratio_to_fine", "relative_to_fine"), fine)
        elif isinstance(entry, int | float) and name not in (*COARSE, *FINE):
            ratio = entry / coarse if coarse else float("nan")
            share = entry / fine if fine else float("nan")
        else:
            continue
        if ratio == ratio:
            found.append(Price(str(name), ratio, share))
    return tuple(found)


def _ratio(entry: Mapping, names: tuple[str, ...], unit: float | None) -> float:
    for name in names:
        if isinstance(entry.get(name), int | float):
            return float(entry[name])
    seconds = next((entry[k] for k in SECONDS if isinstance(entry.get(k), int | float)), None)
    return float(seconds) / unit if seconds is not None and unit else float("nan")


def _seconds(price: Mapping, names: tuple[str, ...]) -> float | None:
    for name in names:
        entry = price.get(name)
        if isinstance(entry, Mapping):
            entry = next((entry[k] for k in SECONDS if k in entry), None)
        if isinstance(entry, int | float) and entry > 0:
            return float(entry)
    return None
