"""Learners of a finished run, shipped to another program."""

from pathlib import Path
from typing import Any

import jax
import yaml

from closura.data.closures import load_closure
from closura.data.pairs import load_pairs
from closura.experiment.folder import EXPERIMENT
from closura.experiment.kinds.pairs import HELD_OUT, TRAINING
from closura.experiment.work import closure_folder
from closura.export.ship import check_absent, check_format, export_closure
from closura.registry import nearest


def export_run(
    folder: str | Path,
    *,
    learner: str | None = None,
    to: str = "fortran",
    output: str | Path | None = None,
    missing: str = "report",
    seed: int = 0,
) -> dict[Path, dict[str, Any]]:
    """Ship what a run has learned; its held-out states are what the parity is measured on.

    Args:
        folder: The run folder.
        learner: Name of a learner of the experiment; all of them if None.
        to: ``"fortran"``, ``"onnx"``, ``"mom6"``, ``"stablehlo"``, ``"source"`` or
            ``"guide_add"``.
        output: Where to write; ``<folder>/<learner>/<to>`` if None.
        missing: What becomes of a column that holds NaN, see `export_closure`.
        seed: Which seed's closure.

    Returns:
        The figures of each parity check, by the folder that was written.

    Raises:
        ValueError: There is no such learner or format, or a closure cannot be shipped. Of several
            learners all others are written first, and the line names what was refused and why.
        FileNotFoundError: It is no run folder, or the learner has not been fitted yet.
        FileExistsError: What would be written exists.
    """
    place = Path(folder)
    check_format(to)
    chosen = _choose(place, learner, seed)
    targets = _targets(place, chosen, to, output)
    with jax.enable_x64(True):
        pairs = [load_pairs(place / HELD_OUT), load_pairs(place / TRAINING)]
        done, refused = {}, {}
        for name, target in targets.items():
            closure, source = load_closure(closure_folder(place, name, seed)), place.name
            words = {"to": to, "name": name, "missing": missing}
            try:
                done[target] = export_closure(
                    closure, target, pairs=pairs, source=f"learner {name} of {source}", **words
                )
            except ValueError as error:
                refused[name] = error
    if refused:
        raise ValueError(_say(done, refused))
    return done


def _targets(place: Path, chosen: list[str], to: str, output: str | Path | None) -> dict[str, Path]:
    """Return the folder of each learner; none of them exists."""
    if output is not None and len(chosen) > 1:
        raise ValueError(
            f"the run has {len(chosen)} learners and --output names one folder; choose one with "
            f"--learner: {', '.join(chosen)}."
        )
    targets = {name: place / name / to if output is None else Path(output) for name in chosen}
    for target in targets.values():  # before the first is written
        check_absent(target)
    return targets


def _say(done: dict[Path, dict[str, Any]], refused: dict[str, ValueError]) -> str:
    """Return one line: what was refused and why, and what was written nevertheless."""
    if len(refused) == 1 and not done:
        return str(next(iter(refused.values())))
    why = "; ".join(f"{name}: {str(error).removesuffix('.')}" for name, error in refused.items())
    written = f"written: {', '.join(map(str, done))}" if done else "nothing is written"
    return f"{len(refused)} of {len(done) + len(refused)} learners were refused. {why}; {written}."


def _choose(place: Path, learner: str | None, seed: int) -> list[str]:
    """Return the names of the learners to ship, all of them fitted: one, or all of the run."""
    if not (place / EXPERIMENT).is_file():
        raise FileNotFoundError(
            f"{place} holds no {EXPERIMENT}, so it is not a run folder. "
            "Give the folder that `closura run` printed."
        )
    said = yaml.safe_load((place / EXPERIMENT).read_text(encoding="utf-8")) or {}
    names = [str(name) for name in said.get("learners") or {}]
    if learner is not None and learner not in names:
        raise ValueError(
            f"{place} has no learner {learner!r}{nearest(learner, names)} "
            f"It has: {', '.join(names)}."
        )
    chosen = names if learner is None else [learner]
    for name in chosen:
        if not closure_folder(place, name, seed).is_dir():
            raise FileNotFoundError(
                f"{place} has not fitted {name!r} yet (seed {seed}); run its experiment to the end."
            )
    return chosen
