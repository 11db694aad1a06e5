"""Assimilation as a user sees it: a model, observations and a solver to a Dataset by time."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from closura.core.assimilate import run_cycles
from closura.core.augment import Augmented, AugmentedState
from closura.core.cycles import Cycles
from closura.core.model import AbstractModel, Snapshot
from closura.core.problem import AbstractSolver, Observations
from closura.core.rollout import member_keys, rollout, start_members
from closura.core.windows import AbstractWindowSolver
from closura.data.background import (
    background_of,
    check_arguments,
    check_observations,
    check_predictions,
)
from closura.data.border import from_dataset, time_attributes
from closura.data.observations import single
from closura.data.verdict import DeadEnsemble, innovations_by_time, judge, name_of, score

# Folded into the key that `assimilate` is given.
MEMBERS, SOLVER, START, FREE, PARAMETERS = range(5)
DERIVATIVES_TRIED = 5  # states of the climate at which an operator's derivative is looked at
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
    (of several variables: ``analysis_X`` and so on), ``innovation``, ``innovation_expected`` (root
    of the predictions' and the error's variance), ``replaced`` (members drawn anew) and, with a
    truth, ``forecast_rmse`` and ``analysis_rmse``. A solver that looks back adds ``smoothed``, each
    time after its last revision, with spread and error; one that estimates errors of the model
    ``model_error``, added on arrival. What the solver reports (`AbstractSolver.report`) stands
    beside. ``diverged`` is 1, and a warning says so, where the filter lost the truth (see `judge`).

    Args:
        model: Any model, coupled ones too.
        observations: See `observe`, `read_observations`; their time counts from the start.
        solver: A filter, a smoother, 3D- or 4D-Var, or a baseline.
        truth: The run that was observed, to score against; saved at the observations' times.
        climatology: To start members from and measure covariances on; the truth, or a free run.
        initial: States to start from, members last, instead; may lack augmented parameters.
        inputs: `Series` that the model or its closures read.
        keep_members: Whether forecasts, analyses and increments keep the dimension ``member``.
        key: Randomness of the start, the model and the solver.

    Raises:
        ValueError: Times, shapes or names do not fit; or every member is dead (`DeadEnsemble`).
    """
    check_arguments(model, observations, solver)
    sample, states = climate_of(model, truth if climatology is None else climatology, key)
    climate = unraveller(model)(jnp.asarray(sample.mean(axis=1)))
    check_observations(model, observations, climate, truth)
    solver = solver.prepare(background_of(model, observations, sample))
    start, keys = start_run(model, solver, states, initial=initial, inputs=inputs, key=key)
    check_smooth(model, observations, solver, sample)
    cycles, _ = run_cycles(
        model, start, observations, solver, keys=keys, inputs=inputs,
        key=jax.random.fold_in(key, SOLVER), keep_members=keep_members,
    )  # fmt: skip
    found = _as_dataset(model, observations, cycles, solver)
    found = found if truth is None else score(model, found, truth, **_means(cycles))
    return judge(found, model, observations, climate)


def start_run(
    model: AbstractModel, solver: AbstractSolver, states: Any, *, initial: Any, inputs: Any, key
) -> tuple[Snapshot, Array]:
    """Return the ensemble at step 0 and the keys of its members."""
    keys = member_keys(jax.random.fold_in(key, MEMBERS), solver.members)
    begin = _first_states(model, solver, states, initial, jax.random.fold_in(key, START))
    present = None if inputs is None else inputs.at(0)
    return start_members(model, keys, states=begin, inputs=present), keys


def _means(cycles: Cycles) -> dict[str, Array]:
    """Return the means that a truth is compared with."""
    means = {"forecast": cycles.forecast, "analysis": cycles.analysis}
    return means if cycles.smoothed is None else means | {"smoothed": cycles.smoothed[0]}


def _fields_template(model: AbstractModel) -> Any:
    return eqx.filter_eval_shape(lambda k: model.fields(model.initial_state(k)), jax.random.key(0))


