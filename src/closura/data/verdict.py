"""Whether an assimilation found the truth: errors, and the verdict that it diverged."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from closura.core.augment import Augmented
from closura.core.couple import ClosuraWarning
from closura.core.model import AbstractModel
from closura.core.problem import Observations
from closura.core.variable import Variable
from closura.data.observations import single

UNAWARE = 4.0  # times the error that the spread leads one to expect: the filter lost the truth
NO_BETTER = 1.05  # for a baseline, times the error of the climate, itself known to a few per cent
MANY = 100  # times of observation from which on the last tenth is judged by itself


class DeadEnsemble(ValueError):
    """No member of an ensemble is finite any more: there is nothing to go on from."""


def score(model: AbstractModel, found: xr.Dataset, truth: xr.Dataset, **means: Any) -> xr.Dataset:
    """Return the Dataset with the errors against a truth, and the limit that the climate sets.

    Args:
        model: Whose variables are compared; parameters that it estimates are not.
        found: What `assimilate` found.
        truth: Holds these variables at the same times.
        means: ``forecast=``, ``analysis=`` and so on, vectors (time, state).

    Raises:
        ValueError: The truth is not saved at one of the times.
    """
    exact = states_at(model, truth, found["time"].values)
    about = {"long_name": f"root mean square error over all variables{_mixed_units(model)}"}
    for kind, vectors in means.items():
        known = np.asarray(vectors)[:, : exact.shape[1]]
        error = np.sqrt(np.mean((known - exact) ** 2, axis=1))
        found[f"{kind}_rmse"] = ("time", error, about)
    limit = np.sqrt(np.mean((exact - exact.mean(axis=0)) ** 2))
    return found.assign_attrs(climate_rmse=float(limit))


def _mixed_units(model: AbstractModel) -> str:
    """Return a warning that variables have different units; nothing if they do not."""
    if len({variable.units for variable in _scored(model)}) < 2:
        return ""
    named = ", ".join(f"{v.name} [{v.units}]" for v in _scored(model))
    return f", whose units differ ({named}): the largest numbers rule it"


def states_at(model: AbstractModel, truth: xr.Dataset, times: np.ndarray) -> np.ndarray:
    """Return a truth as vectors (time, state), which lack estimated parameters.

    Raises:
        ValueError: It is not saved at one of the times.
    """
    held = instants_of(truth, times, float(model.dt))
    wanted = [held[v.name].transpose("time", ...).values for v in _scored(model)]
    return np.concatenate([w.reshape(len(w), -1) for w in wanted], axis=1)


def instants_of(truth: xr.Dataset, times: np.ndarray, dt: float) -> xr.Dataset:
    """Return the truth at some times.

    Raises:
        ValueError: It is not saved at one of them.
    """
    truth = single(truth)
    saved = truth["time"].values
    right = np.searchsorted(saved, times).clip(0, len(saved) - 1)
    left = (right - 1).clip(0)
    nearest = np.where(np.abs(saved[left] - times) < np.abs(saved[right] - times), left, right)
    off = np.abs(saved[nearest] - times) > 1e-6 * dt + 1e-9
    if off.any():
        where = times[int(np.argmax(off))]
        raise ValueError(
            f"the truth covers times {saved[0]:g} to {saved[-1]:g} and is not saved at the "
            f"observations' time {where:g}; simulate it with every= the observations' interval, "
            "or cut them with observations.between(first, last)."
        )
    return truth.isel(time=nearest)


@jax.jit
def innovations_by_time(
    innovation: Float[Array | np.ndarray, "time observation"],
    expected: Float[Array | np.ndarray, "time observation"],
) -> tuple[Float[Array, "time"], Float[Array, "time"]]:
    """Return the root mean square innovation of each time, and what is expected of it.

    Of the values that are there and whose error is finite; NaN where there is none.

    Args:
        innovation: Observation minus prediction, NaN where missing.
        expected: Root of the variance of the members' predictions plus that of the error.
    """
    held = jnp.isfinite(innovation) & jnp.isfinite(expected)
    count = jnp.where(held.any(axis=1), held.sum(axis=1), jnp.nan)
    found, wanted = (
        jnp.sqrt((jnp.where(held, each, 0.0) ** 2).sum(axis=1) / count)
        for each in (innovation, expected)
    )
    return found, wanted


def climate_innovation(observations: Observations, climate: Any) -> float:
    """Return the root mean square departure of the observations from the climate's mean."""
    departure = observations.values - np.asarray(observations.operator(climate))
    known = np.isfinite(departure) & np.isfinite(observations.variance)
    return float(np.sqrt(np.mean(departure[known] ** 2))) if known.any() else np.nan


