"""Whether posteriors are honest, what they predict, and how an inversion got there."""

import numpy as np
import xarray as xr
from scipy.stats import binom

from closura.data.inferences import error_variance
from closura.evaluation.posteriors import HONEST
from closura.report.cast import Role
from closura.report.drawing import FULL, Absence, Drawn, begin, finish, legend
from closura.report.material import Material

COVERAGE, COVERAGE_TITLE = "coverage", "Coverage: how often intervals hold a truth from the prior"
PREDICTIVE, PREDICTIVE_TITLE = "predictive", "What runs with inferred parameters would measure"
PATH, PATH_TITLE = "path", "The way of the ensemble, iteration by iteration"
MOST_STATISTICS = 60
COLUMNS = 4


def draw_coverage(material: Material) -> Drawn:
    """Draw empirical against nominal coverage, one panel a parameter."""
    found = {r: p["rank"] for r, p in material.posteriors.found.items() if "rank" in p}
    if not found:
        reason = (
            "No posterior is amortised: coverage would take a new inference for every truth drawn "
            "from the prior. NPE with one round has it for free."
        )
        return Absence(COVERAGE, COVERAGE_TITLE, reason)
    names = material.posteriors.parameters
    panels = _panels(len(names), height=2.9)
    figure, axes = panels
    nominal = np.linspace(0.02, 0.98, 49)
    cases = max(rank.sizes["case"] for rank in found.values())
    lower, upper = np.array(binom.interval(HONEST, cases, nominal)) / cases
    for place, name in enumerate(names):
        panel = axes[place]
        panel.fill_between(nominal, lower, upper, color="#8c8c8c", alpha=0.25, lw=0)
        panel.plot([0, 1], [0, 1], color="#8c8c8c", lw=1.0)
        for role, rank in found.items():
            away = 2 * np.abs(rank.values[place] - 0.5)
            panel.plot(nominal, (away[:, None] <= nominal).mean(axis=0), **role.line)
        panel.set_title(name)
        panel.set_xlabel("nominal")
        panel.set_aspect("equal")
        if place % COLUMNS == 0:
            panel.set_ylabel("found")
    legend(figure, list(found))
    caption = (
        f"Central intervals of {cases} truths drawn from the prior, each measured by a run of its "
        "own. Below the diagonal: too sure of itself. Grey: where an honest posterior lies 19 "
        "times in 20."
    )
    return finish(figure, COVERAGE, COVERAGE_TITLE, caption)


def draw_predictive(material: Material) -> Drawn:
    """Draw predicted statistics in units of the measurement's error."""
    posteriors = material.posteriors
    found = {r: p["predicted"].values for r, p in posteriors.found.items() if "predicted" in p}
    if not found or posteriors.measured is None:
        why = "No posterior was simulated: check.predictive is 0, or the runs are still to come."
        return Absence(PREDICTIVE, PREDICTIVE_TITLE, why)
    measured = posteriors.measured
    scale = np.sqrt(error_variance(measured))
    count = min(MOST_STATISTICS, len(scale))
    figure, axes = begin(width=FULL, height=3.2)
    panel = axes[0, 0]
    panel.axhspan(-1, 1, color="#8c8c8c", alpha=0.2, lw=0)
    panel.axhline(0, color="black", lw=1.6)
    for turn, (role, runs) in enumerate(found.items()):
        away = ((runs - measured["value"].values[:, None]) / scale[:, None])[:count]
        seen = np.isfinite(away).any(axis=1)
        low, middle, high = np.nanquantile(away[seen], [0.05, 0.5, 0.95], axis=1)
        place = np.flatnonzero(seen) + 0.7 * ((turn + 0.5) / len(found) - 0.5)
        panel.vlines(place, low, high, color=role.colour, lw=2.2)
        panel.plot(place, middle, "o", ms=4, color=role.colour)
    panel.set_xticks(np.arange(count), [str(number + 1) for number in range(count)])
    panel.set_xlabel("statistic, in the simulator's order")
    panel.set_ylabel("predicted − measured [error]")
    legend(figure, list(found))
    more = f" The first {count} of {len(scale)} statistics." if count < len(scale) else ""
    caption = (
        "Bars hold 90 % of runs with parameters drawn from each posterior, dots their median; "
        "black is what was measured, grey one standard deviation of the difference between "
        f"measured and simulated under the true parameters.{more}"
    )
    return finish(figure, PREDICTIVE, PREDICTIVE_TITLE, caption)


def draw_path(material: Material) -> Drawn:
    """Draw the members of ensemble calibrators by iteration."""
    posteriors = material.posteriors
    found = {r: p for r, p in posteriors.found.items() if "member" in p}
    if not found:
        return Absence(PATH, PATH_TITLE, "No calibrator moved an ensemble by iterations.")
    names = posteriors.parameters
    figure, axes = _panels(len(names), height=2.4)
    for place, name in enumerate(names):
        for role, posterior in found.items():
            _one_path(axes[place], role, posterior, place)
        if posteriors.truth is not None:
            axes[place].axhline(posteriors.truth[place], color="black", lw=1.2)
        axes[place].set_title(name)
        axes[place].set_xlabel("iteration")
    legend(figure, list(found))
    caption = "Line: mean of the members; area: one standard deviation; black: the truth."
    return finish(figure, PATH, PATH_TITLE, caption)


def _one_path(panel, role: Role, posterior: xr.Dataset, place: int) -> None:
    members = posterior["member"].values[:, place]
    last = posterior["draw"].values[place]
    mean = np.append(members.mean(axis=1), last.mean())
    deviation = np.append(members.std(axis=1), last.std())
    steps = np.arange(len(mean))
    panel.fill_between(
        steps, mean - deviation, mean + deviation, color=role.colour, alpha=0.18, lw=0
    )
    panel.plot(steps, mean, **role.line)


def _panels(count: int, *, height: float):
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    figure, axes = begin(rows, columns, width=FULL, height=0.4 + height * rows)
    for panel in axes.ravel()[count:]:
        panel.set_axis_off()
    return figure, axes.ravel()
