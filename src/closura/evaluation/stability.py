"""Stability of a model in its own runs: blow-up, drift, lost chaos, inputs never seen."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import lax
from jaxtyping import Array
from scipy import stats

from closura.core.couple import Coupled
from closura.core.model import AbstractModel, Snapshot
from closura.core.rollout import member_keys, rollout, start_members
from closura.evaluation.extrapolation import extrapolated_share as extrapolated_share
from closura.metrics import blow_up, drift

WILD = 100.0  # deviations of the truth from its mean beyond which a run has blown up
CERTAIN = 3.0  # standard errors: one false alarm in 400 runs
NOTABLE = 0.1  # deviations of the truth: a drift that adds up to less is no news
# An error that grows by less than exp(LEAST_GROWTH) in the measured part of the run does not grow.
# Lorenz-96 (K = 8, dt 0.005, 50 time units, 16 members): at most 0.5 on the periodic orbit of the
# linear closure (F = 18), at least 46 with cubic and quartic closures there, and at least 3.3 in
# the quietest of 192 windows of the intermittent cubic closure at F = 20.
LEAST_GROWTH = 2.0
CONFIRMATIONS = 2  # further stretches in which a quiet member must stay quiet: chaos may only rest
MEASURED = 0.2  # share of the long run, at its end, over which error growth is measured
ALIGNING = 0.1  # share before it in which the error turns into the fastest growing direction
RENORMALISE = 10  # steps between two rescalings of the error
SHARE_FOR_TRUTH = 0.1  # it starts on its attractor and its steps are dear
SEPARATION = 1e-3  # [deviations of the state] size of a finite error, for closures without slope
GONE = 1e-30  # factor that stands for an error that has vanished


class Chaos(NamedTuple):
    """How fast errors grow at the end of a long run.

    Attributes:
        exponents: Largest Lyapunov exponent of each member [1 / time unit]; NaN for one that
            blew up.
        lost: Whether each member no longer lets errors grow.
    """

    exponents: np.ndarray
    lost: np.ndarray


def bounds_of(truth: xr.Dataset) -> dict[str, float]:
    """Return, by variable, the |value| beyond which a run counts as blown up."""
    return {
        str(name): float(abs(values.mean()) + WILD * max(float(values.std()), 1e-30))
        for name, values in truth.data_vars.items()
    }


def without_blown_up(run: xr.Dataset, bounds: Mapping[str, float]) -> tuple[xr.Dataset, float]:
    """Return a run whose blown-up members are NaN throughout, and the share of them."""
    failed = np.zeros(run.sizes["member"], bool)
    for name, values in run.data_vars.items():
        dims = [dim for dim in values.dims if dim != "member"]
        failed |= blow_up(values, bounds[str(name)], over=dims).notnull().values
    if not failed.any():
        return run, 0.0
    return run.where(xr.DataArray(~failed, dims="member")), float(failed.mean())


def score_drift(run: xr.Dataset, truth: xr.Dataset) -> xr.Dataset:
    """Return trend, its significance and whether it matters, by variable."""
    rows = []
    for name, values in run.data_vars.items():
        size = values.sizes["time"]
        trend, error = drift(values, blocks=min(20, max(4, size // 4))).values
        change = abs(trend) * float(values["time"][-1] - values["time"][0])
        significance = trend / error if error > 0 else np.nan
        known = np.isfinite(significance) and abs(significance) > CERTAIN
        notable = change > NOTABLE * float(truth[name].std())
        rows.append((trend, significance, bool(known and notable)))
    trend, significance, drifts = zip(*rows, strict=True)
    return xr.Dataset(
        {
            "drift": ("variable", np.array(trend), {"long_name": "trend per time unit"}),
            "drift_significance": ("variable", np.array(significance)),
            "drifts": ("variable", np.array(drifts)),
        },
        {"variable": list(run.data_vars)},
    )


def measure_chaos(
    model: AbstractModel,
    start: Snapshot,
    *,
    length: float,
    key: Array,
    elapsed: float = 0.0,
    advance: Callable[[Snapshot, int], Snapshot] | None = None,
) -> Chaos:
    """Return how fast errors grow at the end of a long run, for each member.

    The run goes on from `start` until `length` has passed since it began; where an error did not
    grow in the end, it goes on for some more, in which the error must still not grow. An
    infinitesimal error is carried along by the derivative of each step and rescaled every few
    steps; a closure whose derivative is zero (trees) is measured with a small finite error.

    Args:
        model: A deterministic model.
        start: Where to go on from, members on the last axis.
        length: Length of the whole run [time units]. Chaos may be transient: with a linear
            closure Lorenz-96 at F = 18 takes 50 to 400 units to settle on a periodic orbit, so
            several members and some hundred units are needed.
        key: Randomness of the first error.
        elapsed: Time that the run has behind it [time units].
        advance: Called with a snapshot and a number of steps to go on by, or a few more, where a
            compiled run of the model is at hand already.

    Raises:
        ValueError: The model draws random numbers.
    """
    if getattr(model, "random", False):
        raise ValueError(
            "the model draws random numbers, and a Lyapunov exponent wants the same noise for run "
            "and error; measure the model without its noise."
        )
    per_unit = 1.0 / model.dt
    count = lambda span: max(1, int(span * per_unit / RENORMALISE))  # noqa: E731
    measured, aligning = count(MEASURED * length), count(ALIGNING * length)
    before = int((length * (1.0 - MEASURED - ALIGNING) - elapsed) * per_unit)
    if before > 0 and advance is not None:
        start = advance(start, before)
    elif before > 0:
        _, start = rollout(model, start, before, every=before, members=True, observe=nothing)
    smooth = has_slope(model, start)
    error, scale = _first_error(start, key, smooth)
    growth, end, error = _growth(model, start, error, scale, aligning + measured, smooth)
    total = np.where(_whole(end), _finite(growth[aligning:]), np.nan)
    lost = total < LEAST_GROWTH
    for _ in range(CONFIRMATIONS):
        if not lost.any():
            break
        growth, end, error = _growth(model, end, error, scale, aligning + measured, smooth)
        lost &= _finite(growth) < LEAST_GROWTH
    return Chaos(total / (measured * RENORMALISE * model.dt), lost)


def summary(chaos: Chaos, level: float) -> dict[str, Any]:
    """Return the mean exponent of the members with bounds, and whether chaos was lost.

    Chaos that is gone from one member will go from all in time, so one member is enough. The
    exponent is then that of the members that lost it: zero or less.
    """
    alive = np.isfinite(chaos.exponents)
    if not alive.any():
        return {}
    lost = bool(chaos.lost.any())
    exponents = chaos.exponents[chaos.lost if lost else alive]
    half = stats.norm.ppf(0.5 + level / 2) * exponents.std() / np.sqrt(max(1, exponents.size - 1))
    return {
        "lyapunov": float(exponents.mean()),
        "lyapunov_lower": float(exponents.mean() - half),
        "lyapunov_upper": float(exponents.mean() + half),
        "lost_chaos_share": float(chaos.lost[alive].mean()),
        "lost_chaos": lost,
    }


def begin(model: AbstractModel, states: Any) -> Snapshot:
    """Return a snapshot of a deterministic model, members on the last axis."""
    count = jax.tree.leaves(states)[0].shape[-1]
    return start_members(model, member_keys(jax.random.key(0), count), states=states)


def nothing(model: AbstractModel, snapshot: Snapshot, inputs: Any) -> tuple[()]:
    """Keep nothing of a rollout but its end."""
    return ()


def _finite(growth: Array) -> np.ndarray:
    total = np.asarray(growth).sum(axis=0)
    return np.where(np.isfinite(total), total, np.nan)


def _whole(snapshot: Snapshot) -> np.ndarray:
    """Return whether every number of each member is finite."""
    leaves = jax.tree.leaves(eqx.filter(snapshot, eqx.is_inexact_array))
    finite = [np.isfinite(leaf).all(axis=tuple(range(leaf.ndim - 1))) for leaf in leaves]
    return np.logical_and.reduce([np.asarray(one) for one in finite])


def _first_error(start: Snapshot, key: Array, smooth: bool) -> tuple[Any, Array]:
    """Return a random error of every number that moves, and the size it is rescaled to."""
    moving = eqx.filter(start, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(moving)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.normal(k, a.shape, a.dtype) for k, a in zip(keys, leaves, strict=True)]
    scale = jnp.ones(()) if smooth else SEPARATION * _deviation(leaves)
    error = jax.tree.unflatten(structure, drawn)
    return _rescaled(error, scale)[0], scale


def _rescaled(error: Any, wanted: Array) -> tuple[Any, Array]:
    """Return each member's error at the wanted size, and the factor by which it was larger."""
    squares = [jnp.sum(e**2, axis=tuple(range(e.ndim - 1))) for e in jax.tree.leaves(error)]
    factor = jnp.maximum(jnp.sqrt(sum(squares)) / wanted, GONE)
    return jax.tree.map(lambda e: e / factor.astype(e.dtype), error), factor


