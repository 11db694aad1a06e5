"""What an inference leaves on disk: measurements, trial cases, posteriors, as Datasets."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from closura.core.calibrate import Measurement
from closura.core.prior import Prior


def measurement_record(
    values: np.ndarray,
    covariance: np.ndarray,
    *,
    truth: Mapping[str, Array] | None = None,
    repeats: np.ndarray | None = None,
    prior: Prior,
) -> xr.Dataset:
    """Return what was measured, its error and, of a twin, the truth and the runs it was told from.

    Args:
        values: (statistic,).
        covariance: Of the difference between measured and simulated statistics, (statistic,
            statistic), or its diagonal, (statistic,), which is kept as ``variance``.
        truth: True parameters by name.
        repeats: (statistic, run).
        prior: Names the parameters.
    """
    found: dict[str, Any] = {"value": ("statistic", values)}
    if covariance.ndim == 1:
        found["variance"] = ("statistic", covariance)
    else:
        found["covariance"] = (("statistic", "other_statistic"), covariance)
    if repeats is not None:
        found["repeat"] = (("statistic", "run"), repeats)
    if truth is None:
        return xr.Dataset(found)
    numbers = np.concatenate([np.ravel(np.asarray(truth[name])) for name in prior.names])
    found["truth"] = ("parameter", numbers)
    return xr.Dataset(found, {"parameter": list(prior.labels)})


def measurement_of(record: xr.Dataset) -> Measurement:
    """Return what was measured, of a `measurement_record`."""
    error = record["variance" if "variance" in record else "covariance"]
    return Measurement(record["value"].values, error.values)


def error_variance(record: xr.Dataset) -> np.ndarray:
    """Return the variance of each statistic's error, of a `measurement_record`, (statistic,)."""
    if "variance" in record:
        return np.asarray(record["variance"].values)
    return np.diag(record["covariance"].values)


def case_record(
    prior: Prior, positions: Float[Array, "number case"], statistics: np.ndarray
) -> xr.Dataset:
    """Return truths drawn from the prior, and what a run of each measured; failed ones left out."""
    alive = np.isfinite(statistics).all(axis=0)
    found = {
        "position": (("parameter", "case"), np.asarray(positions)[:, alive]),
        "statistic_value": (("statistic", "case"), statistics[:, alive]),
    }
    failed = {"failed": int((~alive).sum())}
    return xr.Dataset(found, {"parameter": list(prior.labels)}, failed)


def posterior_record(
    prior: Prior,
    positions: Float[Array, "number draw"],
    *,
    predicted: np.ndarray | None = None,
    ranks: np.ndarray | None = None,
    history: Mapping[str, Any] | None = None,
    seconds: float = float("nan"),
) -> xr.Dataset:
    """Return draws of the parameters and what belongs to them.

    Args:
        prior: Turns positions into parameters.
        positions: Draws of the posterior.
        predicted: Statistics of runs with some of them, (statistic, run).
        ranks: Share of draws below each truth drawn from the prior, (parameter, case).
        history: What the calibrator noted: its ensembles are kept as ``member``.
        seconds: Wall time.
    """
    history = {} if history is None else history
    found: dict[str, Any] = {"draw": (("parameter", "number"), _parameters(prior, positions))}
    if predicted is not None:
        found["predicted"] = (("statistic", "run"), predicted)
    if ranks is not None:
        found["rank"] = (("parameter", "case"), ranks)
    tried = history.get("positions")
    if tried is not None and np.ndim(tried) == 3:
        members = np.stack([_parameters(prior, positions) for positions in tried])
        found["member"] = (("iteration", "parameter", "of_ensemble"), members)
    about = {
        "seconds": seconds,
        "simulations": -1 if tried is None else int(np.size(tried) // prior.size),
        "failed": int(np.sum(np.asarray(history.get("failed", 0)))),
    }
    return xr.Dataset(found, {"parameter": list(prior.labels)}, about)


def _parameters(prior: Prior, positions: Any) -> np.ndarray:
    """Return the numbers of the parameters by label, (parameter, draw)."""
    spread = prior.spread_out(positions)
    rows = [np.reshape(spread[name], (-1, positions.shape[-1])) for name in prior.names]
    return np.concatenate(rows)
