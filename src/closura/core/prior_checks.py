"""What settings of a prior must be; numbers that are traced are trusted."""

import jax
import numpy as np
from jaxtyping import Array


def check_positive(owner: str, **values: float | Array) -> None:
    """Raise unless every value is positive and finite."""
    for name, value in values.items():
        if isinstance(value, jax.core.Tracer):
            continue
        if not (np.all(np.asarray(value) > 0) and np.all(np.isfinite(value))):
            raise ValueError(f"{owner}: {name} is {value}; it must be positive and finite.")


def check_finite(owner: str, mean: float | Array) -> None:
    """Raise unless the mean is finite."""
    if not isinstance(mean, jax.core.Tracer) and not np.all(np.isfinite(mean)):
        raise ValueError(f"{owner}: mean is {mean}; it must be finite.")


def check_bounds(owner: str, lower: float | Array, upper: float | Array) -> None:
    """Raise unless bounds are in order and, of a uniform prior, finite."""
    if isinstance(lower, jax.core.Tracer) or isinstance(upper, jax.core.Tracer):
        return
    bounds = np.asarray(lower), np.asarray(upper)
    if owner == "Uniform" and not all(np.isfinite(bound).all() for bound in bounds):
        raise ValueError(
            f"Uniform: lower is {lower} and upper {upper}; both must be finite. For one bound only "
            "use TruncatedNormal or LogNormal."
        )
    if not np.all(bounds[0] < bounds[1]):
        raise ValueError(f"{owner}: lower is {lower} and upper {upper}; lower must be below upper.")
