"""One learner fitted by several processes of this computer, each a share of every batch."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import jax

from closura.core.learner import AbstractLearner
from closura.core.processes import ENVIRONMENT, distributed
from closura.experiment.work import Work

PATIENCE = 0.1  # [s] between two looks at whether a process has ended


def learn_together(work: Work, name: str, seed: int, processes: int) -> None:
    """Fit one learner in so many new processes; the first of them writes the closure.

    Raises:
        RuntimeError: One of them died or failed; the others are ended.
    """
    command = [sys.executable, "-m", "closura.experiment.together", str(work.folder), name]
    address = f"127.0.0.1:{_free_port()}"
    with tempfile.TemporaryFile("w+") as told:
        started = []
        for number in range(processes):
            place = dict(zip(ENVIRONMENT, (address, str(processes), str(number)), strict=True))
            started.append(
                subprocess.Popen(
                    [*command, str(seed)], env=os.environ | place, stdout=told, stderr=told
                )
            )
        try:
            _wait_for_all(started, name, told)
        finally:
            for process in started:
                process.kill()
                process.wait()


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


def main(folder: str, name: str, seed: str) -> None:
    """Fit a learner of a run as one of the processes that the environment names."""
    from closura.experiment.kinds.pairs import learn
    from closura.experiment.loading import load_experiment
    from closura.experiment.run import cache_settings, jax_settings

    number = distributed()
    experiment = load_experiment(Path(folder) / "experiment.yaml")
    double = experiment.settings.precision == "double"
    with jax_settings(cache_settings() | {"jax_enable_x64": double}):
        learn(Work(experiment, Path(folder)), name, int(seed), write=number == 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
