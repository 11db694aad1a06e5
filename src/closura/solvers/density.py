"""A conditional density of positions given statistics, and how it is trained on pairs of them."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, PyTree

from closura.core import progress

ATOMS = 10  # positions among which the contrastive loss picks the one that was simulated
SMALLEST_WIDTH = 1e-12  # of a statistic that never changes: it is left alone
RATES = (1.0, 0.2, 0.04)  # of the learning rate: constant ones leave the noise of the last updates
SMALLEST_SHARE = 1e-10  # of the largest variance: directions below hold rounding alone


class Scale(eqx.Module):
    """An affine map onto numbers of order one, in single precision.

    Args:
        centre: (number,).
        width: (number,), positive.
    """

    centre: Float[Array, "number"]
    width: Float[Array, "number"]

    def into(self, values: Float[Array, "number *member"]) -> Float[Array, "number *member"]:
        """Return scaled values, float32."""
        return ((values.T - self.centre) / self.width).T.astype(jnp.float32)

    def back(self, scaled: Float[Array, "number *member"]) -> Float[Array, "number *member"]:
        """Return values in the precision of the centre."""
        return (scaled.T.astype(self.centre.dtype) * self.width + self.centre).T


class Density(eqx.Module):
    """Positions given statistics: a normal distribution, bent by an invertible map.

    Statistics are scaled by their median and quartiles and squeezed by arcsinh, so that a
    simulation that almost blew up does not drown the others. Then they are decorrelated: what
    nearly follows from the others (a budget) may tell most, and is not to be lost for its size.

    Args:
        bijection: Has `transform_and_log_det(normal, statistics)` and its inverse, in float32.
        positions: Scale of the positions.
        statistics: Scale of the statistics.
        mixing: (stat, stat), takes squeezed statistics to those that the network sees.
    """

    bijection: Any
    positions: Scale
    statistics: Scale
    mixing: Float[Array, "stat stat"]

    def condition(self, statistics: Float[Array, "stat *member"]) -> Float[Array, "stat *member"]:
        """Return statistics as the network sees them, float32."""
        squeezed = jnp.arcsinh(((statistics.T - self.statistics.centre) / self.statistics.width).T)
        return (self.mixing @ squeezed).astype(jnp.float32)

    @eqx.filter_jit
    def log_density(
        self, positions: Float[Array, "number member"], statistics: Float[Array, "stat"]
    ) -> Float[Array, "member"]:
        """Return the log density of positions given one set of statistics."""
        scaled, seen = self.positions.into(positions), self.condition(statistics)
        found = jax.vmap(lambda one: _log_density(self.bijection, one, seen), in_axes=-1)(scaled)
        return found.astype(positions.dtype) - jnp.log(self.positions.width).sum()

    @eqx.filter_jit
    def draw(
        self, statistics: Float[Array, "stat"], count: int, key: Array
    ) -> Float[Array, "number draw"]:
        """Return positions drawn given one set of statistics."""
        normal = jax.random.normal(key, (count, *self.positions.centre.shape), jnp.float32)
        seen = self.condition(statistics)
        drawn = jax.vmap(lambda one: self.bijection.transform_and_log_det(one, seen)[0])(normal)
        return self.positions.back(drawn.T)


class Training(eqx.Module):
    """How a density is trained.

    Args:
        epochs: Largest number of passes over the pairs.
        patience: Passes without a better held-out loss before training goes back to the best, at a
            fifth of the rate; after the second time it stops.
        batch: Pairs an update.
        learning_rate: Of Adam, at first.
        held_out: Share of the pairs that only judge.
    """

    epochs: int = eqx.field(static=True)
    patience: int = eqx.field(static=True)
    batch: int = eqx.field(static=True)
    learning_rate: float = eqx.field(static=True)
    held_out: float = eqx.field(static=True)

    def optimiser(self) -> optax.GradientTransformation:
        """Return the direction of Adam, of a gradient that is bounded; its rate changes."""
        return optax.chain(optax.clip_by_global_norm(5.0), optax.scale_by_adam())


class Fitted(NamedTuple):
    """The density of the best held-out loss, and the losses by epoch."""

    density: Density
    loss: np.ndarray
    validation: np.ndarray


def robust_scale(values: Float[Array, "number member"]) -> Scale:
    """Return the scale that makes medians 0 and spans between quartiles those of a normal."""
    lower, middle, upper = jnp.quantile(values, jnp.array([0.25, 0.5, 0.75]), axis=1)
    width = (upper - lower) / 1.349  # the quartiles of a standard normal lie at -+0.6745
    return Scale(middle, jnp.where(width > SMALLEST_WIDTH, width, 1.0))


def fit_density(
    bijection: Any,
    positions: Float[Array, "number member"],
    statistics: Float[Array, "stat member"],
    *,
    training: Training,
    contrastive: bool,
    key: Array,
    learner: str,
) -> Fitted:
    """Return the density that makes pairs of positions and statistics most likely.

    An epoch is one compiled scan, traced once. An update whose gradient is not finite is left out.

    Args:
        bijection: Where to start; see `Density`.
        positions: (number, member), any proposal.
        statistics: (stat, member), without NaN.
        training: Settings.
        contrastive: Whether the positions were drawn from something else than the prior. The loss
            is then that of picking the right position out of several, each weighed by density
            over prior, which does not depend on what they were drawn from.
        key: Order of the pairs, and which are held out.
        learner: Name for reports and errors.

    Raises:
        ValueError: There are too few pairs to train on and to judge by.
        FloatingPointError: The held-out loss was never finite.
    """
    count, held = positions.shape[1], round(training.held_out * positions.shape[1])
    if held < 10 or count - held < training.batch:
        raise ValueError(
            f"{learner}: {count} simulations succeeded, of which {held} are held out; it takes 10 "
            f"held out and a batch of {training.batch} besides. Simulate more, or lower batch."
        )
    density = _begin(bijection, positions, statistics)
    pairs = (density.positions.into(positions).T, density.condition(statistics).T)
    split, key = jax.random.split(key)
    order = jax.random.permutation(split, count)
    judged = jax.tree.map(lambda a: a[order[:held]], pairs)
    seen = jax.tree.map(lambda a: a[order[held:]], pairs)
    prior = density.positions if contrastive else None
    best, losses, validation = _descend(bijection, seen, judged, prior, training, key, learner)
    return Fitted(eqx.tree_at(lambda d: d.bijection, density, best), losses, validation)


def _begin(bijection: Any, positions: Array, statistics: Array) -> Density:
    """Return the untrained density, whose network will see statistics of covariance one."""
    plain = Density(
        bijection, robust_scale(positions), robust_scale(statistics), jnp.eye(len(statistics))
    )
    spread = jnp.arcsinh(((statistics.T - plain.statistics.centre) / plain.statistics.width).T)
    variance, axes = jnp.linalg.eigh(jnp.atleast_2d(jnp.cov(spread)))
    told = variance > SMALLEST_SHARE * variance.max()
    mixing = jnp.where(told, 1 / jnp.sqrt(jnp.where(told, variance, 1.0)), 0.0)[:, None] * axes.T
    return eqx.tree_at(lambda d: d.mixing, plain, mixing)


def _descend(
    bijection: Any,
    seen: PyTree,
    judged: PyTree,
    prior: Scale | None,
    training: Training,
    key: Array,
    learner: str,
) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return the best bijection with losses and held-out losses by epoch."""
    judge, key = jax.random.split(key)
    trained, fixed = eqx.partition(bijection, eqx.is_inexact_array)
    now = best = (trained, training.optimiser().init(trained))
    start = lowest = float(_judge(trained, fixed, judged, prior, judge))
    losses: list[float] = []
    validation: list[float] = []
    rates, waited = list(RATES), 0
    for epoch in range(training.epochs):
        rate = jnp.asarray(rates[0] * training.learning_rate, jnp.float32)
        here = jax.random.fold_in(key, epoch)
        trained, memory, loss = _epoch(*now, fixed, seen, prior, rate, training, here)
        now = (trained, memory)
        found = float(_judge(now[0], fixed, judged, prior, judge))
        losses.append(float(loss))
        validation.append(found)
        better = found < lowest or (np.isfinite(found) and not np.isfinite(lowest))
        best, lowest, waited = (now, found, 0) if better else (best, lowest, waited + 1)
        progress.report(
            "train", learner=learner, epoch=epoch + 1, epochs=training.epochs, loss=losses[-1],
            validation=found, start=start, measure="negative log density",
        )  # fmt: skip
        if waited >= training.patience:
            now, rates, waited = best, rates[1:], 0
        if not rates:
            break
    if not np.isfinite(lowest):
        raise FloatingPointError(
            f"{learner}: the held-out loss was never finite in {len(losses)} epochs; lower "
            f"learning_rate (it is {training.learning_rate:g})."
        )
    return eqx.combine(best[0], fixed), np.array(losses), np.array(validation)


