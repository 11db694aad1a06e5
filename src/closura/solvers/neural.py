"""Neural posterior estimation: a flow learns parameters from simulated statistics."""

import importlib.util
import time
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.core.calibrate import AbstractCalibrator, Measurement, Problem
from closura.core.couple import ClosuraWarning
from closura.core.prior import Prior
from closura.solvers.amortised import NeuralPosterior
from closura.solvers.density import Fitted, Training, fit_density
from closura.solvers.inversion import check_counts
from closura.solvers.randomness import check_some_error, warn_of_double_counting

MISSING = "NPE needs flowjax: pip install 'closura[uq]'"
PROPOSALS = ("truncated", "contrastive")
BOUND_DRAWS = 10_000  # draws of the posterior whose lowest densities bound its region
MOST_TRIES = 200  # attempts to fill a round from the prior before its draws are reused


class NPE(AbstractCalibrator):
    """Neural posterior estimation: simulate from the prior, learn parameters given statistics.

    What the flow learns from must differ from the truth as a measurement does. A simulator that
    always returns the same has errors with the measurement's covariance added. One that is random
    draws its part itself, as the weather of a twin does: with ``noise=False`` nothing is added, and
    **the covariance is not used**. To add errors to a random simulator, give a covariance of the
    instruments alone. Two runs at the prior's median tell which it is.

    Further rounds simulate only where the posterior of the round before allows. They sharpen the
    answer to one measurement; the posterior is then good for no other.

    Args:
        simulations: Number of simulations, of all rounds together.
        rounds: Number of rounds.
        proposal: What later rounds draw from: ``"truncated"``, the prior inside the region that
            holds all but `left_out` of the posterior; ``"contrastive"``, the posterior itself,
            which suits a posterior that is tiny within the prior.
        layers: Spline coupling layers; each bends one half of the parameters, given the other.
        width: Width of the networks.
        knots: Knots of a spline.
        epochs: Largest number of passes over the simulations.
        patience: Passes without a better held-out loss before training goes back to the best, at a
            fifth of the rate; after the second time it stops.
        batch: Simulations an update.
        learning_rate: Of Adam.
        held_out: Share of the simulations that only judge.
        left_out: Share of the posterior that a truncated proposal leaves out.
        noise: Whether errors with the measurement's covariance are added to what was simulated.

    Reference:
        Greenberg, Nonnenmacher and Macke (2019), arXiv:1905.07488 (contrastive proposals);
        Durkan et al. (2019), arXiv:1906.04032 (splines); Deistler, Goncalves and Macke (2022),
        arXiv:2210.04815 (truncated proposals).
    """

    simulations: int = 3000
    rounds: int = 1
    proposal: str = "truncated"
    layers: int = 5
    width: int = 50
    knots: int = 8
    epochs: int = 500
    patience: int = 12
    batch: int = 100
    learning_rate: float = 1e-3
    held_out: float = 0.1
    left_out: float = 1e-4
    noise: bool = True

    def __check_init__(self):
        if importlib.util.find_spec("flowjax") is None:  # said before hours of simulation
            raise ImportError(MISSING)
        whole = ("simulations", "rounds", "layers", "width", "knots", "epochs", "patience", "batch")
        check_counts(self, **dict.fromkeys(whole, 1))
        for name in ("held_out", "left_out"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"NPE: {name} is {getattr(self, name)}; it is a share, between 0 and 1."
                )
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(
                f"NPE: learning_rate is {self.learning_rate}; it must be positive and finite."
            )
        if self.proposal not in PROPOSALS:
            raise ValueError(
                f"NPE: proposal is {self.proposal!r}; it must be one of {', '.join(PROPOSALS)}."
            )

    def solve(self, problem: Problem, *, key: Array) -> NeuralPosterior:
        """Return the posterior as a flow; see `NeuralPosterior` for its history.

        Raises:
            ValueError: Too few simulations succeeded; or `noise` is False and the simulator is not
                random.
            FloatingPointError: Training never found a finite loss.
        """
        (warn_of_double_counting if self.noise else check_some_error)("NPE", problem, key)
        size = (problem.prior.size, problem.measurement.size)
        simulated = _Pairs(*(jnp.zeros((numbers, 0)) for numbers in size))
        posterior, region = None, _Region(())
        notes: list[dict[str, Any]] = []
        for number in range(self.rounds):
            began = time.perf_counter()
            propose, simulate, train = jax.random.split(jax.random.fold_in(key, number), 3)
            if posterior is not None and self.proposal == "truncated":
                region = region.narrowed(posterior, self.left_out, propose)
            positions, share = self._propose(problem.prior, posterior, region, number, propose)
            simulated, failed = self._simulate(problem, positions, simulated, simulate)
            fitted = self._train(problem, simulated, region, number, train)
            notes.append(
                {"loss": fitted.loss, "validation": fitted.validation, "epochs": len(fitted.loss),
                 "failed": failed, "acceptance": share, "seconds": time.perf_counter() - began}
            )  # fmt: skip
            posterior = NeuralPosterior(
                prior=problem.prior,
                density=fitted.density,
                measurement=problem.measurement,
                amortised=self.rounds == 1,
                history=_history(notes, simulated),
            )
        _warn_where_unseen(problem.measurement, simulated)
        assert posterior is not None  # there is one round or more
        return posterior

    def _propose(
        self,
        prior: Prior,
        posterior: NeuralPosterior | None,
        region: "_Region",
        number: int,
        key: Array,
    ) -> tuple[Array, float]:
        """Return the positions of a round, and the share of the prior that they come from."""
        count = self.simulations // self.rounds + (number < self.simulations % self.rounds)
        if posterior is None:
            return prior.draw(count, key=key), 1.0
        if self.proposal == "contrastive":
            return posterior.draw(count, key=key), 1.0
        return region.draw(prior, count, key=key)

    def _simulate(
        self, problem: Problem, positions: Array, before: "_Pairs", key: Array
    ) -> tuple["_Pairs", int]:
        """Return all pairs so far, whitened statistics with their errors, and new failures."""
        run, err = jax.random.split(key)
        predicted = problem.predict(positions, run)
        alive = jnp.isfinite(predicted).all(axis=0)
        if self.noise:
            predicted = predicted + problem.measurement.noise(positions.shape[1], key=err)
        whitened = problem.measurement.whiten(predicted[:, alive])
        pairs = _Pairs(positions[:, alive], whitened)
        both = zip(before, pairs, strict=True)
        pairs = _Pairs(*(jnp.concatenate(pair, axis=1) for pair in both))
        return pairs, int((~alive).sum())

    def _train(
        self, problem: Problem, pairs: "_Pairs", region: "_Region", number: int, key: Array
    ) -> Fitted:
        # What lies inside the last region was drawn from the prior there, whichever the round.
        inside = region.holds(pairs.positions)
        begin, fit = jax.random.split(key)
        return fit_density(
            self._flow(problem.prior.size, problem.measurement.size, begin),
            pairs.positions[:, inside],
            pairs.statistics[:, inside],
            training=Training(
                self.epochs, self.patience, self.batch, self.learning_rate, self.held_out
            ),
            contrastive=self.proposal == "contrastive" and number > 0,
            key=fit,
            learner="NPE",
        )

    def _flow(self, numbers: int, statistics: int, key: Array) -> Any:
        """Return an untrained flow in single precision: splines after a normal distribution.

        The last map is affine and sees the statistics alone and the parameters before: it holds
        the Gaussian part of the posterior, however narrow, so that splines need only bend it.
        """
        from flowjax.bijections import Affine, Chain, RationalQuadraticSpline
        from flowjax.distributions import StandardNormal
        from flowjax.flows import coupling_flow, masked_autoregressive_flow

        bend, place = jax.random.split(key)
        network: dict[str, Any] = {"cond_dim": statistics, "nn_width": self.width, "nn_depth": 2}
        with jax.enable_x64(False):  # flowjax takes the precision of the moment
            base = StandardNormal((numbers,))
            spline = RationalQuadraticSpline(knots=self.knots, interval=5)
            splines = coupling_flow(
                bend, base_dist=base, transformer=spline, flow_layers=self.layers, **network
            )
            affine = masked_autoregressive_flow(
                place, base_dist=base, transformer=Affine(), flow_layers=1, **network
            )
        return Chain([splines.bijection, affine.bijection])


