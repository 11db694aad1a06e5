"""What the stages of an inference do: measure, infer, score."""

import time
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from closura.core.calibrate import Measurement, Problem, calibrate
from closura.core.posterior import Ensemble
from closura.core.prior import Prior
from closura.evaluation.posteriors import PRIOR, score_posteriors
from closura.experiment.kinds.inferred_settings import InferredExperiment
from closura.experiment.work import Work, write_dataset
from closura.registry import build

MEASURED, CASES, SCORES = "measured.nc", "cases.nc", "scores.nc"


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
    measured = settings.measured
    found: dict[str, Any] = {}
    if measured.parameters is None:
        values = np.asarray(measured.values, float)
        given = measured.covariance if measured.variance is None else np.diag(measured.variance)
        covariance = np.asarray(given, float)
    else:
        prior = prior_of(settings)
        truth = {name: jnp.asarray(value) for name, value in measured.parameters.items()}
        position = prior.position(truth)
        runs = _simulate(
            work, jnp.repeat(position[:, None], measured.repeats + 1, axis=1), "measured"
        )
        alive = np.isfinite(runs).all(axis=0)
        if not alive.all():
            raise ValueError(
                f"measured.parameters: {int((~alive).sum())} of {alive.size} runs with the true "
                "parameters blew up; shorten the model's dt, or choose another truth."
            )
        values, covariance = runs[:, 0], np.cov(runs[:, 1:])
        numbers = np.concatenate([np.ravel(truth[name]) for name in prior.names])
        found["truth"] = ("parameter", numbers)
        found["repeat"] = (("statistic", "run"), runs[:, 1:])
    names = ("statistic", "other_statistic")
    found |= {
        "value": ("statistic", values),
        "covariance": (names, np.atleast_2d(covariance) * measured.inflation**2),
    }
    coordinates = {"parameter": list(prior_of(settings).labels)} if "truth" in found else {}
    write_dataset(xr.Dataset(found, coordinates), work.folder / MEASURED)


def simulate_cases(work: Work) -> None:
    """Write truths drawn from the prior, and what a run of each would have measured."""
    settings = settings_of(work)
    prior = prior_of(settings)
    positions = prior.draw(settings.check.coverage, key=work.key("cases/truth"))
    statistics = _simulate(work, positions, "cases/run")
    alive = np.isfinite(statistics).all(axis=0)
    found = {
        "position": (("parameter", "case"), np.asarray(positions)[:, alive]),
        "statistic_value": (("statistic", "case"), statistics[:, alive]),
    }
    cases = xr.Dataset(found, {"parameter": list(prior.labels)}, {"failed": int((~alive).sum())})
    write_dataset(cases, work.folder / CASES)


def infer(work: Work, name: str) -> None:
    """Solve the problem with one calibrator; keep draws, predictions, and coverage if amortised."""
    settings = settings_of(work)
    problem = problem_of(work)
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
    found = _parameters(problem.prior, positions)
    found |= _predictions(work, positions, name) | _path(problem.prior, posterior.history)
    if settings.check.coverage and hasattr(posterior, "draw_each"):
        found |= _ranks(work, posterior, name)
    history = posterior.history
    about = {
        "seconds": seconds,
        "simulations": int(np.size(history["positions"]) // problem.prior.size)
        if "positions" in history
        else -1,
        "failed": int(np.sum(history.get("failed", 0))),
    }
    labels = {"parameter": list(problem.prior.labels)}
    write_dataset(xr.Dataset(found, labels, about), work.folder / posterior_file(name))


def score(work: Work) -> None:
    """Score every posterior, and the prior, against the truth and the measurement."""
    settings = settings_of(work)
    prior = prior_of(settings)
    key = work.key("prior")
    drawn = prior.draw(settings.check.draws, key=key)
    beforehand = xr.Dataset(_parameters(prior, drawn), {"parameter": list(prior.labels)})
    posteriors = {PRIOR: beforehand}
    for name in settings.calibrators:
        with xr.open_dataset(work.folder / posterior_file(name)) as found:
            posteriors[name] = found.load()
    with xr.open_dataset(work.folder / MEASURED) as measured:
        scores = score_posteriors(posteriors, measured.load(), level=settings.check.level)
    write_dataset(scores, work.folder / SCORES)


def problem_of(work: Work) -> Problem:
    """Return the problem that the calibrators solve, with what was measured."""
    settings = settings_of(work)
    with xr.open_dataset(work.folder / MEASURED) as found:
        measured = Measurement(found["value"].values, found["covariance"].values)
    return Problem(prior_of(settings), simulator_of(settings), measured, settings.batch)


def _simulate(work: Work, positions: Any, stream: str) -> np.ndarray:
    """Return the statistics of a run at every position, (statistic, member)."""
    settings = settings_of(work)
    simulator, prior = simulator_of(settings), prior_of(settings)
    size = jax.eval_shape(
        lambda p, k: simulator(prior.parameters(p), k), positions[:, 0], jax.random.key(0)
    ).shape[0]
    blank = Measurement(np.zeros(size), np.ones(size))
    problem = Problem(prior, simulator, blank, settings.batch)
    return np.asarray(problem.predict(positions, work.key(stream)))


def _parameters(prior: Prior, positions: Any) -> dict[str, Any]:
    """Return draws by label, (parameter, draw)."""
    spread = prior.spread_out(positions)
    rows = [np.reshape(spread[name], (-1, positions.shape[-1])) for name in prior.names]
    return {"draw": (("parameter", "number"), np.concatenate(rows))}


def _predictions(work: Work, positions: Any, name: str) -> dict[str, Any]:
    """Return statistics of runs with parameters drawn from the posterior."""
    count = min(settings_of(work).check.predictive, positions.shape[-1])
    if count == 0:
        return {}
    places = np.linspace(0, positions.shape[-1] - 1, count).astype(int)
    runs = _simulate(work, jnp.asarray(positions)[:, places], f"predict/{name}")
    return {"predicted": (("statistic", "run"), runs)}


def _path(prior: Prior, history: Any) -> dict[str, Any]:
    """Return what an iterative calibrator went through: members by iteration."""
    positions = np.asarray(history.get("positions", ()))
    if positions.ndim != 3:
        return {}
    each = [_parameters(prior, jnp.asarray(p))["draw"][1] for p in positions]
    return {"member": (("iteration", "parameter", "of_ensemble"), np.stack(each))}


def _ranks(work: Work, posterior: Any, name: str) -> dict[str, Any]:
    """Return how many draws lie below each truth drawn from the prior, as a share."""
    with xr.open_dataset(work.folder / CASES) as cases:
        truths, values = cases["position"].values, jnp.asarray(cases["statistic_value"].values)
    draws = posterior.draw_each(values, 1000, key=work.key(f"coverage/{name}"))
    ranks = (np.asarray(draws) < truths[:, None]).mean(axis=1)
    return {"rank": (("parameter", "case"), ranks)}
