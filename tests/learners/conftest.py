"""Pairs that learners are tried on."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.core.closure import AbstractClosure
from closura.core.couple import couple
from closura.core.learner import Pairs
from closura.core.model import Snapshot
from closura.core.passport import Passport
from closura.core.rollout import rollout
from closura.models.lorenz96 import Lorenz96, Lorenz96State

POINTS, SERIES, TIMES = 7, 3, 600


def smooth(seed: int = 0, *, times: int = TIMES, points: int = POINTS) -> np.ndarray:
    """Values (series, time, k) of size 3 around 1 that change slowly in time."""
    draw = np.random.default_rng(seed).normal(size=(SERIES, times + 20, points))
    kernel = np.ones(20) / 20**0.5
    rows = draw.transpose(0, 2, 1).reshape(-1, times + 20)
    slow = np.stack([np.convolve(row, kernel, "valid")[:times] for row in rows])
    return 1 + 3 * slow.reshape(SERIES, points, times).transpose(0, 2, 1)


def pairs_of(closure: AbstractClosure | None, inputs: np.ndarray, *, dt: float = 0.01) -> Pairs:
    """Pairs whose targets a closure made (or that are all zero)."""
    targets = np.zeros_like(inputs)
    if closure is not None:
        one = lambda x: closure.tendency({"X": x})["X"]  # type: ignore[attr-defined]  # noqa: E731
        targets = np.asarray(jax.jit(jax.vmap(jax.vmap(one)))(inputs))
    time = dt * np.arange(inputs.shape[1])
    return Pairs({"X": inputs}, {"X": targets}, time, Passport("coupling", source="test"))


def r_squared(closure: AbstractClosure, pairs: Pairs) -> float:
    """Share of the targets' variance that a closure explains."""
    found = pairs_of(closure, np.asarray(pairs.inputs["X"])).targets["X"]
    wanted = pairs.targets["X"]
    return float(1 - np.mean((found - wanted) ** 2) / np.var(wanted))


@pytest.fixture
def record() -> Callable[..., Pairs]:
    """Make pairs along a run of a coarse model with a known closure."""

    def make(model: Lorenz96, closure: AbstractClosure, *, times: int = 1500) -> Pairs:
        hybrid = couple(model, closure)
        start = 3 + jax.random.normal(jax.random.key(5), (model.K, SERIES))
        axes = Snapshot(-1, None, -1)
        snapshot = jax.vmap(hybrid.start, in_axes=-1, out_axes=axes)(Lorenz96State(start))
        _, snapshot = rollout(hybrid, snapshot, 300, every=300, members=True)
        states, _ = rollout(hybrid, snapshot, times, members=True)
        return pairs_of(closure, np.asarray(jnp.moveaxis(states.X, -1, 0)), dt=model.dt)

    return make
