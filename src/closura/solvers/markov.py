"""Markov chains that visit parameters as often as they are probable, by blackjax."""

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from closura.core.calibrate import AbstractCalibrator, Problem
from closura.core.couple import ClosuraWarning
from closura.core.posterior import Ensemble
from closura.solvers.inversion import check_counts, check_derivative

MISSING = "MCMC needs blackjax: pip install 'closura[uq]'"
KERNELS = {"nuts": 0.8, "mala": 0.574, "random-walk": 0.3}  # and the acceptance each is tuned to
ROUNDS = 10  # of the warm-up, after each of which the proposal takes the chains' covariance
CONVERGED = 1.05  # largest r-hat
ENOUGH = 100  # smallest effective sample size
LogDensity = Callable[[Array], Array]


class MCMC(AbstractCalibrator):
    """Draws from the posterior by Markov chains: the reference, at a price of many simulations.

    Every draw simulates once (``"random-walk"``, ``"mala"``) or a dozen times with its derivative
    (``"nuts"``). A noisy simulator keeps one key for the whole solve, so the likelihood is a
    function, if a rough one: use the random walk there, and let the measurement's covariance hold
    the noise of both. Simulations that are not finite have probability 0.

    History, numbers in the order of the prior's labels: ``r_hat`` and ``effective_sample_size``
    (number,), ``acceptance`` (chain,), ``positions`` (draw, number, chain), ``misfit``
    (draw, chain), the negative logarithm of the density, and ``divergent`` (nuts), their number.

    Args:
        draws: Draws of each chain that are kept.
        warmup: Draws of each chain before, to find step and scale.
        chains: Number of chains, at least 2, each begun at the most probable of ten draws of the
            prior: less spread out than the prior, so r-hat may miss a mode that no chain found.
        kernel: ``"nuts"``, ``"mala"`` (both need derivatives) or ``"random-walk"``.

    Reference:
        Hoffman and Gelman (2014), J. Mach. Learn. Res. 15, 1593-1623; Roberts and Rosenthal (2001),
        Stat. Sci. 16, 351-367, doi:10.1214/ss/1015346320; Gelman et al. (2013), Bayesian Data
        Analysis, 3rd ed., section 11.4 (r-hat of half chains, without ranks).
    """

    draws: int = eqx.field(static=True, default=1000)
    warmup: int = eqx.field(static=True, default=1000)
    chains: int = eqx.field(static=True, default=4)
    kernel: str = eqx.field(static=True, default="nuts")

    def __check_init__(self):
        if importlib.util.find_spec("blackjax") is None:  # said before hours of simulation
            raise ImportError(MISSING)
        check_counts(self, draws=4, warmup=2 * ROUNDS, chains=2)
        if self.kernel not in KERNELS:
            raise ValueError(
                f"MCMC: kernel is {self.kernel!r}; it must be one of {', '.join(KERNELS)}."
            )

    def solve(self, problem: Problem, *, key: Array) -> Ensemble:
        """Return the draws of all chains.

        Raises:
            ImportError: blackjax is not installed.
            ValueError: No draw of the prior has a finite simulation.
        """
        begin, fixed, run = jax.random.split(key, 3)
        if self.kernel != "random-walk":
            density = _density(problem, fixed)
            check_derivative("MCMC", jax.grad(density), problem, "use kernel='random-walk'")
        starts = _begin(problem, self.chains, begin, fixed)
        if not bool(jnp.isfinite(starts).all()):
            raise ValueError(
                "MCMC: no draw of the prior has a finite simulation; narrow the prior, or shorten "
                "the model's time step."
            )
        sample = _nuts if self.kernel == "nuts" else _metropolis
        positions, noted = sample(self, problem, starts, fixed, run)
        history = noted | _diagnose(positions)
        _check_converged(history, problem.prior.labels)
        members = positions.reshape(-1, positions.shape[-1]).T
        by_draw = positions.transpose(1, 2, 0)
        return Ensemble(
            prior=problem.prior, members=members, history=history | {"positions": by_draw}
        )


@eqx.filter_jit
def _begin(problem: Problem, chains: int, key: Array, fixed: Array) -> Float[Array, "chain number"]:
    """Return starts drawn from the prior, the most probable of ten a chain; NaN if all fail."""
    candidates = problem.prior.draw(10 * chains, key=key).T.reshape(10, chains, -1)
    density = lax.map(jax.vmap(_density(problem, fixed)), candidates)
    best = jnp.argmax(density, axis=0)
    starts = candidates[best, jnp.arange(chains)]
    alive = jnp.isfinite(density.max(axis=0))
    first = starts[jnp.argmax(alive)]  # for chains none of whose candidates lives
    return jnp.where(alive[:, None], starts, jnp.where(alive.any(), first, jnp.nan))


def _density(problem: Problem, key: Array) -> LogDensity:
    def density(position: Array) -> Array:
        likelihood = problem.log_likelihood(problem.predict_one(position, key))
        total = likelihood - (position**2).sum() / 2
        return jnp.where(jnp.isfinite(total), total, -jnp.inf)

    return density


