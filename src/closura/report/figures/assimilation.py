"""How solvers did: their scores, errors and spreads in time, ranks and innovations."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from closura.report.analyses import (
    Entry,
    all_series,
    diverged_of,
    entries_of,
    limit_of,
    value_of,
)
from closura.report.cast import Role
from closura.report.drawing import FULL, Absence, Drawn, begin, finish, legend, note
from closura.report.material import Material
from closura.report.numbers import written

SCORES, SCORES_TITLE = "solvers", "Error of the analysis, and spread"
SERIES, SERIES_TITLE = "analysis_series", "Error and spread in time"
RANKS, RANKS_TITLE = "ranks", "Rank of the truth among the members of the forecast"
INNOVATIONS, INNOVATIONS_TITLE = "innovations", "Innovations against what is expected of them"
COLUMNS = 3
WINDOWS = 60  # a running mean over this share of the run: the eye follows no more points
LIMITS = (("observation_error", "observation error", (0, (1, 1.5))),
          ("climatology_rmse", "climatology", (0, (5, 2))))  # fmt: skip
Panel = Callable[[Axes, Mapping[Role, xr.Dataset]], None]


def draw_scores(material: Material) -> Drawn:
    """Draw the error of every analysis with its interval, a row a solver."""
    run, entries = material.run, entries_of(material.run)
    solvers = list(dict.fromkeys(entry.solver for entry in entries))
    if not entries:
        return Absence(SCORES, SCORES_TITLE, run.why("scores.nc"))
    roles = _roles(material)
    figure, axes = begin(width=FULL, height=1.3 + 0.36 * len(solvers))
    panel = axes[0, 0]
    for entry in entries:
        _score_mark(panel, material, entry, solvers.index(entry.solver), roles)
    panel.set_xscale("log")
    handles = [_limit_line(panel.axvline, material, *limit) for limit in LIMITS]
    panel.set_yticks(range(len(solvers)), solvers)
    panel.set_ylim(len(solvers) - 0.5, -0.5)
    panel.grid(visible=False, axis="y")
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.set_xlabel("error or spread of the analysis")
    spread = Line2D([], [], marker="|", ls="", color="#333333", ms=9, label="spread")
    legend(figure, list(roles.values()), [spread, *handles])
    caption = "Dots: mean error of the analysis, with its interval. Strokes: mean spread."
    return finish(figure, SCORES, SCORES_TITLE, caption)


def draw_series(material: Material) -> Drawn:
    """Draw error and spread of the analysis in time, a panel a solver, of the first twin."""

    def paint(panel: Axes, series: Mapping[Role, xr.Dataset]) -> None:
        for role, found in series.items():
            first = found.isel(seed=0)
            for name, look in (("analysis_rmse", "solid"), ("analysis_spread", (0, (3, 1.5)))):
                time, values = _running_mean(first["time"].values, first[name].values)
                if values.max() > 0:  # a single state has no spread
                    panel.plot(time, values, color=role.colour, lw=1.3, ls=look)
        for limit in LIMITS:
            _limit_line(panel.axhline, material, *limit)
        panel.axvspan(0, next(iter(series.values())).attrs["skip"], color="#f0f0f0", lw=0, zorder=0)
        panel.set_yscale("log")
        panel.margins(x=0)
        panel.set_xlabel("time")

    looks = [Line2D([], [], color="#333333", lw=1.4, label="error"),
             Line2D([], [], color="#333333", lw=1.4, ls=(0, (3, 1.5)), label="spread")]  # fmt: skip
    looks += [Line2D([], [], color="#555555", lw=1.1, ls=ls, label=word) for _, word, ls in LIMITS]
    caption = (
        f"Running means over 1/{WINDOWS} of the run, first twin. Grey area: left out of all scores."
    )
    return _small_multiples(material, paint, (SERIES, SERIES_TITLE), caption, looks, sharey=True)


def draw_ranks(material: Material) -> Drawn:
    """Draw how often the truth has each rank, over what chance would give."""

    def paint(panel: Axes, series: Mapping[Role, xr.Dataset]) -> None:
        for role, found in series.items():
            counts = found["rank_histogram"].sum("seed").values
            share = counts / counts.mean()
            edges = np.arange(counts.size + 1) / counts.size
            panel.stairs(share, edges, color=role.colour, lw=1.4, baseline=None)
        panel.axhline(1.0, color="#222222", lw=0.9, ls=(0, (2, 1.6)), zorder=1.5)
        panel.set_ylim(bottom=0)
        panel.set_xlim(0, 1)
        panel.set_xlabel("rank / number of ranks")

    caption = (
        "Counts over their mean: 1 everywhere for members that the truth could be one of. A hump: "
        "too wide; a trough: too narrow; a slope: a bias. All points, twins and times after the "
        "skip. Solvers with one member have no ranks."
    )
    return _small_multiples(material, paint, (RANKS, RANKS_TITLE), caption, [],
                            having="rank_histogram")  # fmt: skip


def draw_innovations(material: Material) -> Drawn:
    """Draw the density of innovations in units of their expected deviation."""

    def paint(panel: Axes, series: Mapping[Role, xr.Dataset]) -> None:
        for role, found in series.items():
            panel.plot(found["deviation"], found["innovation_density"].mean("seed"), **role.line)
        place = next(iter(series.values()))["deviation"].values
        normal = np.exp(-(place**2) / 2) / np.sqrt(2 * np.pi)
        panel.plot(place, normal, color="#222222", lw=1.0, ls=(0, (2, 1.6)), zorder=3)
        panel.set_xlim(-4, 4)
        panel.set_ylim(bottom=0)
        panel.set_xlabel("innovation / expected deviation")

    normal = Line2D([], [], color="#222222", lw=1.0, ls=(0, (2, 1.6)), label="normal, expected")
    caption = (
        "Expected: the spread of the forecast at the observations and their error, squares added. "
        "Narrower than the normal curve: the members are too wide; wider: too narrow, or the model "
        "errs. Solvers with one member are held to the observation error alone."
    )
    return _small_multiples(material, paint, (INNOVATIONS, INNOVATIONS_TITLE), caption, [normal])


def _small_multiples(
    material: Material, paint: Panel, about: tuple[str, str], caption: str, handles: list[Any], *,
    having: str = "analysis_rmse", sharey: bool = False,
) -> Drawn:  # fmt: skip
    """Draw a panel for each solver that has what is to be drawn."""
    roles, found = _roles(material), all_series(material)
    panels: dict[str, dict[Role, xr.Dataset]] = {}
    for entry, series in found.items():
        if having in series and np.isfinite(series[having]).all():
            panels.setdefault(entry.solver, {})[roles[entry.model]] = series
    if not panels:
        return Absence(
            *about, material.run.why(*(n for n in material.run.missing if "analyses" in n))
        )
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = begin(rows, columns, width=FULL, height=0.6 + 2.2 * rows, sharey=sharey)
    every = list(axes.ravel())
    for panel, (solver, series) in zip(every, panels.items(), strict=False):
        paint(panel, series)
        panel.set_title(solver)
        failed = [
            role.name for role in series if diverged_of(material.run, Entry(solver, role.name))
        ]
        if failed:
            note(panel, "diverged" if len(series) == 1 else f"diverged: {', '.join(failed)}")
    for panel in every[len(panels) :]:
        panel.set_axis_off()
    legend(figure, list(roles.values()), handles)
    return finish(figure, *about, caption)


def _roles(material: Material) -> dict[str, Role]:
    """Return the look of every model that forecasts: none first, then the closures."""
    return {role.name: role for role in material.cast.competitors}


def _score_mark(
    panel: Axes, material: Material, entry: Entry, row: int, roles: Mapping[str, Role]
) -> None:
    names = list(roles)
    place = row + 0.18 * (names.index(entry.model) - (len(names) - 1) / 2)
    colour = roles[entry.model].colour
    failed = diverged_of(material.run, entry)
    if failed:
        panel.annotate(
            failed, (0.01, place), xycoords=("axes fraction", "data"), color=colour, va="center",
            fontsize=8,
        )  # fmt: skip
        return
    error = value_of(material.run, "analysis_rmse", entry)
    panel.plot([error.lower, error.upper], [place, place], color=colour, lw=2.0)
    panel.plot(error.value, place, "o", color=colour, ms=5)
    spread = value_of(material.run, "analysis_spread", entry).value
    if spread > 0:
        panel.plot(spread, place, "|", color=colour, ms=9)
    panel.annotate(
        written(error.value), (error.value, place), xytext=(0, 4), textcoords="offset points",
        ha="center", fontsize=7, color=colour,
    )  # fmt: skip


def _limit_line(
    draw: Callable[..., Any], material: Material, name: str, word: str, look: Any
) -> Any:
    value = limit_of(material.run, name)
    if np.isfinite(value):
        draw(value, color="#555555", lw=1.1, ls=look, zorder=1.4)
    return Line2D([], [], color="#555555", lw=1.1, ls=look, label=word)


def _running_mean(time: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means over windows of a share of the run, root mean square for errors and spreads."""
    width = max(1, len(values) // WINDOWS)
    count = len(values) // width
    cut = lambda array: array[: count * width].reshape(count, width)  # noqa: E731
    return cut(time).mean(axis=1), np.sqrt((cut(values) ** 2).mean(axis=1))
