"""What the increments in LMDZ's guide file are: a day's, or those of one call of the guide."""

from contextlib import nullcontext, suppress

import numpy as np
import xarray as xr

from closura.data.lmdz_grid_files import Grid, read_values
from closura.grids.lmdz_guide import DAY

RATES = ("measured", "per day", "per call")
CLEAR = 0.05  # relative spread of the measured factor beyond which the file follows no formula
RECORDS, MERIDIANS = 4, 16  # how many of them are looked at
FAINT = 1e-2  # share of the largest departure below which a point says little in single precision


def increments_a_day(
    file: xr.Dataset, grid: Grid, kinds: dict[str, str], call: float | None, name: str
) -> dict[str, float]:
    """Return what `ucov` and `vcov` are multiplied with to be increments a day.

    Two versions of LMDZ differ: dyn3dpar divides both by factt, the days between two calls of the
    guide; dyn3dmem divides `vcov` only. With `"measured"` the file tells: a call adds au (ua - u)
    cu, so the ratio of `ucov` to it is 1 per call, or 1 / factt, the calls in a day. What is said
    instead must not contradict a file that tells.

    Args:
        file: guide_ins.nc.
        grid: Its grid.
        kinds: One of `RATES` for "u" and for "v".
        call: Time between two calls [s], or None.
        name: The file's name, for complaints.

    Raises:
        ValueError: The file does not tell, or tells something else.
    """
    ratios = {}
    for component, kind in kinds.items():
        with nullcontext() if kind == "measured" else suppress(ValueError):
            ratios[component] = measured_ratio(file, grid, component, name)
    counted = max((ratio for ratio in ratios.values() if ratio > 1), default=None)
    calls = counted if call is None else DAY / call
    if calls and counted and abs(calls - counted) > CLEAR * counted:
        raise ValueError(
            f"{name}: call is {DAY / calls:g} s, and the increments are {counted:g} times those of "
            f"one call of the guide; it is called every {DAY / counted:g} s: say so, or leave "
            "call out."
        )
    for component, kind in kinds.items():
        if component in ratios and kind not in ("measured", _kind(ratios[component], calls)):
            raise ValueError(
                f"{name}: {component}cov is said to be {kind}, and is {ratios[component]:g} times "
                f"a{component} ({component}a - {component}): it is "
                f"{_kind(ratios[component], calls)}. Say that, or measured."
            )
    found = {}
    for component, kind in kinds.items():
        per_call = kind == "per call" or ratios.get(component) == 1
        if per_call and calls is None:
            raise ValueError(
                f"{name}: {component}cov holds the increments of one call of the guide, and the "
                "file does not tell how many calls there are in a day; add call: 15 minutes "
                "(dtvr * iperiod of LMDZ)."
            )
        found[component] = float(calls) if per_call and calls is not None else 1.0
    return found


def _kind(ratio: float, calls: float | None) -> str:
    """Return what increments are that are so many times those of one call."""
    return "per call" if ratio == 1 and calls != 1 else "per day"


def measured_ratio(file: xr.Dataset, grid: Grid, component: str, name: str) -> float:
    """Return the ratio of the saved increment to that of one call: 1, or the calls in a day."""
    analysis, alpha = f"{component}a", f"a{component}"
    absent = [n for n in (analysis, alpha, component) if n not in file]
    if absent:
        raise ValueError(_unclear(name, component, f"has no {absent[0]!r}"))
    some = slice(None, None, max(1, file.sizes["LONU"] // MERIDIANS))
    few = file.isel(TIME=slice(0, RECORDS), LONU=some, LONV=some)
    departure = read_values(few[analysis]) - read_values(few[component])
    length = (grid.cu if component == "u" else grid.cv)[..., some]
    one_call = read_values(few[alpha]) * length * departure
    saved = read_values(few[f"{component}cov"])
    # Levels low in the boundary layer may be tapered (guide_BL=n): the largest ratio counts.
    by_level = [_ratio(saved[:, k], one_call[:, k]) for k in range(saved.shape[1])]
    clear = [middle for middle, spread in by_level if spread < CLEAR * abs(middle)]
    ratio = max(clear, default=0.0)
    if ratio < 1 - CLEAR:
        said = "does not hold a factor times the departure ua - u (guide_add, guide_zon?)"
        raise ValueError(_unclear(name, component, said))
    if abs(ratio - np.round(ratio)) > 1e-2 * ratio:
        said = f"holds {ratio:.3g} times au (ua - u), and a day has a whole number of calls"
        raise ValueError(_unclear(name, component, said))
    return float(np.round(ratio))


def _ratio(saved: np.ndarray, one_call: np.ndarray) -> tuple[float, float]:
    """Return the median of the ratio on one level and the distance of its quartiles."""
    held = np.isfinite(saved) & np.isfinite(one_call)
    size = np.abs(np.where(held, one_call, 0.0))
    clear = size > FAINT * size.max()
    if not clear.any():
        return 0.0, np.inf
    low, middle, high = np.quantile(saved[clear] / one_call[clear], [0.25, 0.5, 0.75])
    return float(middle), float(high - low)


def _unclear(name: str, component: str, why: str) -> str:
    return (
        f"{name} {why}, so whether {component}cov is per day or per call of the guide cannot be "
        f"measured; add {component}cov: per day (dyn3d, dyn3dpar; vcov always) or "
        f"{component}cov: per call with call: 15 minutes (ucov in dyn3dmem)."
    )
