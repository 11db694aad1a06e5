"""What the steps of one run share: the experiment, its folder, random keys, closures."""

import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
from jaxtyping import Array

from closura.core.pieces import in_memory
from closura.data.closures import load_closure
from closura.data.pairs import load_pairs
from closura.data.store import write_atomically
from closura.experiment.loading import Experiment

HELD = 2**28  # bytes of stored pairs up to which they are read once and kept


@dataclass
class Work:
    """What the steps of one run share.

    Args:
        experiment: The experiment.
        folder: Its run folder.
    """

    experiment: Experiment
    folder: Path
    _pairs: dict[str, Any] = field(default_factory=dict)

    def key(self, stream: str) -> Array:
        """Return the random key of a named stream; no stream depends on what else runs."""
        seed = jax.random.key(self.experiment.settings.seed)
        return jax.random.fold_in(seed, zlib.crc32(stream.encode()) & 0x7FFFFFFF)

    def pairs(self, name: str) -> Any:
        """Return stored pairs, opened once, with the coarse model where there is one.

        Large ones stay in their folder: learners and scores read them part by part.
        """
        if name not in self._pairs:
            pairs = in_memory(load_pairs(self.folder / name, lazy=True), HELD)
            known = "coarse" in self.experiment.settings.models()
            model = self.experiment.model("coarse") if known else None
            self._pairs[name] = replace(pairs, model=model)
        return self._pairs[name]

    def learner(self, name: str, seed: int) -> Any:
        """Return a learner; closures of others that it starts from are those of the same seed."""

        def fitted(other: str) -> Any:
            return self.closure(other, seed)

        return self.experiment.learner(name, fitted)

    def closures(self, seed: int = 0) -> dict[str, Any]:
        """Return every learned closure of one seed, by learner."""
        return {name: self.closure(name, seed) for name in self.experiment.settings.recipes()}

    def closure(self, name: str, seed: int = 0) -> Any:
        """Return what a learner learned from one seed."""
        return load_closure(closure_folder(self.folder, name, seed))


def closure_folder(folder: Path, name: str, seed: int) -> Path:
    """Return where a learner's closure of one seed lies; seed 0 is the learner's own folder."""
    return folder / name if seed == 0 else folder / name / f"seed_{seed}"


def write_dataset(dataset: Any, path: Path) -> None:
    """Write an xarray.Dataset as netCDF, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as temporary:
        dataset.to_netcdf(temporary)


def plain(value: Any) -> Any:
    """Return a reported value as JSON knows it."""
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    return [plain(item) for item in value] if isinstance(value, list | tuple) else str(value)
