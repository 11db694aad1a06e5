"""Some of the times of a record, for guards that need not see them all."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

MOST_BYTES = 2**28  # of a target that limits are taken from


def drawn_times(times: int, most: int) -> Int[np.ndarray, "time"]:
    """Return the numbers of at most so many of the times, and of one at least, in their order.

    Drawn, always the same: at even steps all could be of one hour of the day.
    """
    wanted = min(times, max(1, most))
    return np.sort(np.random.default_rng(0).choice(times, wanted, replace=False, shuffle=False))


def sampled(target: Any) -> Float[np.ndarray, "series time ..."]:
    """Return a target, of which only some times if it is large; they are read one by one."""
    series, times = target.shape[:2]
    one = np.prod(target.shape) * np.dtype(target.dtype).itemsize / times
    chosen = drawn_times(times, int(MOST_BYTES // one))
    if len(chosen) == times:
        return np.asarray(target)
    return np.stack([np.stack([np.asarray(target[s, t]) for t in chosen]) for s in range(series)])
