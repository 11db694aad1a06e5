"""One learner fitted by several processes of this computer, each a share of every batch."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import jax

from closura.core.learner import AbstractLearner, Pairs
from closura.core.processes import ENVIRONMENT, distributed
from closura.data.closures import load_closure, save_closure
from closura.data.pairs import save_pairs
from closura.data.store import read_json, write_json
from closura.experiment.work import Work

TRAINING, HISTORY = "pairs.zarr", "history.json"
History = list[dict[str, Any]]  # what was reported of each epoch

PATIENCE = 0.1  # [s] between two looks at whether a process has ended


@dataclass(frozen=True)
class Fit:
    """One fit of a learner of an experiment.

    Args:
        learner: Its name.
        seed: Number of the seed.
        round: Number of the round where a learner iterates; None where there are no rounds.
    """

    learner: str
    seed: int
    round: int | None = None


def fit_together(
    work: Work, fit: Fit, processes: int, pairs: Pairs | None = None
) -> tuple[Any, History]:
    """Return the closure and the training curve that so many new processes find together.

    Args:
        work: The run.
        fit: What is fitted.
        processes: How many are started.
        pairs: What it is fitted to; the training pairs of the run if None.

    Raises:
        RuntimeError: One of them died or failed; the others are ended.
    """
    command = [sys.executable, "-m", "closura.experiment.together", str(work.folder)]
    address = f"127.0.0.1:{_free_port()}"
    own = f".fit.{fit.learner}.{fit.seed}."  # no name of a learner has a point
    for left in work.folder.glob(f"{own}*"):  # by a run that was killed
        shutil.rmtree(left)
    with (
        tempfile.TemporaryFile("w+") as told,
        tempfile.TemporaryDirectory(prefix=own, dir=work.folder) as into,
    ):
        if pairs is not None:
            save_pairs(Path(into) / TRAINING, pairs)
        words, started = [into, json.dumps(asdict(fit))], []
        for number in range(processes):
            place = dict(zip(ENVIRONMENT, (address, str(processes), str(number)), strict=True))
            started.append(
                subprocess.Popen(
                    [*command, *words], env=os.environ | place, stdin=subprocess.PIPE,
                    stdout=told, stderr=told,
                )
            )  # fmt: skip
        try:
            _wait_for_all(started, fit.learner, told)
        finally:
            for process in started:
                process.kill()
                process.communicate()  # waits, and lets go of its input
        return load_closure(into), read_json(Path(into) / HISTORY)


def trains_together(learner: AbstractLearner) -> bool:
    """Return whether processes share the work of a learner, or of one inside it."""
    parts = jax.tree.leaves(learner, is_leaf=lambda part: getattr(part, "together", False))
    return any(getattr(part, "together", False) for part in parts)


def _wait_for_all(started: list[subprocess.Popen], name: str, told: IO[str]) -> None:
    while any(process.poll() is None for process in started):
        time.sleep(PATIENCE)
        if any(process.poll() for process in started):
            break
    for number, process in enumerate(started):
        if process.poll():
            told.seek(0)
            lines = [line.strip() for line in told if "Error: " in line]
            reason = f" ({lines[0][:200]})" if lines else ""
            raise RuntimeError(
                f"process {number} of {len(started)} ended with {process.returncode} while fitting "
                f"{name!r}{reason}; run the experiment again: what is finished is kept."
            )


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _end_with_parent() -> None:
    """End this process when the one that started it has died: its input is over then."""
    while os.read(0, 1):
        pass
    os._exit(1)


def main(folder: str, into: str, said: str) -> None:
    """Fit a learner of a run as one of the processes that the environment names."""
    from closura.experiment.kinds.pairs import fit_here
    from closura.experiment.run import opened

    threading.Thread(target=_end_with_parent, daemon=True).start()
    number = distributed()
    with opened(Path(folder)) as work:
        own = Path(into).resolve() / TRAINING
        pairs = work.pairs(str(own)) if own.is_dir() else None
        closure, history = fit_here(work, Fit(**json.loads(said)), pairs)
        if number == 0:
            save_closure(into, closure)
            write_json(Path(into) / HISTORY, history)


if __name__ == "__main__":
    main(*sys.argv[1:])
