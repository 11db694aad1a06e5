"""The protocol: which starts, how long, how often, fixed once for every model that is compared."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from closura.core.model import AbstractModel, Snapshot
from closura.data.border import check_shapes

MOST_LEADS = 300  # lead times kept by default: 0.01 for a lead of 3 time units
RUNS_OF_CLIMATE = 8  # long runs, and enough of them that chaos does not last in all by chance
LEADS_IN_A_RUN = 10  # a run of the climate lasts at least so many leads, where the truth does


@dataclass(frozen=True)
class Protocol:
    """How every model is scored. Lengths and intervals are in the models' time units.

    Attributes:
        forecasts: Number of forecasts.
        lead: Length of a forecast.
        members: Ensemble members of a forecast with a stochastic model.
        every: Interval between two scored lead times.
        climate: Length of the climate run, all its members together.
        climate_members: Number of members that share this length.
        climate_every: Interval between two states of the climate run.
        chaos: Length of the run whose end tells whether chaos was lost; 0 where none is made.
        block: Forecasts in a block of the bootstrap: those that overlap are not independent.
        level: Probability that intervals are to cover.
        seed: Seed of the resampling.
    """

    forecasts: int
    lead: float
    members: int
    every: float
    climate: float
    climate_members: int
    climate_every: float
    chaos: float
    block: int
    level: float
    seed: int

    @property
    def leads(self) -> np.ndarray:
        """Lead times, 0 included."""
        return self.every * np.arange(whole(self.lead, self.every) + 1)

    @property
    def climate_states(self) -> int:
        """States kept of each climate run."""
        return int(self.climate / self.climate_members / self.climate_every + 1e-6)

    @property
    def states_left_out(self) -> int:
        """States at the beginning of a climate run that are not scored: one lead of them."""
        return int(np.ceil(self.lead / self.climate_every - 1e-6))

    @property
    def climate_saves(self) -> int:
        """States that a climate run makes."""
        return self.states_left_out + self.climate_states

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        values = asdict(self)
        return {n: float(f"{v:.10g}") if isinstance(v, float) else v for n, v in values.items()}


class Starts(NamedTuple):
    """Instants of the truth from which models are started: indices of member and time."""

    member: np.ndarray
    time: np.ndarray


def make_protocol(
    truth: xr.Dataset,
    *,
    forecasts: int,
    lead: float,
    members: int,
    climate: float | None,
    every: float | None,
    chaos: float,
    level: float,
    seed: int,
) -> Protocol:
    """Return the protocol with everything filled in that follows from the truth.

    Raises:
        ValueError: A setting is out of range, does not divide another, or asks for more than the
            truth holds.
    """
    step, duration = interval_of(truth), duration_of(truth)
    held = step * truth.sizes["time"]  # a state stands for the interval to the next one
    _check_counts(forecasts=forecasts, members=members)
    if not 0 < lead <= duration:
        raise ValueError(
            f"lead is {lead:g}, but each member of the truth lasts {duration:g} time units; "
            "choose a shorter lead or a longer truth."
        )
    if every is None:
        every = step * max(1, int(np.ceil(lead / step / MOST_LEADS - 1e-6)))
    check_multiple("every", every, "the interval of the truth", step)
    check_multiple("lead", lead, "every", every)
    total = held * truth.sizes["member"] if climate is None else climate
    runs = _climate_runs(total, held, truth.sizes["member"], lead)
    spacing = every * max(1, int(lead / 60 / every + 1e-6))
    if total / runs < 8 * spacing:
        raise ValueError(
            f"climate is {total:g} time units, too short to compare climates; "
            f"ask for at least {8 * runs * spacing:g}."
        )
    apart = duration * truth.sizes["member"] / forecasts
    block = int(np.clip(np.ceil(lead / apart), 1, forecasts // 2))
    return Protocol(
        forecasts, lead, members, every, total, runs, spacing, chaos, block, level, seed
    )


def interval_of(truth: xr.Dataset) -> float:
    """Return the interval between two states of a run, from its times: attributes go stale.

    Raises:
        ValueError: The run has fewer than two times, or they are not evenly spaced.
    """
    if "time" not in truth.coords or truth.sizes.get("time", 0) < 2:
        raise ValueError(
            f"the truth has dimensions {dict(truth.sizes)} and coordinates "
            f"{', '.join(map(str, truth.coords)) or 'none'}; evaluate wants a coordinate 'time' of "
            "length 2 or more: pass a run as simulate makes it."
        )
    time = truth["time"].values
    gaps = np.diff(time)
    uneven = ~np.isclose(gaps, gaps[0], rtol=1e-4, atol=0.0)
    if uneven.any() or gaps[0] <= 0:
        place = int(np.argmax(uneven))
        raise ValueError(
            f"the truth's times are not evenly spaced and increasing: {gaps[0]:g} apart at first, "
            f"{gaps[place]:g} after time {time[place]:g}; evaluate runs one by one."
        )
    interval = float(time[-1] - time[0]) / gaps.size
    return float(f"{interval:.10g}")  # 0.05, not 0.04999999999999998: leads are looked up by value


def duration_of(truth: xr.Dataset) -> float:
    """Return the time from the first to the last state of a member: the longest forecast."""
    return interval_of(truth) * (truth.sizes["time"] - 1)


def whole(length: float, unit: float) -> int:
    """Return how many units make up a length, to the nearest whole number."""
    return round(length / unit)


def check_multiple(name: str, length: float, of: str, unit: float) -> None:
    """Raise ValueError unless a length is a whole number of units, one or more."""
    count = whole(length, unit)
    if count < 1 or abs(count * unit - length) > 1e-6 * length:
        nearest = max(1, count) * unit
        raise ValueError(
            f"{name} is {length:g}, not a multiple of {of}, {unit:g}; choose {nearest:g}."
        )


def check_model(name: str, model: AbstractModel, protocol: Protocol) -> None:
    """Raise ValueError unless the scored interval is a whole number of the model's steps."""
    check_multiple("every", protocol.every, f"the time step of {name!r}", model.dt)


