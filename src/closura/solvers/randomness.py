"""Whether a simulator draws randomness of its own, and what that means beside a covariance."""

import warnings

import jax
import jax.numpy as jnp
from jaxtyping import Array

from closura.core.calibrate import Problem
from closura.core.couple import ClosuraWarning

PROBE = 2**31 - 7  # folded into the key of a solve for the runs that try the simulator


def is_random(problem: Problem, key: Array) -> bool | None:
    """Return whether two runs at the prior's median differ; None where these runs fail."""
    median = jnp.zeros((problem.prior.size, 1))
    first, second = jax.random.split(jax.random.fold_in(key, PROBE))
    # One by one: what two lanes of one program round differently would look like randomness.
    runs = [problem.predict(median, key)[:, 0] for key in (first, second)]
    if not all(bool(jnp.isfinite(run).all()) for run in runs):
        return None
    return bool((runs[0] != runs[1]).any())


def warn_of_double_counting(owner: str, problem: Problem, key: Array) -> None:
    """Warn where a simulator draws randomness that `noise=True` counts beside the covariance."""
    if is_random(problem, key):
        warnings.warn(
            f"{owner}: the simulator's own randomness is added to the covariance; pass "
            "noise=False if the covariance holds it already.",
            ClosuraWarning,
            stacklevel=4,
        )


def check_some_error(owner: str, problem: Problem, key: Array) -> None:
    """Raise where a simulator always returns the same, so that `noise=False` leaves no error."""
    if is_random(problem, key) is False:
        raise ValueError(
            f"{owner}: noise is False and two runs with the same parameters are alike, so that "
            "nothing would be left as error; pass noise=True to add errors with the covariance of "
            "the measurement."
        )
