"""Where a simulation leaves its run: in memory, or in a store that survives an interruption."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from closura.data.plan import Plan
from closura.data.store import (
    StoreWriter,
    load_snapshot,
    open_run,
    partial_folder,
    save_snapshot,
)

RESTART = "restart.npz"


class InMemory:
    """Keeps a run in arrays that are allocated once."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self._whole: xr.Dataset | None = None

    def restart(self) -> None:
        """Return None: a run in memory begins at the beginning."""

    def write(self, first: int, part: xr.Dataset) -> None:
        if self._whole is None:
            saves = self.plan.saves
            still = part.drop_dims("time")
            grown = {
                name: (v.dims, np.empty((v.shape[0], saves, *v.shape[2:]), v.dtype), v.attrs)
                for name, v in part.data_vars.items()
            }
            time = ("time", self.plan.times(0, saves), part["time"].attrs)
            self._whole = still.assign(grown).assign_coords(time=time)
        stop = first + part.sizes["time"]
        for name, variable in part.data_vars.items():
            self._whole[name].values[:, first:stop] = variable.values

    def remember(self, reached: Mapping[str, Any]) -> None:
        """Do nothing: a run in memory does not outlive an interruption."""

    def finish(self, attrs: dict[str, Any]) -> None:
        assert self._whole is not None
        self._whole.attrs |= attrs

    def result(self) -> xr.Dataset:
        assert self._whole is not None
        return self._whole


class InFolder:
    """Writes a run to a Zarr store, and a restart file with each chunk.

    A run that was interrupted goes on with the chunks and groups that it began with.
    """

    def __init__(self, path: Path, plan: Plan):
        self.path, self._restart = path, None
        self._file = partial_folder(path) / RESTART
        if self._file.is_file():
            self._restart = load_snapshot(self._file)
        if self._restart is not None:
            if self._restart["attrs"]["run"] != plan.attrs["run"]:
                raise ValueError(_another_run(self._file.parent, self._restart["attrs"], plan))
            plan = replace(plan, chunk=self._restart["chunk"], sizes=self._restart["sizes"])
        self.plan = plan
        self._writer = StoreWriter(path, length=plan.saves, chunk=plan.chunk)
        saved = self._restart is not None and self._restart["steps"] > plan.spinup
        if saved and not self._writer.begun:  # stopped while the finished store got its name
            self._restart = None

    def restart(self) -> dict[str, Any] | None:
        """Return what was last remembered, or None at the beginning."""
        return self._restart

    def write(self, first: int, part: xr.Dataset) -> None:
        self._writer.write(first, part)

    def remember(self, reached: Mapping[str, Any]) -> None:
        """Write the restart file."""
        own = {"attrs": self.plan.attrs, "chunk": self.plan.chunk, "sizes": self.plan.sizes}
        save_snapshot(self._file, {**reached, **own})

    def finish(self, attrs: dict[str, Any]) -> None:
        self._writer.finish(attrs)

    def result(self) -> xr.Dataset:
        return open_run(self.path)


def finished(path: Path, plan: Plan) -> xr.Dataset:
    """Return a store that is already there, if it holds this very run."""
    run = open_run(path)
    if run.attrs.get("run") != plan.attrs["run"]:
        raise ValueError(_another_run(path, run.attrs, plan))
    return run


def _another_run(folder: Path, found: Mapping[str, Any], plan: Plan) -> str:
    shown = ("model", "dt", "every", "spinup", "duration", "key", "precision")
    wanted = plan.attrs
    differing = [
        f"{n} is {found[n]}, not {wanted[n]}" for n in shown if n in found and found[n] != wanted[n]
    ]
    reason = "; ".join(differing) or "another setting of the model, its state, inputs or names"
    return f"{folder} holds another run ({reason}). Delete it, or choose another path."
