"""What correcting an atmosphere costs: `python -m benchmarks.atmosphere [PART ...]`.

Each part is a module with a function `measure`, and runs in a process of its own. One line in
`PARTS` adds a part, one in `QUICK` its tiny sizes. An option goes to the parts that take it.
"""

import argparse
import importlib
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import measure

PARTS = {
    "price": "benchmarks.atmosphere_price",
    "streaming": "benchmarks.atmosphere_streaming",
    "forest": "benchmarks.atmosphere_forest",
    "cost": "benchmarks.atmosphere_cost",
}
QUICK: dict[str, dict[str, Any]] = {
    "price": {"sizes": (("T21", 3),), "repeats": 2, "steps": 2},
    "streaming": {"snapshots": 10, "rounds": 1},
    "forest": {"columns": 20_000},
    "cost": {"sizes": (("T21", 3),), "days": 0.125, "repeats": 2},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run the parts that it asks for; all if none."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.atmosphere", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none is given")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    parser.add_argument("--rounds", type=int, help="of the stream; 3 if not given")
    parser.add_argument("--snapshots", type=int, help="of the stream; 120, 4.6 GB, if not given")
    parser.add_argument("--columns", type=int, help="of the forest; 2 million if not given")
    parser.add_argument("--folder", help="where the stream is written and kept, to run it again")
    parser.add_argument("--torch-python", help="an interpreter that has torch and zarr")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    unknown = [part for part in chosen.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; there are: {', '.join(PARTS)}")
    if chosen.here is not None:
        importlib.import_module(PARTS[chosen.parts[0]]).measure(**json.loads(chosen.here))
        return 0
    print(f"Measured on {measure.machine()}.")
    print(f"Load averages before it began: {measure.load()}.", flush=True)
    return max(run_apart(part, chosen) for part in chosen.parts or PARTS)


def run_apart(part: str, chosen: argparse.Namespace) -> int:
    """Run one part in a process of its own and return its exit code."""
    known = inspect.signature(importlib.import_module(PARTS[part]).measure).parameters
    given = {name: value for name, value in vars(chosen).items() if value is not None}
    settings = QUICK[part] if chosen.quick else {}
    settings = settings | {name: given[name] for name in known if name in given}
    command = [sys.executable, "-m", "benchmarks.atmosphere", part, "--here", json.dumps(settings)]
    code = subprocess.run(command, env=os.environ | measure.ONE_THREAD, check=False).returncode
    print(f"\nLoad averages after it: {measure.load()}.", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
