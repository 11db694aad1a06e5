"""How often a closure is asked, along a run, for what it was not trained on."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from closura.core.couple import Coupled
from closura.core.model import AbstractModel


def extrapolated_share(model: AbstractModel, run: xr.Dataset, inputs: Any = None) -> float:
    """Return the share of inputs outside the training range along a run; NaN if none is known.

    Of several learned closures the largest share counts. One that reads what the run was given
    from outside, such as the date, is unknown where `inputs` is None.

    Args:
        model: The model that made the run.
        run: Its fields, dimensions (member, time, *dims).
        inputs: What the model read, step 0 at time 0 of the run.
    """
    if not isinstance(model, Coupled):
        return np.nan
    arrays = {str(name): jnp.asarray(values.values) for name, values in run.data_vars.items()}
    known = [term.closure for term in model.terms if _knows_range(term.closure)]
    given = None
    if inputs is None:
        known = [closure for closure in known if not _wants_inputs(closure, arrays)]
    else:
        steps = np.round(run["time"].values.astype(float) / model.dt).astype(np.int32)
        given = jax.vmap(inputs.at)(jnp.asarray(steps))
    return max((float(_outside(closure, arrays, given)) for closure in known), default=np.nan)


class _Asked(Mapping):
    """Inputs that hold nothing, and know whether something was looked for in them."""

    def __init__(self) -> None:
        self.asked = False

    def __getitem__(self, name: str) -> Any:
        self.asked = True
        raise KeyError(name)

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


def _wants_inputs(closure: Any, arrays: dict[str, Array]) -> bool:
    """Return whether a closure looks for something that comes from outside."""
    asked = _Asked()
    instant = {name: values[0, 0] for name, values in arrays.items()}
    try:
        eqx.filter_eval_shape(lambda fields: closure.extrapolates(fields, asked), instant)
    except (KeyError, ValueError):
        if not asked.asked:
            raise
    return asked.asked


def _knows_range(closure: Any) -> bool:
    return hasattr(closure, "extrapolates") and getattr(closure, "lower", 0) is not None


@eqx.filter_jit
def _outside(closure: Any, fields: dict[str, Array], given: Any) -> Array:
    over_time = jax.vmap(closure.extrapolates)
    return jnp.mean(jax.vmap(over_time, in_axes=(0, None))(fields, given).astype(float))
