"""The price of a correction: a hybrid step of the atmosphere over a bare one and a forward pass."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import closura as cl
from benchmarks.measure import Candidate, alternate, cell, pin, print_goal, print_table, spread
from closura.closures.atmosphere import Column
from closura.core.learner import Pairs
from closura.core.passport import Passport

SIZES = (("T21", 8), ("T42", 24))
SIX_HOURS = 21600.0  # [s]
MOST = 1.5  # what the correction may cost, in forward passes of its predictor


def measure(sizes: Sequence[Sequence[Any]] = SIZES, repeats: int = 21, steps: int = 12) -> None:
    """Print milliseconds a step without and with a closure, and of the closure alone.

    All of it is time of one core: the price is a small difference of two large numbers, which
    threads that wait for each other would drown.

    Args:
        sizes: Truncation and number of sigma levels of each atmosphere.
        repeats: Timed calls of each.
        steps: Time steps in a call; that of the 6-hourly candidate has six hours at least.
    """
    pin(1)
    rows, goals = [], []
    for resolution, levels in sizes:
        model = cl.PrimitiveEquations(resolution, levels)
        start = model.start(model.initial_state(jax.random.key(0)))
        for name, closure in closures(model, start).items():
            row, price = compare(f"{resolution} L{levels}", model, start, name, closure,
                                 repeats=repeats, steps=steps)  # fmt: skip
            rows.append(row)
            goals.append((f"{resolution} L{levels}, {name}", price))
    head = ("size", "closure", "bare step [ms]", "forward pass [ms]", "hybrid step [ms]",
            "hybrid / bare", "6-hourly / bare", "price / forward pass")  # fmt: skip
    print_table(
        "The price of a correction of u and v: time of one core, single precision", head, rows
    )
    print()
    for name, price in goals:
        print_goal(f"{name}: at most {MOST} forward passes", f"{price:.2f}", holds=price <= MOST)


def closures(model: Any, start: Any) -> dict[str, Any]:
    """Return a network and a forest of columns, learned from noise: only their size matters."""
    draw = np.random.default_rng(0)
    fields = model.fields(start.state)
    like = lambda name: draw.normal(size=(1, 20, *getattr(fields, name).shape))  # noqa: E731
    inputs = {name: like(name).astype(np.float32) for name in ("u", "v", "temperature")}
    targets = {name: 1e-5 * like(name).astype(np.float32) for name in ("u", "v")}
    pairs = Pairs(inputs, targets, np.arange(20.0), Passport("nudging"), model=model,
                  coordinates=model.coordinates)  # fmt: skip
    learners = {
        "network, 128-128": cl.Network(features=Column(), width=128, depth=2, epochs=1),
        "forest, 16 of depth 13": cl.Forest(features=Column(), samples=8000, minimum_leaf=1),
    }
    return {n: learner.fit(pairs, key=jax.random.key(1)) for n, learner in learners.items()}


def compare(
    size: str, model: Any, start: Any, name: str, closure: Any, *, repeats: int, steps: int
) -> tuple[Sequence[str], float]:
    """Return a row of the table, and the median price in forward passes."""
    every = round(SIX_HOURS / model.dt)
    candidates = [
        Candidate(kind, partial(_advance, one, one.start(start.state), number), number)
        for kind, one, number in (
            ("bare", model, steps),
            ("hybrid", cl.couple(model, closure), steps),
            ("seldom", cl.couple(model, closure, every=every), max(steps, every)),
        )
    ]
    forward = partial(_predict, closure, model.fields(start.state), steps)
    candidates.append(Candidate("forward", forward, steps))
    seconds = alternate(candidates, repeats, time.process_time)
    bare, hybrid, seldom, alone = (
        np.asarray(seconds[kind]) for kind in ("bare", "hybrid", "seldom", "forward")
    )
    price = (hybrid - bare) / alone
    cells = [cell(spread(v), 1e3) for v in (bare, alone, hybrid)]
    ratios = [cell(spread(v)) for v in (hybrid / bare, seldom / bare, price)]
    return (size, name, *cells, *ratios), float(np.median(price))


def _advance(model: Any, start: Any, steps: int) -> None:
    jax.block_until_ready(cl.rollout(model, start, steps, every=steps))


@partial(jax.jit, static_argnums=2)
def _passes(closure: Any, fields: Any, steps: int) -> Any:
    """Apply a closure so many times, each to what the last one left: none can be left out."""

    def once(_: Any, fields: Any) -> Any:
        added = closure.tendency(fields)
        return fields._replace(**{n: getattr(fields, n) + jnp.asarray(a) for n, a in added.items()})

    return jax.lax.fori_loop(0, steps, once, fields)


def _predict(closure: Any, fields: Any, steps: int) -> None:
    jax.block_until_ready(_passes(closure, fields, steps))