@eqx.filter_jit
def _epoch(
    trained: Any,
    memory: Any,
    fixed: Any,
    seen: PyTree,
    prior: Scale | None,
    rate: Array,
    training: Training,
    key: Array,
) -> tuple[Any, Any, Array]:
    """Return parameters, memory of the optimiser and mean loss after one pass over the pairs."""
    count = len(seen[0])
    updates = count // training.batch
    order, draws = jax.random.split(key)
    rows = jax.random.permutation(order, count)[: updates * training.batch]
    optimiser = training.optimiser()

    def update(carry: tuple[Any, Any], chosen: tuple[Array, Array]) -> tuple[Any, Array]:
        parameters, before = carry
        batch = jax.tree.map(lambda a: a[chosen[0]], seen)
        value, slope = jax.value_and_grad(_loss)(parameters, fixed, batch, prior, chosen[1])
        step, after = optimiser.update(slope, before, parameters)
        moved = jax.tree.map(lambda a, s: a - rate * s, parameters, step)
        finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(slope)]).all()
        keep = jax.tree.map(lambda new, old: jnp.where(finite, new, old), (moved, after), carry)
        return keep, value

    chosen = (rows.reshape(updates, training.batch), jax.random.split(draws, updates))
    (trained, memory), values = lax.scan(update, (trained, memory), chosen)
    return trained, memory, values.mean()


