"""Numbers of free runs as pictures: errors beside their floor, leads, jets, spectra, drift."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from closura.core.durations import days
from closura.evaluation.scores import FLOOR
from closura.report.cast import FLOOR_ROLE, TRUTH_ROLE, Role
from closura.report.drawing import (
    FULL,
    HALF,
    Absence,
    Drawn,
    band,
    begin,
    finish,
    legend,
    limit_errors,
    note,
    power_label,
)
from closura.report.material import Material
from closura.report.numbers import (
    Curve,
    curve,
    interval,
    label,
    pick,
    resolved,
    units_of,
    variables_of,
    written,
)

ERRORS, ERRORS_TITLE = "errors", "Error of the time mean, beside the noise floor"
LEADS, LEADS_TITLE = "leads", "Short forecasts from the truth: error against lead time"
JETS, JETS_TITLE = "jets", "Jets: latitude and strength"
SPECTRA, SPECTRA_TITLE = "spectrum", "Spectrum by wave number"
ADDED, ADDED_TITLE = "added", "What the closures added, by level"
GUARDS, GUARDS_TITLE = "guards", "What the guards did"
DRIFT, DRIFT_TITLE = "drift", "Drift: global means, block by block"
MOST_VARIABLES = 4
EARTHLY = ("wind", "temperature")  # what is drawn where it is there; all else otherwise


def shown_variables(material: Material) -> list[str]:
    """Return the variables worth a panel: wind and temperature, or whatever the model has."""
    names = list(variables_of(material.run.scores))
    return [name for name in EARTHLY if name in names] or names[:MOST_VARIABLES]


def draw_errors(material: Material) -> Drawn:
    """Draw the error of every run with its interval, and the floor with its own."""
    scores, variables = material.run.scores, shown_variables(material)
    if scores is None or not variables or "mean_error" not in scores:
        return Absence(ERRORS, ERRORS_TITLE, material.run.why("scores.nc"))
    roles = list(material.cast.competitors)
    figure, axes = begin(
        1, 2 * len(variables), width=FULL, height=1.0 + 0.3 * len(roles), sharey=True
    )
    for index, variable in enumerate(variables):
        pair = axes[0, 2 * index : 2 * index + 2]
        for panel, (name, words) in zip(
            pair, (("mean_error", "maps"), ("zonal_error", "zonal means")), strict=True
        ):
            _error_panel(panel, material, name, variable, roles)
            panel.set_title(f"{variable}: {words}")
            panel.set_xlabel(label("RMSE", units_of(scores, name, variable)))
    axes[0, 0].set_yticks(range(len(roles)), [role.label for role in roles])
    axes[0, 0].set_ylim(len(roles) - 0.5, -0.5)
    caption = (
        "Dots: root-mean-square error of the time mean, over area and mass; bars: intervals by "
        "bootstrap over blocks of time. Dashed: the noise floor, two runs of one climate; shaded, "
        "its interval. A run inside the shading cannot be told from the truth."
    )
    return finish(figure, ERRORS, ERRORS_TITLE, caption)


def _error_panel(
    axes: Axes, material: Material, name: str, variable: str, roles: list[Role]
) -> None:
    scores = material.run.scores
    floor = interval(scores, name, FLOOR, variable)
    if np.isfinite(floor.value):
        axes.axvspan(floor.lower, floor.upper, color=FLOOR_ROLE.colour, alpha=0.22, lw=0)
        axes.axvline(floor.value, color=FLOOR_ROLE.colour, ls=FLOOR_ROLE.dash, lw=1.2)
    highest = floor.upper if np.isfinite(floor.upper) else 0.0
    for place, role in enumerate(roles):
        found = interval(scores, name, role.name, variable)
        if not np.isfinite(found.value):
            axes.text(0.03, place, "blew up", transform=axes.get_yaxis_transform(), va="center",
                      fontsize=8, color="#8a3b00")  # fmt: skip
            continue
        axes.plot([found.lower, found.upper], [place] * 2, color=role.colour, lw=2.4, alpha=0.5)
        axes.plot(found.value, place, "o", color=role.colour, ms=5.5)
        highest = max(highest, found.upper)
    axes.set_xlim(0, 1.08 * highest or 1.0)
    axes.grid(visible=False, axis="y")


def draw_leads(material: Material) -> Drawn:
    """Draw the error of short forecasts against lead time."""
    scores, variables = material.run.scores, shown_variables(material)
    if scores is None or "forecast_rmse" not in scores:
        reason = "No forecasts were made: they need a truth that is a model, and a lead."
        return Absence(LEADS, LEADS_TITLE, reason)
    figure, axes = begin(1, len(variables), width=FULL, height=3.3)
    seen: list[Role] = []
    scale, unit = time_scale(material)
    for panel, variable in zip(axes[0], variables, strict=True):
        named = []
        for role in material.cast.competitors:
            found = curve(scores, "forecast_rmse", role.name, variable, "lead")
            if found is None:
                continue
            band(panel, role, Curve(found.x / scale, found.y, found.lower, found.upper))
            named.append((role.name, found.y))
            seen.append(role)
        limit_errors(panel, named)
        panel.set_xlabel(label("lead", unit))
        panel.set_ylabel(label(f"RMSE of {variable}", units_of(scores, "mean_error", variable)))
        panel.margins(x=0)
    legend(figure, [role for role in material.cast.competitors if role in seen])
    caption = "Root-mean-square over area, mass and starts. Bands: bootstrap over the starts."
    return finish(figure, LEADS, LEADS_TITLE, caption)


def draw_jets(material: Material) -> Drawn:
    """Draw where the jets are and how strong."""
    scores = material.run.scores
    if scores is None or "jet_strength" not in scores:
        return Absence(JETS, JETS_TITLE, "The model has no zonal wind on latitudes.")
    figure, axes = begin(1, 2, width=FULL, height=3.1, sharey=True)
    seen: list[Role] = []
    for panel, hemisphere in zip(axes[0], ("south", "north"), strict=True):
        for role in (*material.cast.everyone, TRUTH_ROLE):
            place = _jet(scores, role, hemisphere)
            if place is None:
                continue
            marker = {"truth": "*", "floor": "D"}.get(role.kind, "o")
            size = 13 if role.kind == "truth" else 7
            panel.plot(*place, marker, color=role.colour, ms=size, mec="white", mew=0.6)
            seen.append(role)
        panel.set_title(f"{hemisphere}ern hemisphere")
        panel.set_xlabel("latitude of the jet")
        panel.margins(0.15)
    axes[0, 0].set_ylabel(label("strongest zonal-mean wind", "m s-1"))
    legend(figure, [TRUTH_ROLE, *(role for role in material.cast.everyone if role in seen)])
    caption = "Star: the truth; diamond: an independent truth. The nearer to the star, the better."
    return finish(figure, JETS, JETS_TITLE, caption)


def _jet(scores: Any, role: Role, hemisphere: str) -> tuple[float, float] | None:
    prefix, model = ("truth_", None) if role.kind == "truth" else ("", role.name)
    found = []
    for name in ("jet_latitude", "jet_strength"):
        array = pick(scores, prefix + name, model, None)
        if array is None:
            return None
        found.append(float(array.sel(hemisphere=hemisphere)))
    return (found[0], found[1]) if np.isfinite(found).all() else None


def draw_spectrum(material: Material) -> Drawn:
    """Draw energy, or variance, by wave number along the latitude circle or ring."""
    scores = material.run.scores
    truth = curve(scores, "truth_spectrum", None, None, "wave_number")
    if scores is None or truth is None:
        return Absence(SPECTRA, SPECTRA_TITLE, material.run.why("scores.nc"))
    figure, axes = begin(1, 2, width=FULL, height=3.3)
    left, right = axes[0]
    seen, here = [], resolved(truth)
    for role in material.cast.everyone:
        found = curve(scores, "spectrum", role.name, None, "wave_number")
        if found is None:
            continue
        left.plot(found.x[here], found.y[here], **role.line)
        right.plot(found.x[here], found.y[here] / truth.y[here], **role.line)
        seen.append(role)
    left.plot(truth.x[here], truth.y[here], **TRUTH_ROLE.line)
    right.axhline(1.0, color="black", lw=1.2)
    left.set_yscale("log")
    left.set_ylim(truth.y[here].min() / 3, truth.y[here].max() * 3)
    right.set_ylim(0, min(3.0, right.get_ylim()[1]))
    words = "kinetic energy" if "jet_strength" in scores else "variance"
    left.set_ylabel(f"{words} by wave number")
    right.set_ylabel("run / truth")
    for panel in (left, right):
        panel.set_xlabel("wave number")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(figure, [TRUTH_ROLE, *seen])
    caption = (
        "Of instantaneous fields, averaged over time, area and mass; the mean is left out, and so "
        "are wave numbers that the truth does not resolve."
    )
    return finish(figure, SPECTRA, SPECTRA_TITLE, caption)


def draw_added(material: Material) -> Drawn:
    """Draw what each closure added in its free run, by level: mean and root-mean-square."""
    scores = material.run.scores
    if scores is None or "added_rms" not in scores or "level" not in scores["added_rms"].dims:
        reason = "Nothing was added on levels."
        return Absence(ADDED, ADDED_TITLE, reason)
    names = [str(name) for name in scores["added"].values]
    figure, axes = begin(2, len(names), width=FULL, height=5.4, sharey=True)
    seen: list[Role] = []
    for row, what, words in zip(axes, ("added_rms", "added_mean"), ("rms", "mean"), strict=True):
        for panel, name in zip(row, names, strict=True):
            scale, units = rate_of(scores, name)
            for role in material.cast.closures:
                values = pick(scores, what, role.name, None)
                profile = None if values is None else values.sel(added=name).values * scale
                if profile is not None and np.isfinite(profile).all():
                    panel.plot(profile, scores["level"].values, **role.line)
                    seen.append(role)
            power_label(panel.xaxis, f"{words} of {name}", units)
            panel.axvline(0.0, color="#bbbbbb", lw=0.8, zorder=1)
        row[0].set_ylabel("σ = p / surface pressure")
    axes[0, 0].set_ylim(1.0, 0.0)
    legend(figure, [role for role in material.cast.closures if role in seen])
    caption = (
        "In the free runs, after all guards. A closure that adds much aloft where there is nothing "
        "to correct is one to taper."
    )
    return finish(figure, ADDED, ADDED_TITLE, caption)


def draw_guards(material: Material) -> Drawn:
    """Draw how much each guard limited, tapered or found novel, by closure."""
    scores = material.run.scores
    if scores is None or "guard_share" not in scores:
        return Absence(GUARDS, GUARDS_TITLE, "The closures had no guards that keep count.")
    names = [str(name) for name in scores["guard"].values]
    roles = list(material.cast.closures)
    height = 0.9 + 0.3 * len(roles)
    figure, axes = begin(1, len(names), width=FULL, height=height, sharey=True)
    for panel, name in zip(axes[0], names, strict=True):
        for place, role in enumerate(roles):
            found = pick(scores, "guard_share", role.name, None)
            share = float("nan") if found is None else 100 * float(found.sel(guard=name))
            panel.barh(place, share, color=role.colour, height=0.6)
            words = f" {written(share, 2)} %" if np.isfinite(share) else " –"
            panel.text(np.nan_to_num(share), place, words, va="center", fontsize=8)
        panel.set_title(name)
        panel.set_xlabel("share [%]")
        panel.margins(x=0.25)
    axes[0, 0].set_yticks(range(len(roles)), [role.label for role in roles])
    axes[0, 0].set_ylim(len(roles) - 0.5, -0.5)
    caption = (
        "Mean over the free run. Limited and novel: share of columns; tapered: share of what the "
        "closure wanted to add that was taken away."
    )
    return finish(figure, GUARDS, GUARDS_TITLE, caption)


def draw_drift(material: Material) -> Drawn:
    """Draw the global mean of each block of each run."""
    scores = material.run.scores
    if scores is None or "truth_course" not in scores or scores.sizes.get("block", 0) < 2:
        return Absence(DRIFT, DRIFT_TITLE, material.run.why("scores.nc"))
    names = [str(name) for name in scores["of"].values][:MOST_VARIABLES]
    figure, axes = begin(1, len(names), width=FULL if len(names) > 1 else HALF, height=2.9)
    seen = []
    for panel, name in zip(axes[0], names, strict=True):
        for role in material.cast.everyone:
            values = pick(scores, "course", role.name, None)
            if values is None or not np.isfinite(values.sel(of=name).values).all():
                continue
            panel.plot(1 + np.arange(values.sizes["block"]), values.sel(of=name), **role.line)
            seen.append(role)
        truth = scores["truth_course"].sel(of=name)
        panel.plot(1 + np.arange(truth.size), truth, **TRUTH_ROLE.line)
        panel.set_xlabel("block of time")
        panel.set_title(name)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    if material.run.scores is not None and not seen:
        note(axes[0, 0], "no run reached its end")
    legend(figure, [TRUTH_ROLE, *(role for role in material.cast.everyone if role in seen)])
    caption = "Mean over area and mass, one point a block. A line that climbs has not settled."
    return finish(figure, DRIFT, DRIFT_TITLE, caption)


def time_scale(material: Material) -> tuple[float, str]:
    """Return what times are divided by to be read, and their unit then."""
    units = str(material.run.scores.attrs.get("time_units", "")) if material.run.scores else ""
    return (days, "days") if units == "s" else (1.0, "time units")


def rate_of(scores: xr.Dataset, name: str) -> tuple[float, str]:
    """Return what an added tendency is multiplied with to be read, and its units then."""
    in_seconds = scores.attrs.get("time_units") == "s"
    scale, per = (days, "day-1") if in_seconds else (1.0, "per time unit")
    units = pick(scores, "added_units", None, None)
    of = "" if units is None else str(units.sel(added=name).item())
    return scale, per if of in ("", "1") else f"{of} {per}"
