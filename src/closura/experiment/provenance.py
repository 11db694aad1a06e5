"""How a run came about: versions, machine, seeds, and how long each step took."""

import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from closura import __version__

PACKAGES = ("closura", "jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "xarray", "zarr",
            "netCDF4", "scikit-learn", "matplotlib")  # fmt: skip


def provenance(
    resolved: Mapping[str, Any],
    *,
    command: str,
    seconds: Mapping[str, float],
    fingerprints: Mapping[str, str],
    warnings: list[str],
) -> dict[str, Any]:
    """Return the provenance of a run as plain values.

    Args:
        resolved: The experiment with its defaults.
        command: What to type to repeat it.
        seconds: How long each step took.
        fingerprints: Hash of each step's settings and inputs.
        warnings: What the steps warned about.
    """
    return {
        "command": command,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions(),
        "commit": commit(),
        "platform": platform.platform(),
        "device": device(),
        "seed": resolved.get("seed"),
        "seeds": resolved.get("seeds"),
        "precision": resolved.get("precision"),
        "seconds": dict(seconds),
        "inputs": dict(fingerprints),
        "warnings": warnings,
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version(), "closura": __version__}
    for name in PACKAGES[1:]:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Return the git commit of the package's checkout, with "+ changes"; None outside one."""
    package = Path(__file__).parents[1]
    if not (package.parents[1] / ".git").exists():
        return None
    found = _git(package, "rev-parse", "HEAD")
    if found is None:
        return None
    return f"{found} + changes" if _git(package, "status", "--porcelain") else found


def device() -> str:
    """Return what the numbers were computed on."""
    import jax

    found = jax.devices()
    kind = f"{found[0].device_kind} ({found[0].platform})"
    return f"{len(found)} x {kind}, {os.cpu_count()} cores"


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
