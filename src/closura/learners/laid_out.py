"""Tables laid out in a folder, where the workers of a cluster map them into memory."""

import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from closura.learners.tables import Table


@contextmanager
def laid_out(table: Table, owner: str) -> Iterator[str]:
    """Give a temporary folder (in `TMPDIR`) that holds a table; it is removed afterwards.

    Args:
        table: Inputs, which trees compare in single precision, and outputs in double precision.
        owner: Name of the learner.
    """
    with tempfile.TemporaryDirectory(prefix=f"closura-{owner.lower()}-") as folder:
        np.save(Path(folder) / "inputs.npy", table.inputs.astype(np.float32))
        np.save(Path(folder) / "outputs.npy", table.outputs.astype(np.float64))
        yield folder


def find_table(folder: str, owner: str) -> Table:
    """Return the table in a folder, unread.

    Raises:
        FileNotFoundError: This computer does not see the folder.
    """
    try:
        return Table(
            *(np.load(Path(folder) / f"{side}.npy", mmap_mode="r") for side in Table._fields)
        )
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{owner}: the worker on {platform.node()} does not see {folder}; set TMPDIR to a "
            "folder that all workers share."
        ) from error
