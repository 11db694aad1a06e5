"""Calibrate, emulate, sample: a statistical stand-in for an expensive simulator."""

import warnings
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from closura.core.calibrate import AbstractCalibrator, Measurement, Problem
from closura.core.couple import ClosuraWarning
from closura.core.posterior import Ensemble
from closura.solvers.gaussian_process import GaussianProcess, fit_process
from closura.solvers.inversion import check_counts
from closura.solvers.randomness import warn_of_double_counting
from closura.solvers.tempering import Tempered, temper

DOUBTFUL, USELESS = 2.0, 4.0  # mean squared errors of the emulator, over the variance it claims


class CES(AbstractCalibrator):
    """Calibrate, emulate, sample: draws from the posterior of an emulated simulator.

    A Gaussian process learns what the simulator returns, from draws of the prior, from all that a
    calibrator has tried, and from rounds of simulations at draws of the posterior so far: points
    must cover the posterior, and those of a collapsed ensemble do not. The emulator's own doubt
    and the simulator's randomness, with the correlations that its errors show, join the error of
    the measurement. A few hundred simulations do for a handful of parameters and smooth statistics.

    Args:
        calibrator: Whose tries are used too, e.g. `EKI`; its history must hold ``positions`` and
            ``predictions``. None needs none.
        draws: Simulations at draws of the prior.
        rounds: Rounds of further simulations at draws of the posterior so far.
        refinement: Simulations a round.
        held_out: Share of all simulations that judge the emulator before it is used.
        members: Draws of the posterior.
        moves: Random walks of each at each temperature.
        noise: Whether the simulator's own randomness is added to the measurement's covariance; pass
            False where that covariance holds it already, as that of a difference does.

    Reference:
        Cleary et al. (2021), J. Comput. Phys. 424, 109716, doi:10.1016/j.jcp.2020.109716.
    """

    calibrator: AbstractCalibrator | None = None
    draws: int = 200
    rounds: int = 2
    refinement: int = 100
    held_out: float = 0.2
    members: int = 500
    moves: int = 8
    noise: bool = True

    def __check_init__(self):
        least = {"draws": 20, "rounds": 0, "refinement": 1, "members": 20, "moves": 1}
        check_counts(self, **least)
        if not 0 < self.held_out < 1:
            raise ValueError(f"CES: held_out is {self.held_out}; it is a share, between 0 and 1.")

    def solve(self, problem: Problem, *, key: Array) -> Ensemble:
        """Return draws of the posterior.

        The history holds ``positions`` and ``predictions`` of all simulations, ``score`` (mean
        squared error of the emulator at points held out, over the variance it claims: 1 is right)
        and ``explained`` (share of their variance, noise included) by round and output, and
        ``exponents`` and ``acceptance`` of the last sampling.

        Raises:
            ValueError: The emulator's errors are over 4 times the variance that it claims.
        """
        if self.noise:
            warn_of_double_counting("CES", problem, key)
        points = self._first_points(problem, jax.random.fold_in(key, 0))
        scores, members = [], None
        for number in range(self.rounds + 1):
            train, start, walk, more = jax.random.split(jax.random.fold_in(key, number + 1), 4)
            if members is not None:
                chosen = jax.random.choice(start, members, (self.refinement,), axis=1)
                points = points.extended(problem, chosen, more)
            last = number == self.rounds
            emulator, score = self._emulate(problem.measurement, points, train)
            scores.append(score)
            if last:
                _judge(score, points.positions.shape[1])
            found = temper(
                emulator,
                problem.prior.draw(self.members, key=start),
                moves=self.moves,
                key=walk,
            )
            members = found.members
        history = _history(points, scores, found)
        return Ensemble(prior=problem.prior, members=found.members, history=history)

    def _first_points(self, problem: Problem, key: Array) -> "_Points":
        draw, run, other, again = jax.random.split(key, 4)
        points = _Points.none(problem)
        points = points.extended(problem, problem.prior.draw(self.draws, key=draw), run)
        if self.calibrator is None:
            return points
        history = self.calibrator.solve(problem, key=other).history
        if "positions" not in history or "predictions" not in history:
            raise ValueError(
                f"CES: {type(self.calibrator).__name__} notes {', '.join(history) or 'nothing'}; "
                "wanted are positions and predictions. Take EKI, or calibrator=None."
            )
        # Where members failed, calibrators put others with statistics that nobody simulated.
        failed = np.asarray(history.get("failed", np.zeros(len(history["positions"])))) > 0
        tried = [_in_a_row(history[name][~failed]) for name in ("positions", "predictions")]
        points = points.joined(*tried)
        if not failed.any():
            return points
        return points.extended(problem, _in_a_row(history["positions"][failed]), again)

    def _emulate(
        self, measurement: Measurement, points: "_Points", key: Array
    ) -> tuple["Emulator", dict[str, np.ndarray]]:
        """Return the emulator of all points, and the score of one that has not seen some."""
        positions, outputs = points.whitened(measurement)
        order = jax.random.permutation(key, positions.shape[1])
        held = max(1, round(self.held_out * order.size))
        judged, seen = order[:held], order[held:]
        trial = Emulator.fit(measurement, positions[:, seen], outputs[:, seen], noise=True)
        score = trial.score(positions[:, judged], outputs[:, judged])
        whole = Emulator.fit(measurement, positions[:, order], outputs[:, order], noise=self.noise)
        return whole, score


