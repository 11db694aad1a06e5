"""Assimilations that differ in numbers alone, batched, in groups of bounded memory."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from closura.core.assimilate import run_cycles
from closura.core.augment import Augmented
from closura.core.batch import Stack, stack
from closura.core.cycles import Cycles
from closura.core.model import AbstractModel
from closura.core.problem import AbstractSolver, Observations
from closura.data.assimilate import SOLVER, check_smooth, climate_of, start_run, unraveller
from closura.data.background import background_of, check_observations
from closura.data.verdict import (
    climate_innovation,
    has_diverged,
    innovations_by_time,
    root_mean_square,
    states_at,
    stretches_of,
)

BATCH_BYTES = 256e6  # what a batch may hold
MOST_AT_ONCE = 16  # runs in a batch: more of them gain nothing on a CPU and leave its caches


class Twin(NamedTuple):
    """One seed's experiment: what is observed, and against what it is scored."""

    seed: int
    observations: Observations
    truth: xr.Dataset | None
    climatology: xr.Dataset | None


class Task(NamedTuple):
    """Settings that compile to one program, with all seeds: what one worker is given.

    Attributes:
        model: The model of these runs.
        solvers: One a setting, not prepared; alike but for numbers and for what is `spent`.
        numbers: Position of each in the whole grid.
        twins: One a seed.
        initial: See `assimilate`.
        inputs: See `assimilate`.
        skip: Time before which nothing is averaged.
        key: Randomness of the whole.
    """

    model: AbstractModel
    solvers: tuple[AbstractSolver, ...]
    numbers: tuple[int, ...]
    twins: tuple[Twin, ...]
    initial: Any
    inputs: Any
    skip: float
    key: Array

    @property
    def size(self) -> int:
        """Number of runs."""
        return len(self.solvers) * len(self.twins)


Scores = dict[str, np.ndarray]


def run_task(task: Task, tell: Callable[[int], None] = lambda runs: None) -> Scores:
    """Return scores of every run, (setting, seed), telling how many runs each batch has done."""
    worlds = _worlds(task)
    solvers = [_prepared(solver, task.solvers[0], worlds) for solver in task.solvers]
    found: dict[int, Scores] = {}
    for part in _alike(solvers):
        members = task.solvers[part[0]].members
        runs = [(place, seed) for place in part for seed in range(len(worlds))]
        batches = _Batches(task, worlds, [solvers[place] for place in part], members)
        for number, scores in enumerate(batches.results(runs, part, tell)):
            place, seed = runs[number]
            found[place * len(worlds) + seed] = scores
    return _gathered(found, (len(solvers), len(worlds)))


class _World:
    """What the runs of one seed share whatever the setting."""

    def __init__(self, task: Task, twin: Twin, like: "_World | None"):
        model, observations = task.model, twin.observations
        key = jax.random.fold_in(task.key, twin.seed)
        self.key, self.observations, self.exact = key, observations, None
        run = twin.climatology if twin.climatology is not None else twin.truth
        if like is None or run is None:
            sample, self.states = climate_of(model, run, key)
            self.background = background_of(model, observations, sample)
        else:
            self.background, self.states = like.background, like.states
            sample = like.background.sample
        climate = unraveller(model)(jnp.asarray(sample.mean(axis=1)))
        check_observations(model, observations, climate, twin.truth)
        check_smooth(model, observations, task.solvers[0], sample)
        if twin.truth is None:
            self.limit = climate_innovation(observations, climate)
        else:
            self.exact = states_at(model, twin.truth, observations.time)
            self.limit = float(np.sqrt(np.mean((self.exact - self.exact.mean(axis=0)) ** 2)))


def _worlds(task: Task) -> list[_World]:
    worlds: list[_World] = []
    for twin in task.twins:
        same = worlds and twin.observations is task.twins[0].observations
        like = worlds[0] if same else None
        worlds.append(_World(task, twin, like))
    return worlds


def _prepared(solver: AbstractSolver, base: AbstractSolver, worlds: list[_World]) -> list:
    """Return the solver prepared for each seed; what preparing has used up is that of the base."""
    held: dict[int, AbstractSolver] = {}
    used = {name: getattr(base, name) for name in solver.spent}
    for world in worlds:
        if id(world.background) not in held:
            held[id(world.background)] = replace(solver.prepare(world.background), **used)
    return [held[id(world.background)] for world in worlds]


def _alike(solvers: list[list[AbstractSolver]]) -> list[list[int]]:
    """Return positions of settings whose prepared solvers may be stacked, group by group."""
    kinds: dict[Any, list[int]] = {}
    for place, row in enumerate(solvers):
        leaves, structure = jax.tree.flatten(row[0])
        ranks = tuple(np.ndim(a) if row[0].spent else np.shape(a) for a in leaves)
        kinds.setdefault((structure, ranks), []).append(place)
    return list(kinds.values())


