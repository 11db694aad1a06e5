"""How solvers did: their scores, errors and spreads in time, ranks and innovations."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from closura.report.analyses import (
    LIMITS,
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
DASHES = ((0, (1, 1.5)), (0, (5, 2)))  # of the observation error, of climatology
DASHED = (0, (2, 1.6))  # what is expected
Panel = Callable[[Axes, str, Mapping[Role, xr.Dataset]], None]


def draw_scores(material: Material) -> Drawn:
    """Draw the error of every analysis with its interval, a row a solver."""
    run, entries = material.run, entries_of(material.run)
    solvers = list(dict.fromkeys(entry.solver for entry in entries))
    if not entries:
        return Absence(SCORES, SCORES_TITLE, run.why("scores.nc"))
    roles = _roles(material)
    height = 1.3 + (0.2 + 0.17 * len(roles)) * len(solvers)
    figure, axes = begin(width=FULL, height=height)
    panel = axes[0, 0]
    for entry in entries:
        _score_mark(panel, material, entry, solvers.index(entry.solver), roles)
    for (name, _), look in zip(LIMITS, DASHES, strict=True):
        panel.axvline(limit_of(run, name), **_limit_look(look), zorder=1.4)
    panel.set_xscale("log")
    plain_powers(panel.xaxis)
    panel.margins(x=0.08)
    panel.set_yticks(range(len(solvers)), solvers)
    panel.set_ylim(len(solvers) - 0.5, -0.5)
    panel.grid(visible=False, axis="y")
    panel.set_xlabel("error of the analysis (dot), spread (stroke)")
    legend(figure, _named(roles), _limit_handles())
    caption = (
        "Dots: mean error of the analysis over time and twins, with its interval. Strokes: mean "
        "spread, of solvers with members."
    )
    return finish(figure, SCORES, SCORES_TITLE, caption)


def draw_series(material: Material) -> Drawn:
    """Draw error and spread of the analysis in time, a panel a solver, of the first twin."""

    def paint(panel: Axes, solver: str, series: Mapping[Role, xr.Dataset]) -> None:
        for role, found in series.items():
            first = found.isel(seed=0)
            for name, look in (("analysis_rmse", "solid"), ("analysis_spread", (0, (3, 1.5)))):
                time, values = _running_mean(first["time"].values, first[name].values)
                if values.max() > 0:  # a single state has no spread
                    panel.plot(time, values, color=role.colour, lw=1.3, ls=look)
        for (name, _), look in zip(LIMITS, DASHES, strict=True):
            panel.axhline(limit_of(material.run, name), **_limit_look(look), zorder=1.4)
        panel.axvspan(0, next(iter(series.values())).attrs["skip"], color="#f0f0f0", lw=0, zorder=0)
        panel.set_yscale("log")
        plain_powers(panel.yaxis)
        panel.margins(x=0)
        panel.set_xlabel("time")

    looks = [Line2D([], [], color="#333333", lw=1.4, label="error"),
             Line2D([], [], color="#333333", lw=1.4, ls=(0, (3, 1.5)), label="spread")]  # fmt: skip
    caption = (
        f"Means over windows of 1/{WINDOWS} of the run, first twin. Grey area: left out of scores."
    )
    return _small_multiples(
        material, paint, (SERIES, SERIES_TITLE), caption, [*looks, *_limit_handles()],
        words="error, spread", from_zero=False,
    )  # fmt: skip


def draw_ranks(material: Material) -> Drawn:
    """Draw how often the truth has each rank, over what chance would give."""

    def paint(panel: Axes, solver: str, series: Mapping[Role, xr.Dataset]) -> None:
        for role, found in series.items():
            counts = found["rank_histogram"].sum("seed").values
            share = counts / counts.mean()
            edges = np.arange(counts.size + 1) / counts.size
            panel.stairs(share, edges, color=role.colour, lw=1.4, baseline=None)
        panel.axhline(1.0, color="#222222", lw=0.9, ls=DASHED, zorder=1.5)
        panel.set_xlim(0, 1)
        panel.set_xlabel("rank / number of ranks")

    caption = (
        "Counts over their mean: 1 everywhere for members that the truth could be one of. A hump: "
        "too wide; a trough: too narrow; a slope: a bias. All points, twins and times after the "
        "skip. Solvers with one member have no ranks."
    )
    return _small_multiples(
        material, paint, (RANKS, RANKS_TITLE), caption, [], words="count / mean count",
        having="rank_histogram",
    )  # fmt: skip


def draw_innovations(material: Material) -> Drawn:
    """Draw the density of innovations in units of their expected deviation."""

    def paint(panel: Axes, solver: str, series: Mapping[Role, xr.Dataset]) -> None:
        for role, found in series.items():
            panel.plot(found["deviation"], found["innovation_density"].mean("seed"), **role.line)
        place = next(iter(series.values()))["deviation"].values
        normal = np.exp(-(place**2) / 2) / np.sqrt(2 * np.pi)
        panel.plot(place, normal, color="#222222", lw=1.0, ls=DASHED, zorder=3)
        panel.set_xlim(-4, 4)
        panel.set_xlabel("innovation / expected deviation")
        for line, role in enumerate(series):
            ratio = value_of(material.run, "innovation_ratio", Entry(solver, role.name)).value
            panel.text(
                0.02, 0.96 - 0.1 * line, f"rms {written(ratio)}", color=role.colour, va="top",
                transform=panel.transAxes, fontsize=8,
            )  # fmt: skip

    normal = Line2D([], [], color="#222222", lw=1.0, ls=DASHED, label="normal, expected")
    caption = (
        "rms: of the innovations over what is expected of them: the spread of the forecast at the "
        "observations and their error, squares added. "
        "Narrower than the normal curve: the members are too wide; wider: too narrow, or the model "
        "errs. Solvers with one member are held to the observation error alone."
    )
    about = (INNOVATIONS, INNOVATIONS_TITLE)
    return _small_multiples(material, paint, about, caption, [normal], words="density")


def _small_multiples(
    material: Material, paint: Panel, about: tuple[str, str], caption: str, handles: list[Any], *,
    words: str, having: str = "analysis_rmse", from_zero: bool = True,
) -> Drawn:  # fmt: skip
    """Draw a panel for each solver that has what is to be drawn."""
    roles = _roles(material)
    panels: dict[str, dict[Role, xr.Dataset]] = {}
    for entry, found in all_series(material).items():
        if having in found and np.isfinite(found[having]).all() and entry.model in roles:
            panels.setdefault(entry.solver, {})[roles[entry.model]] = found
    if not panels:
        missing = [name for name in material.run.missing if name.startswith("analyses")]
        return Absence(*about, material.run.why(*missing))
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = begin(rows, columns, width=FULL, height=0.6 + 2.2 * rows, sharey=True)
    every = list(axes.ravel())
    for panel, (solver, curves) in zip(every, panels.items(), strict=False):
        paint(panel, solver, curves)
        panel.set_title(solver)
        if panel in axes[:, 0]:
            panel.set_ylabel(words)
        entries = {role.name: Entry(solver, role.name) for role in curves}
        failed = [name for name, entry in entries.items() if diverged_of(material.run, entry)]
        if failed:
            note(panel, "diverged" if len(curves) == 1 else f"diverged: {', '.join(failed)}")
    for panel in every[len(panels) :]:
        panel.set_axis_off()
    if from_zero:
        every[0].set_ylim(bottom=0)  # all panels share it, and its top only now
    if handles or len(roles) > 1:
        legend(figure, _named(roles), handles)
    return finish(figure, *about, caption)


def _roles(material: Material) -> dict[str, Role]:
    """Return the look of every model that forecasts: none first, then the closures."""
    return {role.name: role for role in material.cast.competitors}


def _named(roles: Mapping[str, Role]) -> list[Role]:
    """Return the models that a key must tell apart: one alone needs no name."""
    return list(roles.values()) if len(roles) > 1 else []


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
    left = not 0 < spread < error.value  # on the side where the stroke is not
    panel.annotate(
        written(error.value), (error.lower if left else error.upper, place),
        xytext=(-6 if left else 6, 0), textcoords="offset points", ha="right" if left else "left",
        va="center", fontsize=8, color=colour,
    )  # fmt: skip


def plain_powers(axis: Axis) -> None:
    """Label a logarithmic axis at 1, 2 and 5 of every power of ten, with plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value:g}")


def _limit_look(dash: Any) -> dict[str, Any]:
    return {"color": "#555555", "lw": 1.1, "ls": dash}


def _limit_handles() -> list[Line2D]:
    """Return the entries of the key for what errors are held against."""
    words = (words for _, words in LIMITS)
    return [Line2D([], [], **_limit_look(d), label=w) for w, d in zip(words, DASHES, strict=True)]


def _running_mean(time: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means of times and values over windows, each a share of the run."""
    width = max(1, len(values) // WINDOWS)
    count = len(values) // width
    means = [array[: count * width].reshape(count, width).mean(axis=1) for array in (time, values)]
    return means[0], means[1]
