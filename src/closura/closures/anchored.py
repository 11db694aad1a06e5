"""A guard that draws the state toward the mean of the states a closure was trained on."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from closura.closures.features import field
from closura.closures.guards import AbstractGuard, Shares, Tendency
from closura.core.closure import AbstractClosure
from closura.core.durations import duration
from closura.core.learner import Pairs


class Anchored(AbstractGuard):
    """Adds (mean - state) / timescale to a closure, with the mean state of its training pairs.

    A correction that was learned in a nudged run has seen states near the truth alone. Free, the
    model drifts to where eddies and mean flow balance anew, and a mean tendency does not call it
    back. An error of the mean that decays by itself within T is left at 1 / (1 + T / timescale);
    so is every departure that lives as long, and eddies lose their share of 1 / timescale: take it
    long beside theirs and short beside T. This is weak nudging to a climatology, no knowledge of
    the model's error: score it beside the same without it.

    With `averaging`, it is the running mean of the state that is drawn, not the state: what lasts
    is called back, and what passes, eddies and storms, is left to itself, even where the timescale
    is short. A departure that does not decay by itself then swings, with a period of about
    2 pi sqrt(timescale averaging), and comes to rest within twice `averaging` or so: discard that
    much of a run.

    The mean has no season: for records without one, or of one season.

    `share` gives ``anchored``: the share of this relaxation in the sum of the absolute tendencies,
    its own and the closure's, the mean over fields.

    Args:
        closure: What is guarded.
        timescale: Relaxation time [time unit], or text such as ``"20 days"`` for a model whose time
            is in seconds; one for every field of the targets, or by field. `couple` makes
            numbers of texts.
        averaging: Over how long the state is averaged, the e-folding time of a running mean that
            begins at the mean state; None draws the state as it is.
        mean: Mean state by field. `fit` fills it in.
        interval: How far apart it acts. `couple` fills it in.

    Raises:
        ValueError: A time is not positive, or too short for the step.

    Reference:
        Champouillon et al. (2026), EGUsphere-2026-1380, tell corrections that are fixed from such
        as depend on the state.
    """

    closure: AbstractClosure
    timescale: Any
    averaging: Any = None
    mean: dict[str, Array] | None = None
    interval: float | None = None

    def __check_init__(self):
        for name, said in _named(self.timescale):
            value = duration(said, name=f"Anchored: the timescale{_of(name)}")
            if not 0 < value < math.inf:
                raise ValueError(
                    f"Anchored: the timescale{_of(name)} is {value:g}; relaxation needs a positive "
                    "time, e.g. '20 days'. To leave a field alone, leave it out."
                )
        if self.averaging is not None:
            value = duration(self.averaging, name="Anchored: averaging")
            if not 0 < value < math.inf:
                raise ValueError(
                    f"Anchored: averaging is {value:g}; a running mean needs a positive time, e.g. "
                    "'20 days'. None draws the state as it is."
                )

    def settle(self, model: Any, interval: float) -> "Anchored":
        found = {
            name: duration(value, name=f"Anchored: the timescale{_of(name)}",
                           time_units=model.time_units)
            for name, value in _named(self.timescale)
        }  # fmt: skip
        step = interval or model.dt
        for name, timescale in found.items():
            if timescale < (1 - 1e-9) * step:
                raise ValueError(
                    f"Anchored: the timescale{_of(name)} is {timescale:g} and it acts over "
                    f"{step:g}: it would overshoot the mean. Take a longer one, or act more often."
                )
        settled = replace(self, timescale=found.get("", found))
        if self.averaging is None:
            return settled
        span = duration(self.averaging, name="Anchored: averaging", time_units=model.time_units)
        return replace(settled, averaging=span, interval=step)

    def learn(self, pairs: Pairs) -> "Anchored":
        """Return this guard with the mean of the states, one piece of the record at a time.

        Raises:
            ValueError: The pairs do not hold a field that is to be drawn.
        """
        wanted = [name for name, _ in _named(self.timescale) if name] or list(pairs.targets)
        for name in wanted:
            if name not in pairs.inputs:
                raise ValueError(
                    f"Anchored draws {name!r}, and the pairs hold states of "
                    f"{', '.join(pairs.inputs)}; record it, or give timescales by field."
                )
        return replace(self, mean={name: _time_mean(pairs.inputs[name]) for name in wanted})

    @property
    def remembers(self) -> bool:
        return self.averaging is not None

    def begin(self, fields: Any, key: Array | None = None) -> Any:
        known = self._known().items()
        return {name: mean.astype(field(fields, name).dtype) for name, mean in known}

    def act(
        self, fields: Any, tendency: Tendency, inputs: Any, memory: Any, key: Array | None
    ) -> tuple[Tendency, Shares, Any]:
        if self.averaging is None:
            return super().act(fields, tendency, inputs, memory, key)
        if self.interval is None:
            raise ValueError(
                "Anchored does not know how long a step is, which its running mean needs; couple "
                "it to a model."
            )
        weight = -jnp.expm1(-self.interval / self.averaging)
        running = {
            name: past + weight * (field(fields, name) - past) for name, past in memory.items()
        }
        return *self.guard(running, tendency, inputs), running

    def guard(self, fields: Any, tendency: Tendency, inputs: Any) -> tuple[Tendency, Shares]:
        drawn = self._relaxation(fields)
        parts = []
        for name, rate in drawn.items():
            own = jnp.abs(rate).sum()
            whole = own + jnp.abs(tendency.get(name, jnp.zeros_like(rate))).sum()
            parts.append(jnp.where(whole > 0, own / jnp.where(whole > 0, whole, 1.0), 0.0))
        summed = {name: tendency.get(name, 0.0) + rate for name, rate in drawn.items()}
        return tendency | summed, {"anchored": jnp.stack(parts).mean()}

    def _known(self) -> dict[str, Array]:
        if self.mean is None:
            raise ValueError(
                "Anchored takes its mean state from pairs and has seen none; call its fit(pairs) "
                "first."
            )
        return self.mean

    def _relaxation(self, fields: Any) -> Tendency:
        means, times = self._known(), dict(_named(self.timescale))
        if any(isinstance(value, str) for value in times.values()):
            raise ValueError(
                "Anchored does not know the unit of time; couple it to a model, or give the "
                "timescale as a number."
            )
        found = {}
        for name, mean in means.items():
            value = field(fields, name)
            found[name] = (mean.astype(value.dtype) - value) / times.get(name, times.get("", 1.0))
        return found


def _time_mean(states: Any) -> Array:
    """Return the mean over series and times, read one series and some times at once."""
    series, times = states.shape[:2]
    size = max(1, int(2**26 // max(1, np.prod(states.shape[2:]) * 8)))
    total = sum(
        np.asarray(states[s, t : t + size], float).sum(axis=0)
        for s in range(series)
        for t in range(0, times, size)
    )
    return jnp.asarray(total / (series * times))


def _named(timescale: Any) -> list[tuple[str, Any]]:
    """Return timescales by field; one for all stands under the empty name."""
    return list(timescale.items()) if isinstance(timescale, Mapping) else [("", timescale)]


def _of(name: str) -> str:
    return f" of {name!r}" if name else ""
