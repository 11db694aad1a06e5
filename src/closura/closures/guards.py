"""Guards: closures around a closure that bound, fade or replace what it gives."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from closura.closures.draws import sampled
from closura.closures.tapers import LEVEL, Exponential, Profile, as_tapers, make_profile
from closura.core.closure import AbstractClosure
from closura.core.learner import Pairs
from closura.core.passport import Passport

Tendency = dict[str, Array]
Shares = dict[str, Array]


class AbstractGuard(AbstractClosure):
    """A closure around another, `closure`, whose tendency it changes where it must.

    To write one: (1) take `closure` as first field; (2) write `guard`; (3) where something of the
    model is needed return from `settle` the guard with it, where something is learned from pairs,
    from `learn`; (4) where it remembers what it saw, make `remembers` true and write `begin` and
    `act`.
    """

    closure: eqx.AbstractVar[AbstractClosure]

    @abstractmethod
    def guard(self, fields: Any, tendency: Tendency, inputs: Any) -> tuple[Tendency, Shares]:
        """Return the tendency to add instead, and what was done to it, by name, in [0, 1]."""

    @property
    def remembers(self) -> bool:
        """Whether it has a memory of its own, beside the closure's."""
        return False

    def begin(self, fields: Any, key: Array | None = None) -> Any:
        """Return its own memory before the first step, if it `remembers`."""
        return ()

    def act(
        self, fields: Any, tendency: Tendency, inputs: Any, memory: Any, key: Array | None
    ) -> tuple[Tendency, Shares, Any]:
        """Return what `guard` does, with its own memory before, and that memory one step later.

        The key is the closure's too: `fold` it for draws of one's own.
        """
        return *self.guard(fields, tendency, inputs), memory

    def settle(self, model: Any, interval: float) -> "AbstractGuard":
        """Return this guard with what it must know of the model; see `AbstractClosure.bind`."""
        return self

    def learn(self, pairs: Pairs) -> "AbstractGuard":
        """Return this guard with what it learns from pairs; `fit` calls it."""
        return self

    @property
    def passport(self) -> Passport | None:
        return self.closure.passport

    @property
    def random(self) -> bool:
        return self.closure.random

    def bind(self, model: Any, *, interval: float = 0.0) -> AbstractClosure:
        inside = self.closure.bind(model, interval=interval)
        return replace(self.settle(model, interval), closure=inside)

    def fit(self, pairs: Pairs) -> "AbstractGuard":
        """Return this guard, and all inside it, with limits and detectors learned from pairs."""
        inside = self.closure
        inside = inside.fit(pairs) if isinstance(inside, AbstractGuard) else inside
        return replace(replace(self, closure=inside).learn(pairs), closure=inside)

    def init(self, fields: Any, key: Array | None = None) -> Any:
        inside = self.closure.init(fields, key)
        return (inside, self.begin(fields, key)) if self.remembers else inside

    def __call__(self, fields, inputs, memory, key):
        tendency, after, _ = self._watched(fields, inputs, memory, key)
        return tendency, after

    def share(
        self, fields: Any, inputs: Any = None, *, memory: Any = None, key: Array | None = None
    ) -> Shares:
        """Return what this guard and those inside it do to the closure at one instant.

        Args:
            fields: Fields of the instant.
            inputs: What the model is given.
            memory: The closure's memory; that of a start if None.
            key: For random closures.

        Returns:
            Shares in [0, 1], by name; a name that comes twice ends with a number.
        """
        memory = self.init(fields, key) if memory is None else memory
        return self._watched(fields, inputs, memory, key)[2]

    def _watched(self, fields, inputs, memory, key) -> tuple[Tendency, Any, Shares]:
        inside, own = memory if self.remembers else (memory, ())
        shares: Shares = {}
        if isinstance(self.closure, AbstractGuard):
            tendency, inside, shares = self.closure._watched(fields, inputs, inside, key)
        else:
            tendency, inside = self.closure(fields, inputs, inside, key)
        guarded, done, own = self.act(fields, tendency, inputs, own, key)
        return guarded, (inside, own) if self.remembers else inside, _numbered(shares, done)


def _numbered(shares: Shares, own: Shares) -> Shares:
    """Return shares with those of one guard more; a name that comes again ends with a number."""
    found = dict(shares)
    for name, value in own.items():
        count = 1 + sum(known.rstrip("_0123456789") == name for known in found)
        found[name if count == 1 else f"{name}_{count}"] = value
    return found


class Tapered(AbstractGuard):
    """Fades the tendency of a closure toward the top, the ground, or between levels.

    `share` gives ``tapered``: how much of the absolute tendency it took away.

    Args:
        closure: What is guarded.
        taper: An `AbstractTaper` or several, multiplied.
        cutoff: Number of the level, counted from 0 at the top, above which the tendency falls as
            exp((k - cutoff) / rate): short for ``taper=Exponential(cutoff, rate)``.
        rate: Levels over which it falls to 1 / e.
        profile: The weights on the model's levels. `couple` fills it in.
    """

    closure: AbstractClosure
    taper: Any = eqx.field(default=(), converter=as_tapers)
    cutoff: float | int | None = eqx.field(static=True, default=None)
    rate: float | int = eqx.field(static=True, default=5.0)
    profile: Profile | None = None

    def __check_init__(self):
        if not self.taper and self.cutoff is None:
            raise ValueError("Tapered has neither taper nor cutoff; give one of the two.")

    def settle(self, model: Any, interval: float) -> "Tapered":
        above = () if self.cutoff is None else (Exponential(self.cutoff, self.rate),)
        return replace(self, profile=make_profile("Tapered", (*self.taper, *above), model))

    def guard(self, fields: Any, tendency: Tendency, inputs: Any) -> tuple[Tendency, Shares]:
        if self.profile is None:
            raise ValueError("Tapered does not know the levels; couple it to a model first.")
        found = self.profile(tendency)
        return found, {"tapered": _removed(tendency, found)}


