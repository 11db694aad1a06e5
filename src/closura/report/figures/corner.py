"""Posteriors, parameter by parameter and pair by pair, with the truth where it is known."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from scipy.stats import gaussian_kde

from closura.report.cast import TRUTH_ROLE, Role
from closura.report.drawing import HALF, Absence, Drawn, begin, finish, legend
from closura.report.material import Material
from closura.report.posteriors import PRIOR_ROLE, Posteriors

CORNER, CORNER_TITLE = "corner", "Posteriors: every parameter, and every pair"
RIDGE, RIDGE_TITLE = "ridge", "The ridge: the pair of parameters that the measurement ties together"
FEW = 300  # members up to which points are drawn, since their density is not known
FINEST = 60  # points of the grid along a side
CONTOURS = (0.5, 0.9)  # probabilities inside the lines


def draw_corner(material: Material) -> Drawn:
    """Draw marginals on the diagonal, pairs below it."""
    posteriors = material.posteriors
    if not posteriors.found:
        return Absence(CORNER, CORNER_TITLE, material.run.why("measured.nc"))
    names = posteriors.parameters
    lower, upper = posteriors.prior_range()
    size = max(2.0, min(2.6, 10.0 / len(names)))
    figure, axes = begin(len(names), len(names), width=10.0, height=size * len(names))
    for (row, column), panel in np.ndenumerate(axes):
        if column > row:
            panel.set_axis_off()
            continue
        _limit(panel, lower, upper, column, None if row == column else row)
        if row == column:
            _marginals(panel, posteriors, row)
        else:
            _pairs(panel, posteriors, column, row)
        _label(panel, names, row, column)
    _key(figure, posteriors)
    caption = (
        "Lines hold 50 and 90 % of the draws; an ensemble of few members is drawn as points. "
        "Black: the truth. Grey: the prior. What an inversion's ensemble spans is not a posterior; "
        "what a sampler or a flow draws is."
    )
    return finish(figure, CORNER, CORNER_TITLE, caption)


def draw_ridge(material: Material) -> Drawn:
    """Draw the pair of parameters with the strongest correlation, larger."""
    posteriors = material.posteriors
    found = _strongest(posteriors)
    if found is None:
        return Absence(RIDGE, RIDGE_TITLE, "No posterior of two or more parameters is there.")
    role, first, second, correlation = found
    names = posteriors.parameters
    figure, axes = begin(width=HALF, height=HALF)
    panel = axes[0, 0]
    lower, upper = posteriors.prior_range()
    _limit(panel, lower, upper, first, second)
    _pairs(panel, posteriors, first, second)
    panel.set_xlabel(names[first])
    panel.set_ylabel(names[second])
    _key(figure, posteriors)
    caption = (
        f"In the posterior of {role.name} {names[first]} and {names[second]} have the correlation "
        f"{correlation:.2f}: their means alone would hide what the measurement does not tell apart."
    )
    return finish(figure, RIDGE, RIDGE_TITLE, caption)


def _strongest(posteriors: Posteriors) -> tuple[Role, int, int, float] | None:
    """Return the pair with the strongest correlation in the posterior with the most draws."""
    if not posteriors.found or len(posteriors.parameters) < 2:
        return None
    role = max(posteriors.found, key=lambda role: posteriors.found[role].sizes["number"])
    matrix = np.corrcoef(posteriors.found[role]["draw"].values)
    strength = np.abs(np.tril(matrix, -1))
    second, first = np.unravel_index(int(np.nanargmax(strength)), matrix.shape)
    return role, int(first), int(second), float(matrix[second, first])


def _limit(panel: Axes, lower: Any, upper: Any, column: int, row: int | None) -> None:
    margin = 0.12 * (upper - lower)
    panel.set_xlim(lower[column] - margin[column], upper[column] + margin[column])
    if row is not None:
        panel.set_ylim(lower[row] - margin[row], upper[row] + margin[row])


def _marginals(panel: Axes, posteriors: Posteriors, place: int) -> None:
    grid = np.linspace(*panel.get_xlim(), 200)
    for role, found in posteriors.found.items():
        draws = found["draw"].values[place]
        if np.ptp(draws) > 0:
            panel.plot(grid, gaussian_kde(draws)(grid), **role.line)
    lower, upper = posteriors.prior_range()
    panel.axvspan(lower[place], upper[place], color=PRIOR_ROLE.colour, alpha=0.12, lw=0)
    if posteriors.truth is not None:
        panel.axvline(posteriors.truth[place], color="black", lw=1.2, zorder=2.6)
    panel.set_ylim(bottom=0)
    panel.set_yticks([])


def _pairs(panel: Axes, posteriors: Posteriors, first: int, second: int) -> None:
    for role, found in posteriors.found.items():
        draws = found["draw"].values[[first, second]]
        if draws.shape[1] <= FEW:
            panel.plot(*draws, ".", ms=3.5, color=role.colour, alpha=0.7, zorder=2.4)
        else:
            _contours(panel, draws, role)
    if posteriors.truth is not None:
        x, y = posteriors.truth[[first, second]]
        panel.plot(x, y, "+", ms=12, mew=2.0, color="black", zorder=3)


def _contours(panel: Axes, draws: np.ndarray, role: Role) -> None:
    """Draw the lines that hold given shares of the draws."""
    if min(np.ptp(draws, axis=1)) == 0:
        return
    thinned = draws[:, :: max(1, draws.shape[1] // 2000)]
    density = gaussian_kde(thinned)
    x, y = (np.linspace(*limits, FINEST) for limits in (panel.get_xlim(), panel.get_ylim()))
    across = np.meshgrid(x, y)
    heights = density(np.stack([side.ravel() for side in across])).reshape(across[0].shape)
    levels = np.unique(np.quantile(density(thinned), [1 - share for share in CONTOURS]))
    panel.contour(x, y, heights, levels, colors=role.colour, linewidths=1.4, zorder=2.5)


def _label(panel: Axes, names: list[str], row: int, column: int) -> None:
    last = row == len(names) - 1
    panel.set_xlabel(names[column] if last else "")
    panel.set_ylabel(names[row] if column == 0 and row > 0 else "")
    if not last:
        panel.set_xticklabels([])
    if column > 0 and column != row:
        panel.set_yticklabels([])


def _key(figure: Any, posteriors: Posteriors) -> None:
    truth = [TRUTH_ROLE] if posteriors.truth is not None else []
    legend(figure, [*truth, *posteriors.found, PRIOR_ROLE])