class _Batches:
    """Runs of prepared solvers of one shape, in batches of one size."""

    def __init__(self, task: Task, worlds: list[_World], solvers: list, members: int):
        self.task, self.worlds, self.members = task, worlds, members
        # One solver serves all seeds unless the climate that it knows is that of its seed.
        dtype = jax.tree.leaves(eqx.filter_eval_shape(_first_fields, task.model))[0].dtype
        self.solvers = stack([one for row in solvers for one in row], dtype)
        initial, inputs = task.initial, task.inputs
        starts = [
            start_run(
                task.model, solvers[0][0], world.states, initial=initial, inputs=inputs,
                key=world.key,
            )
            for world in worlds
        ]  # fmt: skip
        self.seeds = stack(
            [
                (*start, jax.random.fold_in(world.key, SOLVER), _data(world))
                for start, world in zip(starts, worlds, strict=True)
            ]
        )
        self.size = _batch_size(starts[0][0], worlds[0].observations, members)

    def results(self, runs: list, part: list[int], tell: Callable[[int], None]) -> Iterator[Scores]:
        """Yield the scores of each run, in order."""
        count = -(-len(runs) // -(-len(runs) // self.size))  # batches as even as can be
        parts = [runs[first : first + count] for first in range(0, len(runs), count)]
        row = {place: number for number, place in enumerate(part)}
        # One batch after the other: two at once in threads of their own wait for each other for
        # ever inside XLA's pool of threads on a computer of two cores.
        for some in parts:
            series = self._compute([(row[place], seed) for place, seed in some], count)
            tell(len(some))
            for number, (_, seed) in enumerate(some):
                yield self._scores({n: values[number] for n, values in series.items()}, seed)

    def _compute(self, runs: list[tuple[int, int]], count: int) -> Scores:
        """Return the series of some runs, (run, time); the last is repeated to fill the batch."""
        filled = runs + runs[-1:] * (count - len(runs))
        rows = np.array([row * len(self.worlds) + seed for row, seed in filled])
        seeds = np.array([seed for _, seed in filled])
        observations = self.worlds[0].observations
        series = _run_batch(
            self.task.model, self.solvers, self.seeds, observations.operator,
            tuple(observations.time.tolist()), self.task.inputs, jnp.asarray(rows),
            jnp.asarray(seeds),
        )  # fmt: skip
        return {name: np.asarray(values)[: len(runs)] for name, values in series.items()}

    def _scores(self, series: Scores, seed: int) -> Scores:
        world = self.worlds[seed]
        times = len(world.observations.time)
        diverged = any(self._lost(series, world, part) for part in stretches_of(times).values())
        replaced = series.pop("replaced").sum()
        series.pop("innovation_expected")
        kept = world.observations.time > self.task.skip
        means = {name: np.asarray(values[kept].mean()) for name, values in series.items()}
        return means | {"replaced": replaced, "diverged": np.asarray(diverged)}

    def _lost(self, series: Scores, world: _World, part: slice) -> bool:
        """Return the verdict on a stretch of one run, as `judge` finds it."""
        names = ("innovation_rms", "innovation_expected")
        if world.exact is not None:
            names = ("analysis_rmse", "analysis_spread")
        error, expected = (series[name][part] for name in names)
        if not np.isfinite(series["analysis_spread"]).all():
            return True
        if not np.isfinite(error).any():  # nothing is observed
            return world.exact is not None
        wanted = root_mean_square(expected)
        return has_diverged(error, wanted, world.limit, members=self.members)[0]


@eqx.filter_jit
def _run_batch(model, solvers: Stack, seeds: Stack, operator, time: tuple, inputs, rows, numbers):
    """Return series of every run, (run, time)."""

    def one(row: Array, number: Array) -> dict[str, Array]:
        snapshot, keys, key, (values, variance, exact) = seeds[number]
        seen = Observations(np.ones((len(time), 1)), np.ones(1), np.array(time), operator)
        seen = eqx.tree_at(lambda o: (o.values, o.variance), seen, (values, variance))
        cycles, _ = run_cycles(
            model, snapshot, seen, solvers[row], keys=keys, key=key, inputs=inputs
        )
        known = model.size_of_parameters if isinstance(model, Augmented) else 0
        return _series(cycles, variance, exact, slice(cycles.forecast.shape[1] - known))

    return jax.vmap(one)(rows, numbers)


def _series(
    cycles: Cycles, variance: Array, exact: Array | None, scored: slice
) -> dict[str, Array]:
    """Return numbers by time; estimated parameters, which come last, are not scored."""

    def root(values: Array) -> Array:
        return jnp.sqrt(jnp.mean(values**2, axis=1))

    expected = jnp.hypot(cycles.predicted_spread, jnp.sqrt(variance))
    reached, wanted = innovations_by_time(cycles.innovation, expected)
    found = {
        "forecast_spread": root(cycles.forecast_spread[:, scored]),
        "analysis_spread": root(cycles.analysis_spread[:, scored]),
        "innovation_rms": reached,
        "innovation_expected": wanted,
        "replaced": cycles.replaced,
    }
    if exact is not None:
        found["forecast_rmse"] = root(cycles.forecast[:, scored] - exact)
        found["analysis_rmse"] = root(cycles.analysis[:, scored] - exact)
    return found


def _first_fields(model: AbstractModel) -> Any:
    return model.fields(model.initial_state(jax.random.key(0)))


def _data(world: _World) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    return world.observations.values, world.observations.variance, world.exact


def _batch_size(snapshot: Any, observations: Observations, members: int) -> int:
    """Return how many runs a batch of bounded memory holds, whatever the computer."""
    numbers = sum(leaf.size for leaf in jax.tree.leaves(snapshot))
    state = numbers // members
    times, count = observations.sizes
    each = times * (4 * state + count) + 20 * numbers + 4 * min(state, 4096) * members**2
    return int(np.clip(BATCH_BYTES // (8 * each), 1, MOST_AT_ONCE))


def _gathered(found: dict[int, Scores], shape: tuple[int, int]) -> Scores:
    """Return scores of each run as arrays (setting, seed)."""
    return {
        name: np.array([found[number][name] for number in range(len(found))]).reshape(shape)
        for name in found[0]
    }
