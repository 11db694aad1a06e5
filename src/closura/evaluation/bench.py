"""What all models are held against: the truth as course, as climate, and in numbers."""

from typing import NamedTuple

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array

from closura.core.model import AbstractModel
from closura.core.progress import report
from closura.evaluation import climate as climates
from closura.evaluation import forecasts as forecasting
from closura.evaluation import stability
from closura.evaluation.protocol import Protocol, Starts, forecast_starts


class Bench(NamedTuple):
    """What all models are held against, prepared once."""

    truth: xr.Dataset
    names: tuple[str, ...]
    protocol: Protocol
    starts: Starts
    course: xr.Dataset
    climate: xr.Dataset
    climatology: xr.Dataset
    edges: dict[str, np.ndarray]
    bounds: dict[str, float]
    keys: Array

    @property
    def middle(self) -> int:
        """The start of the forecast that is kept as an example."""
        return self.starts.time.size // 2

    def key(self, number: int) -> Array:
        """Return the key of one purpose: the same for all models."""
        return jax.random.fold_in(self.keys, number)


def prepare(truth: xr.Dataset, model: AbstractModel, protocol: Protocol, key: Array) -> Bench:
    """Return what all models are held against; `model` says which variables count.

    Raises:
        ValueError: The model and the truth share no variable, or the truth is not finite.
    """
    names = tuple(v.name for v in model.variables if v.name in truth)
    if not names:
        raise ValueError(
            f"{type(model).__name__} and the truth share no variable; the truth holds "
            f"{', '.join(map(str, truth.data_vars))}. Rename one of them."
        )
    report("evaluate", model="truth", what="preparing")
    climate = climates.as_climate(truth, names, protocol)
    for name in names:
        if not np.isfinite(climate[name].values).all():
            raise ValueError(
                f"the truth has values of {name!r} that are not finite; "
                "cut it before them: truth.isel(time=slice(...))."
            )
    starts = forecast_starts(truth, protocol)
    return Bench(
        truth,
        names,
        protocol,
        starts,
        forecasting.true_course(truth, names, starts, protocol),
        climate,
        climate.mean(["member", "time"], keep_attrs=True),
        climates.bins_of(climate),
        stability.bounds_of(climate),
        key,
    )


def with_members(run: xr.Dataset) -> xr.Dataset:
    """Return a run with a member dimension, which a single run may lack."""
    return run if "member" in run.dims else run.expand_dims("member")


def as_points(field: xr.DataArray) -> xr.DataArray:
    """Return a forecast as (lead, point), whatever the dimensions of its field."""
    values = field.transpose("lead", ...).values
    flat = values.reshape(values.shape[0], -1)
    return xr.DataArray(flat, {"lead": field["lead"]}, ("lead", "point"), attrs=field.attrs)
