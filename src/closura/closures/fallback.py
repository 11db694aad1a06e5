"""A guard that puts something else where a closure gives what is not finite."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from closura.closures.guards import AbstractGuard, Shares, Tendency, columns_with
from closura.core.closure import AbstractClosure, fold
from closura.core.learner import Pairs


class Fallback(AbstractGuard):
    """Puts the tendency of a baseline, or zero, where that of a closure is not finite.

    `share` gives ``filled``: the share of columns of which any value is replaced.

    Args:
        closure: What is guarded.
        baseline: What stands in; zero if None. Its memory goes on with the run.
    """

    closure: AbstractClosure
    baseline: AbstractClosure | None = None

    @property
    def random(self) -> bool:
        return self.closure.random or (self.baseline is not None and self.baseline.random)

    def settle(self, model: Any, interval: float) -> "Fallback":
        if self.baseline is None:
            return self
        return replace(self, baseline=self.baseline.bind(model, interval=interval))

    def learn(self, pairs: Pairs) -> "Fallback":
        if not isinstance(self.baseline, AbstractGuard):
            return self
        return replace(self, baseline=self.baseline.fit(pairs))

    def guard(self, fields: Any, tendency: Tendency, inputs: Any) -> tuple[Tendency, Shares]:
        return self._filled(tendency, {})

    @property
    def remembers(self) -> bool:
        return self.baseline is not None

    def begin(self, fields: Any, key: Array | None = None) -> Any:
        return None if self.baseline is None else self.baseline.init(fields, fold(key, 1))

    def act(
        self, fields: Any, tendency: Tendency, inputs: Any, memory: Any, key: Array | None
    ) -> tuple[Tendency, Shares, Any]:
        if self.baseline is None:
            return super().act(fields, tendency, inputs, memory, key)
        instead, after = self.baseline(fields, inputs, memory, fold(key, 1))
        return *self._filled(tendency, instead), after

    def _filled(self, tendency: Tendency, instead: Tendency) -> tuple[Tendency, Shares]:
        bad = {name: ~jnp.isfinite(rate) for name, rate in tendency.items()}
        found = {
            name: jnp.where(bad[name], instead.get(name, jnp.zeros_like(rate)), rate)
            for name, rate in tendency.items()
        }
        return found, {"filled": columns_with(bad)}
