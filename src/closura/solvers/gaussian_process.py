"""Gaussian processes that stand in for a simulator: one an output, all over the same points."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Float

STEPS = 150  # updates of the hyperparameters
RATE = 0.1  # step of Adam in logarithms
LEARNED_FROM = 256  # most points that hyperparameters are learned from: the cost is cubic
JITTER = 1e-8  # added to the diagonal, relative to the variance of the function


class Kernel(eqx.Module):
    """Logarithms of what a squared exponential covariance is made of, by output.

    Args:
        length: Distance over which the function turns, (output, number).
        size: Standard deviation of the function, (output,).
        noise: Standard deviation of the simulator's own randomness, (output,).
    """

    length: Float[Array, "*output number"]
    size: Float[Array, "*output"]
    noise: Float[Array, "*output"]

    def between(self, left: Float[Array, "number a"], right: Float[Array, "number b"]) -> Array:
        """Return the covariance of one output's function between points, (a, b)."""
        scale = jnp.exp(self.length)[:, None]
        left, right = left / scale, right / scale
        square = (left**2).sum(0)[:, None] + (right**2).sum(0) - 2 * left.T @ right
        return jnp.exp(2 * self.size - 0.5 * jnp.maximum(square, 0.0))


class GaussianProcess(eqx.Module):
    """Independent Gaussian processes with a linear mean, squared exponential and nugget.

    Args:
        points: Where the simulator was run, (number, point).
        kernel: Hyperparameters of each output.
        slopes: Of the linear mean, constant first, (output, 1 + number).
        weights: Inverse covariance times anomalies, (output, point).
        inverse_root: Inverse of the covariance's Cholesky factor, (output, point, point).
        left_out: Errors at each point predicted from the others, over their predicted standard
            deviations, (output, point): of variance one if the process is right.

    Reference:
        Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, chapters 2 and 5.
    """

    points: Float[Array, "number point"]
    kernel: Kernel
    slopes: Float[Array, "output mean"]
    weights: Float[Array, "output point"]
    inverse_root: Float[Array, "output point point"]
    left_out: Float[Array, "output point"]

    @property
    def noise(self) -> Float[Array, "output"]:
        """Variance of the simulator's own randomness, as it was learned."""
        return jnp.exp(2 * self.kernel.noise)

    def predict(self, at: Float[Array, "number member"]) -> tuple[Array, Array]:
        """Return mean and variance of the function, (output, member), its noise left out."""
        basis = _basis(at)

        def one(kernel, slopes, weights, inverse_root):
            near = kernel.between(self.points, at)
            explained = ((inverse_root @ near) ** 2).sum(axis=0)
            variance = jnp.maximum(jnp.exp(2 * kernel.size) - explained, 0.0)
            return slopes @ basis + weights @ near, variance

        return jax.vmap(one)(self.kernel, self.slopes, self.weights, self.inverse_root)


@eqx.filter_jit
def fit_process(
    points: Float[Array, "number point"], outputs: Float[Array, "output point"]
) -> GaussianProcess:
    """Return the processes whose hyperparameters make the outputs most likely.

    Args:
        points: Positions of order one, shuffled: hyperparameters come from the first 256.
        outputs: What was found there.
    """
    basis = _basis(points)
    slopes = jnp.linalg.lstsq(basis.T, outputs.T)[0].T
    anomalies = outputs - slopes @ basis
    kernel = jax.vmap(lambda row: _learn(points[:, :LEARNED_FROM], row[:LEARNED_FROM]))(anomalies)

    def condition(kernel: Kernel, row: Array) -> tuple[Array, Array, Array]:
        root = _root(kernel, points)
        inverse_root = solve_triangular(root, jnp.eye(len(row)), lower=True)
        weights = inverse_root.T @ (inverse_root @ row)
        spread = jnp.sqrt((inverse_root**2).sum(axis=0))  # of each point, given the others: 1 / it
        return weights, inverse_root, weights / spread

    weights, inverse_root, left_out = jax.vmap(condition)(kernel, anomalies)
    return GaussianProcess(points, kernel, slopes, weights, inverse_root, left_out)


def _learn(points: Float[Array, "number point"], row: Float[Array, "point"]) -> Kernel:
    """Return the hyperparameters of one output by climbing its log marginal likelihood."""
    scale = jnp.log(jnp.maximum(row.std(), 1e-12))
    start = Kernel(jnp.full(len(points), jnp.log(2.0)), scale, scale - 1.0)
    optimiser = optax.adam(RATE)

    def cost(kernel: Kernel) -> Array:
        root = _root(kernel, points)
        fit = 0.5 * row @ cho_solve((root, True), row) + jnp.log(jnp.diagonal(root)).sum()
        # Lengths and amplitudes far from the scales of prior and data need evidence.
        doubt = ((kernel.length - jnp.log(2.0)) ** 2).sum() / 4 + (kernel.size - scale) ** 2 / 8
        return fit + doubt + (kernel.noise - scale + 2.0) ** 2 / 32

    def update(carry, _):
        kernel, memory = carry
        slope = jax.grad(cost)(kernel)
        step, memory = optimiser.update(slope, memory)
        return (optax.apply_updates(kernel, step), memory), None

    (kernel, _), _ = lax.scan(update, (start, optimiser.init(start)), None, length=STEPS)
    return kernel


def _root(kernel: Kernel, points: Array) -> Array:
    covariance = kernel.between(points, points)
    diagonal = jnp.exp(2 * kernel.noise) + JITTER * jnp.exp(2 * kernel.size)
    return jnp.linalg.cholesky(covariance + diagonal * jnp.eye(points.shape[1]))


def _basis(points: Float[Array, "number point"]) -> Float[Array, "mean point"]:
    return jnp.concatenate([jnp.ones((1, points.shape[1]), points.dtype), points])
