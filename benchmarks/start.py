"""How long a user waits before anything happens: import and help, in fresh processes."""

import sys

from benchmarks.measure import (
    Candidate,
    alternate,
    cell,
    print_goal,
    print_table,
    run_child,
    spread,
)
from benchmarks.memory import closura_program

LIMITS = {"`import closura`": 0.5, "`closura --help`": 1.0}


def measure(*, repeats: int = 9) -> None:
    """Start each in turn, after one start that fills the file caches, and print seconds."""
    commands = {
        "`python -c pass`, for comparison": [sys.executable, "-c", "pass"],
        "`import closura`": [sys.executable, "-c", "import closura"],
        "`closura --help`": [*closura_program(), "--help"],
    }
    seconds = alternate(
        [Candidate(name, lambda c=command: run_child(c), 1) for name, command in commands.items()],
        repeats,
    )
    rows = [(name, cell(spread(values))) for name, values in seconds.items()]
    print_table("Start-up, in fresh processes", ("what", "seconds"), rows)
    print()
    for name, limit in LIMITS.items():
        found = spread(seconds[name]).median
        print_goal(f"{name} below {limit:g} s", f"median {found:.2f} s", holds=found < limit)
