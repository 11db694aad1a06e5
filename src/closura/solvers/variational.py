"""Four-dimensional variational assimilation: the one trajectory that fits a window best."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from closura.core.couple import ClosuraWarning
from closura.core.model import check_positive
from closura.core.problem import Background
from closura.core.windows import AbstractWindowSolver, Revised, Window

DENSE = 512  # numbers in the control up to which the matrix of an increment is formed and solved
SEARCH = 50  # iterations of conjugate gradients beyond that, unless `inner` says otherwise
HALVINGS = 6  # of a step that does not lower the cost, before it is given up
NEGLIGIBLE = 1e-12  # share of the largest variance, or of the mean square, that is rounding

Departures = Callable[[Array], Array]


class FourDVar(AbstractWindowSolver):
    """Incremental 4D-Var: Gauss-Newton on the state at the window's beginning, by autodiff.

    Minimises half the squares of w and of all departures in units of their errors, where the
    state is the background + B^{1/2} w and B is `scale` times a covariance that never changes. Each
    outer iteration makes the model linear along the trajectory; a step that does not lower the
    cost is halved, up to six times, then not taken. With `model_error` (weak constraint) the
    control also holds an error of the model on arrival at each time of the window; where windows
    overlap, what one of them found is the first guess of the next.

    Args:
        scale: Factor on the background covariance (xB in DAPPER).
        covariance: ``"climate"``: that of the climate, as in `ThreeDVar`; ``"identity"``: every
            number of the state on its own, with variance `scale` [squared units of the state].
        window: Times of observation in a window (Lag in DAPPER).
        shift: Times by which the window moves on.
        multiple: Whether an observation counts, in parts, in every window that holds it.
        model_error: Standard deviation of the model's error after one unit of time, growing with
            the square root of time [units of the state]; None trusts the model.
        outer: Largest number of Gauss-Newton steps.
        inner: Conjugate gradient iterations in each; None solves exactly while the control has
            at most 512 numbers, and takes 50 iterations beyond.
        tolerance: Steps end where their mean square, in units of the background's deviation, is
            smaller.

    Reference:
        Courtier, Thépaut and Hollingsworth (1994), doi:10.1002/qj.49712051912; Trémolet (2006),
        doi:10.1256/qj.05.224.
    """

    scale: float | Array = 0.02
    covariance: Literal["climate", "identity"] = eqx.field(static=True, default="climate")
    window: int = eqx.field(static=True, default=1)
    shift: int = eqx.field(static=True, default=1)
    multiple: bool = eqx.field(static=True, default=False)
    model_error: float | Array | None = None
    outer: int = eqx.field(static=True, default=10)
    inner: int | None = eqx.field(static=True, default=None)
    tolerance: float = 1e-10
    root: Float[Array, "state control"] | None = None
    members: int = eqx.field(static=True, init=False, default=1)
    filled: ClassVar[tuple[str, ...]] = ("root",)

    def __check_init__(self):
        for name in ("scale", "model_error"):
            if isinstance(value := getattr(self, name), int | float):
                check_positive("FourDVar", **{name: value})
        if self.covariance not in ("climate", "identity"):
            raise ValueError(
                f"FourDVar: covariance is {self.covariance!r}; it must be 'climate' or 'identity'."
            )
        for name in ("outer", "inner"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"FourDVar: {name} is {value}; it must be 1 or more.")

    @property
    def estimates_model_error(self) -> bool:
        return self.model_error is not None

    @property
    def differentiates(self) -> bool:
        return True

    def prepare(self, background: Background) -> "FourDVar":
        if self.covariance == "identity":
            return self
        return replace(self, root=jnp.asarray(_root_of_covariance(background.sample)))

    def revise(self, ensemble, window, memory, key):
        start: dict[str, Array] = {"state": self._no_change(ensemble)}
        if self.model_error is not None:
            start["error"] = jnp.zeros(window.forecast.shape[:2], ensemble.dtype)
        control, unravel = ravel_pytree(start)

        def place(control: Array) -> tuple[Array, Array | None]:
            return self._place(ensemble, window, unravel(control))

        def departures(control: Array) -> Array:
            return window.depart(window.predict(window.carry(*place(control))))[:, 0]

        state, errors = place(self._minimise(departures, control))
        return Revised(state, memory, errors)

    def _no_change(self, ensemble: Array) -> Array:
        """Return the control that leaves the state as it is."""
        if self.covariance == "identity":
            return jnp.zeros_like(ensemble[:, 0])
        if self.root is None:
            raise ValueError("FourDVar: call prepare(background) first; assimilate does so itself.")
        return jnp.zeros(self.root.shape[1], ensemble.dtype)

    def _place(self, ensemble: Array, window: Window, control: dict[str, Array]):
        """Return the state at the beginning and the model's errors that a control stands for."""
        change = control["state"] if self.root is None else self.root @ control["state"]
        change = (jnp.sqrt(self.scale) * change).astype(ensemble.dtype)
        state = ensemble + change[:, None]
        if self.model_error is None or window.errors is None:
            return state, None
        deviation = self.model_error * jnp.sqrt(window.lengths)[:, None]
        return state, window.errors + (deviation * control["error"])[..., None]

    def _minimise(self, departures: Departures, control: Array) -> Array:
        """Return the control of the lowest cost that Gauss-Newton finds."""

        def step(carry: tuple[Array, Array]) -> tuple[Array, Array]:
            control, _ = carry
            move = find_increment(departures, control, self.inner)
            taken = find_share(departures, control, move) * move
            return control + taken, jnp.mean(taken**2) < self.tolerance

        def maybe(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
            return lax.cond(carry[1], lambda same: same, step, carry), None

        start = (control, jnp.array(False))
        return lax.scan(maybe, start, None, length=self.outer)[0][0]


def cost(departures: Departures, control: Array) -> Array:
    """Return half the squares of the control and of the departures."""
    return (control @ control + (seen := departures(control)) @ seen) / 2


def find_increment(departures: Departures, control: Array, inner: int | None) -> Array:
    """Return the minimum of the cost with the departures made linear, as a step from here."""
    seen, push = jax.linearize(departures, control)
    transposed = jax.linear_transpose(push, control)

    def pull(departure: Array) -> Array:
        return transposed(departure)[0]

    wanted = -(control + pull(seen))
    if inner is None and control.size <= DENSE:
        if seen.size < control.size:
            rows = jax.vmap(pull)(jnp.eye(seen.size, dtype=control.dtype))
        else:
            rows = jax.vmap(push, out_axes=1)(jnp.eye(control.size, dtype=control.dtype))
        matrix = rows.T @ rows + jnp.eye(control.size, dtype=control.dtype)
        return jax.scipy.linalg.solve(matrix, wanted, assume_a="pos")
    tolerance = float(jnp.finfo(control.dtype).eps) ** 0.5
    return jax.scipy.sparse.linalg.cg(
        lambda vector: vector + pull(push(vector)), wanted, tol=tolerance, maxiter=inner or SEARCH
    )[0]


def find_share(departures: Departures, control: Array, move: Array) -> Array:
    """Return the first of 1, 1/2, 1/4 ... of a step that lowers the cost; 0 if none does."""
    here = cost(departures, control)

    def attempt(share: Array, trial: Array) -> tuple[Array, None]:
        def look(share: Array) -> Array:
            reached = cost(departures, control + trial * move)
            return jnp.where(reached <= here, trial, share)

        return lax.cond(share > 0, lambda share: share, look, share), None

    trials = 0.5 ** jnp.arange(HALVINGS + 1, dtype=control.dtype)
    share = lax.scan(attempt, jnp.zeros((), control.dtype), trials)[0]
    return lax.stop_gradient(share)


def _root_of_covariance(sample: np.ndarray) -> np.ndarray:
    """Return a matrix (state, direction) whose square is the covariance of a sample.

    Where there are fewer instants than numbers its columns are their departures from the mean.

    Raises:
        ValueError: Nothing varies, or something is not finite.
    """
    sample = np.asarray(sample)
    size, count = sample.shape
    anomalies = (sample - sample.mean(axis=1, keepdims=True)) / np.sqrt(max(count - 1, 1))
    largest = float(np.max(np.sum(anomalies**2, axis=1)))
    if count < 2 or not NEGLIGIBLE * np.mean(sample**2) < largest < np.inf:
        raise ValueError(
            f"FourDVar: the covariance of the climatology ({count} states) has the largest "
            f"variance {largest:g}; wanted is a positive, finite one. Give a longer climatology."
        )
    if count <= size:
        _warn_singular(count - 1, size)
        return anomalies
    values, vectors = np.linalg.eigh(anomalies @ anomalies.T)
    meant = values > NEGLIGIBLE * values[-1]
    if not meant.all():
        _warn_singular(int(meant.sum()), size)
    return vectors[:, meant] * np.sqrt(values[meant])


def _warn_singular(rank: int, size: int) -> None:
    warnings.warn(
        f"FourDVar: the covariance of the climatology is singular (rank {rank} of {size}), and "
        "the analysis moves in no other direction. Where the model conserves nothing, give a "
        "longer climatology.",
        ClosuraWarning,
        stacklevel=4,
    )
