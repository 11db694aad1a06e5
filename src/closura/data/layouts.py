"""What a model's own files look like: how they become arrays on (time, level, lat, lon)."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import xarray as xr

from closura.data.reading import Specification

COLUMNS = ("level", "lat", "lon")


@dataclass(frozen=True)
class AbstractLayout(ABC):
    """Knows how one model writes its files; `read_pairs(files, layout=...)` reads through it.

    To write one: (1) take as fields what the files do not say of themselves; (2) `open` returns a
    Dataset on the dimensions `sample` and `level`, every variable at the centres of the same
    points, in units that its attributes name; levels from the top down, latitudes from south to
    north, longitudes eastward from 0; (3) `inputs` and `targets` say what is read if the user does
    not; (4) `beside` names files that it reads besides.
    """

    sample: ClassVar[str] = "time"
    level: ClassVar[tuple[str, ...]] = COLUMNS
    inputs: ClassVar[Mapping[str, Specification]]
    targets: ClassVar[Mapping[str, Specification]]

    @abstractmethod
    def open(
        self, paths: Sequence[Path], wanted: Collection[str], *, lazy: bool = False
    ) -> xr.Dataset:
        """Return the wanted variables, in memory.

        Args:
            paths: The files, in time order.
            wanted: Names of variables.
            lazy: Leave the variables unread (as dask arrays in pieces of time) until asked for.

        Raises:
            ValueError: Something in the files is not as it should be.
        """

    def beside(self) -> list[Path]:
        """Return the files that `open` reads besides."""
        return []