class Damped(AbstractGuard):
    """Multiplies the tendency of a closure by a factor.

    Args:
        closure: What is guarded.
        factor: One for all fields, or by field; others stay as they are.
    """

    closure: AbstractClosure
    factor: float | int | dict[str, Any] = 0.5

    def guard(self, fields: Any, tendency: Tendency, inputs: Any) -> tuple[Tendency, Shares]:
        factor = self.factor
        if isinstance(factor, Mapping):
            _check_names("Damped", "a factor", factor, tendency)
            return {n: rate * factor.get(n, 1.0) for n, rate in tendency.items()}, {}
        return {name: rate * factor for name, rate in tendency.items()}, {}


class Limited(AbstractGuard):
    """Keeps the tendency of a closure within limits.

    `share` gives ``limited``: the share of columns (points, where there are no levels) of which
    any value is cut.

    Args:
        closure: What is guarded.
        limits: By field, the largest absolute value, or smallest and largest [unit of the field
            per time unit].
        quantile: Take the limits from pairs instead (`fit`): this quantile of the targets and
            that of 1 minus it, level by level, e.g. 0.999. Of targets larger than 256 MiB times
            are drawn.
        lower: Smallest value by field, arrays that fit the field. `fit` fills it in.
        upper: Largest value by field. `fit` fills it in.
    """

    closure: AbstractClosure
    limits: Any = None
    quantile: float | None = eqx.field(static=True, default=None)
    lower: dict[str, Array] | None = None
    upper: dict[str, Array] | None = None

    def __check_init__(self):
        if (self.limits is None) == (self.quantile is None):
            raise ValueError(
                "Limited wants limits, or the quantile of pairs to take them from: one of the two."
            )
        if self.quantile is not None and not 0.5 < self.quantile <= 1:
            raise ValueError(
                f"Limited: quantile is {self.quantile}; it must lie between 0.5 and 1."
            )
        for name, bounds in (self.limits or {}).items():
            low, high = _bounds(bounds)
            if not low < high:
                raise ValueError(
                    f"Limited: the limits of {name} are {low:g} and {high:g}; the first must be "
                    "smaller. For +-x write x."
                )

    def learn(self, pairs: Pairs) -> "Limited":
        if self.quantile is None:
            return self
        lower, upper = {}, {}
        for name, target in pairs.targets.items():
            about = pairs.variables.get(name)
            levels = about is not None and about.dims[:1] == (LEVEL,)
            axes = tuple(a for a in range(np.ndim(target)) if not (levels and a == 2))
            known = sampled(target)
            cuts = np.quantile(known, (1 - self.quantile, self.quantile), axis=axes)
            shape = (2, -1, *(1,) * (np.ndim(target) - 3)) if levels else (2,)
            lower[name], upper[name] = map(jnp.asarray, cuts.reshape(shape))
        return replace(self, lower=lower, upper=upper)

    def guard(self, fields: Any, tendency: Tendency, inputs: Any) -> tuple[Tendency, Shares]:
        found, cut = {}, {}
        for name, (low, high) in self._ranges(tendency).items():
            rate = tendency[name]
            found[name] = jnp.clip(rate, low, high)
            cut[name] = (rate < low) | (rate > high)
        return tendency | found, {"limited": columns_with(cut)}

    def _ranges(self, tendency: Tendency) -> dict[str, tuple[Any, Any]]:
        if self.limits is not None:
            _check_names("Limited", "limits", self.limits, tendency)
            return {name: _bounds(bounds) for name, bounds in self.limits.items()}
        if self.lower is None or self.upper is None:
            raise ValueError(
                "Limited takes its limits from pairs and has seen none; call its fit(pairs) first."
            )
        ranges = {n: (self.lower[n], self.upper[n]) for n in tendency if n in self.lower}
        return {
            name: (low.astype(tendency[name].dtype), high.astype(tendency[name].dtype))
            for name, (low, high) in ranges.items()
        }


def columns_with(flags: Mapping[str, Bool[Array, "..."]]) -> Array:
    """Return the share of columns in which any field has a flag; of points without levels."""
    joined: dict[tuple[int, ...], Array] = {}
    for flag in flags.values():
        flag = flag.any(axis=0) if flag.ndim == 3 else flag
        joined[flag.shape] = joined[flag.shape] | flag if flag.shape in joined else flag
    if not joined:
        return jnp.zeros(())
    marked = jnp.stack([flag.sum() for flag in joined.values()]).sum()
    return marked / sum(flag.size for flag in joined.values())


def _removed(before: Tendency, after: Tendency) -> Array:
    """Return the share of the absolute tendency that was taken away, the mean over fields."""
    parts = []
    for name, rate in before.items():
        whole = jnp.abs(rate).sum()
        left = jnp.abs(after[name]).sum()
        parts.append(jnp.where(whole > 0, 1 - left / jnp.where(whole > 0, whole, 1.0), 0.0))
    return jnp.stack(parts).mean() if parts else jnp.zeros(())


def _bounds(bounds: Any) -> tuple[float, float]:
    if isinstance(bounds, int | float):
        return -float(bounds), float(bounds)
    low, high = bounds
    return float(low), float(high)


def _check_names(who: str, what: str, given: Mapping[str, Any], tendency: Tendency) -> None:
    for name in given:
        if name not in tendency:
            raise ValueError(
                f"{who} has {what} for {name!r}, and the closure gives tendencies of "
                f"{', '.join(tendency) or 'nothing'}."
            )
