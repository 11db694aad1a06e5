"""Experiments: the whole loop, declared in YAML and run into a folder."""

import importlib
from typing import Any

_HOME = {
    "Experiment": "loading",
    "load_experiment": "loading",
    "Result": "result",
    "run_experiment": "run",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Load what is asked for when it is first asked for: a run needs JAX, a list does not."""
    if name not in _HOME:
        raise AttributeError(f"module 'closura.experiment' has no attribute {name!r}")
    return getattr(importlib.import_module(f"closura.experiment.{_HOME[name]}"), name)
