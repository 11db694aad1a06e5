"""A learner for tests of runs that go on, which processes of their own can import by name."""

import os
import signal
from pathlib import Path

import closura as cl


class KilledOnce(cl.Linear):
    """Least squares, whose process is killed the first time."""

    mark: str = ""

    def fit(self, pairs, *, key=None):
        if not Path(self.mark).exists():
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(pairs, key=key)
