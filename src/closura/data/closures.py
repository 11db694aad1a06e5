"""Closures in files: a readable description, and the arrays bit for bit."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from closura import __version__
from closura.core.closure import AbstractClosure
from closura.data.description import describe, rebuild
from closura.data.store import read_json, write_atomically, write_json

ARRAYS, DESCRIPTION = "closure.eqx", "closure.json"
FORMAT = 1  # raised when an older closura could not read what is written


def save_closure(folder: str | Path, closure: AbstractClosure) -> Path:
    """Write a closure to `closure.eqx` and `closure.json` in a folder, and return the folder.

    The arrays are in the first, bit for bit; what they belong to is in the second, for readers
    too: class, number of parameters, passport. Nothing is pickled.

    Raises:
        TypeError: It is no closure, or holds what no file can name, e.g. a lambda.
        OSError: It cannot be written.
    """
    if not isinstance(closure, AbstractClosure):
        raise TypeError(
            f"save_closure got a {type(closure).__name__}; it wants a closure, which derives from "
            "closura.AbstractClosure."
        )
    description, arrays = describe(closure)
    stream = io.BytesIO()
    for array in arrays:
        np.save(stream, array, allow_pickle=False)
    content = stream.getvalue()
    passport = closure.passport
    folder = Path(folder)
    with write_atomically(folder / ARRAYS) as temporary:
        temporary.write_bytes(content)
    about = {
        "closure": type(closure).__name__,
        "parameters": sum(array.size for array in arrays if array.dtype.kind not in "iub"),
        "passport": None if passport is None else passport.as_dict(),
        "closura": __version__,
        "format": FORMAT,
        "arrays": {"count": len(arrays), "sha256": hashlib.sha256(content).hexdigest()},
        "description": description,
    }
    write_json(folder / DESCRIPTION, about)
    return folder


def load_closure(folder: str | Path) -> AbstractClosure:
    """Return the closure that `save_closure` wrote: the same classes, settings and bits.

    Classes are imported by the names in the file, which must be Equinox modules or records; no
    code of the file itself is run.

    Raises:
        FileNotFoundError: There is no closure.
        ValueError: The files are damaged, foreign, from a newer closura, or name classes that
            cannot be imported here.
    """
    folder = Path(folder)
    for name in (DESCRIPTION, ARRAYS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} holds no closure: {name} is missing; save_closure writes {DESCRIPTION} "
                f"and {ARRAYS}."
            )
    about = read_json(folder / DESCRIPTION)
    _check_format(folder, about)
    try:
        arrays = _read_arrays(folder, about["arrays"])
        closure = rebuild(about["description"], arrays)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        reason = error if isinstance(error, ValueError) else f"it is damaged ({error!r})"
        raise ValueError(f"{folder} does not load: {reason}.") from error
    if not isinstance(closure, AbstractClosure):
        raise ValueError(f"{folder} holds a {type(closure).__name__}, which is not a closure.")
    return closure


def _check_format(folder: Path, about: Any) -> None:
    if not isinstance(about, dict) or not isinstance(about.get("format"), int):
        raise ValueError(
            f"{folder / DESCRIPTION} was not written by closura (it has no number 'format'); "
            "give the folder that save_closure wrote."
        )
    if about["format"] > FORMAT:
        raise ValueError(
            f"{folder / DESCRIPTION} was written by closura {about.get('closura')} in format "
            f"{about['format']}; closura {__version__} reads formats up to {FORMAT}. "
            "Update it: pip install --upgrade closura."
        )


def _read_arrays(folder: Path, about: dict[str, Any]) -> list[np.ndarray]:
    content = (folder / ARRAYS).read_bytes()
    if hashlib.sha256(content).hexdigest() != about["sha256"]:
        raise ValueError(
            f"{ARRAYS} is not the file that {DESCRIPTION} describes (its SHA-256 differs); copy "
            "both again from where they were written"
        )
    stream = io.BytesIO(content)
    return [np.load(stream, allow_pickle=False) for _ in range(about["count"])]
