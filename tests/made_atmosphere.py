"""A made-up atmosphere of 5 levels, 6 latitudes and 8 longitudes."""

from typing import Any

import numpy as np

from closura.core.learner import Pairs
from closura.core.passport import Passport

LEVELS, ROWS, LINES, TIMES = 5, 6, 8, 7
LATITUDES = np.array([-75.0, -45.0, -15.0, 15.0, 45.0, 75.0])
LONGITUDES = 45.0 * np.arange(LINES)


def made_pairs(times: int = TIMES, **changes: Any) -> Pairs:
    """Random fields, whose targets are the winds with another sign and half the size."""
    generator = np.random.default_rng(1)
    shape = dict.fromkeys(("u", "v", "temperature"), (LEVELS, ROWS, LINES))
    shape |= {"surface_pressure": (ROWS, LINES)}
    inputs = {name: generator.normal(size=(1, times, *s)) for name, s in shape.items()}
    levels = (0.5 + np.arange(LEVELS)) / LEVELS
    steps = np.arange(times)
    settings: dict[str, Any] = {
        "inputs": inputs,
        "targets": {name: -0.5 * inputs[name] for name in ("u", "v")},
        "time": 21600.0 * steps,
        "passport": Passport("nudging"),
        "coordinates": {"level": levels, "lat": LATITUDES, "lon": LONGITUDES},
        "static": {"orography": generator.normal(size=(ROWS, LINES))},
        "given": {"calendar": {"day": 172 + steps // 4, "hour": 6.0 * (steps % 4)}},
    }
    return Pairs(**(settings | changes))
