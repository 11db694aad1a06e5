"""What is known before the first observation, and whether observations fit a model."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
import xarray as xr

from closura.core.calibrate import AbstractCalibrator
from closura.core.model import AbstractModel
from closura.core.problem import AbstractSolver, Background, Observations
from closura.data.verdict import instants_of


def check_arguments(model: Any, observations: Any, solver: Any) -> None:
    """Raise unless a model, observations and a solver were given, in this order.

    Raises:
        ValueError: One is something else, or a class where an object is wanted.
    """
    wanted = {
        "model": (model, AbstractModel, "a model such as cl.Lorenz96()"),
        "observations": (observations, Observations, "Observations, see observe"),
        "solver": (solver, AbstractSolver, "a solver such as cl.ETKF()"),
    }
    for name, (given, kind, what) in wanted.items():
        if isinstance(given, type):
            raise ValueError(
                f"assimilate: {name} is the class {given.__name__}; it must be {what}. "
                f"Call it: {given.__name__}(...)."
            )
        if isinstance(given, kind):
            continue
        remedy = "The order is assimilate(model, observations, solver)."
        if isinstance(given, AbstractCalibrator):
            remedy = "A calibrator finds parameters: use calibrate."
        raise ValueError(
            f"assimilate: {name} is a {type(given).__name__}; it must be {what}. {remedy}"
        )


def background_of(
    model: AbstractModel, observations: Observations, sample: np.ndarray
) -> Background:
    """Return what a solver may prepare itself with.

    Variables without places (global parameters) lie nowhere: their rows are NaN.
    """
    observed = observations.positions
    if observed is None and hasattr(observations.operator, "positions"):
        observed = observations.operator.positions(model)
    return Background(sample, _places(model), observed, model.periods, model.sphere_radius)


def check_observations(
    model: AbstractModel, observations: Observations, climate: Any, truth: xr.Dataset | None
) -> None:
    """Raise unless the model can be observed so, and the truth covers the times.

    Args:
        model: Whose fields the operator sees.
        observations: What is to be assimilated.
        climate: Fields of the climate's mean, to try the operator on.
        truth: The run to score against, if any.

    Raises:
        ValueError: The operator sees what is not there, returns another number of values or not
            finite ones, or the truth is not saved at a time.
    """
    try:
        seen = eqx.filter_eval_shape(observations.operator, climate)
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
    values = np.asarray(observations.operator(climate))
    if not np.isfinite(values).all():
        first = int(np.argmax(~np.isfinite(values)))
        raise ValueError(
            f"the operator returns {values[first]:g} for observation {first} of the climate's "
            "mean; it must be finite for every state that the model may reach. Guard roots, "
            "logarithms and divisions in it, e.g. jnp.sqrt(jnp.maximum(x, 0))."
        )
    if truth is not None:
        instants_of(truth, observations.time, float(model.dt))


def check_predictions(
    forecast: np.ndarray, innovation: np.ndarray, observations: Observations
) -> None:
    """Raise where a forecast is finite and what the operator makes of it is not.

    Args:
        forecast: Means before each analysis, (time, state).
        innovation: Observation minus prediction, (time, observation).
        observations: What was assimilated.

    Raises:
        ValueError: The operator returned NaN or infinity on the way.
    """
    sound = np.isfinite(forecast).all(axis=1, keepdims=True)
    lost = sound & ~np.isfinite(innovation) & np.isfinite(observations.values)
    if lost.any():
        time, number = np.argwhere(lost)[0]
        raise ValueError(
            f"the operator is not finite for observation {number} at time "
            f"{observations.time[time]:g}, for a forecast that is; guard roots, logarithms and "
            "divisions in it, e.g. jnp.sqrt(jnp.maximum(x, 0))."
        )


def _places(model: AbstractModel) -> np.ndarray | None:
    """Return where each number of the state lies, (state, coordinate), NaN for nowhere."""
    held = {name: np.asarray(places, float) for name, places in model.places.items()}
    if not held:
        return None
    shape = eqx.filter_eval_shape(lambda k: model.fields(model.initial_state(k)), jax.random.key(0))
    count = next(iter(held.values())).shape[-1]
    each = []
    for variable in model.variables:
        size = int(np.prod(getattr(shape, variable.name).shape))
        nowhere = np.full((size, count), np.nan)
        each.append(np.reshape(held.get(variable.name, nowhere), (size, count)))
    return np.concatenate(each)