@eqx.filter_jit
def _growth(model, start, error, scale, pieces: int, smooth: bool):
    """Return the logarithm of the error's growth in each piece (piece, member), and the end."""
    axes: Any = Snapshot(-1, None, -1)  # type: ignore[arg-type]
    advance = jax.vmap(
        lambda s, e: _with_error(model, s, e, smooth), in_axes=(axes, -1), out_axes=(axes, -1)
    )

    def one_step(carry: tuple, _: None) -> tuple[tuple, None]:
        return advance(*carry), None

    def one_piece(carry: tuple, _: None) -> tuple[tuple, Array]:
        (snapshot, error), _ = lax.scan(one_step, carry, None, length=RENORMALISE)
        error, factor = _rescaled(error, scale)
        return (snapshot, error), jnp.log(factor)

    (end, error), growth = lax.scan(one_piece, (start, error), None, length=pieces)
    return growth, end, error


def _with_error(model, snapshot: Snapshot, error: Any, smooth: bool) -> tuple[Snapshot, Any]:
    """Advance a snapshot and an error of it by one step."""
    moving, fixed = eqx.partition(snapshot, eqx.is_inexact_array)

    def step(values: Any) -> tuple[Any, Any]:
        return eqx.partition(model.step(eqx.combine(values, fixed)), eqx.is_inexact_array)

    if smooth:
        after, grown, rest = jax.jvp(step, (moving,), (error,), has_aux=True)
        return eqx.combine(after, rest), grown
    after, rest = step(moving)
    beside, _ = step(jax.tree.map(jnp.add, moving, error))
    return eqx.combine(after, rest), jax.tree.map(jnp.subtract, beside, after)


