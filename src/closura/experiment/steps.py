"""One step of a run, and the fingerprint that tells whether it must run again."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closura import __version__


@dataclass(frozen=True)
class Step:
    """The smallest piece of work that is kept or done again as a whole.

    Args:
        name: Unique, e.g. ``"learn/network"``.
        stage: The stage that a user sees it as part of.
        part: The settings that it depends on, as plain values.
        needs: Names of the steps whose outputs it reads.
        outputs: What it writes, relative to the run folder.
        work: Does it.
        sealed: Whether its outputs are nobody else's to write.
        alone: Whether nothing may run beside it, as where it measures time.
    """

    name: str
    stage: str
    part: Any
    needs: tuple[str, ...]
    outputs: tuple[str, ...]
    work: Callable[[], None]
    sealed: bool = True
    alone: bool = False


def fingerprints(steps: Iterable[Step]) -> dict[str, str]:
    """Return each step's fingerprint: its settings, those of what it needs, and the version."""
    found: dict[str, str] = {}
    for step in steps:
        needed = [found[name] for name in step.needs]
        found[step.name] = digest([step.name, step.part, needed, __version__])
    return found


def digest(value: Any) -> str:
    """Return a short hash of plain values; equal values give equal hashes on any machine."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def changed(
    before: Mapping[str, Any] | None, after: Mapping[str, Any], keys: Iterable[str]
) -> list[str]:
    """Return which of some settings differ between two experiments."""
    earlier = before or {}
    return [key for key in keys if digest(earlier.get(key)) != digest(after.get(key))]


def hash_of(path: Path) -> str:
    """Return a hash of a file's content, or of the names, sizes and times in a folder."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        about = [(file.relative_to(path), file.stat()) for file in files]
        return digest([[str(name), stat.st_size, stat.st_mtime_ns] for name, stat in about])
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def some(settings: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return the settings that a step depends on."""
    return {key: settings[key] for key in keys}


def check_multiple(name: str, length: float, of: str, unit: float) -> None:
    """Raise ValueError unless a length is a whole number of units, one or more."""
    if not math.isfinite(length):
        raise ValueError(f"{name} is {length:g}; wanted is a length, in multiples of {unit:g}.")
    count = round(length / unit)
    if count < 1 or not math.isclose(count * unit, length, rel_tol=1e-6):
        nearest = max(1, count) * unit
        raise ValueError(
            f"{name} is {length:g}, which is no multiple of {of}, {unit:g}; "
            f"the nearest that is: {nearest:g}."
        )
