"""What correcting an atmosphere costs: `python -m benchmarks.atmosphere cost`.

Each part is a module with a function `measure`, and runs in a process of its own. One line in
`PARTS` adds a part, one in `QUICK` its tiny sizes.
"""

import argparse
import importlib
import os
import subprocess
import sys
from collections.abc import Sequence

from benchmarks import measure

PARTS = {
    "cost": "benchmarks.atmosphere_cost",
}
QUICK = {
    "cost": {"sizes": (("T21", 3),), "days": 0.125, "repeats": 2},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run the parts that it asks for; all if none."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.atmosphere", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none is given")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    unknown = [part for part in chosen.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; there are: {', '.join(PARTS)}")
    if chosen.here:
        settings = QUICK[chosen.parts[0]] if chosen.quick else {}
        importlib.import_module(PARTS[chosen.parts[0]]).measure(**settings)
        return 0
    print(f"Measured on {measure.machine()}.")
    print(f"Load averages before it began: {measure.load()}.", flush=True)
    return max(run_apart(part, quick=chosen.quick) for part in chosen.parts or PARTS)


def run_apart(part: str, *, quick: bool) -> int:
    """Run one part in a process of its own and return its exit code."""
    command = [sys.executable, "-m", "benchmarks.atmosphere", part, "--here"]
    command += ["--quick"] * quick
    return subprocess.run(command, env=os.environ | measure.ONE_THREAD, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