def _deviation(leaves: list[Array]) -> Array:
    """Return the size of the state's departures, over all points and members."""
    squares = [jnp.nanmean((a - jnp.nanmean(a)) ** 2) for a in leaves if a.size]
    return jnp.sqrt(sum(squares) / len(squares)) * jnp.sqrt(sum(a[..., 0].size for a in leaves))


def has_slope(model: AbstractModel, snapshot: Snapshot) -> bool:
    """Return whether the derivative of a model's closures says how they vary: false for trees."""
    if not isinstance(model, Coupled):
        return True
    fields = jax.vmap(model.fields, in_axes=-1, out_axes=-1)(snapshot.state)
    return all(
        _closure_has_slope(term.closure, fields, memory.memory if term.record else memory)
        for term, memory in zip(model.terms, snapshot.memory.terms, strict=True)
        if term.every == 1 and term.apply
    )


@eqx.filter_jit
def _slopes(closure: Any, fields: Any, memory: Any) -> tuple[Any, Any]:
    def call(values: Any, remembered: Any) -> Any:
        return closure(values, None, remembered, None)[0]

    def both(values: Any, remembered: Any) -> tuple[Any, Any]:
        ones = jax.tree.map(jnp.ones_like, values)
        return jax.jvp(lambda v: call(v, remembered), (values,), (ones,))

    return jax.vmap(both, in_axes=-1, out_axes=-1)(fields, memory)


def _closure_has_slope(closure: Any, fields: Any, memory: Any) -> bool:
    values, slopes = (jax.tree.leaves(tree) for tree in _slopes(closure, fields, memory))
    finite = [np.asarray(v)[np.isfinite(v)] for v in values]
    varies = any(v.size and v.max() > v.min() for v in finite)
    flat = all(not np.any(np.asarray(slope)) for slope in slopes)
    return not (varies and flat)
