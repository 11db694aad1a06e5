"""What the stages of an inference do: measure, infer, score."""

import time
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from closura.core.calibrate import Measurement, Problem, calibrate
from closura.core.posterior import Ensemble
from closura.core.prior import Prior
from closura.data.inferences import (
    case_record,
    measurement_of,
    measurement_record,
    posterior_record,
)
from closura.data.store import read_dataset
from closura.evaluation.posteriors import PRIOR, score_posteriors
from closura.experiment.kinds.inferred_settings import InferredExperiment
from closura.experiment.work import Work, write_dataset
from closura.registry import build

MEASURED, CASES, SCORES = "measured.nc", "cases.nc", "scores.nc"
DRAWS_OF_A_CASE = 1000


def settings_of(work: Work) -> InferredExperiment:
    """Return the settings of the experiment, of this kind."""
    return cast(InferredExperiment, work.experiment.settings)


def prior_of(settings: InferredExperiment) -> Prior:
    """Return the prior that the experiment describes."""
    marginals = {
        name: build("priors", spec, path=f"prior.{name}") for name, spec in settings.prior.items()
    }
    return Prior(**marginals)


def simulator_of(settings: InferredExperiment) -> Any:
    """Return the simulator that the experiment describes."""
    return build("simulators", settings.simulator, path="simulator")


def posterior_file(name: str) -> str:
    """Return where the posterior of a calibrator lies in the run folder."""
    return str(Path(name) / "posterior.nc")


def measure(work: Work) -> None:
    """Write what was measured, and its error: of a twin, or as the user says."""
    settings = settings_of(work)
    if settings.measured.parameters is None:
        record = _given(settings)
    else:
        record = _twin(work, settings)
    write_dataset(record, work.folder / MEASURED)


def _given(settings: InferredExperiment) -> Any:
    measured = settings.measured
    error = measured.covariance if measured.variance is None else measured.variance
    covariance = np.asarray(error, float) * measured.inflation**2
    values = np.asarray(measured.values, float)
    return measurement_record(values, covariance, prior=prior_of(settings))


def _twin(work: Work, settings: InferredExperiment) -> Any:
    measured, prior = settings.measured, prior_of(settings)
    truth = {name: jnp.asarray(v) for name, v in (measured.parameters or {}).items()}
    position = prior.position(truth)
    _check_repeats(measured.repeats, _count_statistics(settings, position))
    runs = _simulate(work, jnp.repeat(position[:, None], measured.repeats + 1, axis=1), "measured")
    blown = int((~np.isfinite(runs).all(axis=0)).sum())
    if blown:
        raise ValueError(
            f"measured.parameters: {blown} of {runs.shape[1]} runs with the true parameters blew "
            "up; shorten the model's dt, or choose another truth."
        )
    repeats = runs[:, 1:]
    # A simulated run differs from the measured one by the randomness of both.
    covariance = 2 * np.atleast_2d(np.cov(repeats)) * measured.inflation**2
    return measurement_record(runs[:, 0], covariance, truth=truth, repeats=repeats, prior=prior)


def simulate_cases(work: Work) -> None:
    """Write truths drawn from the prior, and what a run of each would have measured."""
    settings = settings_of(work)
    prior = prior_of(settings)
    positions = prior.draw(settings.check.coverage, key=work.key("cases/truth"))
    statistics = _simulate(work, positions, "cases/run")
    write_dataset(case_record(prior, positions, statistics), work.folder / CASES)


