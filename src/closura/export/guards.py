"""Guards around a closure as operations on what it gives, or a line that says why not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from closura.closures.atmosphere import ColumnNeighbourhood
from closura.closures.ensemble import ClosureEnsemble
from closura.closures.fallback import Fallback
from closura.closures.features import AbstractFeatures
from closura.closures.guards import AbstractGuard, Damped, Limited, Tapered
from closura.closures.novelty import RESPONSES, Distance, Guarded, Range
from closura.closures.stochastic import AR1Noise
from closura.closures.support import SupportVectors
from closura.core.closure import AbstractClosure, Sum, terms
from closura.core.learner import Pairs
from closura.export.operations import Clip, Finite, Novelty, Operation, Restore
from closura.export.support import SupportNovelty

Place = tuple[str, tuple[int, ...]]
LARGEST = float(np.finfo(np.float64).max)
REFUSED = (
    "{name} cannot be shipped: of guards, Tapered, Damped, Limited, Guarded by MinMax, "
    "Mahalanobis or OneClassSVM, and Fallback to zero can."
)

NEIGHBOURS = (
    "Guarded that looks at ColumnNeighbourhood cannot be shipped: a column's novelty is told from "
    "it alone; give Guarded features=Column()."
)
AROUND = "{name} around noise or a sum cannot be shipped; put the guard around each term."


def spread_means(closure: AbstractClosure) -> AbstractClosure:
    """Return a closure in which the mean of closures is a sum of these, each a share of it."""
    found: list[AbstractClosure] = []
    for term in terms(closure):
        if isinstance(term, ClosureEnsemble) and term.combine == "mean":
            share = 1 / len(term.members)
            inside = (one for member in term.members for one in terms(spread_means(member)))
            found += [Damped(one, share) for one in inside]
        else:
            found.append(term)
    return found[0] if len(found) == 1 else Sum(tuple(found))


def core(term: AbstractClosure) -> AbstractClosure:
    """Return what is inside all guards."""
    while isinstance(term, AbstractGuard):
        term = term.closure
    return term


def guards(term: AbstractClosure) -> list[AbstractGuard]:
    """Return the guards around a closure, the innermost first."""
    found: list[AbstractGuard] = []
    while isinstance(term, AbstractGuard):
        found.insert(0, term)
        term = term.closure
    return found


def seen_by(term: AbstractClosure) -> list[AbstractFeatures]:
    """Return the features of a closure, and those that its guards look at."""
    own = getattr(core(term), "features", None)
    beside = [one.seen for one in guards(term) if isinstance(one, Guarded)]
    return [one for one in (own, *beside) if one is not None]


@dataclass(frozen=True)
class _Levels:
    """What a taper wants to know of a model, from the pairs that were measured for it."""

    coordinates: Mapping[str, np.ndarray]
    variables: tuple[Any, ...]


def settle(closure: AbstractClosure, pairs: Pairs, *, check: bool = True) -> AbstractClosure:
    """Return a closure whose tapers know the levels of the pairs, and whose ranges bear rounding.

    Args:
        closure: With its guards.
        pairs: They know the levels.
        check: Whether every guard must have operations; JAX itself computes any.

    Raises:
        ValueError: It has a guard that cannot be shipped.
    """
    for term in terms(closure) if check else ():
        if guards(term) and isinstance(core(term), AR1Noise | Sum):
            raise ValueError(AROUND.format(name=type(guards(term)[-1]).__name__))
        for guard in guards(term):
            if not is_known(guard):
                raise ValueError(REFUSED.format(name=type(guard).__name__))
            if isinstance(getattr(guard, "seen", None), ColumnNeighbourhood):
                raise ValueError(NEIGHBOURS)
    known = _Levels(pairs.coordinates, tuple(pairs.variables.values()))
    unsettled = any(
        isinstance(one, Tapered) and one.profile is None
        for term in terms(closure)
        for one in guards(term)
    )
    settled = terms(closure.bind(known) if unsettled else closure)
    wide = tuple(_widen(one) if isinstance(one, AbstractGuard) else one for one in settled)
    return Sum(wide) if isinstance(closure, Sum) else wide[0]


def fills(closure: AbstractClosure) -> bool:
    """Return whether a guard puts zero where the tendency is not finite."""
    return any(isinstance(one, Fallback) for term in terms(closure) for one in guards(term))


def guard_operations(
    term: AbstractClosure, outputs: Sequence[Place], inputs: Sequence[Place], places: Any
) -> list[Operation]:
    """Return what guards do to the panel of a term.

    Args:
        term: The closure with its guards.
        outputs: The place of each row of the panel.
        inputs: The place of each input of the file.
        places: Gives the place of each value of a sample of features.
    """
    found: list[Operation] = []
    zeros = np.zeros(len(outputs))
    for guard in guards(term):
        match guard:
            case Tapered():
                found.append(Restore(zeros, np.array([_weight(guard, one) for one in outputs])))
            case Damped(factor=factor):
                each = factor if isinstance(factor, Mapping) else {}
                whole = 1.0 if each or isinstance(factor, Mapping) else float(factor)
                found.append(
                    Restore(zeros, np.array([float(each.get(n, whole)) for n, _ in outputs]))
                )
            case Limited():
                lower, upper = zip(*(_limits(guard, one) for one in outputs), strict=True)
                found.append(Clip(np.array(lower), np.array(upper)))
            case Fallback():
                found.append(Finite(len(outputs)))
            case Guarded():
                found.append(_novelty(guard, inputs, places))
    return found


def is_known(guard: AbstractGuard) -> bool:
    """Return whether a guard has operations, so that it can leave without JAX."""
    plain = isinstance(guard, Tapered | Damped | Limited)
    kinds = Range | Distance | SupportVectors
    known = isinstance(guard, Guarded) and isinstance(guard.detector, kinds)
    zero = isinstance(guard, Fallback) and guard.baseline is None
    return plain or known or zero


def _weight(guard: Tapered, place: Place) -> float:
    name, index = place
    profile = guard.profile
    if profile is None or profile.values is None or name not in profile.levelled:
        return 1.0
    return float(profile.values[index[0] - 1])


def _limits(guard: Limited, place: Place) -> tuple[float, float]:
    name, index = place
    if guard.limits is not None:
        bounds = guard.limits.get(name, LARGEST)
        low, high = (-bounds, bounds) if isinstance(bounds, int | float) else bounds
        return float(low), float(high)
    if guard.lower is None or guard.upper is None or name not in guard.lower:
        return -LARGEST, LARGEST
    each = (np.ravel(guard.lower[name]), np.ravel(guard.upper[name]))
    low, high = (float(one[index[0] - 1 if one.size > 1 else 0]) for one in each)
    return low, high


def _novelty(guard: Guarded, inputs: Sequence[Place], places: Any) -> Novelty | SupportNovelty:
    detector, response = guard.detector, RESPONSES.index(guard.response)
    rows = np.array([list(inputs).index(place) for place in places(guard.seen)])
    numbers = (float(guard.cutoff), float(guard.end), float(guard.rate))
    if isinstance(detector, Range):
        bounds = (np.asarray(detector.lower, float), np.asarray(detector.upper, float))
        return Novelty(rows, *bounds, 0.0, response, numbers)
    if isinstance(detector, SupportVectors):
        scaling = (np.asarray(detector.mean, float), np.asarray(detector.deviation, float))
        vectors, heights = (np.asarray(a, float) for a in (detector.vectors, detector.weights))
        gamma, offset = float(detector.gamma), float(detector.offset)
        return SupportNovelty(rows, *scaling, vectors, heights, gamma, offset, response, numbers)
    assert isinstance(detector, Distance)
    mean, axes = (np.asarray(a, float) for a in (detector.mean, detector.whitening))
    return Novelty(rows, mean, axes.ravel(), float(detector.offset), response, numbers, True)


def _widen(guard: AbstractGuard) -> AbstractGuard:
    """Return a guard whose range the training still lies in once it is rounded to float32.

    What stands at the edge for ever, as the sine of the northernmost latitude does, would else be
    new to a host in single precision. A distance gets a billionth: the farthest sample of the
    training has a score of exactly 0, and sums in another order round otherwise.
    """
    inside = guard.closure
    guard = replace(guard, closure=_widen(inside)) if isinstance(inside, AbstractGuard) else guard
    detector = getattr(guard, "detector", None)
    if not isinstance(guard, Guarded):
        return guard
    if isinstance(detector, Distance | SupportVectors):
        held = getattr(detector, "weights", detector.offset)
        slack = 1e-9 * float(np.sum(np.abs(np.asarray(held, float))))
        return replace(guard, cutoff=guard.cutoff + slack * (guard.response == "mask"))
    if not isinstance(detector, Range):
        return guard
    lower, upper = np.asarray(detector.lower, float), np.asarray(detector.upper, float)
    constant = lower == upper
    low = np.where(constant, lower, np.minimum(lower, lower.astype(np.float32)))
    high = np.where(constant, upper, np.maximum(upper, upper.astype(np.float32)))
    slack = float(np.max(np.abs(lower[constant]), initial=0.0)) * float(np.finfo(np.float32).eps)
    cutoff = guard.cutoff + slack * (guard.response == "mask")
    return replace(guard, detector=Range(jnp.asarray(low), jnp.asarray(high)), cutoff=cutoff)