@eqx.filter_jit
def _nuts(calibrator: MCMC, problem: Problem, starts: Array, fixed: Array, key: Array):
    blackjax = _blackjax()
    density = _density(problem, fixed)

    def chain(start: Array, key: Array):
        warm, run = jax.random.split(key)
        adaptation = blackjax.window_adaptation(blackjax.nuts, density)
        (state, settings), _ = adaptation.run(warm, start, num_steps=calibrator.warmup)
        step = blackjax.nuts(density, **settings).step

        def draw(state: Any, key: Array):
            state, told = step(key, state)
            return state, (
                state.position,
                state.logdensity,
                told.acceptance_rate,
                told.is_divergent,
            )

        return lax.scan(draw, state, jax.random.split(run, calibrator.draws))[1]

    positions, density_of, acceptance, divergent = jax.vmap(chain)(
        starts, jax.random.split(key, calibrator.chains)
    )
    noted = {"misfit": -density_of.T, "acceptance": acceptance.mean(axis=1)}
    return positions, noted | {"divergent": divergent.sum()}


@eqx.filter_jit
def _metropolis(calibrator: MCMC, problem: Problem, starts: Array, fixed: Array, key: Array):
    """Run chains whose proposal is tuned in rounds: its scale to the acceptance, its shape to C."""
    target = KERNELS[calibrator.kernel]
    density = _density(problem, fixed)
    warm, run = jax.random.split(key)
    size = starts.shape[1]

    def go(starts, root, scale, key, draws: int):
        one = _kernel(calibrator.kernel, density, root, scale)
        keys = jax.random.split(key, calibrator.chains)
        return jax.vmap(lambda start, k: one(start, jax.random.split(k, draws)))(starts, keys)

    def one_round(carry, key):
        starts, root, scale, covariance = carry
        positions, _, acceptance = go(starts, root, scale, key, calibrator.warmup // ROUNDS)
        scale = scale * jnp.exp(jnp.clip(3 * (acceptance.mean() - target), -1, 1))
        within = positions - positions.mean(axis=1, keepdims=True)
        new = jnp.einsum("cdi,cdj->ij", within, within) / (positions.shape[0] * positions.shape[1])
        covariance = (covariance + new) / 2
        small = 1e-8 * jnp.eye(size, dtype=starts.dtype)
        return (positions[:, -1], jnp.linalg.cholesky(covariance + small), scale, covariance), None

    identity = jnp.eye(size, dtype=starts.dtype)
    begin = (starts, identity, jnp.asarray(0.5 / size**0.5, starts.dtype), identity)
    tuned, _ = lax.scan(one_round, begin, jax.random.split(warm, ROUNDS))
    positions, density_of, acceptance = go(*tuned[:3], run, calibrator.draws)
    return positions, {"misfit": -density_of.T, "acceptance": acceptance.mean(axis=1)}


def _kernel(name: str, density: LogDensity, root: Array, scale: Array):
    """Return a chain in coordinates where the tuned covariance is the identity."""
    blackjax = _blackjax()

    def whitened(point: Array) -> Array:
        return density(root @ point)

    if name == "mala":
        method = blackjax.mala(whitened, step_size=scale**2)
    else:
        sigma = scale * jnp.ones(root.shape[0], root.dtype)
        method = blackjax.additive_step_random_walk.normal_random_walk(whitened, sigma)

    def chain(start: Array, keys: Array):
        def draw(state: Any, key: Array):
            state, told = method.step(key, state)
            return state, (root @ state.position, state.logdensity, told.acceptance_rate)

        begin = method.init(jax.scipy.linalg.solve_triangular(root, start, lower=True))
        return lax.scan(draw, begin, keys)[1]

    return chain


@jax.jit
def _diagnose(positions: Float[Array, "chain draw number"]) -> dict[str, Array]:
    diagnostics = _blackjax().diagnostics
    halves = jnp.concatenate(jnp.split(positions[:, : positions.shape[1] // 2 * 2], 2, axis=1))
    return {
        "r_hat": jnp.atleast_1d(diagnostics.potential_scale_reduction(halves)),
        "effective_sample_size": jnp.atleast_1d(diagnostics.effective_sample_size(positions)),
    }


def _check_converged(history: dict[str, Array], labels: tuple[str, ...]) -> None:
    r_hat, effective = history["r_hat"], history["effective_sample_size"]
    poor = ~((r_hat <= CONVERGED) & (effective >= ENOUGH))
    if bool(poor.any()):
        worst = int(jnp.argmax(jnp.where(poor, jnp.nan_to_num(r_hat, nan=jnp.inf), 0.0)))
        warnings.warn(
            f"MCMC has not converged: for {labels[worst]} r-hat is {float(r_hat[worst]):.3f} "
            f"(wanted at most {CONVERGED}) and the effective sample size "
            f"{float(effective[worst]):.0f} (at least {ENOUGH}). Give it more draws or warmup.",
            ClosuraWarning,
            stacklevel=4,
        )


def _blackjax() -> Any:
    try:
        import blackjax
    except ImportError as missing:
        raise ImportError(MISSING) from missing
    return blackjax
