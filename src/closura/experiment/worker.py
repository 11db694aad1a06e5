"""A process that does steps of a run for another one, which says which and hears how they go."""

import _thread
import base64
import json
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from closura.experiment.plan import plan
from closura.experiment.run import carry_out, opened
from closura.experiment.side_by_side import GRACE
from closura.experiment.steps import Step
from closura.experiment.work import plain

INTERRUPTED = 130
Tell = Callable[..., None]


def main(folder: str) -> None:
    """Do the steps of a run that standard input names, line by line; say on the output how they go.

    It ends with its input: when the other process wants no more, or when that has died.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    tell, busy = _mouth(), threading.Event()
    busy.set()
    orders = _orders(busy)
    try:
        with opened(Path(folder)) as work:
            steps = {step.name: step for step in plan(work)}
            for name in orders:
                _do(steps[name], tell)
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)  # threads of JAX may still compute, and taking them down can crash
    except Exception as error:
        busy.clear()
        tell(error=_packed(error))


def _do(step: Step, tell: Tell) -> None:
    def listener(event: str, values: dict[str, Any]) -> None:
        tell(event=event, values={key: plain(value) for key, value in values.items()})

    seconds, notes = carry_out(step, listener)
    tell(seconds=seconds, warnings=notes)


def _mouth() -> Tell:
    """Return what says a line to the other process; what is printed goes to standard error."""
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(**message: Any) -> None:
        lines.write(json.dumps(message) + "\n")
        lines.flush()

    return tell


def _orders(busy: threading.Event) -> Iterator[str]:
    """Return the names as they are read, until there is no one any more who could give one.

    Ends what is being done then: nobody waits for it. `busy` tells whether anything is.
    """
    read: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            read.put(json.loads(line))
        read.put(None)
        if busy.is_set():
            _thread.interrupt_main()
            time.sleep(GRACE)
            os._exit(INTERRUPTED)

    def orders() -> Iterator[str]:
        while True:
            busy.clear()
            name = read.get()
            if name is None:
                return
            busy.set()
            yield name

    threading.Thread(target=listen, daemon=True).start()
    return orders()


def _packed(error: Exception) -> str:
    """Return an error as text from which it can be raised again, with where it came from."""
    told = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # one whose arguments are not those of its class
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(f"In a worker process:\n{told}")
    return base64.b64encode(pickle.dumps(error)).decode()
