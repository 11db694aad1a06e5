"""One assimilation for every setting of a grid and every seed, as one Dataset of scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from closura.core import progress
from closura.core.model import AbstractModel
from closura.core.problem import AbstractSolver, Observations
from closura.data.bar import bar
from closura.data.cluster import spread_over
from closura.data.runs import Scores, Task, Twin, run_task

MODEL = "model"  # the one name of a grid that is no setting of the solver
Grid = Mapping[str, Any]

ABOUT = {
    "forecast_rmse": "root mean square error of the forecast, mean over time",
    "analysis_rmse": "root mean square error of the analysis, mean over time",
    "forecast_spread": "root mean square spread of the forecast, mean over time",
    "analysis_spread": "root mean square spread of the analysis, mean over time",
    "innovation_rms": "root mean square innovation, mean over time",
    "replaced": "members that were not finite and were drawn anew",
    "diverged": "whether the filter lost the truth",
}


def sweep(
    model: AbstractModel,
    observations: Observations | Callable[[Array], tuple[xr.Dataset, Observations]],
    solver: AbstractSolver,
    *,
    grid: Grid,
    seeds: Sequence[int] = (0,),
    truth: xr.Dataset | None = None,
    climatology: xr.Dataset | None = None,
    initial: Any = None,
    inputs: Any = None,
    skip: float = 0.0,
    cluster: str | None = None,
    key: Array,
) -> xr.Dataset:
    """Return scores of an assimilation for every setting and seed, a dimension each.

    A run is that of `assimilate` with the key ``jax.random.fold_in(key, seed)``. Settings that are
    numbers in formulas (inflation, relaxation, ...), localisation radii and seeds are computed
    side by side; each value of any other setting (members, rotation, ...) compiles once.

    Args:
        model: Any model, coupled ones too.
        observations: What is assimilated; or a function of a key that makes the truth and its
            observations, called once a seed (then without `truth`).
        solver: Whose settings are varied; what the grid does not name stays.
        grid: Values by name of a setting; under ``"model"``, models by name in place of `model`.
        seeds: Numbers of the repetitions: other members and other draws.
        truth: See `assimilate`; without it there are no errors, only innovations and spreads.
        climatology: See `assimilate`.
        initial: See `assimilate`; its number of members leaves that of the solver no choice.
        inputs: See `assimilate`.
        skip: Time that is left out of the means [time units of the model].
        cluster: Address of a Dask scheduler, or ``"local"``, to share out what compiles apart.
        key: Randomness of the whole.

    Returns:
        ``analysis_rmse``, ``forecast_rmse`` (with a truth), ``analysis_spread``,
        ``forecast_spread``, ``innovation_rms``, ``replaced`` and ``diverged`` (see `judge`), with
        the dimensions of the grid and ``seed``. A run of dead members is NaN and diverged.

    Raises:
        ValueError: The grid is empty or names no setting, or a run does not fit (see `assimilate`).
        ModuleNotFoundError: A cluster is wanted and Dask distributed is not installed.
    """
    axes = _axes(model, solver, grid)
    twins = _twins(observations, seeds, truth, climatology, key)
    _check_skip(skip, twins[0].observations)
    tasks = _tasks(model, solver, axes, twins, (initial, inputs, float(skip), key))
    return _as_dataset(model, solver, axes, twins, _run(tasks, cluster), skip)


def _tasks(model, solver, axes, twins: tuple[Twin, ...], common: tuple) -> list[Task]:
    """Return the settings of the grid, in groups that compile to one program each."""
    models = axes.get(MODEL, {"": model})
    settings = [dict(zip(axes, chosen, strict=True)) for chosen in product(*axes.values())]
    groups: dict[Any, list[int]] = {}
    solvers = [_solver(solver, axes, setting) for setting in settings]
    for number, (one, setting) in enumerate(zip(solvers, settings, strict=True)):
        groups.setdefault((setting.get(MODEL, ""), _program(one, solver)), []).append(number)
    return [
        Task(models[name], tuple(solvers[n] for n in numbers), tuple(numbers), twins, *common)
        for (name, _), numbers in groups.items()
    ]


def _axes(model: AbstractModel, solver: AbstractSolver, grid: Grid) -> dict[str, Any]:
    """Return the values of each setting, or say what is wrong with the grid."""
    if not grid:
        raise ValueError(
            'grid is empty; give one setting or more, e.g. grid={"inflation": [1.0, 1.02]}.'
        )
    owner, known = type(solver).__name__, settings_of(solver)
    for name, values in grid.items():
        if name != MODEL and name not in known:
            near = get_close_matches(name, [*known, MODEL], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ValueError(f"{owner} has no setting {name!r}{hint} It takes: {', '.join(known)}.")
        if isinstance(values, str) or (np.ndim(values) == 0 and not isinstance(values, Mapping)):
            raise ValueError(f"grid[{name!r}] is {values!r}; wanted are several values: [...].")
        if len(values) == 0:
            raise ValueError(f"grid[{name!r}] is empty; give one value or more.")
    models = grid.get(MODEL, {})
    if not isinstance(models, Mapping):
        raise ValueError(
            'grid["model"] is a sequence; give models by name: {"truncated": ..., "hybrid": ...}.'
        )
    return {
        name: values if name == MODEL else [_plain(value) for value in values]
        for name, values in grid.items()
    }


def settings_of(solver: AbstractSolver) -> list[str]:
    """Return the names of what can be set in a solver; not what it finds when it is prepared."""
    found = solver.filled
    return [field.name for field in fields(solver) if field.init and field.name not in found]


def _twins(observations, seeds, truth, climatology, key: Array) -> tuple[Twin, ...]:
    """Return the experiment of each seed."""
    if len(seeds) == 0 or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds is {tuple(seeds)}; wanted are one number or more, none twice.")
    if isinstance(observations, Observations):
        return tuple(Twin(int(seed), observations, truth, climatology) for seed in seeds)
    if truth is not None:
        raise ValueError(
            "truth is given although observations is a function, which returns a truth itself: "
            "leave truth out."
        )
    twins = []
    for seed in seeds:
        made, seen = observations(jax.random.fold_in(key, seed))
        twins.append(Twin(int(seed), seen, made, climatology))
        first = twins[0].observations
        if seen.sizes != first.sizes or not np.array_equal(seen.time, first.time):
            raise ValueError(
                f"the observations of seed {seed} are {seen!r}, those of seed {seeds[0]} "
                f"{first!r}; all must have the same times and number."
            )
    return tuple(twins)


def _check_skip(skip: float, observations: Observations) -> None:
    last = float(observations.time[-1])
    if not 0 <= skip < last:
        raise ValueError(
            f"skip is {skip:g} and the observations end at {last:g}; skip less, so that there is "
            "something to average."
        )


def _solver(solver: AbstractSolver, axes: Mapping[str, Any], setting: Mapping[str, Any]) -> Any:
    """Return the solver with one setting of the grid; numbers in formulas become floats."""
    chosen = {name: value for name, value in setting.items() if name != MODEL}
    for name, value in chosen.items():
        among = [v for v in (_plain(getattr(solver, name)), *axes[name]) if v is not None]
        if all(_is_number(v) for v in among) and any(isinstance(v, float) for v in among):
            chosen[name] = value if value is None else float(value)
    return replace(solver, **chosen)


def _plain(value: Any) -> Any:
    """Return a number of NumPy or JAX as one of Python, anything else as it is."""
    single = isinstance(value, np.generic | np.ndarray | jax.Array) and value.ndim == 0
    if single and not jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return value.item()
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _program(solver: AbstractSolver, base: AbstractSolver) -> Any:
    """Return what tells apart settings that cannot share a compiled program."""
    alike = replace(solver, **{name: getattr(base, name) for name in solver.spent})
    leaves, structure = jax.tree.flatten(alike)
    return structure, tuple(_kind(leaf) for leaf in leaves)


def _kind(leaf: Any) -> Any:
    """Return what must be the same of numbers and arrays that are stacked; the rest itself."""
    if isinstance(leaf, float):
        return float
    return leaf.shape if isinstance(leaf, np.ndarray | jax.Array) else leaf


@bar("sweep", "assimilations")
def _run(tasks: list[Task], cluster: str | None) -> Scores:
    """Return the scores of all settings, (setting, seed), reporting as they come."""
    total, done = sum(task.size for task in tasks), 0

    def tell(runs: int) -> None:
        nonlocal done
        done += runs
        progress.report("sweep", done=done, total=total)

    found: Scores = {}

    def put(task: Task, scores: Scores) -> None:
        for name, values in scores.items():
            empty = np.empty((sum(len(t.numbers) for t in tasks), len(task.twins)), values.dtype)
            found.setdefault(name, empty)[list(task.numbers)] = values

    if cluster is None:
        for task in tasks:
            put(task, run_task(task, tell))
    else:
        for number, scores in spread_over(cluster, run_task, tasks):
            put(tasks[number], scores)
            tell(tasks[number].size)
    return found


def _as_dataset(model, solver, axes, twins, scores: Scores, skip: float) -> xr.Dataset:
    dims = (*axes, "seed")
    coordinates: dict[str, Any] = {name: _labels(list(values)) for name, values in axes.items()}
    coordinates["seed"] = [twin.seed for twin in twins]
    shape = tuple(len(coordinates[name]) for name in dims)
    arrays = {
        name: (dims, scores[name].reshape(shape), {"long_name": ABOUT[name]})
        for name in ABOUT
        if name in scores
    }
    attrs = {
        "model": type(model).__name__,
        "solver": type(solver).__name__,
        "dt": float(model.dt),
        "skip": skip,
        "kind": "sweep",
    }
    return xr.Dataset(arrays, coordinates, attrs)


def _labels(values: list) -> list:
    """Return values as a coordinate: numbers, texts and truth values as they are."""
    plain = all(isinstance(v, bool) for v in values) or all(isinstance(v, str) for v in values)
    return values if plain or all(_is_number(v) for v in values) else [repr(v) for v in values]