def infer(work: Work, name: str) -> None:
    """Solve the problem with one calibrator; keep draws, predictions, and coverage if amortised."""
    settings, problem = settings_of(work), problem_of(work)
    calibrator = build("calibrators", settings.calibrators[name], path=f"calibrators.{name}")
    began = time.perf_counter()
    posterior = calibrate(
        problem.simulator, problem.prior, problem.measurement, calibrator,
        key=work.key(f"infer/{name}"), batch=settings.batch,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    if isinstance(posterior, Ensemble):
        positions = posterior.members
    else:
        positions = posterior.draw(settings.check.draws, key=work.key(f"draw/{name}"))
    ranks = None
    if settings.check.coverage and hasattr(posterior, "draw_each"):
        errors = getattr(calibrator, "noise", True)
        ranks = _ranks(work, posterior, problem.measurement, name, adds_errors=errors)
    record = posterior_record(
        problem.prior,
        positions,
        predicted=_predictions(work, positions, name),
        ranks=ranks,
        history=posterior.history,
        seconds=seconds,
    )
    write_dataset(record, work.folder / posterior_file(name))


def score(work: Work) -> None:
    """Score every posterior, and the prior, against the truth and the measurement."""
    settings = settings_of(work)
    prior = prior_of(settings)
    drawn = prior.draw(settings.check.draws, key=work.key("prior"))
    posteriors = {PRIOR: posterior_record(prior, drawn)}
    for name in settings.calibrators:
        posteriors[name] = read_dataset(work.folder / posterior_file(name))
    measured = read_dataset(work.folder / MEASURED)
    scores = score_posteriors(posteriors, measured, level=settings.check.level)
    write_dataset(scores, work.folder / SCORES)


def problem_of(work: Work) -> Problem:
    """Return the problem that the calibrators solve, with what was measured."""
    settings = settings_of(work)
    found = read_dataset(work.folder / MEASURED)
    measured = measurement_of(found)
    return Problem(prior_of(settings), simulator_of(settings), measured, settings.batch)


def _simulate(work: Work, positions: Any, stream: str) -> np.ndarray:
    """Return the statistics of a run at every position, (statistic, member)."""
    settings = settings_of(work)
    simulator, prior = simulator_of(settings), prior_of(settings)
    blank = Measurement(np.zeros(1), np.ones(1))  # runs want none
    problem = Problem(prior, simulator, blank, settings.batch)
    return np.asarray(problem.predict(positions, work.key(stream)))


def _count_statistics(settings: InferredExperiment, position: Any) -> int:
    simulator, parameters = simulator_of(settings), prior_of(settings).parameters(position)
    if simulator.on_host:  # JAX cannot see its shape: one run tells
        return len(simulator(parameters, jax.random.key(0)))
    return jax.eval_shape(simulator, parameters, jax.random.key(0)).shape[0]


def _check_repeats(repeats: int, statistics: int) -> None:
    if repeats <= statistics:
        raise ValueError(
            f"measured.repeats is {repeats} and the simulator has {statistics} statistics; the "
            f"covariance of their error takes more repeats than that, {10 * statistics} say."
        )


def _predictions(work: Work, positions: Any, name: str) -> np.ndarray | None:
    """Return statistics of runs with parameters drawn from the posterior, (statistic, run)."""
    count = min(settings_of(work).check.predictive, positions.shape[-1])
    if count == 0:
        return None
    places = np.linspace(0, positions.shape[-1] - 1, count).astype(int)
    return _simulate(work, jnp.asarray(positions)[:, places], f"predict/{name}")


def _ranks(
    work: Work, posterior: Any, measurement: Measurement, name: str, *, adds_errors: bool
) -> np.ndarray:
    """Return the share of draws below each truth drawn from the prior, (parameter, case).

    A calibrator that adds errors to its simulations is tried on cases that have them, too.
    """
    cases = read_dataset(work.folder / CASES)
    truths, values = cases["position"].values, jnp.asarray(cases["statistic_value"].values)
    if adds_errors:
        noise = measurement.noise(values.shape[1], key=work.key("cases/noise"))
        values = values + noise
    draws = posterior.draw_each(values, DRAWS_OF_A_CASE, key=work.key(f"coverage/{name}"))
    return (np.asarray(draws) < truths[:, None]).mean(axis=1)
