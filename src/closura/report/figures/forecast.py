"""Skill of the forecasts against lead time, and whether ensembles know their own error."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from closura.report.cast import FLOOR_ROLE, Role
from closura.report.drawing import (
    FULL,
    HALF,
    Absence,
    Drawn,
    band,
    begin,
    finish,
    floor_area,
    legend,
    limit_errors,
)
from closura.report.material import Material
from closura.report.numbers import Curve, curve, label, units_of, variables_of
from closura.report.words import floor_in_words

SKILL, SKILL_TITLE = "forecast_skill", "Skill of the forecasts against lead time"
RANKS, RANKS_TITLE = "rank_histogram", "Where the truth falls within the ensemble"
PANELS = (
    ("forecast_mae", "mean absolute error"),
    ("forecast_rmse", "RMSE, and spread (dotted)"),
    ("forecast_correlation", "anomaly correlation"),
)


def draw_skill(material: Material) -> Drawn:
    """Draw error, spread and anomaly correlation of every model against lead time."""
    run, cast = material.run, material.cast
    variables = variables_of(run.scores)
    if run.scores is None or not variables:
        return Absence(SKILL, SKILL_TITLE, run.why("scores.nc"))
    panels = [(name, words) for name, words in PANELS if name in run.scores]
    if not panels:
        return Absence(SKILL, SKILL_TITLE, "The scores hold no forecasts.")
    figure, axes = begin(
        len(variables), len(panels), width=FULL, height=0.5 + 2.9 * len(variables), sharex=True
    )
    seen: list[Role] = []
    spread = False
    for row, variable in zip(axes, variables, strict=True):
        for panel, (name, words) in zip(row, panels, strict=True):
            seen += _skill_panel(panel, material, name, variable)
            if name == "forecast_rmse":
                spread |= _spreads(panel, material, variable)
            units = "" if "correlation" in name else units_of(run.scores, name, variable)
            panel.set_ylabel(
                label(f"{words} of {variable}" if len(variables) > 1 else words, units)
            )
    for panel in axes[-1]:
        panel.set_xlabel(label("lead", units_of(run.scores, "lead") or "time units"))
    extra = [Line2D([], [], color="#444444", ls=":", lw=1.6, label="spread")] if spread else []
    legend(figure, [role for role in cast.everyone if role in seen], extra)
    return finish(figure, SKILL, SKILL_TITLE, _caption(material, spread))


def draw_ranks(material: Material) -> Drawn:
    """Draw the rank histogram of every stochastic closure."""
    scores = material.run.scores
    if scores is None:
        return Absence(RANKS, RANKS_TITLE, material.run.why("scores.nc"))
    variable = next(iter(variables_of(scores)), None)
    found = [
        (role, ranks) for role in material.cast.competitors
        if (ranks := curve(scores, "rank_histogram", role.name, variable, "rank")) is not None
    ]  # fmt: skip
    if not found:
        return Absence(RANKS, RANKS_TITLE, "No ensemble was run: every closure is deterministic.")
    figure, axes = begin(width=HALF, height=3.0)
    panel = axes[0, 0]
    for role, ranks in found:
        share = ranks.y / np.nansum(ranks.y) * len(ranks.y)
        panel.stairs(share, np.arange(len(share) + 1), color=role.colour, ls=role.dash, lw=1.6)
    panel.axhline(1.0, color=FLOOR_ROLE.colour, ls=FLOOR_ROLE.dash, lw=1.2)
    panel.set_xlim(0, len(found[0][1].y))
    panel.set_ylim(0, None)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel("rank of the truth among the members")
    panel.set_ylabel("frequency / uniform")
    legend(figure, [role for role, _ in found])
    caption = (
        "Flat (dashed) is reliable. High at both ends: too little spread. "
        "A hump: too much. A slope: biased."
    )
    return finish(figure, RANKS, RANKS_TITLE, caption)


def _skill_panel(axes: Axes, material: Material, name: str, variable: str) -> list[Role]:
    """Draw one score of all models and return those that had one."""
    named: list[tuple[str, np.ndarray]] = []
    seen: list[Role] = []
    correlation = name.endswith("correlation")
    for role in material.cast.everyone:
        found = curve(material.run.scores, name, role.name, variable, "lead")
        if found is None:
            continue
        if role.kind == "floor" and not correlation:
            floor_area(axes, found, role.colour)
        band(axes, role, found)
        named.append((role.name, _upper(found)))
        seen.append(role)
    if correlation:
        axes.set_ylim(min(0.0, *(float(np.nanmin(y)) for _, y in named)) if named else 0.0, 1.02)
        axes.set_ylim(max(-0.3, axes.get_ylim()[0]), 1.02)
    else:
        limit_errors(axes, named)
    axes.margins(x=0)
    return seen


def _spreads(axes: Axes, material: Material, variable: str) -> bool:
    drawn = False
    for role in material.cast.competitors:
        found = curve(material.run.scores, "forecast_spread", role.name, variable, "lead")
        if found is not None and np.nanmax(found.y) > 0:
            axes.plot(found.x, found.y, **{**role.line, "ls": ":"})
            drawn = True
    return drawn


def _upper(found: Curve) -> np.ndarray:
    return found.y if found.upper is None else np.where(np.isnan(found.upper), found.y, found.upper)


def _caption(material: Material, spread: bool) -> str:
    words = ["Bands: confidence intervals from block bootstrap."]
    if material.cast.floor:
        words.append(f"Hatched: below the noise floor ({floor_in_words(material)}).")
    if spread:
        words.append("An ensemble knows its error where spread (dotted) and RMSE agree.")
    return " ".join(words)
