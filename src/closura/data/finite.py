"""Whether a run is finite, and where it is not."""

from collections.abc import Mapping

import numpy as np
import xarray as xr


def check_finite(run: xr.Dataset, arrays: Mapping[str, np.ndarray], kind: str = "") -> None:
    """Raise ValueError unless arrays (member, time, *field) of a run are finite.

    Args:
        run: Says the times.
        arrays: Values by name.
        kind: What they are, before the name.
    """
    for name, values in arrays.items():
        bad = ~np.isfinite(values)
        if bad.any():
            first = np.argwhere(bad.transpose(1, 0, *range(2, bad.ndim)))[0]
            members = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))
            raise ValueError(
                f"{kind}{name} is not finite in {bad.sum()} of {bad.size} values, in member "
                f"{', '.join(map(str, members[:8]))} of {len(bad)}; first at time "
                f"{run['time'].values[first[0]]:g} (member {first[1]}, point {_place(first[2:])}). "
                "The run blew up: drop these members (run.isel(member=...)) or shorten its dt."
            )


def _place(index: np.ndarray) -> str:
    return ", ".join(map(str, index)) or "0"
