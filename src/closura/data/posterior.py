"""Posteriors as Datasets: draws by the names of the parameters, and how they were found."""

import numpy as np
import xarray as xr
from jaxtyping import Array

from closura.core.posterior import AbstractPosterior

# What the axes of a calibrator's notes count, by name; others are numbered.
AXES = {
    "positions": ("iteration", "parameter", "member"),
    "predictions": ("iteration", "statistic", "member"),
    "misfit": ("iteration", "member"),
    "mean": ("iteration", "parameter"),
    "covariance": ("iteration", "parameter", "other"),
    "step": ("iteration",),
    "failed": ("iteration",),
    "r_hat": ("parameter",),
    "effective_sample_size": ("parameter",),
}


def posterior_dataset(posterior: AbstractPosterior, count: int, key: Array) -> xr.Dataset:
    """Return draws of the parameters, and the calibrator's notes, as one Dataset.

    Args:
        posterior: What a calibrator returned.
        count: Number of draws.
        key: Randomness of the draws.

    Returns:
        A variable for each parameter with the dimension ``draw`` last, and one for each array of
        the history, named ``history_...``. `parameter` counts the prior's labels.
    """
    names = posterior.prior.names
    clash = {name for name in names if name.startswith("history_") or name in ("draw", "parameter")}
    if clash:
        raise ValueError(
            f"a parameter is named {min(clash)!r}, which the Dataset needs for itself; rename it."
        )
    sample = posterior.sample(count, key=key)
    variables = {
        name: ((*(f"{name}_{axis}" for axis in range(sample[name].ndim - 1)), "draw"), sample[name])
        for name in names
    }
    notes = {
        f"history_{name}": (_axes(name, np.shape(value)), np.asarray(value))
        for name, value in posterior.history.items()
    }
    labels = {"parameter": list(posterior.prior.labels)}
    arrays = {name: (dims, np.asarray(value)) for name, (dims, value) in variables.items()}
    dataset = xr.Dataset(arrays | notes, attrs={"posterior": type(posterior).__name__})
    return dataset.assign_coords(labels) if "parameter" in dataset.dims else dataset


def _axes(name: str, shape: tuple[int, ...]) -> tuple[str, ...]:
    known = AXES.get(name, ())
    if len(known) == len(shape):
        return known
    return tuple(f"{name}_{axis}" for axis in range(len(shape)))
