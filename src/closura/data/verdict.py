"""Whether an assimilation found the truth: errors, and the verdict that it diverged."""

import warnings
from typing import Any

import numpy as np
import xarray as xr

from closura.core.augment import Augmented
from closura.core.couple import ClosuraWarning
from closura.core.model import AbstractModel
from closura.core.problem import Observations
from closura.core.variable import Variable
from closura.data.observations import single

UNAWARE = 4.0  # times the error that the spread leads one to expect: the filter lost the truth
NO_BETTER = 1.05  # times the error of the climate, itself known to a few per cent


def score(model: AbstractModel, found: xr.Dataset, truth: xr.Dataset, **means: Any) -> xr.Dataset:
    """Return the Dataset with the errors against a truth, and the limit that the climate sets.

    Args:
        model: Whose variables are compared; parameters that it estimates are not.
        found: What `assimilate` found.
        truth: Holds these variables at the same times.
        means: ``forecast=`` and ``analysis=``, vectors (time, state).

    Raises:
        ValueError: The truth is not saved at one of the times.
    """
    truth = single(truth)
    try:
        held = truth.sel(time=found["time"].values, method="nearest")
    except KeyError:
        held = truth.isel(time=slice(0, 0))
    gap = np.abs(held["time"].values - found["time"].values) if held.sizes["time"] else np.inf
    if np.max(gap) > 1e-6 * float(model.dt) + 1e-9:
        raise ValueError(
            f"the truth covers times {float(truth.time[0]):g} to {float(truth.time[-1]):g} and is "
            f"not saved at every observation, {float(found.time[0]):g} to "
            f"{float(found.time[-1]):g}; simulate it with every= the observations' interval."
        )
    wanted = [held[v.name].transpose("time", ...).values for v in _scored(model)]
    exact = np.concatenate([w.reshape(len(w), -1) for w in wanted], axis=1)
    about = {"long_name": "root mean square error over all variables"}
    for kind, vectors in means.items():
        known = np.asarray(vectors)[:, : exact.shape[1]]
        error = np.sqrt(np.mean((known - exact) ** 2, axis=1))
        found[f"{kind}_rmse"] = ("time", error, about)
    limit = np.sqrt(np.mean((exact - exact.mean(axis=0)) ** 2))
    return found.assign_attrs(climate_rmse=float(limit))


def judge(
    found: xr.Dataset, model: AbstractModel, observations: Observations, climate: Any
) -> xr.Dataset:
    """Return the Dataset with its verdict: diverged, or not; members replaced, or none.

    Diverged means that in the second half of the run the error of the analysis (without a truth:
    the innovation) is that of the climate's mean or larger, or more than four times what the
    spread of the members leads one to expect.

    Args:
        found: What `assimilate` found, with scores if there is a truth.
        model: Says the names of the variables.
        observations: What was assimilated.
        climate: Fields of the climate's mean.
    """
    half = slice(found.sizes["time"] // 2, None)
    if "analysis_rmse" in found:
        error, limit = found["analysis_rmse"].values[half], found.attrs["climate_rmse"]
        expected, what = _spread(found, model, "analysis", half), "error of the analysis"
    else:
        error = found["innovation_rms"].values[half]
        seen = np.asarray(observations.operator(climate))
        limit = float(np.sqrt(np.nanmean((observations.values - seen) ** 2)))
        noise = np.sqrt(np.mean(observations.variance[np.isfinite(observations.variance)]))
        expected, what = np.hypot(_spread(found, model, "forecast", half), noise), "innovation"
    reached = float(np.sqrt(np.nanmean(error**2))) if np.isfinite(error).any() else np.inf
    unaware = found.attrs["members"] > 1 and reached > UNAWARE * expected
    diverged = unaware or not reached < NO_BETTER * limit
    lines = []
    if diverged:
        lines.append(
            f"{found.attrs['solver']} diverged: in the second half of the run the {what} is "
            f"{reached:.3g}; that of the climate is {limit:.3g}, and the members lead one to "
            f"expect {expected:.3g}. Use more members, inflation or localisation, or start closer "
            "(initial=)."
        )
    replaced = int(found["replaced"].sum())
    if replaced:
        lines.append(f"{replaced} members were not finite and were drawn anew from the others.")
    lost = found["lost"].values if "lost" in found else np.zeros(1, bool)
    if lost.any():
        lines.append(
            f"{found.attrs['solver']}: at {lost.sum()} of {lost.size} times (first "
            f"{float(found.time[int(np.argmax(lost))]):g}) no member came near the observations "
            "and the weights say nothing. Use more members or a larger regularisation, or start "
            "closer (initial=)."
        )
    for line in lines:
        warnings.warn(line, ClosuraWarning, stacklevel=3)
    return found.assign_attrs(diverged=int(diverged), replaced=replaced, warnings=lines)


def _scored(model: AbstractModel) -> tuple[Variable, ...]:
    """Return the variables that a truth holds: all but estimated parameters, which come last."""
    return model.model.variables if isinstance(model, Augmented) else model.variables


def _spread(found: xr.Dataset, model: AbstractModel, kind: str, times: slice) -> float:
    """Return the root mean square spread over variables and some times."""
    names = [name_of(model, f"{kind}_spread", variable.name) for variable in _scored(model)]
    squares = np.concatenate([found[name].values[times].ravel() ** 2 for name in names])
    return float(np.sqrt(squares.mean()))


def name_of(model: AbstractModel, kind: str, variable: str) -> str:
    """Return the name of a field in the Dataset of an assimilation."""
    return kind if len(model.variables) == 1 else f"{kind}_{variable}"
