"""Processes that tests start: which there are, and whether they are still at work."""

import subprocess
import time
from pathlib import Path


def children_of(process: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)],
                            capture_output=True, text=True)  # fmt: skip
    return [int(number) for number in listed.stdout.split()]


def is_alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().split()[2]
    except FileNotFoundError:
        return False


def wait_until(holds, patience: float = 300.0) -> None:
    end = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)