@eqx.filter_jit
def _judge(trained: Any, fixed: Any, judged: PyTree, prior: Scale | None, key: Array) -> Array:
    return _loss(trained, fixed, judged, prior, key)


def _loss(trained: Any, fixed: Any, batch: PyTree, prior: Scale | None, key: Array) -> Array:
    bijection = eqx.combine(trained, fixed)
    positions, conditions = batch
    if prior is None:
        each = jax.vmap(lambda one, seen: _log_density(bijection, one, seen))
        return -each(positions, conditions).mean()
    return _contrastive_loss(bijection, positions, conditions, prior, key)


def _contrastive_loss(
    bijection: Any, positions: Array, conditions: Array, prior: Scale, key: Array
) -> Array:
    """Return the mean of -log of the share that the right one has among several positions."""
    count = len(positions)
    atoms = min(ATOMS, count)
    others = jax.random.randint(key, (count, atoms - 1), 1, count)  # never the row itself
    rows = jnp.concatenate([jnp.zeros((count, 1), others.dtype), others], axis=1)
    rows = (rows + jnp.arange(count)[:, None]) % count
    before = jax.scipy.stats.norm.logpdf(prior.back(positions.T)).sum(axis=0)

    def one(candidates: Array, seen: Array) -> Array:
        density = jax.vmap(lambda at: _log_density(bijection, at, seen))(positions[candidates])
        weight = density - before[candidates].astype(density.dtype)
        return logsumexp(weight) - weight[0]

    return jax.vmap(one)(rows, conditions).mean()


def _log_density(bijection: Any, position: Array, condition: Array) -> Array:
    """Return the log density of one scaled position, the constant included."""
    normal, log_stretch = bijection.inverse_and_log_det(position, condition)
    return jax.scipy.stats.norm.logpdf(normal).sum() + log_stretch