def unraveller(model: AbstractModel):
    """Return what turns one vector into fields."""
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), _fields_template(model))
    return ravel_pytree(zeros)[1]


def climate_of(model: AbstractModel, run: xr.Dataset | None, key: Array) -> tuple[np.ndarray, Any]:
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
        return _with_parameters(model, *climate_of(model.model, run, key), key)
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


def check_smooth(model: AbstractModel, observations: Observations, solver, sample) -> None:
    """Raise where a solver differentiates and along a random line observations do not change.

    Raises:
        ValueError: The operator has no derivative, or one that is zero or not finite.
    """
    if not (isinstance(solver, AbstractWindowSolver) and solver.differentiates):
        return
    owner = type(solver).__name__
    unravel = unraveller(model)
    states = jnp.asarray(sample[:, :DERIVATIVES_TRIED])
    line = jax.random.normal(jax.random.key(0), states.shape, states.dtype)

    def observe(vector: Array) -> Array:
        return observations.operator(unravel(vector))

    remedy = f"{owner} needs a smooth operator; use IEnKS, which needs none."
    try:
        along = jax.vmap(lambda x, d: jax.jvp(observe, (x,), (d,))[1], -1, -1)(states, line)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(f"the operator has no derivative in JAX; {remedy}") from error
    if along.dtype == jax.dtypes.float0:
        raise ValueError(f"the operator returns whole numbers; {remedy}")
    flat = np.asarray(~jnp.isfinite(along).all(axis=-1) | (along == 0).all(axis=-1))
    if flat.any():
        raise ValueError(
            f"the derivative of observation {int(np.argmax(flat))} is zero or not finite at "
            f"{states.shape[1]} states of the climate; {remedy}"
        )


def _as_dataset(model, observations: Observations, cycles: Cycles, solver) -> xr.Dataset:
    """Return what happened by variable and time, or raise if it came to nothing."""
    _check_alive(cycles, observations, solver)
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
    if cycles.smoothed is not None:
        kinds |= dict(zip(("smoothed", "smoothed_spread"), cycles.smoothed, strict=True))
    if cycles.model_error is not None:
        kinds["model_error"] = cycles.model_error
    arrays = _by_variable(model, kinds)
    innovation = np.asarray(cycles.innovation)
    expected = np.hypot(np.asarray(cycles.predicted_spread), np.sqrt(observations.variance))
    arrays["innovation"] = (("time", "observation"), innovation)
    arrays["innovation_expected"] = (("time", "observation"), expected)
    arrays["innovation_rms"] = ("time", np.asarray(innovations_by_time(innovation, expected)[0]))
    arrays["replaced"] = ("time", np.asarray(cycles.replaced), {"long_name": "replaced members"})
    for name, said in (cycles.report or {}).items():
        arrays[name] = (("time", "point")[: np.ndim(said)], np.asarray(said))
    attrs = {
        "model": type(model).__name__,
        "dt": float(model.dt),
        "solver": type(solver).__name__,
        "members": solver.members,
        "keeps_members": int(solver.keeps_members),
        "kind": "analysis",
    }
    back = ("window", "shift", "lag")
    attrs |= {name: getattr(solver, name) for name in back if hasattr(solver, name)}
    time = ("time", observations.time, time_attributes(model))
    return xr.Dataset(arrays, {"time": time}, attrs)


def _by_variable(model: AbstractModel, kinds: dict[str, Array]) -> dict[str, tuple]:
    """Return vectors (time, state) or (member, time, state) as arrays of each variable."""
    unravel = unraveller(model)
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
    return arrays


def _check_alive(cycles: Cycles, observations: Observations, solver: AbstractSolver) -> None:
    check_predictions(np.asarray(cycles.forecast), np.asarray(cycles.innovation), observations)
    gone = np.asarray(cycles.replaced) >= solver.members
    if gone.any():
        time = float(observations.time[int(np.argmax(gone))])
        raise DeadEnsemble(
            f"every member is dead (not finite) at time {time:g}: the model blew up, or the "
            "analysis did. Shorten dt, use a smaller inflation, or larger observation errors."
        )