class _Pairs(NamedTuple):
    """Positions and whitened statistics of what was simulated, members last."""

    positions: Float[Array, "number member"]
    statistics: Float[Array, "stat member"]


class _Region(NamedTuple):
    """Where all posteriors so far are denser than their bounds; everywhere without any."""

    bounds: tuple[tuple[NeuralPosterior, float], ...]

    def narrowed(self, posterior: NeuralPosterior, left_out: float, key: Array) -> "_Region":
        """Return the part of the region that holds all but a share of a posterior."""
        densities = posterior.log_density(posterior.draw(BOUND_DRAWS, key=key))
        bound = float(jnp.quantile(densities, left_out))
        return _Region((*self.bounds, (posterior, bound)))

    def holds(self, positions: Array) -> np.ndarray:
        """Return which positions lie inside."""
        inside = np.ones(positions.shape[1], bool)
        for posterior, bound in self.bounds:
            inside &= np.asarray(posterior.log_density(positions) >= bound)
        return inside

    def draw(self, prior: Prior, count: int, *, key: Array) -> tuple[Array, float]:
        """Return positions of the prior inside, and the share of the prior that lies there."""
        found, accepted = [], 0
        for attempt in range(MOST_TRIES):
            tried = prior.draw(BOUND_DRAWS, key=jax.random.fold_in(key, attempt))
            found.append(tried[:, self.holds(tried)])
            accepted += found[-1].shape[1]
            if accepted >= count:
                share = accepted / (BOUND_DRAWS * (attempt + 1))
                return jnp.concatenate(found, axis=1)[:, :count], share
        raise ValueError(
            f"NPE: {accepted} of {MOST_TRIES * BOUND_DRAWS} draws of the prior lie where the "
            f"posterior of the round before allows; a round wants {count}. Take "
            'proposal="contrastive", which draws from that posterior itself.'
        )


def _history(notes: list[dict[str, Any]], pairs: _Pairs) -> dict[str, Any]:
    """Return losses of all rounds in a row, the other notes by round, and the pairs."""
    found: dict[str, Any] = {
        name: np.concatenate([note[name] for note in notes]) for name in ("loss", "validation")
    }
    for name in ("epochs", "failed", "acceptance", "seconds"):
        found[name] = np.array([note[name] for note in notes])
    return found | {"positions": pairs.positions, "statistics": pairs.statistics}


def _warn_where_unseen(measurement: Measurement, pairs: _Pairs) -> None:
    observed = measurement.whiten(measurement.values)
    lower, upper = pairs.statistics.min(axis=1), pairs.statistics.max(axis=1)
    unseen = np.flatnonzero(np.asarray((observed < lower) | (observed > upper)))
    if len(unseen):
        warnings.warn(
            f"NPE: statistic {', '.join(map(str, unseen))} was measured outside of all "
            f"{pairs.statistics.shape[1]} simulations (in units of its error, independent of those "
            "before): the flow guesses there. Widen the prior, or look for what the model lacks.",
            ClosuraWarning,
            stacklevel=3,
        )
