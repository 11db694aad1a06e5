"""Scores and profiles of a user's own columns: by level, in the mean, in time and height."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from closura.report.cast import Role
from closura.report.drawing import (
    FULL,
    Absence,
    Drawn,
    band,
    begin,
    finish,
    legend,
    note,
    power_label,
)
from closura.report.material import Material
from closura.report.numbers import (
    curve,
    interval,
    label,
    units_of,
    variables_of,
    written,
)
from closura.report.predictions import flat

LEVELS, LEVELS_TITLE = "scores_by_level", "Skill by level on the held-out blocks"
MEANS, MEANS_TITLE = "column_means", "Column means with their intervals"
LEARNING, LEARNING_TITLE = "learning_curves", "Would more columns help? Learning curves"
SCORES = (("r_squared", "R²"), ("rmse", "RMSE"), ("bias", "bias"))
PRESSURE = {"Pa", "hPa", "mbar", "mb"}
HEIGHT = {"m", "km"}
WORST_R_SQUARED = -1.0  # a curve below is cut off: it is worse than useless already
LEARNING_SCORE = "learning_curve"


class Levels(NamedTuple):
    """The vertical axis: values, its name, and whether it grows upward (as height does)."""

    dim: str
    values: np.ndarray
    words: str
    upward: bool = False


def level_axis(material: Material) -> Levels | None:
    """Return the level dimension of the offline scores, or None where there are no profiles.

    Its values are pressures where the scores or the inputs hold them, else what the file says of
    its levels, else their numbers.
    """
    offline = material.run.offline
    if offline is None or "r_squared" not in offline:
        return None
    dims = [str(dim) for dim in offline["r_squared"].dims if dim not in ("model", "variable")]
    if len(dims) != 1 or offline.sizes[dims[0]] < 2:
        return None
    for name in ("pressure", dims[0]):
        if name in offline.coords and offline[name].dims == (dims[0],):
            units = str(offline[name].attrs.get("units", ""))
            values = np.asarray(offline[name].values, float)
            if units in PRESSURE:
                return _pressure_axis(dims[0], values, units)
            if units:
                return Levels(dims[0], values, label(dims[0], units), upward=units in HEIGHT)
    return _axis_from_inputs(material, dims[0], offline.sizes[dims[0]])


def _axis_from_inputs(material: Material, dim: str, size: int) -> Levels:
    pairs = material.held_out
    for name, values in pairs.inputs.items() if pairs is not None else ():
        about = pairs.variables.get(name) if pairs is not None else None
        if about is not None and about.units in PRESSURE and np.shape(values)[2:] == (size,):
            return _pressure_axis(dim, flat(values).mean(axis=0), about.units)
    return Levels(dim, np.arange(size, dtype=float), f"{dim} (number in the file)")


def _pressure_axis(dim: str, values: np.ndarray, units: str) -> Levels:
    return Levels(dim, values / 100 if units == "Pa" else values, label("pressure", "hPa"))


def draw_levels(material: Material) -> Drawn:
    """Draw R², RMSE and bias of every model by level, intervals shaded."""
    offline = material.run.offline
    axis = level_axis(material)
    variables = variables_of(offline)
    if offline is None or axis is None or not variables:
        return Absence(LEVELS, LEVELS_TITLE, material.run.why("offline.nc"))
    scores = [(name, words) for name, words in SCORES if name in offline]
    rows = len(variables)
    figure, axes = begin(rows, len(scores), width=FULL, height=0.6 + 3.1 * rows, sharey=True)
    seen: list[Role] = []
    for row, variable in zip(axes, variables, strict=True):
        for panel, (name, words) in zip(row, scores, strict=True):
            seen += _level_panel(panel, material, name, variable, axis)
            units = "" if name == "r_squared" else units_of(offline, name, variable)
            power_label(panel.xaxis, f"{words} of {variable}", units)
        row[0].set_ylabel(axis.words)
    downward(axes[0, 0], axis)
    legend(figure, [role for role in material.cast.competitors if role in seen])
    caption = (
        "Shaded: confidence intervals from block bootstrap. "
        "R² is left out at levels where the target does not vary: there it is undefined."
    )
    return finish(figure, LEVELS, LEVELS_TITLE, caption)


def _level_panel(
    axes: Axes, material: Material, name: str, variable: str, axis: Levels
) -> list[Role]:
    seen, values = [], []
    for role in material.cast.competitors:
        found = curve(material.run.offline, name, role.name, variable, axis.dim)
        if found is None:
            continue
        if found.lower is not None and found.upper is not None:
            axes.fill_betweenx(
                axis.values, found.lower, found.upper, color=role.colour, alpha=0.15, lw=0
            )
        axes.plot(found.y, axis.values, **role.line)
        values.append(found.y)
        seen.append(role)
    if not values:
        note(axes, "no score: the target does not vary")
        return seen
    axes.axvline(0.0, color="#999999", lw=0.9, zorder=1)
    _limit_scores(axes, name, np.stack(values))
    return seen


def _limit_scores(axes: Axes, name: str, values: np.ndarray) -> None:
    known = values[np.isfinite(values)]
    if name == "r_squared":
        low = float(known.min())
        axes.set_xlim(max(WORST_R_SQUARED, min(0.0, low) - 0.05), 1.03)
        if low < WORST_R_SQUARED:
            note(axes, f"lowest R²: {written(low, 2)}", x=0.03, y=0.03)
        return
    tops = np.nanmax(np.where(np.isfinite(values), abs(values), np.nan), axis=1)
    reach = 1.1 * min(float(tops.max()), 2.5 * float(np.median(tops))) or 1.0
    axes.set_xlim(0 if name == "rmse" else -reach, reach)


def draw_column_means(material: Material) -> Drawn:
    """Draw the scores of the mass-weighted column means, with intervals."""
    offline = material.run.offline
    variables = variables_of(offline)
    scores = [
        (f"column_{name}", words) for name, words in SCORES
        if offline is not None and f"column_{name}" in offline
    ]  # fmt: skip
    if offline is None or not scores or not variables:
        return Absence(MEANS, MEANS_TITLE, material.run.why("offline.nc"))
    roles = [
        role for role in material.cast.competitors
        if any(np.isfinite(interval(offline, scores[0][0], role.name, v).value) for v in variables)
    ]  # fmt: skip
    rows = len(variables)
    height = 0.5 + rows * (0.75 + 0.2 * len(roles))
    figure, axes = begin(rows, len(scores), width=FULL, height=height, sharey=True)
    for row, variable in zip(axes, variables, strict=True):
        for panel, (name, words) in zip(row, scores, strict=True):
            _mean_panel(panel, offline, name, variable, roles)
            units = "" if name.endswith("squared") else units_of(offline, name, variable)
            power_label(panel.xaxis, f"{words} of {variable}", units)
    axes[0, 0].set_yticks(range(len(roles)), [role.label for role in roles])
    axes[0, 0].set_ylim(len(roles) - 0.4, -0.6)
    caption = "Mass-weighted over the column. Bars: confidence intervals from block bootstrap."
    return finish(figure, MEANS, MEANS_TITLE, caption)


def _mean_panel(
    axes: Axes, offline: xr.Dataset, name: str, variable: str, roles: list[Role]
) -> None:
    axes.grid(visible=False, axis="y")
    axes.axvline(0.0, color="#999999", lw=0.9, zorder=1)
    lows = []
    for place, role in enumerate(roles):
        found = interval(offline, name, role.name, variable)
        axes.plot([found.lower, found.upper], [place, place], color=role.colour, lw=2.2, alpha=0.5)
        axes.plot(found.value, place, "o", color=role.colour, ms=5.5)
        lows += [found.value, found.lower]
    known = [low for low in lows if np.isfinite(low)]
    if name.endswith("r_squared") and known:
        axes.set_xlim(max(WORST_R_SQUARED, min(0.0, *known) - 0.05), 1.03)
        if min(known) < WORST_R_SQUARED:
            note(axes, f"to {written(min(known), 2)}", x=0.02, y=0.03)


def draw_learning(material: Material) -> Drawn:
    """Draw skill against the number of training columns, with its spread."""
    offline = material.run.learning
    if offline is None or "size" not in offline[LEARNING_SCORE].dims:
        return Absence(LEARNING, LEARNING_TITLE, "No learning curves were asked for.")
    variables: list[str | None] = list(variables_of(offline)) or [None]
    columns = min(4, len(variables))
    rows = -(-len(variables) // columns)
    figure, axes = begin(rows, columns, width=FULL, height=0.5 + 2.7 * rows, sharey=True)
    seen: list[Role] = []
    for panel, variable in zip(axes.ravel(), variables, strict=False):
        seen += _learning_panel(panel, material, variable)
        panel.set_title(variable or "all targets")
        panel.set_xlabel("training samples")
    for panel in axes.ravel()[len(variables) :]:
        panel.set_axis_off()
    axes[0, 0].set_ylim(max(WORST_R_SQUARED, axes[0, 0].get_ylim()[0]), 1.03)
    for row in axes:
        row[0].set_ylabel("R² on the held-out blocks")
    legend(figure, [role for role in material.cast.competitors if role in seen])
    caption = (
        "Bands: spread over repetitions. A curve that still rises at its right end says that "
        "more data would help more than another learner."
    )
    return finish(figure, LEARNING, LEARNING_TITLE, caption)


def _learning_panel(axes: Axes, material: Material, variable: str | None) -> list[Role]:
    seen = []
    for role in material.cast.competitors:
        found = curve(material.run.learning, LEARNING_SCORE, role.name, variable, "size")
        if found is not None:
            band(axes, role, found, marker="o", ms=3.5)
            seen.append(role)
    return seen


def downward(axes: Axes, axis: Levels) -> None:
    """Let pressure and level numbers grow downward; axes that share them follow."""
    low, high = float(np.min(axis.values)), float(np.max(axis.values))
    axes.set_ylim((low, high) if axis.upward else (high, low))
