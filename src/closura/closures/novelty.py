"""Guard against the unseen: the farther columns are from the training pairs, the less is added."""

from abc import abstractmethod
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.closures.draws import drawn_times
from closura.closures.features import AbstractFeatures
from closura.closures.guards import AbstractGuard, Shares, Tendency
from closura.closures.learned import LearnedClosure
from closura.core.closure import AbstractClosure
from closura.core.learner import Pairs

RESPONSES = ("mask", "ramp", "decay")
MOST_SAMPLES = 200_000  # that a detector is fitted on
SMALLEST = 1e-8  # share of the largest variance below which a direction is taken as constant


class AbstractDetector(eqx.Module):
    """Says of each sample how new it is: 0 or less if it is like those it was fitted on."""

    @abstractmethod
    def __call__(self, table: Float[Array, "sample feature"]) -> Float[Array, "sample"]:
        """Return a score a sample."""


class AbstractNovelty(eqx.Module):
    """A recipe for a detector.

    To write one: return from `fit` a detector, made of arrays, so that it runs in compiled code.
    """

    @abstractmethod
    def fit(self, table: Float[np.ndarray, "sample feature"]) -> AbstractDetector:
        """Return the detector that knows the samples of a table."""


class Range(AbstractDetector):
    """How far the largest feature is above its range and the smallest below, in ranges.

    max(0, max x - 1) + max(0, -min x), x the features between 0 and 1 in training.

    Args:
        lower: Smallest value of each feature in training.
        upper: Largest value.
    """

    lower: Float[Array, "feature"]
    upper: Float[Array, "feature"]

    def __call__(self, table: Float[Array, "sample feature"]) -> Float[Array, "sample"]:
        lower, upper = (a.astype(table.dtype) for a in (self.lower, self.upper))
        span = jnp.where(upper > lower, upper - lower, 1.0)
        within = (table - lower) / span
        # A constant feature has no range of its own: below and above count from its value.
        above = jnp.where(upper > lower, within - 1, within)
        return jnp.maximum(0, above.max(axis=1)) + jnp.maximum(0, -within.min(axis=1))


class Distance(AbstractDetector):
    """Root mean square departure from the mean along principal axes, over one of training.

    Args:
        mean: Of each feature.
        whitening: From departures to axes of variance 1, ``(feature, axis)``.
        offset: Distance that counts as 0.
    """

    mean: Float[Array, "feature"]
    whitening: Float[Array, "feature axis"]
    offset: Float[Array, ""]

    def __call__(self, table: Float[Array, "sample feature"]) -> Float[Array, "sample"]:
        axes = (table - self.mean.astype(table.dtype)) @ self.whitening.astype(table.dtype)
        return jnp.sqrt(jnp.mean(axes**2, axis=1)) - self.offset.astype(table.dtype)


class MinMax(AbstractNovelty):
    """Novel is what lies outside the range of any feature in training."""

    def fit(self, table: Float[np.ndarray, "sample feature"]) -> Range:
        return Range(jnp.asarray(table.min(axis=0)), jnp.asarray(table.max(axis=0)))


class Mahalanobis(AbstractNovelty):
    """Novel is what lies far from the mean, measured along the principal axes of training.

    Args:
        quantile: Share of the training samples that count as known; 1 for all.
        axes: Largest number of principal axes; all that vary if None.
    """

    quantile: float = eqx.field(static=True, default=1.0)
    axes: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        check_quantile(self)

    def fit(self, table: Float[np.ndarray, "sample feature"]) -> Distance:
        mean, scale = table.mean(axis=0), table.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        _, sizes, rows = np.linalg.svd((table - mean) / scale, full_matrices=False)
        variance = sizes**2 / len(table)
        kept = np.flatnonzero(variance > SMALLEST * variance[0])[: self.axes]
        whitening = rows[kept].T / np.sqrt(variance[kept]) / scale[:, None]
        blank = Distance(jnp.asarray(mean), jnp.asarray(whitening), jnp.zeros(()))
        return replace(blank, offset=jnp.asarray(known_limit(blank, table, self.quantile)))


