"""The kinds of experiment, each a module of its own."""

import importlib
from typing import Any

from closura.experiment.kind import Kind
from closura.registry import nearest

# The first that recognises a document has it, and the last takes any.
KINDS = {
    "assimilated": "closura.experiment.kinds.assimilated",
    "inferred": "closura.experiment.kinds.inferred",
    "nudged": "closura.experiment.kinds.nudged",
    "recorded": "closura.experiment.kinds.recorded",
    "simulated": "closura.experiment.kinds.simulated",
}


def kind_of(document: dict[str, Any], source: str) -> Kind:
    """Return the kind of an experiment: the one that it names, else the one that its sections show.

    Raises:
        ValueError: It names a kind that does not exist; the nearest is offered.
    """
    named = document.get("kind")
    if named is not None:
        if not isinstance(named, str) or named not in KINDS:
            raise ValueError(
                f"{source}: there is no kind {named!r}{nearest(str(named), KINDS)} There are: "
                f"{', '.join(KINDS)}; left out, the sections tell."
            )
        return kind_named(named)
    kinds = [kind_named(name) for name in KINDS]
    return next(kind for kind in kinds if kind.recognises(document))


def kind_named(name: str) -> Kind:
    """Return a kind by its name."""
    found: Kind = importlib.import_module(KINDS[name]).KIND
    return found
