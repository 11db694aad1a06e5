"""Run a model freely for long, keep its statistics alone, and tell when and where it blows up."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from closura.core.couple import Coupled
from closura.core.durations import days
from closura.core.inputs import AbstractInputs
from closura.core.model import AbstractModel, Snapshot
from closura.core.progress import report
from closura.core.rollout import rollout
from closura.core.term import Term
from closura.data.border import to_dataset
from closura.evaluation.protocol import whole
from closura.evaluation.running_means import ADDED, SHARE, RunningMeans

PIECE_BYTES = 2**26  # 64 MiB of fields in memory at once, whatever the resolution
SURVIVED, BLOW_UP = "survived", "blow_up"  # attributes of the statistics


@dataclass(frozen=True)
class Lengths:
    """How long a free run is, in the model's time units.

    Args:
        duration: The whole run.
        discard: What is left out at its beginning.
        every: Between two instants that are looked at.
        block: Means are kept over blocks of this length.
    """

    duration: float
    discard: float
    every: float
    block: float

    @property
    def blocks(self) -> int:
        """Number of blocks that are scored."""
        return whole(self.duration - self.discard, self.block)


def free_run(
    model: AbstractModel,
    state: Any,
    lengths: Lengths,
    *,
    key: Array | None = None,
    inputs: Any = None,
    name: str = "",
) -> xr.Dataset:
    """Return the statistics of a free run (see `RunningMeans.result`), never its fields.

    A run that blows up stops there and keeps the blocks that are whole. Of a model whose closure
    is recorded (`couple(..., record=True)`), what was added is summed up too, as ``X_added``, and
    what guards did to it at the last call before each instant that is looked at, as ``share_X``;
    of a closure that is not recorded, shares are what its guards would do to these instants.

    Args:
        model: Any model.
        state: Where to start.
        lengths: How long.
        key: Randomness of the closures.
        inputs: What the model and its closures read, from step 0.
        name: How the run is called while it goes on.

    Returns:
        Statistics with the attributes ``"survived"`` (time until the first value that is not
        finite, else the whole length) and ``"blow_up"`` (what happened, else empty).
    """
    sums = RunningMeans(whole(lengths.block, lengths.every))
    snapshot = model.start(state, key, None if inputs is None else inputs.at(0))
    used = key if getattr(model, "random", False) else None
    told, survived, before = "", lengths.duration, None
    for first, instants, scored in _pieces(model, lengths):
        report("evaluate", model=name, what=f"free run, time {first * lengths.every:g}")
        every = whole(lengths.every, model.dt)
        kept, snapshot = rollout(
            model, snapshot, instants * every, every=every, inputs=inputs, key=used,
            observe=Watch(_since_last_calls(model, inputs, first * every, instants * every)),
        )  # fmt: skip
        times = lengths.every * np.arange(first + 1, first + instants + 1)
        piece = _as_dataset(model, kept, times)
        told = what_blew_up(piece, before)
        if told:
            survived = _first_bad(piece)
            break
        before = piece.isel(time=-1)
        if scored:
            sums.add(piece)
    found = sums.result() if sums.whole else xr.Dataset()
    return found.assign_attrs({SURVIVED: float(survived), BLOW_UP: told})


class Watch(eqx.Module):
    """What is looked at of a free run: all fields, what closures added, what guards did to that.

    What a guard did is asked of the fields and the inputs that its term saw when it last acted,
    if the term is recorded. Of one that is not recorded nobody knows them: then it is what the
    guard would do to the saved states. A closure with memory is asked with its present memory.

    Args:
        inputs: What the model reads, from the last call before the stretch on; None if nothing.
    """

    inputs: Any = None

    def __call__(self, model: AbstractModel, snapshot: Snapshot, inputs: Any) -> dict[str, Any]:
        shown = dict(model.fields(snapshot.state)._asdict())
        if not isinstance(model, Coupled):
            return shown
        records = model.recorded(snapshot)
        for each in records:
            for name, values in each.added.items():
                key = name + ADDED
                shown[key] = shown[key] + values if key in shown else values
        remaining = iter(records)
        for term, memory in zip(model.terms, snapshot.memory.terms, strict=True):
            record = next(remaining) if term.record else None
            if hasattr(term.closure, "share") and not term.closure.random:
                own = memory if term.every == 1 else memory.memory
                done = (
                    term.closure.share(model.fields(snapshot.state), inputs, memory=own)
                    if record is None
                    else self._share(term, record, snapshot)
                )
                shown |= {SHARE + name: jnp.asarray(value) for name, value in done.items()}
        return shown

    def _share(self, term: Term, record: Any, snapshot: Snapshot) -> Any:
        """Return what a recorded term's guards did when it last acted."""
        guard: Any = term.closure
        called = (snapshot.step - 1) // term.every * term.every
        given = None if self.inputs is None else self.inputs.at(called)
        return guard.share(record.before, given, memory=record.memory)