def forecast_starts(truth: xr.Dataset, protocol: Protocol) -> Starts:
    """Return starts spaced as far apart as the truth allows, over all of its members."""
    last = truth.sizes["time"] - 1 - whole(protocol.lead, interval_of(truth))
    return _spaced(truth.sizes["member"], last, protocol.forecasts)


def climate_starts(truth: xr.Dataset, protocol: Protocol) -> Starts:
    """Return one start for each climate run, on the truth's attractor."""
    return _spaced(truth.sizes["member"], truth.sizes["time"] - 1, protocol.climate_members)


def fields_at(truth: xr.Dataset, names: Sequence[str], starts: Starts) -> dict[str, np.ndarray]:
    """Return arrays (start, *field) of some variables of the truth."""
    where = {"member": ("start", starts.member), "time": ("start", starts.time)}
    chosen = {name: xr.DataArray(indices, dims=dim) for name, (dim, indices) in where.items()}
    return {name: truth[name].isel(chosen).transpose("start", ...).values for name in names}


def states_at(model: AbstractModel, truth: xr.Dataset, starts: Starts) -> Any:
    """Return the model's States at instants of the truth, with the starts on the last axis.

    A State whose arrays the truth holds is taken over as it is; of another one the fields are
    set through the model's `add`.

    Raises:
        ValueError: The truth lacks a variable of the model, or has it in another shape.
    """
    shape = eqx.filter_eval_shape(model.initial_state, jax.random.key(0))
    if all(name in truth for name in shape._fields):
        values = fields_at(truth, shape._fields, starts)
        _check_shapes(model, values, shape)
        arrays = {n: _members_last(values[n], getattr(shape, n).dtype) for n in shape._fields}
        return type(shape)(**arrays)
    names = [variable.name for variable in model.variables]
    missing = [name for name in names if name not in truth]
    if missing:
        raise ValueError(
            f"the truth lacks {', '.join(missing)}, so {type(model).__name__} cannot start from "
            f"it; it holds {', '.join(map(str, truth.data_vars))}. Save all variables of the model."
        )
    base = model.initial_state(jax.random.key(0))
    shown = model.fields(base)
    values = fields_at(truth, names, starts)
    _check_shapes(model, values, shown)
    wanted = {n: _members_last(values[n], getattr(shown, n).dtype) for n in names}

    def place(fields: Any) -> Any:
        return model.add(base, {name: fields[name] - getattr(shown, name) for name in names})

    return jax.vmap(place, in_axes=-1, out_axes=-1)(wanted)


class Only(eqx.Module):
    """What a rollout keeps: some fields by name."""

    names: tuple[str, ...] = eqx.field(static=True)

    def __call__(self, model: AbstractModel, snapshot: Snapshot, inputs: Any) -> dict[str, Any]:
        fields = model.fields(snapshot.state)
        return {name: getattr(fields, name) for name in self.names}


def is_random(model: AbstractModel) -> bool:
    """Return whether a model draws random numbers as it runs."""
    return bool(getattr(model, "random", False))


def _check_shapes(model: AbstractModel, values: dict[str, np.ndarray], wanted: Any) -> None:
    shapes = {name: array.shape[1:] for name, array in values.items()}
    remedy = "give both models the same grid (say, the same K), or coarsen the truth before"
    check_shapes(model, shapes, wanted, remedy=remedy)


def _members_last(values: np.ndarray, dtype: Any) -> jax.Array:
    return jnp.moveaxis(jnp.asarray(values, dtype), 0, -1)


def _spaced(members: int, last: int, count: int) -> Starts:
    each = -(-count // members)
    times = np.linspace(0, last, each).round().astype(int)
    member, time = np.repeat(np.arange(members), each), np.tile(times, members)
    chosen = np.linspace(0, member.size - 1, count).round().astype(int)
    return Starts(member[chosen], time[chosen])


def _climate_runs(total: float, held: float, members: int, lead: float) -> int:
    """Return how many runs share a climate, none longer than a member of the truth holds.

    For a climate as long as the truth the members of the truth are cut into as many equal pieces.
    """
    wanted = int(np.clip(total / (LEADS_IN_A_RUN * lead), 1, RUNS_OF_CLIMATE))
    runs = max(wanted, int(np.ceil(total / held - 1e-6)))
    same = abs(total - held * members) <= 1e-6 * total
    return runs - runs % members if same else runs


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 2:
            raise ValueError(f"{name} is {count}; a score with an interval wants 2 or more.")
