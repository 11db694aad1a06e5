"""Assimilation as a user sees it: a model, observations and a solver to a Dataset by time."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from closura.core.assimilate import Cycles, run_cycles
from closura.core.augment import Augmented, AugmentedState
from closura.core.model import AbstractModel
from closura.core.problem import AbstractSolver, Background, Observations
from closura.core.rollout import member_keys, rollout, start_members
from closura.data.border import from_dataset, time_attributes
from closura.data.observations import single
from closura.data.verdict import judge, name_of, score

# Folded into the key that `assimilate` is given.
MEMBERS, SOLVER, START, FREE, PARAMETERS = range(5)
FREE_MEMBERS, FREE_STEPS, FREE_SAVES = 20, 1000, 20  # a free run: 400 states after 1000 steps


def assimilate(
    model: AbstractModel,
    observations: Observations,
    solver: AbstractSolver,
    *,
    truth: xr.Dataset | None = None,
    climatology: xr.Dataset | None = None,
    initial: Any = None,
    inputs: Any = None,
    keep_members: bool = False,
    key: Array,
) -> xr.Dataset:
    """Return forecasts and analyses at the times of the observations, as a Dataset.

    It holds ``forecast``, ``analysis``, ``increment``, ``forecast_spread``, ``analysis_spread``
    (of several variables: ``analysis_X`` and so on), ``innovation``, ``replaced`` (members drawn
    anew), what the solver reports and, with a truth, ``forecast_rmse`` and ``analysis_rmse``. The
    attribute ``diverged`` is 1, and a warning says so, where the filter lost it (see `judge`).

    Args:
        model: Any model, coupled ones too.
        observations: See `observe`, `read_observations`; their time counts from the start.
        solver: An ensemble filter or a baseline.
        truth: The run that was observed, to score against; saved at the observations' times.
        climatology: A run for members to start from, and to measure static covariances on; the
            truth if None, else a free run of the model.
        initial: States to start from, members last, instead; may lack augmented parameters.
        inputs: `Series` that the model or its closures read.
        keep_members: Whether forecasts, analyses and increments keep the dimension ``member``.
        key: Randomness of the start, the model and the solver.

    Raises:
        ValueError: Times, shapes or names do not fit, or every member is dead.
    """
    sample, states = _climate(model, climatology if climatology is not None else truth, key)
    solver = solver.prepare(_background(model, observations, sample))
    keys = member_keys(jax.random.fold_in(key, MEMBERS), solver.members)
    begin = _first_states(model, solver, states, initial, jax.random.fold_in(key, START))
    present = None if inputs is None else inputs.at(0)
    snapshot = start_members(model, keys, states=begin, inputs=present)
    _check_operator(model, observations)
    cycles, _ = run_cycles(
        model, snapshot, observations, solver, keys=keys, inputs=inputs,
        key=jax.random.fold_in(key, SOLVER), keep_members=keep_members,
    )  # fmt: skip
    found = _as_dataset(model, observations, cycles, solver)
    _check_alive(found, solver)
    if truth is not None:
        found = score(model, found, truth, forecast=cycles.forecast, analysis=cycles.analysis)
    return judge(found, model, observations, _unravel(model)(jnp.asarray(sample.mean(axis=1))))


def _fields_template(model: AbstractModel) -> Any:
    return eqx.filter_eval_shape(lambda k: model.fields(model.initial_state(k)), jax.random.key(0))


def _unravel(model: AbstractModel):
    """Return what turns one vector into fields."""
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), _fields_template(model))
    return ravel_pytree(zeros)[1]


def _climate(model: AbstractModel, run: xr.Dataset | None, key: Array) -> tuple[np.ndarray, Any]:
    """Return instants of the climate as vectors (state, instant), and as States if they are."""
    if run is None:
        keys = member_keys(jax.random.fold_in(key, FREE), FREE_MEMBERS)
        begun = start_members(model, keys)
        _, spun = rollout(model, begun, FREE_STEPS, every=FREE_STEPS, key=keys, members=True)
        states, _ = rollout(
            model, spun, FREE_STEPS, every=FREE_STEPS // FREE_SAVES, key=keys, members=True,
            observe=_state_of,
        )  # fmt: skip
        states = jax.tree.map(_times_and_members_last, states)
        return np.asarray(_vectors(jax.vmap(model.fields, -1, -1)(states))), states
    if isinstance(model, Augmented):
        return _with_parameters(model, *_climate(model.model, run, key), key)
    names = [variable.name for variable in model.variables]
    run = single(run)
    template = from_dataset(model, run, time=-1)
    stacked = {n: jnp.moveaxis(jnp.asarray(run[n].transpose("time", ...).values), 0, -1)
               for n in names}  # fmt: skip
    fields = type(template)(**stacked)
    state = eqx.filter_eval_shape(model.initial_state, jax.random.key(0))
    are_states = type(state) is type(template)
    return np.asarray(_vectors(fields)), fields if are_states else None


def _with_parameters(
    model: Augmented, sample: np.ndarray, states: Any, key: Array
) -> tuple[np.ndarray, Any]:
    """Return instants of the wrapped model's climate with parameters drawn for each."""
    begun = model.begin(jnp.asarray(sample), jax.random.fold_in(key, PARAMETERS))
    drawn = np.asarray(_vectors(begun.parameters))
    return np.concatenate([sample, drawn]), states


def _state_of(model: AbstractModel, snapshot: Any, inputs: Any) -> Any:
    return snapshot.state


def _times_and_members_last(leaf: Array) -> Array:
    """Return (time, *field, member) as (*field, instant)."""
    moved = jnp.moveaxis(leaf, 0, -1)
    return moved.reshape(*moved.shape[:-2], -1)


