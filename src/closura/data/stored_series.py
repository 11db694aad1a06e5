"""A series in files that need not fit into memory: 6-hourly states to nudge a model to."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Int

from closura.core.inputs import AbstractInputs
from closura.core.model import AbstractModel
from closura.core.series import Stretch, check_within
from closura.data.border import fields_template, read_fields
from closura.data.description import fingerprint
from closura.data.files import Files
from closura.data.tracks import Track, open_tracks, steps_of

AT_ONCE_BYTES = 2**26  # 64 MiB a stretch; two are in memory, the present and the next


class StoredSeries(AbstractInputs):
    """States in files, interpolated linearly in time; made by `read_series`.

    Never whole in memory: a run asks for one stretch after the other.

    Args:
        source: The open files.
        first: Time step of the first state.
        every: Time steps between two.
        count: Number of states.
        at_once: Number of states in a stretch.
    """

    source: "Source" = eqx.field(static=True)
    first: int = eqx.field(static=True)
    every: int = eqx.field(static=True)
    count: int = eqx.field(static=True)
    at_once: int = eqx.field(static=True)

    @property
    def last(self) -> int:
        """Last time step that the series covers."""
        return self.first + self.every * (self.count - 1)

    @property
    def longest(self) -> int:
        return max(1, self.at_once - 2) * self.every

    def at(self, step: Int[Array, ""] | int) -> Any:
        if isinstance(step, jax.core.Tracer):
            raise TypeError(
                "a series in files cannot be read inside compiled code; run it with rollout or "
                "simulate, or take a stretch of it first: series.between(first, last)."
            )
        return self.between(int(step), int(step)).at(step)

    def check_covers(self, first: int, last: int) -> None:
        check_within(first, last, self.first, self.last)

    def between(self, first: int, last: int) -> Stretch:
        """Return the states around the steps from first to last, in memory."""
        first, last = (min(max(s, self.first), self.last) for s in (first, last))
        # As many for all stretches of one length, wherever they begin: so they compile once.
        count = min(self.count, -(-(last - first) // self.every) + 2)
        begin = min((first - self.first) // self.every, self.count - count)
        values = self.source.read(begin, begin + count)
        step = jnp.asarray(self.first + begin * self.every, jnp.int32)
        return Stretch(values, step, self.every)

    def __repr__(self) -> str:
        names = ", ".join(self.source.names)
        return (
            f"StoredSeries({names} from {self.source.files}, {self.count} states, steps "
            f"{self.first} to {self.last}, one in {self.every})"
        )


@dataclass(frozen=True, eq=False)
class Source:
    """Open files and what to read from them.

    Args:
        files: Their names.
        names: The fields.
        digest: Fingerprint of times, names, units and of the first and the last state.
    """

    files: str
    names: tuple[str, ...]
    digest: str

    def read(self, begin: int, end: int) -> dict[str, Array]:
        """Return the fields of the states from one number to before another, (time, *field).

        Raises:
            ValueError: A value is missing.
        """
        reader: _Reader = self.__dict__["reader"]
        return reader.read(begin, end)


@dataclass
class _Reader:
    """Reads, checks and arranges states."""

    model: AbstractModel
    template: Any
    tracks: list[Track]
    units: Mapping[str, str]

    def read(self, begin: int, end: int) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for track in self.tracks:
            dataset = track.load(begin, end)
            instants = [
                read_fields(
                    self.model, dataset.isel({track.time: index}), self.template,
                    names=track.names, units=self.units,
                )
                for index in range(dataset.sizes[track.time])
            ]  # fmt: skip
            for name in track.names:
                values = np.stack([np.asarray(instant[name]) for instant in instants])
                _check_finite(name, values, track, begin)
                found[name] = jnp.asarray(values, getattr(self.template, name).dtype)
        return found


def read_series(
    files: Files | xr.Dataset,
    model: AbstractModel,
    *,
    variables: Collection[str] | None = None,
    rename: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    begin: float | str | None = None,
    member: int = 0,
    time: str = "time",
    at_once: int | None = None,
) -> StoredSeries:
    """Return states in files as inputs of a run: linear in time, read as the run goes on.

    Dimensions in another order and coordinates in reverse are turned round. While the model runs
    through one stretch the next is read in a thread.

    Args:
        files: A run of `simulate`, netCDF or Zarr, several or a pattern; files with the same
            variables follow each other in time, others go side by side. Or an open Dataset.
        model: Says names, units, grid and time step.
        variables: Fields to read; if None all of the model's that the files hold.
        rename: Names in the files to names of fields, e.g. ``{"UWND": "u"}``.
        units: Units that the files' values have, by field: they are then converted.
        begin: Time of step 0: a number in the files' unit, or a date; the first time if None.
        member: Which member of a run.
        time: Name of the dimension of time.
        at_once: States in a stretch; about 64 MiB if None.

    Raises:
        FileNotFoundError: A file is not there.
        ValueError: Times repeat, go back, have a gap or do not fit the model's step; a grid, unit
            or name is not the model's; or a value is missing.
    """
    renamed = dict(rename or {})
    tracks, label = open_tracks(files, model, variables, renamed, time=time, member=member)
    first, every = steps_of(tracks[0], model, begin)
    template = fields_template(model)
    reader = _Reader(model, template, tracks, dict(units or {}))
    names = tuple(v.name for v in model.variables if any(v.name in t.names for t in tracks))
    count = len(tracks[0].times)
    ends = {index: reader.read(index, index + 1) for index in (0, count - 1)}
    source = Source(label, names, fingerprint(str(tracks[0].times), dict(units or {}), ends))
    source.__dict__["reader"] = reader  # no part of what it is: a description leaves it out
    size = sum(values.nbytes for values in ends[0].values())
    chosen = max(3, AT_ONCE_BYTES // max(1, size)) if at_once is None else at_once
    if chosen < 3:
        raise ValueError(f"at_once is {at_once}; a stretch needs 3 states or more.")
    return StoredSeries(source, first, every, count, chosen)


def _check_finite(name: str, values: np.ndarray, track: Track, begin: int) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        when = track.times[begin + int(np.argwhere(bad)[0][0])]
        raise ValueError(
            f"{name!r} is missing (NaN or fill value) in {bad[np.argwhere(bad)[0][0]].sum()} of "
            f"{values[0].size} points at time {when}; fill it first, or leave the field out with "
            "variables=."
        )
