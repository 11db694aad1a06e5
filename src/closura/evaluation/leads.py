"""Short forecasts from states of the truth: error against lead time."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Int

from closura.core.inputs import AbstractInputs
from closura.core.model import AbstractModel
from closura.core.rollout import member_keys, rollout, start_members
from closura.evaluation.atmosphere import fields_of
from closura.evaluation.protocol import Only, Starts, interval_of, states_at, whole
from closura.metrics.circulation import cell_weights

AT_ONCE = 4  # forecasts stepped together: more leave the cache and gain nothing


def spaced_starts(truth: xr.Dataset, *, count: int, lead: float) -> Starts:
    """Return starts as far apart as the truth allows, in its first member.

    Raises:
        ValueError: The truth is shorter than a forecast.
    """
    last = truth.sizes["time"] - 1 - whole(lead, interval_of(truth))
    if last < 0:
        raise ValueError(
            f"a forecast lasts {lead:g} and the truth {interval_of(truth) * truth.sizes['time']:g}"
            "; take a shorter lead or a longer truth."
        )
    times = np.linspace(0, last, count).round().astype(int)
    return Starts(np.zeros(count, int), times)


def forecast_errors(
    model: AbstractModel,
    truth: xr.Dataset,
    starts: Starts,
    *,
    lead: float,
    every: float,
    variables: Sequence[str],
    key: Array,
    inputs: Any = None,
) -> xr.Dataset:
    """Return the mean square error by start and lead, over area and mass.

    Args:
        model: Any model.
        truth: The run that holds the starts and what came true.
        starts: Where to start.
        lead: Length of a forecast [time units].
        every: Interval between two lead times, a multiple of the truth's.
        variables: What is scored; "wind" is the mean over u and v.
        key: Randomness of the closures.
        inputs: What the model and its closures read, step 0 at the first instant of the truth:
            a forecast reads them from the step of its own start on.

    Returns:
        ``forecast_square`` (variable, start, lead), in squares of the units.
    """
    names = tuple(dict.fromkeys(name for variable in variables for name in fields_of(variable)))
    stride = whole(every, interval_of(truth))
    steps = stride * np.arange(1, whole(lead, every) + 1)
    pieces = []
    at_once = AT_ONCE if inputs is None else 1  # members share a date, and starts do not
    for first in range(0, starts.time.size, at_once):
        some = Starts(*(index[first : first + at_once] for index in starts))
        keys = member_keys(key, some.time.size, first)
        given = None if inputs is None else _from_start(inputs, model, truth, some)
        kept = _forecast(model, truth, some, names, lead, every, keys, given)
        squares = {
            name: _squares(kept[name], truth[name], some, steps) for name in names
        }  # fmt: skip
        pieces.append(
            [sum(squares[n] for n in fields_of(v)) / len(fields_of(v)) for v in variables]
        )
    values = np.concatenate([np.stack(piece) for piece in pieces], axis=1)
    leads = every * np.arange(1, whole(lead, every) + 1)
    return xr.Dataset(
        {"forecast_square": (("variable", "start", "lead"), values)},
        {"variable": list(variables), "lead": leads},
    )


def score_leads(
    squares: dict[str, xr.Dataset], *, samples: int, level: float, seed: int
) -> xr.Dataset:
    """Return ``forecast_rmse`` (model, variable, lead) with bounds by bootstrap over starts."""
    models = xr.DataArray(list(squares), dims="model", name="model")
    joined = xr.concat(list(squares.values()), models)["forecast_square"]
    count = joined.sizes["start"]
    drawn = np.random.default_rng(seed).integers(0, count, (samples, count))
    ordered = joined.transpose("start", ...).values
    resampled = np.stack([np.sqrt(ordered[row].mean(axis=0)) for row in drawn])
    tail = (1 - level) / 2
    found: dict[str, Any] = {"forecast_rmse": np.sqrt(joined.mean("start", skipna=False))}
    for end, share in (("_lower", tail), ("_upper", 1 - tail)):
        limits = np.quantile(resampled, share, axis=0)
        found[f"forecast_rmse{end}"] = joined.isel(start=0, drop=True).copy(data=limits)
    return xr.Dataset(found).assign_coords(variable=joined["variable"])


class Later(AbstractInputs):
    """Inputs of a run that begins some steps after their own step 0.

    Args:
        inputs: What is read.
        delay: Steps after their step 0; data, so that runs that begin elsewhere compile once.
    """

    inputs: Any
    delay: Int[Array, ""]

    def at(self, step: Int[Array, ""] | int) -> Any:
        return self.inputs.at(step + self.delay)

    def check_covers(self, first: int, last: int) -> None:
        self.inputs.check_covers(first + int(self.delay), last + int(self.delay))

    def between(self, first: int, last: int) -> "Later":
        if not isinstance(self.inputs, AbstractInputs):
            return self
        delay = int(self.delay)
        return Later(self.inputs.between(first + delay, last + delay), self.delay)

    @property
    def longest(self) -> int | None:
        return self.inputs.longest if isinstance(self.inputs, AbstractInputs) else None


def _from_start(inputs: Any, model: AbstractModel, truth: xr.Dataset, start: Starts) -> Later:
    """Return the inputs as a forecast from one start reads them."""
    steps = int(start.time[0]) * whole(interval_of(truth), model.dt)
    return Later(inputs, jnp.asarray(steps, jnp.int32))


def _forecast(model, truth, starts, names, lead, every, keys, inputs) -> dict[str, np.ndarray]:
    """Return arrays (start, lead, *field)."""
    states = states_at(model, truth, starts)
    present = None if inputs is None else inputs.at(0)
    begun = start_members(model, keys, states=states, inputs=present)
    used = keys if getattr(model, "random", False) else None
    interval = whole(every, model.dt)
    kept, _ = rollout(
        model, begun, interval * whole(lead, every), every=interval, inputs=inputs, key=used,
        members=True, observe=Only(names),
    )  # fmt: skip
    return {name: np.moveaxis(np.asarray(values), -1, 0) for name, values in kept.items()}


def _squares(
    forecast: np.ndarray, truth: xr.DataArray, starts: Starts, steps: np.ndarray
) -> np.ndarray:
    """Return the mean square error (start, lead) of one field."""
    where = {
        "member": xr.DataArray(starts.member, dims="start"),
        "time": xr.DataArray(starts.time[:, None] + steps, dims=("start", "lead")),
    }
    true = truth.isel(where).drop_vars(("member", "time"), errors="ignore").load()
    true = true.transpose("start", "lead", ...).astype("float64")
    weights = cell_weights(true.isel(start=0, lead=0))
    square = (true.copy(data=forecast) - true) ** 2
    dims = [dim for dim in true.dims if dim not in ("start", "lead")]
    return np.asarray(square.weighted(weights).mean(dims, skipna=False).values)