def _since_last_calls(model: AbstractModel, inputs: Any, first: int, steps: int) -> Any:
    """Return the inputs of a stretch of steps, and of the last call of each term before it."""
    if not isinstance(model, Coupled) or not isinstance(inputs, AbstractInputs):
        return inputs
    longest = max((term.every for term in model.terms), default=1)
    return inputs.between(max(0, first - longest), first + steps)


def _as_dataset(model: AbstractModel, kept: Mapping[str, Any], times: np.ndarray) -> xr.Dataset:
    """Return a stretch of a run, variables in the model's order, then what was added to them."""
    names = [variable.name for variable in model.variables]
    fields = to_dataset(model, {name: kept[name] for name in names}, time=times)
    added = {
        name + ADDED: (fields[name].dims, np.asarray(kept[name + ADDED]))
        for name in names if name + ADDED in kept
    }  # fmt: skip
    shares = {
        name: ("time", np.asarray(values)) for name, values in kept.items()
        if name.startswith(SHARE)
    }  # fmt: skip
    return fields.assign(added | shares)


def what_blew_up(piece: xr.Dataset, before: xr.Dataset | None = None) -> str:
    """Return in one line when and where a run stopped being finite; empty if it is.

    Args:
        piece: A stretch of the run, dimensions (time, *dims).
        before: The instant before it.
    """
    names = [str(n) for n in piece.data_vars if piece[n].ndim > 1 and not str(n).endswith(ADDED)]
    bad = [(n, np.argwhere(~np.isfinite(piece[n].transpose("time", ...).values))) for n in names]
    found = [(place[0], name) for name, place in bad if place.size]
    if not found:
        return ""
    place, name = min(found, key=lambda entry: entry[0][0])
    dims = [str(dim) for dim in piece[name].dims if dim != "time"]
    at = {dim: piece[dim].values[i] if dim in piece.coords else i
          for dim, i in zip(dims, place[1:], strict=True)}  # fmt: skip
    where = ", ".join(f"{dim} {value:.4g}" for dim, value in at.items()) or "its only point"
    text = f"{name} is not finite from {_when(piece['time'][place[0]])} on, at {where}"
    last = piece.isel(time=place[0] - 1) if place[0] > 0 else before
    return text + _largest_added(last)


def _when(time: xr.DataArray) -> str:
    """Return a time in words; in days where it is in seconds."""
    value = float(time)
    return f"day {value / days:g}" if time.attrs.get("units") == "s" else f"time {value:g}"


def _largest_added(instant: xr.Dataset | None) -> str:
    """Say what the closures added at the last finite instant."""
    added = {} if instant is None else {
        str(n): float(abs(instant[n]).max()) for n in instant.data_vars if str(n).endswith(ADDED)
    }  # fmt: skip
    if not added:
        return ""
    parts = ", ".join(f"{value:.3g} to {name.removesuffix(ADDED)}" for name, value in added.items())
    return f"; just before, the closure added up to {parts} per time unit"


def _first_bad(piece: xr.Dataset) -> float:
    bad = np.zeros(piece.sizes["time"], bool)
    for name in piece.data_vars:
        values = piece[name].transpose("time", ...).values
        bad |= ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    return float(piece["time"].values[int(np.argmax(bad))])


def _pieces(model: AbstractModel, lengths: Lengths) -> Iterator[tuple[int, int, bool]]:
    """Give (instants before, instants, whether scored) of stretches that each fit into memory."""
    block = whole(lengths.block, lengths.every)
    length = _largest_divisor(block, max(1, PIECE_BYTES // _bytes_of(model)))
    discard = whole(lengths.discard, lengths.every)
    ends = [min(length, discard - first) for first in range(0, discard, length)]
    first = 0
    for instants, scored in [
        *((n, False) for n in ends), *((length, True),) * (lengths.blocks * block // length)
    ]:  # fmt: skip
        yield first, instants, scored
        first += instants


def _largest_divisor(number: int, limit: int) -> int:
    return next(n for n in range(min(number, limit), 0, -1) if number % n == 0)


def _bytes_of(model: AbstractModel) -> int:
    """Return the size of all fields at one instant, what a closure adds included."""
    state = eqx.filter_eval_shape(model.initial_state, jax.random.key(0))
    fields = eqx.filter_eval_shape(model.fields, state)
    return 2 * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(fields))
