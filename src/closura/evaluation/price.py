"""What a model costs: time of its steps over those of the coarse and of the fine model."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from closura.core.model import AbstractModel, Snapshot
from closura.core.rollout import member_keys, start_members, step_members
from closura.core.term import Term

ENOUGH = 0.03  # [s] length of one timing: a thousand times what it costs to begin one
FIRST_STEPS = 4
MOST_STEPS = 2**17
COARSE, FINE = "coarse", "fine"


def measure_price(
    models: Mapping[str, AbstractModel],
    *,
    coarse: AbstractModel,
    truth_model: AbstractModel | None = None,
    members: int = 64,
    repeats: int = 7,
    inputs: Any = None,
) -> dict[str, dict[str, float]]:
    """Time the steps of several models, side by side and in turns.

    Every repeat times each model once, so that a machine that slows down slows all of them, and
    ratios are taken within a repeat. Compilation is not counted.

    Args:
        models: Models by name.
        coarse: The model without a closure.
        truth_model: The fine model; without it there is no ratio to it.
        members: Members stepped together.
        repeats: Timings of each model, 2 or more.
        inputs: What the models and their closures are given at every step, e.g. a date.

    Returns:
        By name, the coarse model as "coarse" and the fine one as "fine": `seconds_per_step` (of
        one member, in a batch), `single_seconds_per_step` (of a member alone), `ratio_to_coarse`
        (step over step, in the batch), `single_ratio_to_coarse`, and `ratio_to_fine` (per
        simulated time, in the batch; absent without `truth_model`): medians over the repeats, and
        each again with `_spread`, the distance between the quartiles.

    Raises:
        ValueError: A count is too small, or a model has a name that is taken.
    """
    if members < 1 or repeats < 2:
        raise ValueError(
            f"members is {members} and repeats {repeats}; a price wants at least 1 member and "
            "2 repeats."
        )
    taken = sorted({COARSE, FINE} & set(models))
    if taken:
        raise ValueError(
            f"a model is named {taken[0]!r}, a name kept for the reference; rename it."
        )
    everyone = dict(models) | {COARSE: coarse}
    if truth_model is not None:
        everyone[FINE] = truth_model
    batched = _seconds(everyone, members, repeats, inputs)
    single = batched if members == 1 else _seconds(everyone, 1, repeats, inputs)
    steps = {name: model.dt for name, model in everyone.items()}
    return {name: _price(name, batched, single, steps) for name in everyone}


def _price(name: str, batched: dict, single: dict, dt: dict[str, float]) -> dict[str, float]:
    columns = {
        "seconds_per_step": batched[name],
        "single_seconds_per_step": single[name],
        "ratio_to_coarse": batched[name] / batched[COARSE],
        "single_ratio_to_coarse": single[name] / single[COARSE],
    }
    if FINE in batched:
        columns["ratio_to_fine"] = (batched[name] / dt[name]) / (batched[FINE] / dt[FINE])
    found = {}
    for column, values in columns.items():
        lower, middle, upper = np.quantile(values, [0.25, 0.5, 0.75])
        found[column], found[f"{column}_spread"] = float(middle), float(upper - lower)
    return found


def _seconds(models: Mapping[str, AbstractModel], members: int, repeats: int, inputs: Any) -> dict:
    """Return, by name, the seconds per step and member of each repeat."""
    runs = {name: _prepare(model, members, inputs) for name, model in models.items()}
    found: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(repeats):
        for name, (run, steps) in runs.items():
            found[name].append(_time(run, steps) / (steps * members))
    return {name: np.array(values) for name, values in found.items()}


def _prepare(
    model: AbstractModel, members: int, inputs: Any
) -> tuple[Callable[[Any], Snapshot], int]:
    """Return a compiled run of a number of steps, and how many steps make a timing.

    Those are whole cycles of its closures: one that acts every 12 steps is called once in 12.
    """
    keys = member_keys(jax.random.key(0), members)
    begun = start_members(model, keys, inputs=inputs)
    used = keys if getattr(model, "random", False) else None

    def run(steps: Any) -> Snapshot:
        return _steps(model, begun, used, steps, inputs)

    _time(run, 1)
    cycle = _cycle(model)
    steps = cycle * -(-FIRST_STEPS // cycle)
    once = _time(run, steps)
    while once < ENOUGH / 2 and steps < MOST_STEPS:
        steps *= 2
        once = _time(run, steps)
    return run, steps


def _cycle(model: AbstractModel) -> int:
    """Return after how many steps all its closures, however deep inside, act together again."""
    parts = jax.tree.leaves(model, is_leaf=lambda part: isinstance(part, Term))
    return math.lcm(*(part.every for part in parts if isinstance(part, Term)))


@eqx.filter_jit
def _steps(model: AbstractModel, begun: Snapshot, keys: Any, steps: Any, inputs: Any) -> Snapshot:
    """Return the snapshot after a number of steps, which may change without compiling anew."""

    def one_step(_: Any, snapshot: Snapshot) -> Snapshot:
        return step_members(model, snapshot, inputs, keys, True)

    return jax.lax.fori_loop(0, steps, one_step, begun)


def _time(run: Callable[[Any], Snapshot], steps: int) -> float:
    begin = time.perf_counter()
    jax.block_until_ready(run(jnp.asarray(steps)).step)
    return time.perf_counter() - begin
