"""Noise fitted to what another closure leaves unexplained."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from closura.closures.stochastic import AR1Noise
from closura.core.closure import AbstractClosure, Sum
from closura.core.learner import AbstractLearner, Pairs
from closura.core.passport import Passport
from closura.core.pieces import pieces
from closura.learners.windows import Sampling, measure_sampling


class AR1(AbstractLearner):
    """First-order autoregressive noise with the targets' deviation and lag-one correlation.

    Both are pooled over all points and series of a field. The correlation is that of neighbouring
    times within a series, about the mean; where it is negative, white noise is returned. Where the
    pairs know their model, the times are one time step apart: pairs recorded more often are
    thinned. Else it holds for a step as long as the interval, which the passport remembers.

    Reference:
        Arnold et al. (2013), Phil. Trans. R. Soc. A 371, 20110479, doi:10.1098/rsta.2011.0479.
    """

    def fit(self, pairs: Pairs, *, key: Array | None = None) -> AR1Noise:
        """Return noise fitted to the targets themselves; the key is not needed.

        Raises:
            ValueError: The times of the pairs are not evenly spaced, or further apart than the
                time steps of their model.
        """
        pairs, sampling = _step_by_step("AR1", pairs)
        sigma = _deviations(pairs)
        phi = {name: _lag_one(pairs, name, sampling.unbroken) for name in sigma}
        return _noise(phi, sigma, replace(pairs.passport, dt=sampling.interval))


class White(AbstractLearner):
    """Noise with the targets' deviation, independent from one time step to the next.

    What it does to a model depends on the time step: it holds for the interval of the pairs.
    """

    def fit(self, pairs: Pairs, *, key: Array | None = None) -> AR1Noise:
        """Return noise fitted to the targets themselves; the key is not needed."""
        pairs, sampling = _step_by_step("White", pairs)
        sigma = _deviations(pairs)
        origin = replace(pairs.passport, dt=sampling.interval)
        return _noise(dict.fromkeys(sigma, 0.0), sigma, origin)


class WithNoise(AbstractLearner):
    """A learner's closure plus noise fitted to what that closure leaves unexplained.

    The residual is target minus prediction at all times of the pairs, also those that the learner
    was trained on: the correlation in time needs the whole record. A learner that fits its
    training data much better than new data so gets too little noise.

    Args:
        learner: What makes the closure, or a closure as it is.
        noise: What is fitted to the residual: `AR1` or `White`.

    Reference:
        Wilks (2005), Q. J. R. Meteorol. Soc. 131, 389-407, doi:10.1256/qj.04.03.
    """

    learner: AbstractLearner | AbstractClosure
    noise: AbstractLearner = AR1()

    def fit(self, pairs: Pairs, *, key: Array) -> Sum:
        """Return the sum of the closure and its noise."""
        first, second = jax.random.split(key)
        closure = self.learner
        if isinstance(closure, AbstractLearner):
            closure = closure.fit(pairs, key=first)
        return closure + self.noise.fit(residual(pairs, closure), key=second)


def residual(pairs: Pairs, closure: AbstractClosure) -> Pairs:
    """Return the pairs with a closure's predictions taken off the targets.

    Raises:
        ValueError: The closure draws random numbers.
    """
    if closure.random:
        raise ValueError(
            "the residual of a random closure is another one at each draw; "
            "fit noise to the deterministic part alone."
        )
    left = {name: np.array(a, dtype=float) for name, a in pairs.targets.items()}
    for piece in pieces(pairs):
        predicted = _predict(closure, piece.fields, piece.given)
        series, times = piece.block
        for name in left.keys() & predicted.keys():
            there = left[name][series, times]
            there -= np.asarray(predicted[name]).reshape(there.shape)
    return replace(pairs, targets=left)


@eqx.filter_jit
def _predict(closure: AbstractClosure, fields: dict, given: Any) -> dict[str, Array]:
    def one(fields: dict, inputs: Any) -> dict[str, Array]:
        return closure(fields, inputs, closure.init(fields, None), None)[0]

    return jax.vmap(one)(fields, given)


def _step_by_step(learner: str, pairs: Pairs) -> tuple[Pairs, Sampling]:
    """Return pairs that are one time step of their model apart, and their sampling."""
    sampling = measure_sampling(learner, pairs)
    dt = getattr(pairs.model, "dt", None)
    if dt is None:
        return pairs, sampling
    stride = round(dt / sampling.interval)
    if stride < 1 or not np.isclose(stride * sampling.interval, dt, rtol=1e-6):
        raise ValueError(
            f"{learner}: the pairs are {sampling.interval:g} apart and the model steps by "
            f"dt = {dt:g}; noise advances once a time step, so record the truth every {dt:g}."
        )
    if stride == 1:
        return pairs, sampling
    thinned = pairs.at(slice(None, None, stride))
    return thinned, measure_sampling(learner, thinned)


def _deviations(pairs: Pairs) -> dict[str, float]:
    return {name: float(np.std(np.asarray(a, float))) for name, a in pairs.targets.items()}


def _lag_one(pairs: Pairs, name: str, unbroken: np.ndarray) -> float:
    """Return the correlation of a target's neighbouring times, 0 where it is negative."""
    values = np.asarray(pairs.targets[name], float)
    values = values - values.mean()
    before, after = values[:, :-1][:, unbroken], values[:, 1:][:, unbroken]
    power = np.sqrt(np.sum(before**2) * np.sum(after**2))
    return float(np.clip(np.sum(before * after) / power, 0, 1 - 1e-12)) if power > 0 else 0.0


def _noise(phi: dict[str, Any], sigma: dict[str, Any], origin: Passport) -> AR1Noise:
    phi, sigma = jax.tree.map(lambda number: jnp.asarray(number, float), (phi, sigma))
    return AR1Noise(phi, sigma, origin)
