"""Forecast windows cut from a record, for training and for validation."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from closura.core.learner import Pairs
from closura.core.model import AbstractModel


class Sampling(NamedTuple):
    """How a record was sampled in time.

    Attributes:
        interval: Time between neighbouring samples [time units of the model].
        unbroken: Whether each sample but the last is followed by its neighbour, (time - 1,).
    """

    interval: float
    unbroken: np.ndarray


def measure_sampling(learner: str, pairs: Pairs) -> Sampling:
    """Return how the pairs were sampled; stretches may have been cut out of them.

    Raises:
        ValueError: Fewer than half of the times follow each other by one and the same interval.
    """
    gaps = np.diff(np.asarray(pairs.time, float))
    interval = float(f"{np.median(gaps):.10g}") if len(gaps) else 0.0  # free of rounding
    unbroken = np.isclose(gaps, interval, rtol=1e-6, atol=0)
    if interval <= 0 or np.mean(unbroken) < 0.5:
        raise ValueError(
            f"{learner} needs evenly spaced times, and the {len(pairs.time)} times of these pairs "
            "are not; give whole stretches of the record, not a selection of its times."
        )
    return Sampling(interval, unbroken)


def state_template(model: AbstractModel) -> Any:
    """Return the model's State with shapes in place of arrays."""
    return eqx.filter_eval_shape(model.initial_state, jax.random.key(0))


@dataclass(frozen=True)
class Pace:
    """How recorded times and time steps go together.

    Args:
        stride: Recorded times from one compared state to the next.
        every: Time steps from one compared state to the next.
        states: Compared states in a window, the first one included.
    """

    stride: int
    every: int
    states: int


def measure_pace(interval: float, model: AbstractModel, window: int) -> Pace:
    """Return how the pairs' times and the model's time steps go together, for a window of steps.

    Raises:
        ValueError: The interval does not fit the time step, or the window ends inside one.
    """
    stride, every = max(1, round(model.dt / interval)), max(1, round(interval / model.dt))
    if not np.isclose(stride * interval, every * model.dt, rtol=1e-6):
        raise ValueError(
            f"Online: the pairs are {interval:g} apart and the model steps by dt = {model.dt:g}; "
            "one must be a multiple of the other. Record the truth at the model's time step."
        )
    if window % every:
        raise ValueError(
            f"Online: window is {window} steps and the pairs hold every {every}th state; "
            f"use a multiple of {every}."
        )
    return Pace(stride, every, window // every + 1)


def recorded_states(pairs: Pairs, model: AbstractModel) -> dict[str, np.ndarray]:
    """Return the recorded states by field, (series, time, *field).

    Raises:
        ValueError: A field of the model's State was not recorded.
    """
    names = state_template(model)._fields
    missing = [name for name in names if name not in pairs.inputs]
    if missing:
        raise ValueError(
            f"Online forecasts from recorded states, and the pairs lack {', '.join(missing)} of "
            f"{type(model).__name__} (they hold {', '.join(pairs.inputs)}); "
            "record every field of the model's State."
        )
    return {name: np.asarray(pairs.inputs[name]) for name in names}


def cut_windows(
    truth: Mapping[str, np.ndarray], held: np.ndarray, unbroken: np.ndarray, pace: Pace
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return training and held-out windows, (window, state, *field); none crosses a border.

    Args:
        truth: Recorded states by field, (series, time, *field).
        held: Which times are held out.
        unbroken: Which times are followed by their neighbour.
        pace: How times and steps go together.

    Raises:
        ValueError: No training or no held-out stretch is as long as a window.
    """
    borders = [0, *(np.flatnonzero(np.diff(held) | ~unbroken) + 1), len(held)]
    span = (pace.states - 1) * pace.stride
    starts: dict[bool, list[int]] = {False: [], True: []}
    for first, last in pairwise(borders):
        starts[bool(held[first])] += range(int(first), int(last) - span, max(1, span))
    for kind, found in ((False, "training"), (True, "held-out")):
        if not starts[kind]:
            raise ValueError(
                f"Online: no {found} stretch of the {len(held)} times is as long as a window of "
                f"{(pace.states - 1) * pace.every} steps ({span + 1} times); use a shorter "
                "window, fewer blocks, or a longer record."
            )
    steps = pace.stride * np.arange(pace.states)

    def cut(kind: bool) -> dict[str, np.ndarray]:
        times = np.asarray(starts[kind])[:, None] + steps
        return {name: np.concatenate([series[times] for series in a]) for name, a in truth.items()}

    return cut(False), cut(True)
