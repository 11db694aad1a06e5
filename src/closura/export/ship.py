"""Ship a closure to another program."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from closura.core.closure import AbstractClosure
from closura.core.learner import Pairs
from closura.export.container import ON_MISSING

# Where a closure can go, and the function that takes it there.
FORMATS = {
    "fortran": "closura.export.fortran:export_fortran",
    "onnx": "closura.export.onnx:export_onnx",
    "mom6": "closura.export.mom6:export_mom6",
    "stablehlo": "closura.export.stablehlo:export_stablehlo",
    "source": "closura.export.source:export_source",
    "guide_add": "closura.export.guide_add:export_guide_add",
}


class Export(Protocol):
    """Takes a closure to another program: what `FORMATS` names.

    To write one: (1) translate the closure, or say in one line why it cannot leave; (2) build the
    folder inside `whole_folder`; (3) run at least 1000 states (`record`) through what was written,
    and `hold` the difference; (4) write the figures as `parity.json`, and return them.
    """

    def __call__(
        self,
        closure: AbstractClosure,
        folder: Path,
        pairs: Sequence[Pairs],
        *,
        name: str,
        missing: str = "report",
        source: str = "",
    ) -> dict[str, Any]:
        """Return the figures, for arguments that `export_closure` has checked."""


NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def export_closure(
    closure: AbstractClosure,
    folder: str | Path,
    *,
    pairs: Pairs | Sequence[Pairs],
    to: str = "fortran",
    name: str = "learned",
    missing: str = "report",
    source: str = "",
) -> dict[str, Any]:
    """Write a closure as a folder for another program, once it is proved to be the same there.

    For Fortran it holds the runtime (one file), the closure as `<name>.closura`, at least 1000
    recorded states with a program that repeats them, and files to build it. Where there is a
    Fortran compiler (`FC`, or gfortran) the recorded states are run before anything is written.

    Args:
        closure: What a learner returned, or a hand-written polynomial or noise.
        folder: Where to write; it must not exist yet.
        pairs: Recorded pairs, best those held out: they know the units and give the recorded
            states. Of several, later ones are used where the first have too few.
        to: ``"fortran"``, ``"onnx"``, ``"mom6"``, ``"stablehlo"``, ``"source"`` or
            ``"guide_add"``.
        name: Name of the closure's file.
        missing: What becomes of a column that holds NaN: ``"report"`` (NaN and a status),
            ``"zero"`` or ``"pass"`` (NaN).
        source: Where the closure comes from, in words; it is kept in the file.

    Returns:
        The figures of the comparison, as in `parity.json`.

    Raises:
        ValueError: It cannot be shipped, or what was written differs; nothing is left behind.
        FileExistsError: The folder exists.
    """
    check_format(to)
    _check(Path(folder), name, missing)
    several = [pairs] if isinstance(pairs, Pairs) else list(pairs)
    module, _, function = FORMATS[to].partition(":")
    send: Export = getattr(import_module(module), function)
    return send(closure, Path(folder), several, name=name, missing=missing, source=source)


def summarise(figures: dict[str, Any]) -> str:
    """Return what was compared and found, in one line."""
    found = figures["native"].items()
    said = ", ".join(f"{one['largest']:.1e} in {name} precision" for name, one in found)
    compared = said or "not compiled: there is no Fortran compiler here"
    few = "" if figures["cases"] >= figures["wanted_cases"] else " (all that the run holds)"
    if figures.get("states", {}).get("between"):
        few = f" ({figures['states']['real']} real, all that the run holds, and "
        few += f"{figures['states']['between']} between two of these)"
    return f"{figures['cases']} states repeated{few}, largest difference {compared}"


def _check(folder: Path, name: str, missing: str) -> None:
    check_absent(folder)
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be the name of a file in a Makefile; use letters, digits, _ and -."
        )
    if missing not in ON_MISSING:
        raise ValueError(f"missing is {missing!r}; it must be one of {', '.join(ON_MISSING)}.")


def check_absent(folder: Path) -> None:
    """Raise FileExistsError where something is there already."""
    if folder.exists():
        raise FileExistsError(
            f"{folder} exists already, and nothing is overwritten: delete it or name another one."
        )


def check_format(to: str) -> None:
    """Raise ValueError, naming the nearest one, unless closures can be shipped to it."""
    if to not in FORMATS:
        near = get_close_matches(to, FORMATS, n=1)
        hint = f" did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"there is no format {to!r};{hint} a closure can go to: {', '.join(FORMATS)}."
        )
