"""What a finished or unfinished experiment left in its run folder, read and never written."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr
import yaml

from closura.data.store import read_dataset

# Which stage writes a file, by kind of experiment: said where the file is not there.
_LEARNING = {"offline.nc": "offline", "pairs.zarr": "pairs", "pairs_test.zarr": "pairs"}
STAGE_OF = {
    "simulated": {"scores.nc": "online", "price.json": "price", **_LEARNING},
    "assimilated": {"scores.nc": "scores", "pairs.zarr": "assimilate", "pairs_test.zarr": "truth"},
    "nudged": {"scores.nc": "online", "price.json": "price", **_LEARNING},
    "recorded": {"scores.nc": "online", "price.json": "price", **_LEARNING},
    "inferred": {"scores.nc": "score", "measured.nc": "measure"},
}
_ALWAYS = {"checks.json": "report"}  # the same in every kind


@dataclass(frozen=True)
class RunFolder:
    """One experiment on disk. What is absent is None or empty, and `missing` says why.

    Args:
        path: The run folder.
        experiment: The resolved experiment.
        scores: Online scores.
        offline: Offline scores.
        learning_curves: Skill against the amount of training data.
        price: Cost of each hybrid step.
        checks: Expected beside found.
        provenance: How it was made.
        metrics: Lines that the stages reported, in order.
        histories: Training curves of every seed, by learner.
        stages: What each finished step noted, by step.
        missing: Reason why a file could not be used, by file name.
    """

    path: Path
    experiment: Mapping[str, Any]
    scores: xr.Dataset | None
    offline: xr.Dataset | None
    learning_curves: xr.Dataset | None
    price: Any
    checks: Any
    provenance: Mapping[str, Any]
    metrics: tuple[Mapping[str, Any], ...]
    histories: Mapping[str, tuple[Any, ...]]
    stages: Mapping[str, Any]
    missing: "_Missing" = field(default_factory=lambda: _Missing())

    @property
    def name(self) -> str:
        """Name of the experiment, or of the folder where the experiment does not say."""
        return str(self.experiment.get("name") or self.path.name)

    @property
    def learners(self) -> tuple[str, ...]:
        """Names of the learners, in the order of the experiment."""
        declared = self.experiment.get("learners")
        return tuple(map(str, declared)) if isinstance(declared, Mapping) else ()

    @property
    def kind(self) -> str:
        """Kind of the experiment; told from its sections where an early version did not say."""
        return kind_of(self.experiment)

    @property
    def learning(self) -> xr.Dataset | None:
        """Learning curves: a file of their own, or part of the offline scores."""
        for found in (self.learning_curves, self.offline):
            if found is not None and "learning_curve" in found:
                return found
        return None

    def why(self, *files: str) -> str:
        """Say in one line why what is drawn from these files is not shown."""
        found = [self.missing[name] for name in files if name in self.missing]
        return " ".join(dict.fromkeys(found)) or "The run folder does not hold these numbers."


def read_run_folder(folder: str | Path) -> RunFolder:
    """Read everything small in a run folder; stores are opened when first asked for.

    Raises:
        FileNotFoundError: There is no such folder, or it is not one of an experiment.
    """
    path = Path(folder)
    if not (path / "experiment.yaml").is_file():
        raise FileNotFoundError(
            f"{path} holds no experiment.yaml, so it is not a run folder. "
            "Give the folder that `closura run` printed."
        )
    experiment = yaml.safe_load((path / "experiment.yaml").read_text()) or {}
    missing = _Missing(kind_of(experiment))
    learners = experiment.get("learners") or {}
    seeds = int(experiment.get("seeds") or 1)  # a folder may hold more, of an earlier run
    histories = {str(name): _histories(path, str(name), seeds, missing) for name in learners}
    return RunFolder(
        path=path,
        experiment=experiment,
        scores=dataset_in(path, "scores.nc", missing),
        offline=dataset_in(path, "offline.nc", missing),
        learning_curves=dataset_in(path, "learning_curve.nc", _Missing()),
        price=_json(path, "price.json", missing),
        checks=_json(path, "checks.json", missing),
        provenance=_json(path, "provenance.json", missing) or {},
        metrics=_lines(path / "metrics.jsonl"),
        histories={name: history for name, history in histories.items() if history},
        stages=_json(path, "stages.json", _Missing()) or {},
        missing=missing,
    )


def dataset_in(folder: Path, name: str, missing: "_Missing") -> xr.Dataset | None:
    """Return a file of a run folder; None, with the reason in `missing`, if it cannot be used."""
    if not (folder / name).is_file():
        missing.add(name)
        return None
    try:
        return read_dataset(folder / name)
    except (OSError, ValueError) as problem:
        missing[name] = unreadable(name, problem)
        return None


def _histories(folder: Path, name: str, seeds: int, missing: "_Missing") -> tuple[Any, ...]:
    """Return the training curves of a learner, one a seed, seed 0 first."""
    first = _json(folder, f"{name}/history.json", missing)
    others = [f"{name}/seed_{seed}/history.json" for seed in range(1, seeds)]
    found = [_json(folder, path, missing) for path in others if (folder / path).is_file()]
    return tuple(history for history in (first, *found) if history)


def _json(folder: Path, name: str, missing: "_Missing") -> Any:
    try:
        return json.loads((folder / name).read_text())
    except FileNotFoundError:
        missing.add(name)
    except (OSError, ValueError) as problem:
        missing[name] = unreadable(name, problem)
    return None


def _lines(path: Path) -> tuple[Mapping[str, Any], ...]:
    """Read whole JSON lines; the last may have been cut by an interruption."""
    found = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return tuple(found)


def kind_of(experiment: Mapping[str, Any]) -> str:
    """Return the kind that a resolved experiment names, or that its sections show."""
    return str(experiment.get("kind") or ("simulated" if "coarse" in experiment else "recorded"))


class _Missing(dict[str, str]):
    """Why files could not be used, by file name.

    Args:
        kind: Kind of the experiment: it tells which stage writes what.
    """

    def __init__(self, kind: str = ""):
        super().__init__()
        self._stages = STAGE_OF.get(kind, {})

    def add(self, name: str) -> None:
        """Note that a file is not there."""
        if name.endswith("history.json"):
            self[name] = f"{name} is not in the run folder: this learner keeps no training curve."
            return
        stage = _ALWAYS.get(name) or self._stages.get(name)
        which = f"stage '{stage}'" if stage else "stage that writes it"
        self[name] = (
            f"{name} is not in the run folder: the {which} has not run, or was not asked for."
        )


def unreadable(name: str, problem: Exception) -> str:
    """Say why a file that is there cannot be used."""
    first = (str(problem).splitlines() or [""])[0]
    return f"{name} cannot be read ({type(problem).__name__}: {first})."
