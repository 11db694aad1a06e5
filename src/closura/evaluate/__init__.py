"""Score models in their own runs: one protocol for every hybrid, every baseline and the floor.

The package bears the name of its verb, so it can be called: `closura.evaluate(...)` is
`closura.evaluate.evaluate(...)`, whichever of the two an import happened to bind.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

from closura.evaluate.compare import evaluate
from closura.evaluate.price import measure_price
from closura.evaluate.scores import Scores

__all__ = ["Scores", "evaluate", "measure_price", "score_offline"]


class _Verb(ModuleType):
    """A module that is called as the function of its own name."""

    def __call__(self, *arguments: Any, **settings: Any) -> Scores:
        return evaluate(*arguments, **settings)


sys.modules[__name__].__class__ = _Verb


def __getattr__(name: str) -> Any:
    """Load the offline scores when they are first asked for."""
    if name == "score_offline":
        return importlib.import_module("closura.evaluate.offline").score_offline
    raise AttributeError(f"module 'closura.evaluate' has no attribute {name!r}")
