"""Steps of a run that need not wait for each other, in several processes of this computer."""

import base64
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from closura.experiment.logbook import Logbook
from closura.experiment.steps import Step

GRACE = 3.0  # [s] that a process has to end what it began itself
PATIENCE = 1.0  # [s] between two looks: elsewhere than on Unix, waiting hears no Ctrl-C
BEGIN = """
import json, sys
said = json.loads(sys.stdin.readline())
sys.path[:] = said["path"]
from closura.experiment.worker import main
main(said["folder"])
"""
Told = queue.Queue[tuple["Worker", dict[str, Any] | None]]


def do_side_by_side(steps: list[Step], logbook: Logbook, folder: Path, workers: int) -> None:
    """Do steps in up to so many processes, each as soon as what it needs is there.

    Of those that may begin, the one from which the longest chain follows comes first. A process
    reads what it needs from the run folder and writes what a step makes there. What a step raises
    is raised here; the other processes are then ended, and what is finished is kept.

    Raises:
        RuntimeError: A process died.
    """
    waiting = _longest_first(steps)
    with _crew() as (crew, told):
        while waiting or any(worker.step for worker in crew):
            while (step := _next(waiting, crew)) and (idle := _idle(crew, folder, told, workers)):
                waiting.remove(step)
                logbook.begin(step)
                idle.give(step)
            _hear(told, logbook)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Worker:
    """A process that does one step after the other.

    Args:
        folder: The run folder.
        told: Where what it says is put; None at its end.
    """

    def __init__(self, folder: Path, told: Told):
        self.step: Step | None = None
        # A session of its own: the terminal's Ctrl-C is for us alone, and `stop` ends its children.
        self.process = subprocess.Popen(
            [sys.executable, "-c", BEGIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            encoding="utf-8", start_new_session=True,
        )  # fmt: skip
        self._say(json.dumps({"path": sys.path, "folder": str(folder.absolute())}))
        threading.Thread(target=self._listen, args=(told,), daemon=True).start()

    def give(self, step: Step) -> None:
        """Have a step done."""
        self.step = step
        self._say(json.dumps(step.name))

    def dismiss(self) -> None:
        """Tell it that nobody wants more; it then ends what it is at, and itself."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # where it has died
            self.process.stdin.close()

    def stop(self, patience: float) -> None:
        """End it, and all that it started, unless it ends by itself in so many seconds."""
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # where it has died, as is heard soon
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def _listen(self, told: Told) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                if line.startswith("{"):
                    told.put((self, json.loads(line)))
                else:  # a library printed it before the worker turned such lines away
                    sys.stderr.write(line)
        told.put((self, None))


@contextmanager
def _crew() -> Iterator[tuple[list[Worker], Told]]:
    """Give an empty list of workers, and what they will say; those in it are stopped at the end."""
    crew: list[Worker] = []
    try:
        yield crew, queue.Queue()
    finally:
        for worker in crew:
            worker.dismiss()
        end = time.monotonic() + GRACE  # of all together
        for worker in crew:
            worker.stop(max(0.0, end - time.monotonic()))


def _longest_first(steps: list[Step]) -> list[Step]:
    """Return steps by how many must follow one another from each; the order given where equal.

    Args:
        steps: Each after those that it needs.
    """
    length = {step.name: 1 for step in steps}
    for step in reversed(steps):
        for need in length.keys() & step.needs:  # the others are done
            length[need] = max(length[need], length[step.name] + 1)
    return sorted(steps, key=lambda step: -length[step.name])


def _next(waiting: list[Step], crew: list[Worker]) -> Step | None:
    """Return the first step that may begin now."""
    running = [worker.step for worker in crew if worker.step]
    if any(step.alone for step in running):
        return None
    undone = {step.name for step in (*waiting, *running)}
    for step in waiting:
        if undone.isdisjoint(step.needs) and not (step.alone and running):
            return step
    if not running and waiting:
        raise RuntimeError(f"steps wait for each other: {', '.join(s.name for s in waiting)}.")
    return None


def _idle(crew: list[Worker], folder: Path, told: Told, workers: int) -> Worker | None:
    """Return a worker that has nothing to do, a new one if there may be more."""
    for worker in crew:
        if worker.step is None:
            return worker
    if len(crew) == workers:
        return None
    crew.append(Worker(folder, told))
    return crew[-1]


def _hear(told: Told, logbook: Logbook) -> None:
    """Wait for what a worker says, and note it."""
    while True:
        try:
            worker, message = told.get(timeout=PATIENCE)
            break
        except queue.Empty:
            continue
    step = worker.step
    if message is None:
        what = f"while it was at {step.name!r}" if step else "while it had nothing to do"
        raise RuntimeError(
            f"a worker process ended with {worker.process.wait()} {what}; run the experiment "
            "again: what is finished is kept."
        )
    assert step is not None
    if "error" in message:
        raise pickle.loads(base64.b64decode(message["error"]))
    if "event" in message:
        logbook.tell(step, message["event"], message["values"])
    else:
        worker.step = None
        logbook.finish(step, message["seconds"], message["warnings"])