def _vectors(fields: Any) -> Array:
    return jax.vmap(lambda one: ravel_pytree(one)[0], in_axes=-1, out_axes=-1)(fields)


def _background(model: AbstractModel, observations: Observations, sample) -> Background:
    places = _places(model)
    observed = observations.positions
    if observed is None and hasattr(observations.operator, "positions"):
        observed = observations.operator.positions(model)
    return Background(sample, places, observed, model.periods)


def _places(model: AbstractModel) -> np.ndarray | None:
    """Return where each number of the fields lies, (state, coordinate); NaN for a parameter."""
    unknown = {one.name for one in model.unknown} if isinstance(model, Augmented) else set()
    placed = [v.name for v in model.variables if v.name not in unknown]
    if not all(name in model.places for name in placed):
        return None
    each = [np.asarray(model.places[name]) for name in placed]
    places = np.concatenate([place.reshape(-1, place.shape[-1]) for place in each])
    total = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(_fields_template(model)))
    nowhere = np.full((total - len(places), places.shape[1]), np.nan)
    return np.concatenate([places, nowhere])


def _first_states(model, solver, states: Any, initial: Any, key: Array) -> Any:
    """Return a State per member, members last."""
    if initial is not None:
        counts = {np.shape(leaf)[-1] for leaf in jax.tree.leaves(initial)}
        if counts != {solver.members}:
            raise ValueError(
                f"initial has {sorted(counts)} states on its last axis and "
                f"{type(solver).__name__} has {solver.members} members; give one each."
            )
        begun = jax.tree.map(jnp.asarray, initial)
        if isinstance(model, Augmented) and not isinstance(initial, AugmentedState):
            return model.begin(begun, jax.random.fold_in(key, PARAMETERS))
        return begun
    if states is None:
        raise ValueError(
            f"initial is None and the climatology holds fields that are not the State of "
            f"{type(model).__name__}; pass initial= with members on the last axis."
        )
    count = jax.tree.leaves(states)[0].shape[-1]
    if count < solver.members:
        raise ValueError(
            f"the climatology holds {count} instants for {solver.members} members; give a longer "
            "run, or initial=."
        )
    chosen = jax.random.choice(key, count, (solver.members,), replace=False)
    begun = jax.tree.map(lambda leaf: leaf[..., chosen], states)
    if isinstance(model, Augmented):
        return model.begin(begun, jax.random.fold_in(key, PARAMETERS))
    return begun


def _check_operator(model: AbstractModel, observations: Observations) -> None:
    try:
        seen = eqx.filter_eval_shape(observations.operator, _fields_template(model))
    except (AttributeError, KeyError) as error:
        held = ", ".join(variable.name for variable in model.variables)
        raise ValueError(
            f"the observations see {error.args[0]!r}, which {type(model).__name__} does not have; "
            f"it has {held}."
        ) from error
    if seen.shape != observations.sizes[1:]:
        raise ValueError(
            f"the operator returns shape {seen.shape} and there are {observations.sizes[1]} "
            "observations at a time; one number each is wanted."
        )


def _as_dataset(model, observations: Observations, cycles: Cycles, solver) -> xr.Dataset:
    """Return what happened by variable and time."""
    unravel = _unravel(model)
    kinds = {
        "forecast": cycles.forecast,
        "analysis": cycles.analysis,
        "increment": cycles.analysis - cycles.forecast,
        "forecast_spread": cycles.forecast_spread,
        "analysis_spread": cycles.analysis_spread,
    }
    if cycles.members is not None:
        before, after = (jnp.moveaxis(array, -1, 0) for array in cycles.members)
        kinds |= {"forecast": before, "analysis": after, "increment": after - before}
    arrays: dict[str, tuple] = {}
    for kind, vectors in kinds.items():
        shape, dims = vectors.shape[:-1], ("member", "time")[2 - (vectors.ndim - 1) :]
        fields = jax.vmap(unravel)(vectors.reshape(-1, vectors.shape[-1]))
        for variable in model.variables:
            values = np.asarray(getattr(fields, variable.name))
            values = values.reshape(*shape, *values.shape[1:])
            about = {
                "units": variable.units,
                "long_name": f"{kind.replace('_', ' ')} of {variable.long_name}",
                "variable": variable.name,
            }
            arrays[name_of(model, kind, variable.name)] = ((*dims, *variable.dims), values, about)
    innovation = np.asarray(cycles.innovation)
    arrays["innovation"] = (("time", "observation"), innovation)
    arrays["innovation_rms"] = ("time", _root_mean_square(innovation))
    arrays["replaced"] = ("time", np.asarray(cycles.replaced), {"long_name": "replaced members"})
    arrays |= {name: ("time", np.asarray(values)) for name, values in cycles.report.items()}
    attrs = {
        "model": type(model).__name__,
        "dt": float(model.dt),
        "solver": type(solver).__name__,
        "members": solver.members,
        "kind": "analysis",
    }
    time = ("time", observations.time, time_attributes(model))
    return xr.Dataset(arrays, {"time": time}, attrs)


def _root_mean_square(values: np.ndarray) -> np.ndarray:
    """Return the root mean square over the last axis of what is there; NaN where nothing is."""
    held = np.isfinite(values)
    total = np.where(held, values, 0.0) ** 2
    return np.sqrt(total.sum(axis=-1) / np.where(held.any(axis=-1), held.sum(axis=-1), np.nan))


def _check_alive(found: xr.Dataset, solver: AbstractSolver) -> None:
    gone = found["replaced"].values >= solver.members
    if gone.any():
        time = float(found["time"].values[int(np.argmax(gone))])
        raise ValueError(
            f"every member is dead (not finite) at time {time:g}: the model blew up, or the "
            "analysis did. Shorten dt, use a smaller inflation, or larger observation errors."
        )