class Emulator(eqx.Module):
    """What a Gaussian process makes of a simulator, and so of a measurement.

    Outputs are statistics in units of the error, turned onto their own axes: they vary
    independently over the points, and errors of the measurement still have variance one.

    Args:
        process: One output for each axis.
        axes: (statistic, axis), orthogonal.
        observed: The measurement on these axes.
        correlation: Between the process's errors, (axis, axis).
        noise: Whether the simulator's randomness counts in the likelihood.
    """

    process: GaussianProcess
    axes: Float[Array, "stat axis"]
    observed: Float[Array, "axis"]
    correlation: Float[Array, "axis axis"]
    noise: bool = eqx.field(static=True)

    @classmethod
    def fit(
        cls,
        measurement: Measurement,
        positions: Float[Array, "number point"],
        whitened: Float[Array, "stat point"],
        *,
        noise: bool,
    ) -> "Emulator":
        """Return the emulator of simulations at these positions."""
        _, axes = jnp.linalg.eigh(jnp.atleast_2d(jnp.cov(whitened)))
        process = fit_process(positions, axes.T @ whitened)
        errors = jnp.clip(process.left_out, -5.0, 5.0)
        size = jnp.sqrt((errors**2).mean(axis=1))
        size = jnp.where(size > 0, size, 1.0)[:, None]
        correlation = (errors / size) @ (errors / size).T / errors.shape[1]
        observed = axes.T @ measurement.whiten(measurement.values)
        return cls(process, axes, observed, correlation, noise)

    def __call__(self, positions: Float[Array, "number member"]) -> Float[Array, "member"]:
        """Return the log likelihood of what was measured, less a constant."""
        mean, variance = self.process.predict(positions)
        if self.noise:
            variance = variance + self.process.noise[:, None]

        def one(departure: Array, variance: Array) -> Array:
            spread = jnp.sqrt(variance)
            covariance = self.correlation * spread[:, None] * spread + jnp.eye(len(spread))
            root = jnp.linalg.cholesky(covariance)
            scaled = jax.scipy.linalg.solve_triangular(root, departure, lower=True)
            return -0.5 * (scaled**2).sum() - jnp.log(jnp.diagonal(root)).sum()

        return jax.vmap(one, in_axes=(1, 1))(self.observed[:, None] - mean, variance)

    def score(self, positions: Array, whitened: Array) -> dict[str, np.ndarray]:
        """Return the errors at points that were held out, over their variance, by axis."""
        outputs = self.axes.T @ whitened
        mean, variance = self.process.predict(positions)
        claimed = variance + self.process.noise[:, None] + 1e-12
        errors = (outputs - mean) ** 2
        explained = 1 - errors.mean(axis=1) / (outputs.var(axis=1) + 1e-12)
        return {
            "score": np.asarray((errors / claimed).mean(axis=1)),
            "explained": np.asarray(explained),
        }


class _Points(NamedTuple):
    """Where the simulator was run and what it returned, without the runs that failed."""

    positions: Float[Array, "number point"]
    predictions: Float[Array, "stat point"]

    @classmethod
    def none(cls, problem: Problem) -> "_Points":
        return cls(jnp.zeros((problem.prior.size, 0)), jnp.zeros((problem.measurement.size, 0)))

    def joined(self, positions: Array, predictions: Array) -> "_Points":
        """Return these points and those that succeeded among others."""
        alive = jnp.isfinite(predictions).all(axis=0) & jnp.isfinite(positions).all(axis=0)
        return _Points(
            jnp.concatenate([self.positions, positions[:, alive]], axis=1),
            jnp.concatenate([self.predictions, predictions[:, alive]], axis=1),
        )

    def extended(self, problem: Problem, positions: Array, key: Array) -> "_Points":
        """Return these points and new simulations."""
        return self.joined(positions, problem.predict(positions, key))

    def whitened(self, measurement: Measurement) -> tuple[Array, Array]:
        """Return positions, and predictions in units of the error; what never varies is left."""
        return self.positions, measurement.whiten(self.predictions)


def _in_a_row(noted: Array) -> Array:
    """Return (iteration, number, member) as (number, iteration * member)."""
    noted = jnp.asarray(noted)
    return jnp.moveaxis(noted, 0, 1).reshape(noted.shape[-2], -1)


def _judge(score: dict[str, np.ndarray], count: int) -> None:
    worst = float(score["score"].max())
    said = (
        f"CES: at points held out the emulator of {count} simulations errs by {worst:.1f} times "
        "the variance that it claims"
    )
    if not worst <= USELESS:
        raise ValueError(f"{said}; add draws, or statistics that change more smoothly.")
    if worst > DOUBTFUL:
        warnings.warn(
            f"{said}: the posterior is too narrow. Add draws or rounds.",
            ClosuraWarning,
            stacklevel=3,
        )


def _history(points: _Points, scores: list[dict[str, Any]], found: Tempered) -> dict[str, Any]:
    return {
        "positions": points.positions,
        "predictions": points.predictions,
        "score": np.stack([score["score"] for score in scores]),
        "explained": np.stack([score["explained"] for score in scores]),
        "exponents": np.array(found.exponents),
        "acceptance": np.array(found.acceptance),
    }
