"""Observations made of a run: a twin of the real ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array

from closura.core.problem import Observations
from closura.data.points import Combined, Points


@dataclass(frozen=True)
class Observe:
    """How a run is observed: which variables, when, where, and how badly.

    Args:
        variables: Names of the observed variables; all their points, thinned by `stride`.
        every: Time between two observations [time units of the run]; the first comes after one.
        stride: Take every n-th point of each variable, from the first on.
        noise: Standard deviation of the independent normal errors [units of the variable].
    """

    variables: tuple[str, ...]
    every: float
    stride: int = 1
    noise: float = 1.0

    def __post_init__(self):
        if not self.variables or isinstance(self.variables, str):
            raise ValueError(f"variables is {self.variables!r}; give one name or more: ('X',).")
        if not self.noise > 0:
            raise ValueError(
                f"noise is {self.noise}; the error of an observation must be positive, e.g. 1e-4 "
                "for a nearly perfect one."
            )
        if self.stride < 1 or not self.every > 0:
            raise ValueError(
                f"every is {self.every} and stride is {self.stride}; the interval must be "
                "positive, the stride 1 or more."
            )


def observe(
    run: xr.Dataset,
    network: Observe,
    *,
    operator: Callable[..., Any] | None = None,
    key: Array,
) -> Observations:
    """Return what a network of observations would have seen of a run.

    Args:
        run: A run of one member, dimensions (time, *dims), see `simulate`; its time counts from
            the start of the assimilation.
        network: Variables, interval, stride, noise.
        operator: What is observed of the variables at each point, where that is not each of them:
            takes one array (point,) a variable of the network and returns one, e.g. ``jnp.hypot``
            for the speed of a wind. An `eqx.Module` if it holds numbers.
        key: Randomness of the errors.

    Raises:
        ValueError: The run has several members, lacks a variable, or is not saved at the times.
    """
    run = single(run)
    steps = _times_to_keep(run["time"].values, network.every)
    picks, values = [], []
    for name in network.variables:
        if name not in run:
            raise ValueError(
                f"variables names {name!r}; the run holds {', '.join(map(str, run.data_vars))}."
            )
        array = run[name].transpose("time", ...).isel(time=steps).values
        index = np.arange(0, int(np.prod(array.shape[1:])), network.stride)[:, None]
        picks.append((name, index, np.ones(index.shape)))
        values.append(array.reshape(len(steps), -1)[:, index[:, 0]])
    seeing: Points | Combined = Points(tuple(picks))
    exact = np.concatenate(values, axis=1)
    if operator is not None:
        seeing = Combined(operator, tuple(Points((pick,)) for pick in picks))
        exact = _seen(operator, values, network.variables)
    noise = np.asarray(jax.random.normal(key, exact.shape))
    variance = np.full(exact.shape[1], float(network.noise) ** 2)
    time = run["time"].values[steps]
    return Observations(exact + network.noise * noise, variance, time, seeing)


def single(run: xr.Dataset) -> xr.Dataset:
    """Return a run of one member without the dimension of members."""
    if "member" not in run.dims:
        return run
    if run.sizes["member"] > 1:
        raise ValueError(
            f"the run has {run.sizes['member']} members and one is wanted; choose it with "
            "run.isel(member=0)."
        )
    return run.isel(member=0, drop=True)


def _times_to_keep(time: np.ndarray, every: float) -> np.ndarray:
    """Return positions of the instants at `every`, 2 `every`, ..."""
    wanted = every * np.arange(1, int(time[-1] / every * (1 + 1e-9)) + 1)
    position = np.minimum(np.searchsorted(time, wanted - 1e-6 * every), len(time) - 1)
    if not len(wanted) or not np.allclose(time[position], wanted, atol=1e-6 * every):
        raise ValueError(
            f"every is {every:g} and the run is saved at {time[0]:g}, {time[1]:g}, ... "
            f"{time[-1]:g}; choose a multiple of the interval between saved instants."
        )
    return position


def _seen(
    operator: Callable[..., Any], values: list[np.ndarray], names: tuple[str, ...]
) -> np.ndarray:
    """Return what an operator makes of variables (time, point), time by time.

    Raises:
        ValueError: They have not the same points, or it returns something else than one each.
    """
    counts = [array.shape[1] for array in values]
    if len(set(counts)) > 1:
        raise ValueError(
            f"operator combines {', '.join(names)}, which are seen at {counts} points; it needs "
            "the same ones. Build the Observations with an operator on the fields instead."
        )
    exact = np.asarray(jax.vmap(operator)(*values))
    if exact.shape != values[0].shape or not np.isfinite(exact).all():
        raise ValueError(
            f"operator returns shape {exact.shape[1:]} for {counts[0]} points"
            + ("" if np.isfinite(exact).all() else ", some of it not finite")
            + "; one finite number a point is wanted."
        )
    return exact
