"""Scores of posteriors: where they lie, how much they learned, and whether they are honest."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import xarray as xr
from scipy.stats import binom

from closura.data.inferences import measurement_of

PRIOR = "prior"
OF_PARAMETERS = {
    "mean": "mean of the draws",
    "deviation": "standard deviation of the draws",
    "lower": "lower end of the central interval",
    "upper": "upper end of the central interval",
    "contraction": "standard deviation over that of the prior: 1 where nothing was learned",
    "covers": "1 where the central interval holds the truth",
    "departure": "mean minus truth, in standard deviations",
    "coverage": "share of truths drawn from the prior that their central intervals hold",
    "coverage_lower": "least coverage that an honest posterior would show nineteen times in twenty",
    "coverage_upper": "largest such coverage",
}
OF_ALL = {
    "predictive_misfit": "mean squared departure of simulated from measured statistics, in "
    "errors: about 1 for a right posterior",
    "correlation": "correlation between two parameters",
    "simulations": "runs of the simulator; missing where the calibrator does not say",
    "failed": "runs that gave no finite statistics",
    "seconds": "wall time, compilation included",
}
SCORES_OF_POSTERIORS = (*OF_PARAMETERS, *OF_ALL)
HONEST = 0.95  # probability of the band around the nominal coverage


def score_posteriors(
    posteriors: Mapping[str, xr.Dataset], measured: xr.Dataset, *, level: float
) -> xr.Dataset:
    """Return scores by calibrator and parameter.

    Args:
        posteriors: For each calibrator ``draw`` (parameter, number) and, where there are,
            ``predicted`` (statistic, run) and ``rank`` (parameter, case), the share of draws below
            a truth that was drawn from the prior. ``prior`` holds draws from the prior.
        measured: ``value`` (statistic,), ``covariance`` or its diagonal ``variance`` and, of a
            twin, ``truth`` (parameter,).
        level: Probability of the central intervals.
    """
    wide = posteriors[PRIOR]["draw"].std("number", ddof=1)
    each = [_score_one(found, measured, wide, level) for found in posteriors.values()]
    names = xr.DataArray(list(posteriors), dims="calibrator", name="calibrator")
    scores = xr.concat(each, names, combine_attrs="drop")
    for name, words in (OF_PARAMETERS | OF_ALL).items():
        scores[name].attrs["long_name"] = words
    return scores.assign_attrs(level=level)


def _score_one(
    found: xr.Dataset, measured: xr.Dataset, wide: xr.DataArray, level: float
) -> xr.Dataset:
    draws = found["draw"]
    blank = xr.full_like(wide, np.nan)
    ends = draws.quantile([(1 - level) / 2, (1 + level) / 2], "number")
    mean, deviation = draws.mean("number"), draws.std("number", ddof=1)
    lower, upper = (ends.isel(quantile=i, drop=True) for i in (0, 1))
    scores = {"mean": mean, "deviation": deviation, "lower": lower, "upper": upper,
              "contraction": deviation / wide}  # fmt: skip
    truth = measured.get("truth", blank)
    known = np.isfinite(truth)
    scores["covers"] = ((lower <= truth) & (truth <= upper)).where(known).astype(float)
    scores["departure"] = (mean - truth) / deviation
    scores |= _coverage(found, blank, level)
    scores["predictive_misfit"] = _predictive_misfit(found, measured)
    scores["correlation"] = _correlation(draws)
    runs = found.attrs.get("simulations", -1)
    scores["simulations"] = xr.DataArray(float(runs) if runs >= 0 else np.nan)
    for name in ("failed", "seconds"):
        scores[name] = xr.DataArray(float(found.attrs.get(name, np.nan)))
    return xr.Dataset(scores)


def _coverage(found: xr.Dataset, blank: xr.DataArray, level: float) -> dict[str, xr.DataArray]:
    """Return the coverage of an amortised posterior, and what chance alone would make of it."""
    if "rank" not in found:
        return dict.fromkeys(("coverage", "coverage_lower", "coverage_upper"), blank)
    ranks = found["rank"]
    cases = ranks.sizes["case"]
    inside = (abs(ranks - 0.5) <= level / 2).mean("case")
    band = binom.interval(HONEST, cases, level)
    low, high = (xr.full_like(blank, end / cases) for end in band)
    return {"coverage": inside, "coverage_lower": low, "coverage_upper": high}


def _predictive_misfit(found: xr.Dataset, measured: xr.Dataset) -> xr.DataArray:
    """Return the mean squared departure of simulated statistics, in units of the error.

    Its expectation is exactly 1 where draws are of the right posterior and the error is that of
    the difference between measured and simulated. Then truth and draw are alike given what was
    measured: what one run departs from it under a draw, it departs under the truth. No error is
    added to the runs, for the difference holds that of the measurement already.
    """
    if "predicted" not in found:
        return xr.DataArray(np.nan)
    measurement = measurement_of(measured)
    runs = found["predicted"].values
    runs = runs[:, np.isfinite(runs).all(axis=0)]
    squares = np.asarray(measurement.departure(jnp.asarray(runs))) ** 2
    return xr.DataArray(float(squares.sum(axis=0).mean() / measurement.seen))


def _correlation(draws: xr.DataArray) -> xr.DataArray:
    matrix = np.atleast_2d(np.corrcoef(draws.values))
    names = draws["parameter"].values
    return xr.DataArray(
        matrix, {"parameter": names, "other": names}, ("parameter", "other"), name="correlation"
    )
