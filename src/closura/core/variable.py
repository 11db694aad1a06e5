"""What a variable is called, measured in and laid out along."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Variable:
    """Name, unit, dimensions and meaning of one array of a State.

    Args:
        name: The field's name in the State, e.g. ``"X"``.
        units: SI unit in CF spelling; ``"1"`` for a number without a unit.
        dims: Dimension names in storage order, e.g. ``("level", "lat", "lon")``.
        long_name: What a reader should see on an axis.
    """

    name: str
    units: str
    dims: tuple[str, ...]
    long_name: str
