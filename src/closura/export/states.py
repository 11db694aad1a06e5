"""The states that an export is held to: recorded ones, and where these are few, some between."""

from collections.abc import Sequence

import jax
import numpy as np

from closura.core.learner import Pairs

Given = dict[str, dict[str, np.ndarray]]
Shapes = Sequence[tuple[str, tuple[int, ...]]]
WANTED = 1000  # states that an export is held to
USUAL = 1.5  # gaps in time longer than this many usual ones part neighbours


def spread_states(
    shapes: Shapes, pairs: Sequence[Pairs], *, columns: int
) -> tuple[dict[str, np.ndarray], Given]:
    """Return fields (instant, *field), evenly spread over the pairs, that hold `WANTED` columns.

    Recorded instants come first. Where all of them do not do, instants between two neighbours
    follow, which `count_states` tells apart. Beside the fields stands what the model was given from
    outside, (instant, *part) by input and part; between two instants it is that of the first.

    Args:
        shapes: Name and shape of fields that are zero where the pairs do not hold them.
        pairs: Where they are taken from: the first ones, then the next where they do not do.
        columns: Number of columns in an instant.
    """
    pieces = []
    for source, count in zip(pairs, _recorded(pairs, columns), strict=True):
        if count:
            chosen = np.linspace(0, len(source) - 1, count).round().astype(int)
            pieces.append(_at(shapes, source, *np.divmod(chosen, len(source.time))))
    pieces += [_between(shapes, *one) for one in _gaps(pairs, columns)]
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *pieces)


def count_states(pairs: Sequence[Pairs], columns: int) -> dict[str, int]:
    """Return how many of the columns of `spread_states` are real, and how many lie between two."""
    between = sum(len(one[1]) for one in _gaps(pairs, columns))
    return {"real": columns * sum(_recorded(pairs, columns)), "between": columns * between}


def _recorded(pairs: Sequence[Pairs], columns: int) -> list[int]:
    """Return how many recorded instants are taken of each pairs."""
    wanted, found = -(-WANTED // columns), []
    for source in pairs:
        found.append(min(wanted, len(source)))
        wanted -= found[-1]
    return found


def _gaps(
    pairs: Sequence[Pairs], columns: int
) -> list[tuple[Pairs, np.ndarray, np.ndarray, np.ndarray]]:
    """Return series, first time and share of the way to the next, where recorded ones are few."""
    wanted = -(-WANTED // columns) - sum(_recorded(pairs, columns))
    near = [_neighbours(source) for source in pairs]
    total = sum(len(times) * source.series for source, times in zip(pairs, near, strict=True))
    if wanted <= 0 or total == 0:
        return []
    each = -(-wanted // total)  # in one gap
    chosen = np.linspace(0, each * total - 1, wanted).round().astype(int)
    gap, number = np.divmod(chosen, each)
    share = (number + 1) / (each + 1)
    found, first = [], 0
    for source, times in zip(pairs, near, strict=True):
        mine = (gap >= first) & (gap < first + len(times) * source.series)
        if mine.any():
            series, place = np.divmod(gap[mine] - first, len(times))
            found.append((source, series, times[place], share[mine]))
        first += len(times) * source.series
    return found


def _neighbours(pairs: Pairs) -> np.ndarray:
    """Return the times that are followed by the next one, not by a gap in the record."""
    steps = np.diff(np.asarray(pairs.time, float))
    return np.flatnonzero(steps <= USUAL * np.median(steps)) if len(steps) else np.zeros(0, int)


def _at(
    shapes: Shapes, pairs: Pairs, series: np.ndarray, time: np.ndarray
) -> tuple[dict[str, np.ndarray], Given]:
    found = {name: np.asarray(a)[series, time].astype(float) for name, a in pairs.inputs.items()}
    for name, shape in shapes:  # noise looks at the shape of the field that it acts on
        found.setdefault(name, np.zeros((len(time), *shape)))
    given = {
        name: {part: np.asarray(values)[time].astype(float) for part, values in parts.items()}
        for name, parts in pairs.given.items()
    }
    return found, given


def _between(
    shapes: Shapes, pairs: Pairs, series: np.ndarray, time: np.ndarray, share: np.ndarray
) -> tuple[dict[str, np.ndarray], Given]:
    first, given = _at(shapes, pairs, series, time)
    second, _ = _at(shapes, pairs, series, time + 1)

    def mix(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        # What never changes stays as it is to the last bit, at the edge of its range too.
        return one + share.reshape(-1, *[1] * (one.ndim - 1)) * (other - one)

    return jax.tree.map(mix, first, second), given


def say_states(states: dict[str, int]) -> str:
    """Return how many states there are, and of which origin."""
    total = states["real"] + states["between"]
    if not states["between"]:
        return f"{total} recorded states"
    return f"{total} states ({states['real']} recorded, {states['between']} between two of these)"
