"""Maps and zonal-mean sections of free runs: what the truth is, and how far each run is from it."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from closura.grids.weights import area_shares
from closura.report.cast import TRUTH_ROLE, Role
from closura.report.drawing import FULL, Absence, Drawn, begin, finish
from closura.report.material import Material
from closura.report.numbers import label, pick

COLUMNS = 4
WORDS = {"u": "eastward wind", "v": "northward wind", "temperature": "temperature"}


def draw_wind_sections(material: Material) -> Drawn:
    """Draw the zonal-mean wind of the truth, and the bias of every run."""
    return _draw_sections(material, "u")


def draw_temperature_sections(material: Material) -> Drawn:
    """Draw the zonal-mean temperature of the truth, and the bias of every run."""
    return _draw_sections(material, "temperature")


def draw_wind_maps(material: Material) -> Drawn:
    """Draw maps of the bias of the time-mean wind."""
    return _draw_maps(material, "u")


def draw_temperature_maps(material: Material) -> Drawn:
    """Draw maps of the bias of the time-mean temperature."""
    return _draw_maps(material, "temperature")


def draw_eddies(material: Material) -> Drawn:
    """Draw the kinetic energy of the eddies of the truth, and the bias of every run."""
    name, title = "sections_eddies", "Eddies: kinetic energy of what departs from the time mean"
    scores = material.run.scores
    if scores is None or "truth_eddy_energy" not in scores:
        return Absence(name, title, material.run.why("scores.nc"))
    truth = scores["truth_eddy_energy"]
    runs = _runs(material, "eddy_energy")
    return _panels(material, name, title, truth, runs, "m2 s-2", "viridis")


def _draw_sections(material: Material, field: str) -> Drawn:
    words = WORDS[field]
    name, title = f"sections_{field}", f"Zonal-mean {words}: the truth, and each run minus it"
    truth = _part(material.run.scores, "truth_section", None, field)
    if truth is None:
        return Absence(name, title, _why(material, field))
    runs = [
        (role, part) for role in material.cast.everyone
        if (part := _part(material.run.scores, "section", role.name, field)) is not None
    ]  # fmt: skip
    return _panels(material, name, title, truth, runs, _units(material, field), "PuOr_r")


def _panels(
    material: Material, name: str, title: str, truth: xr.DataArray, runs: list, units: str,
    colours: str,
) -> Drawn:  # fmt: skip
    """Draw the truth and, on one scale for all, the difference of each run from it."""
    runs = [(role, part) for role, part in runs if np.isfinite(part.values).all()]
    count = 1 + len(runs)
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    figure, axes = begin(
        rows, columns, width=FULL, height=0.9 + 1.85 * rows, sharex=True, sharey=True
    )
    panels = list(axes.ravel())
    absolute = _section(panels[0], truth, _look(truth.values, colours))
    panels[0].set_title("truth", color=TRUTH_ROLE.colour)
    differences = [(role, part - truth) for role, part in runs]
    reach = _reach([part.values for role, part in differences])
    mesh: Any = None
    for panel, (role, part) in zip(panels[1:], differences, strict=False):
        mesh = _section(panel, part, {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach})
        _outline(panel, truth)
        panel.set_title(role.label, color=role.colour)
    for panel in panels[count:]:
        panel.set_axis_off()
    _section_axes(axes)
    _bars(figure, panels[:count], absolute, mesh, units)
    caption = (
        "Time and zonal means of the scored period. One colour scale for all differences. Thin "
        "lines: the truth. The noise floor is an independent truth minus the truth: what looks "
        "like it is no bias."
    )
    return finish(figure, name, title, caption)


def _draw_maps(material: Material, field: str) -> Drawn:
    words = WORDS[field]
    name, title = f"maps_{field}", f"Maps: bias of the time-mean {words}"
    truth = _part(material.run.scores, "truth_map", None, field)
    if truth is None:
        return Absence(name, title, _why(material, field))
    runs = [
        (role, part - truth) for role in material.cast.everyone
        if (part := _part(material.run.scores, "map", role.name, field)) is not None
        and np.isfinite(part.values).all()
    ]  # fmt: skip
    if not runs:
        return Absence(name, title, "No run reached its end.")
    levels = truth["map_level"].values
    figure, axes = begin(
        len(runs), len(levels), width=FULL, height=0.8 + 1.18 * len(runs), sharex=True, sharey=True
    )
    reach = _reach([part.values for _, part in runs])
    mesh: Any = None
    for row, (role, part) in zip(axes, runs, strict=True):
        for panel, index in zip(row, range(len(levels)), strict=True):
            mesh = _map(panel, part.isel(map_level=index), reach)
            rms = float(np.sqrt((part.isel(map_level=index) ** 2).weighted(_area(part)).mean()))
            heading = f"{role.label}, " if index == 0 else ""
            panel.set_title(f"{heading}σ = {levels[index]:.2g}: {rms:.2g}", color=role.colour)
        row[0].set_ylabel("latitude")
    for panel in axes[-1]:
        panel.set_xlabel("longitude")
    figure.colorbar(
        mesh, ax=list(axes.ravel()), label=label("run minus truth", _units(material, field)),
        aspect=50, pad=0.01, extend="both",
    )  # fmt: skip
    caption = (
        "Time mean of each run minus that of the truth. In the titles: level and root-mean-square "
        "over the area. One scale for all."
    )
    return finish(figure, name, title, caption)


def _runs(material: Material, name: str) -> list[tuple[Role, xr.DataArray]]:
    found = []
    for role in material.cast.everyone:
        part = pick(material.run.scores, name, role.name, None)
        if part is not None:
            found.append((role, part))
    return found


def _part(scores: Any, name: str, model: str | None, field: str) -> xr.DataArray | None:
    """Return one field of a score that has several."""
    array = pick(scores, name, model, None)
    if array is None or "field" not in array.coords:
        return None
    names = [str(found) for found in array["field"].values]
    return array.isel(field=names.index(field)) if field in names else None


def _units(material: Material, field: str) -> str:
    scores = material.run.scores
    part = _part(scores, "truth_section", None, field)
    return str(part["field_units"].item()) if part is not None else ""


def _why(material: Material, field: str) -> str:
    if material.run.scores is None:
        return material.run.why("scores.nc")
    return f"The model has no field {field!r} on levels, latitudes and longitudes."


def _section(axes: Axes, part: xr.DataArray, look: dict[str, Any]):
    axes.grid(visible=False)
    part = part.transpose("level", "lat")
    return axes.pcolormesh(
        part["lat"].values, part["level"].values, part.values, shading="nearest", rasterized=True,
        **look,
    )  # fmt: skip


def _outline(axes: Axes, truth: xr.DataArray) -> None:
    values = truth.transpose("level", "lat")
    axes.contour(
        values["lat"].values, values["level"].values, values.values, levels=6, colors="#333333",
        linewidths=0.4, alpha=0.6,
    )  # fmt: skip


def _map(axes: Axes, part: xr.DataArray, reach: float):
    axes.grid(visible=False)
    part = part.transpose("lat", "lon")
    axes.set_yticks([-60, 0, 60])
    axes.set_xticks([0, 90, 180, 270])
    return axes.pcolormesh(
        part["lon"].values, part["lat"].values, part.values, shading="nearest", rasterized=True,
        cmap="RdBu_r", vmin=-reach, vmax=reach,
    )  # fmt: skip


def _section_axes(axes: np.ndarray) -> None:
    low, high = axes[0, 0].get_ylim()
    axes[0, 0].set_ylim(max(low, high), min(low, high))
    axes[0, 0].set_xticks([-60, -30, 0, 30, 60])
    for row in axes:
        row[0].set_ylabel("σ = p / surface pressure")
    for panel in axes[-1]:
        panel.set_xlabel("latitude")


def _bars(figure: Any, panels: list, absolute: Any, mesh: Any, units: str) -> None:
    if mesh is not None:
        figure.colorbar(
            mesh, ax=panels, label=label("run minus truth", units), aspect=40, pad=0.01,
            extend="both",
        )  # fmt: skip
    figure.colorbar(absolute, ax=panels, label=label("truth", units), aspect=40, pad=0.01)


def _look(values: np.ndarray, colours: str) -> dict[str, Any]:
    if colours == "PuOr_r" and values.min() < 0:
        reach = float(abs(values).max())
        return {"cmap": colours, "vmin": -reach, "vmax": reach}
    return {"cmap": "viridis"}


def _reach(differences: list[np.ndarray]) -> float:
    """Return the end of a symmetric scale: what the worst run needs, extremes left out."""
    ends = [float(np.quantile(abs(values), 0.995)) for values in differences]
    return max(ends, default=1.0) or 1.0


def _area(part: xr.DataArray) -> xr.DataArray:
    return xr.DataArray(area_shares(part["lat"].values), {"lat": part["lat"]}, "lat")