class Guarded(AbstractGuard):
    """Adds less of a closure's tendency, or nothing, in columns unlike those of its training.

    The weight of a column falls with its score s: ``"mask"``: 1 up to `cutoff`, then 0;
    ``"ramp"``: from 1 at `cutoff` to 0 at `end`, clip((end - s) / (end - cutoff), 0, 1);
    ``"decay"``: min(rate^(s - cutoff), 1). `share` gives ``novel``: the share of columns whose
    weight is below 1.

    Args:
        closure: What is guarded.
        novelty: Recipe of the detector, e.g. `MinMax`, `Mahalanobis`, `OneClassSVM`.
        response: ``"mask"``, ``"ramp"`` or ``"decay"``.
        cutoff: Score up to which all is added.
        end: Score of the end of a ramp.
        rate: Weight that a decay leaves one unit of the score further.
        features: What the detector looks at; those of the closure if None.
        detector: The fitted one. `fit` fills it in.
        seen: The features, bound to the pairs. `fit` fills it in.
        outputs: Number of outputs of a sample. `fit` fills it in.

    Reference:
        Sanford et al. (2022), doi:10.48550/arXiv.2211.13354.
    """

    closure: AbstractClosure
    novelty: AbstractNovelty = MinMax()
    response: str = eqx.field(static=True, default="mask")
    cutoff: float | int = eqx.field(static=True, default=0.0)
    end: float | int = eqx.field(static=True, default=1.0)
    rate: float | int = eqx.field(static=True, default=0.1)
    features: AbstractFeatures | None = None
    detector: AbstractDetector | None = None
    seen: AbstractFeatures | None = None
    outputs: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        if self.response not in RESPONSES:
            raise ValueError(
                f"Guarded: response is {self.response!r}; it must be one of {', '.join(RESPONSES)}."
            )
        if self.response == "ramp" and not self.end > self.cutoff:
            raise ValueError(
                f"Guarded: the ramp goes from {self.cutoff} to {self.end}; end must be larger."
            )
        if self.response == "decay" and not 0 < self.rate < 1:
            raise ValueError(f"Guarded: rate is {self.rate}; it must lie between 0 and 1.")

    def learn(self, pairs: Pairs) -> "Guarded":
        features = _features_of(self.closure) if self.features is None else self.features
        if features is None:
            raise ValueError(
                f"Guarded: {type(self.closure).__name__} has no features of its own; say with "
                "features= what the detector looks at."
            )
        seen = features.bind(pairs)
        targets = {name: jnp.asarray(a[0, 0]) for name, a in pairs.targets.items()}
        width = seen.collect(targets).shape[-1]
        detector = self.novelty.fit(training_table(seen, pairs))
        return replace(self, detector=detector, seen=seen, outputs=int(width))

    def weights(self, fields: Any, inputs: Any = None) -> Float[Array, "sample"]:
        """Return what each column's tendency is multiplied with."""
        if self.detector is None or self.seen is None:
            raise ValueError("Guarded has seen no pairs; call its fit(pairs) first.")
        score = self.detector(self.seen.inputs(fields, inputs))
        if self.response == "mask":
            return (score <= self.cutoff).astype(score.dtype)
        if self.response == "ramp":
            return jnp.clip((self.end - score) / (self.end - self.cutoff), 0, 1)
        return jnp.minimum(self.rate ** (score - self.cutoff), 1)

    def guard(self, fields: Any, tendency: Tendency, inputs: Any) -> tuple[Tendency, Shares]:
        weights = self.weights(fields, inputs)
        assert self.seen is not None
        spread = self.seen.outputs(jnp.repeat(weights[:, None], self.outputs, axis=1))
        found = {}
        for name, rate in tendency.items():
            if name not in spread:
                raise ValueError(
                    f"the closure gives a tendency of {name!r}, and Guarded was fitted on pairs "
                    f"with targets {', '.join(spread)}; fit it on pairs that hold all."
                )
            found[name] = rate * spread[name].astype(rate.dtype)
        return found, {"novel": jnp.mean(weights < 1)}


def training_table(features: AbstractFeatures, pairs: Pairs) -> Float[np.ndarray, "sample feature"]:
    """Return the table of bound features along pairs, of times drawn if there are many.

    Raises:
        ValueError: Its samples are no rows of numbers.
    """
    read = {name: pairs.inputs[name] for name, _ in features.read}
    one = {name: jnp.asarray(array[0, 0]) for name, array in read.items()}
    shape = eqx.filter_eval_shape(features.inputs, one, _given(pairs, 0)).shape
    if len(shape) != 2:
        raise ValueError(
            f"a detector wants a row of numbers a sample, and {type(features).__name__} gives "
            f"samples of shape {shape[1:]}; choose features of columns or points."
        )
    times = drawn_times(len(pairs.time), MOST_SAMPLES // (pairs.series * shape[0]))
    tables = [
        np.asarray(_look(features, {n: a[s, t] for n, a in read.items()}, _given(pairs, t)))
        for s in range(pairs.series)
        for t in times.tolist()
    ]
    return np.concatenate(tables)


@eqx.filter_jit
def _look(features: AbstractFeatures, fields: dict[str, Any], inputs: Any) -> Array:
    return features.inputs(fields, inputs)


def known_limit(
    detector: AbstractDetector, table: Float[np.ndarray, "sample feature"], quantile: float
) -> float:
    """Return the score that a share of the training samples does not exceed."""
    parts = np.array_split(table, max(1, len(table) // 4096))
    scores = np.concatenate([np.asarray(detector(jnp.asarray(part))) for part in parts])
    return float(np.quantile(scores, quantile))


def check_quantile(novelty: Any) -> None:
    """Raise ValueError unless the quantile of a recipe is one."""
    if not 0 < novelty.quantile <= 1:
        owner = type(novelty).__name__
        raise ValueError(f"{owner}: quantile is {novelty.quantile}; it must lie in (0, 1].")


def _features_of(closure: Any) -> AbstractFeatures | None:
    while isinstance(closure, AbstractGuard):
        closure = closure.closure
    return closure.features if isinstance(closure, LearnedClosure) else None


def _given(pairs: Pairs, time: int) -> dict[str, dict[str, Any]] | None:
    given = {name: {part: a[time] for part, a in g.items()} for name, g in pairs.given.items()}
    return given or None