def judge(
    found: xr.Dataset, model: AbstractModel, observations: Observations, climate: Any
) -> xr.Dataset:
    """Return the Dataset with its verdict: diverged, or not; members replaced, or none.

    Diverged means that in the second half of the run, or in its last tenth alone, the error of
    the analysis (without a truth: the innovation) is that of the climate's mean or larger, or more
    than four times what the spread of the members leads one to expect; or that an analysis is not
    finite. Without a truth a part in which nothing is observed is not judged.

    Args:
        found: What `assimilate` found, with scores if there is a truth.
        model: Says the names of the variables.
        observations: What was assimilated.
        climate: Fields of the climate's mean.
    """
    complaints = (
        _complaint(found, model, observations, climate, times, when)
        for when, times in stretches_of(found.sizes["time"]).items()
    )
    lines = [line for line in complaints if line][:1]
    diverged = bool(lines)
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


def stretches_of(times: int) -> dict[str, slice]:
    """Return the parts of a run that are judged, each by itself."""
    found = {"second half": slice(times // 2, None)}
    return found | {"last tenth": slice(times - times // 10, None)} if times >= MANY else found


def has_diverged(
    error: np.ndarray, expected: float, limit: float, *, members: int
) -> tuple[bool, float]:
    """Return the verdict on a stretch of a series of errors, and their root mean square.

    Args:
        error: One number a time; NaN where there is none.
        expected: What the spread of the members leads one to expect.
        limit: Error of the climate.
        members: Size of the ensemble; a single state expects nothing, and may do as the climate.
    """
    held = np.isfinite(error)
    reached = float(np.sqrt(np.mean(error[held] ** 2))) if held.any() else np.inf
    unaware = members > 1 and reached > UNAWARE * expected
    return bool(unaware or not reached < limit * (1.0 if members > 1 else NO_BETTER)), reached


def _complaint(found, model, observations, climate, times: slice, when: str) -> str | None:
    """Return why the filter has lost the truth in a stretch of the run; None if it has not."""
    if "analysis_rmse" in found:
        error, limit = found["analysis_rmse"].values[times], found.attrs["climate_rmse"]
        expected, what = _spread(found, model, times), "error of the analysis"
    else:
        error, wanted = (
            np.asarray(series)[times]
            for series in innovations_by_time(
                found["innovation"].values, found["innovation_expected"].values
            )
        )
        limit, what = climate_innovation(observations, climate), "innovation"
        expected = root_mean_square(wanted)
    sound = all(
        np.isfinite(found[name_of(model, "analysis", v.name)].values).all() for v in model.variables
    )
    if sound and not np.isfinite(error).any():
        return None
    lost, reached = has_diverged(error, expected, limit, members=found.attrs["members"])
    if sound and not lost:
        return None
    return (
        f"{found.attrs['solver']} diverged: in the {when} of the run the {what} is "
        f"{reached if sound else np.inf:.3g}; that of the climate is {limit:.3g}, and the members "
        f"lead one to expect {expected:.3g}. Use more members, inflation or localisation, or "
        "start closer (initial=)."
    )


def root_mean_square(series: np.ndarray) -> float:
    """Return the root mean square of what is there; NaN of nothing."""
    held = series[np.isfinite(series)]
    return float(np.sqrt(np.mean(held**2))) if held.size else np.nan


def _spread(found: xr.Dataset, model: AbstractModel, times: slice) -> float:
    """Return the root mean square spread of the analysis over variables and some times."""
    names = [name_of(model, "analysis_spread", variable.name) for variable in _scored(model)]
    squares = np.concatenate([found[name].values[times].ravel() ** 2 for name in names])
    return float(np.sqrt(squares.mean()))


def name_of(model: AbstractModel, kind: str, variable: str) -> str:
    """Return the name of a field in the Dataset of an assimilation."""
    return kind if len(model.variables) == 1 else f"{kind}_{variable}"
