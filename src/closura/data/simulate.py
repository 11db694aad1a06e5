"""Run a model for long, in memory or into a Zarr store, and go on where it was interrupted."""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from closura.core import progress
from closura.core.model import AbstractModel
from closura.data.ahead import Ahead
from closura.data.border import to_dataset
from closura.data.destination import InFolder, InMemory, finished
from closura.data.plan import Piece, Plan, make_plan, make_recorder
from closura.data.simulation_members import Arrays, Members


def simulate(
    model: AbstractModel,
    *,
    duration: float | str,
    spinup: float | str = 0.0,
    every: float | str | None = None,
    members: int = 1,
    key: Array | None = None,
    state: Any = None,
    inputs: Any = None,
    variables: Sequence[str] | None = None,
    tendencies: Sequence[str] = (),
    recorded: bool = False,
    path: str | Path | None = None,
    chunk: int | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return a run of a model as a Dataset with dimensions (member, time, *dims).

    Time counts from the end of spin-up; instants are saved after `every`, 2 `every`, ...
    `duration`. With a `path` the run is written chunk by chunk and returned lazily: called again
    with the same arguments, an interrupted run goes on bit for bit and a finished one is opened.
    Members that blow up are listed in the attribute ``"blown_up_members"``, and ``"blow_up"`` says
    when and where the first did, and by which term; when all have, the rest is NaN.

    Args:
        model: Any model, coupled ones too.
        duration: Length [model time unit], like `spinup` and `every` a multiple of `model.dt`; or
            text such as ``"300 days"`` where the model's time is in seconds.
        spinup: Length that is run first and not kept [model time unit].
        every: Time between two saved instants [model time unit]; `model.dt` if None.
        members: Number of ensemble members. Member i depends on `key` and i alone.
        key: Randomness of initial states and closures.
        state: State to start every member from, or one for each with members on the last axis;
            drawn by `model.initial_state` if None.
        inputs: `Inputs`, `Series`, `read_series` ...: what is read, from step 0 (of spin-up) on.
        variables: Names of the fields to keep; all if None.
        tendencies: Names of fields whose full tendency is kept as ``"<name>_tendency"``.
        recorded: Keep what closures coupled with ``record=True`` saw and gave when they last acted,
            ``"<name>_before"``, ``"<name>_added"``; of several each ends with its number, ``_1``...
        path: Zarr store to write, e.g. ``"truth.zarr"``; in memory if None.
        chunk: Saved instants computed and written at once; chosen by size if None.
        threads: Groups of members that run side by side; one per core if None.

    Raises:
        ValueError: A length is no multiple of dt, a name or shape does not fit, or the folder
            holds another run.
        TypeError: The model has no tendency to record.
        OSError: The store cannot be written; what is done is kept.
    """
    recorder = make_recorder(model, variables, tendencies, recorded=recorded, inputs=inputs)
    key = _checked_key(model, key, state)
    template = eqx.filter_eval_shape(model.initial_state, jax.random.key(0))
    states = None if state is None else _with_members(model, state, template, members)
    fields = eqx.filter_eval_shape(model.fields, template)
    plan = make_plan(
        model, recorder, duration=duration, spinup=spinup, every=every, members=members,
        key=key, state=states, inputs=inputs, chunk=chunk, template=fields,
    )  # fmt: skip
    target: InMemory | InFolder
    if path is None:
        target = InMemory(plan)
    else:
        if Path(path).exists():
            return finished(Path(path), plan)
        target = InFolder(Path(path), plan)
        plan = target.plan
    ensemble = Members(model, recorder, plan, key, states, inputs)
    with _pool(threads, len(plan.sizes)) as pool, Ahead(inputs, plan.spans()) as ahead:
        _run(ensemble, plan, target, ahead, pool)
    return target.result()


def _run(
    ensemble: Members,
    plan: Plan,
    target: InMemory | InFolder,
    ahead: Ahead,
    pool: ThreadPoolExecutor | None,
) -> None:
    """Compute the pieces that are still to be done, handing each to the target."""
    restart = target.restart()
    if restart is None:
        ensemble.start()
    else:
        ensemble.restore(restart)
    done = 0 if restart is None else restart["steps"]
    total = (plan.spinup + plan.saves * plan.every) * plan.dt
    warnings: list[str] = []
    reached = 0
    for number, piece in enumerate(plan.pieces()):
        reached += piece.steps
        if reached <= done:
            continue
        dead = len(ensemble.blown_up) == plan.members
        if dead:
            warnings = warnings or [_all_blown_up(plan, reached - piece.steps, ensemble.blow_up)]
        arrays = (
            ensemble.nothing(piece.times)
            if dead
            else ensemble.advance(piece, ahead.stretch(number), pool)
        )
        if piece.first is not None:
            target.write(piece.first, _as_dataset(ensemble.model, plan, piece, arrays))
        if not dead:
            target.remember({"steps": reached} | ensemble.as_dict())
            smallest, largest = _range(next(iter(arrays.values())))
            progress.report(
                "simulate", done=reached * plan.dt, total=total, minimum=smallest, maximum=largest
            )
    blown_up = sorted(ensemble.blown_up)
    about = {"blown_up_members": blown_up, "blow_up": ensemble.blow_up, "warnings": warnings}
    target.finish(plan.attrs | about)


def _as_dataset(model: AbstractModel, plan: Plan, piece: Piece, arrays: Arrays) -> xr.Dataset:
    times = plan.times(piece.first, piece.times)  # type: ignore[arg-type]
    members_last = {name: np.moveaxis(values, 0, -1) for name, values in arrays.items()}
    return to_dataset(model, members_last, time=times)


def _all_blown_up(plan: Plan, steps: int, first: str) -> str:
    time = (steps - plan.spinup) * plan.dt
    when = f"time {time:g}" if time >= 0 else f"{-time:g} before the end of spin-up"
    return (
        f"every member blew up by {when}, and the rest is not computed (NaN): shorten dt, or "
        f"weaken the closure. First, {first}"
    )


def _range(values: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest finite value, NaN where there is none."""
    chosen = values[np.isfinite(values)]
    return (float(chosen.min()), float(chosen.max())) if chosen.size else (math.nan, math.nan)


def _checked_key(model: AbstractModel, key: Any, state: Any) -> Any:
    if key is None and (state is None or getattr(model, "random", False)):
        what = "its initial state" if state is None else "its closures' noise"
        raise ValueError(
            f"key is None and {type(model).__name__} draws {what}; pass key=jax.random.key(0)."
        )
    return key


def _with_members(model: AbstractModel, state: Any, template: Any, members: int) -> Any:
    """Return states with members on the last axis, repeating a single one."""
    if type(state) is not type(template):
        raise ValueError(
            f"state is {type(state).__name__} and {type(model).__name__} wants "
            f"{type(template).__name__}; build it with from_dataset or model.initial_state."
        )
    found = [jnp.shape(leaf) for leaf in jax.tree.leaves(state)]
    wanted = [leaf.shape for leaf in jax.tree.leaves(template)]
    if found == [(*shape, members) for shape in wanted]:
        return jax.tree.map(jnp.asarray, state)
    if found == wanted:
        repeat = lambda a: jnp.repeat(jnp.asarray(a)[..., None], members, axis=-1)  # noqa: E731
        return jax.tree.map(repeat, state)
    raise ValueError(
        f"state has shapes {found}; {type(model).__name__} wants {wanted}, or the same with "
        f"{members} members on the last axis."
    )


@contextmanager
def _pool(threads: int | None, groups: int) -> Iterator[ThreadPoolExecutor | None]:
    """Give a pool of threads, or None where one thread is enough (JAX frees the interpreter)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    wanted = cores if threads is None else threads
    workers = min(wanted or 1, groups) if jax.default_backend() == "cpu" else 1
    if workers < 2:
        yield None
        return
    with ThreadPoolExecutor(workers) as pool:
        yield pool
