"""The ratchet: counts of what we would rather have less of. They may fall and never rise.

    python tests/ratchet.py            print the counts beside the stored ones
    python tests/ratchet.py --write    store counts that have fallen; refuse those that rose

The sizes count from the size a reader is comfortable with: below it, a longer file is no news.
To begin anew, delete `tests/ratchet.json` first: with nothing stored, nothing can rise.
"""

import json
import sys
from pathlib import Path

import house

STORED = Path(__file__).with_name("ratchet.json")
PACKAGE = Path(__file__).parents[1] / "src" / "closura"
COMFORTABLE_FILE = 300
COMFORTABLE_FUNCTION = 50


def count(package: Path) -> dict[str, int]:
    """Count a package's debts, by name."""
    files = house.sources(package)
    file_lines = [house.count_lines(file) for file in files]
    function_lines = [length for file in files for _, _, length in house.functions(file)]
    comments = [comment for file in files for comment in house.comments(file)]
    return {
        "largest_file_lines": max([COMFORTABLE_FILE, *file_lines]),
        "files_over_300_lines": sum(lines > COMFORTABLE_FILE for lines in file_lines),
        "largest_function_lines": max([COMFORTABLE_FUNCTION, *function_lines]),
        "functions_over_50_lines": sum(lines > COMFORTABLE_FUNCTION for lines in function_lines),
        "type_ignores": sum("type: ignore" in comment for comment in comments),
        "noqas": sum("noqa" in comment for comment in comments),
    }


def compare(found: dict[str, int], stored: dict[str, int]) -> list[str]:
    """What rose and what fell, each with what to do about it."""
    findings = []
    for name in sorted(found.keys() | stored.keys()):
        now, then = found.get(name), stored.get(name)
        if now is None or then is None:
            findings.append(
                f"{name} is counted or stored, not both: python tests/ratchet.py --write"
            )
        elif now > then:
            findings.append(
                f"{name} rose from {then} to {now}; split or simplify until it is {then}"
            )
        elif now < then:
            findings.append(f"{name} fell from {then} to {now}: python tests/ratchet.py --write")
    return findings


def write(found: dict[str, int], path: Path) -> list[str]:
    """Store the counts unless one rose; return what rose."""
    stored = json.loads(path.read_text()) if path.exists() else {}
    rose = [finding for finding in compare(found, stored) if " rose " in finding]
    if not rose:
        path.write_text(json.dumps(found, indent=4) + "\n")
    return rose


def main() -> int:
    """Print the counts; with --write, store them."""
    found = count(PACKAGE)
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    for name, now in found.items():
        print(f"{name:26}{now:6}   stored {stored.get(name, '-')}")
    problems = write(found, STORED) if "--write" in sys.argv[1:] else compare(found, stored)
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
