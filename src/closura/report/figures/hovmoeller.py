"""One forecast of truth and hybrids in time and along the ring."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from closura.report.cast import TRUTH_ROLE, Role
from closura.report.drawing import FULL, Absence, Drawn, begin, finish, note
from closura.report.material import Material
from closura.report.numbers import coordinate, label, pick, units_of, variables_of

NAME, TITLE = "hovmoeller", "One forecast: truth, hybrids and their error"
MOST = 6  # rows that fit on a page


def draw_hovmoeller(material: Material) -> Drawn:
    """Draw the example forecast of the truth and of every model, and its error beside it."""
    scores = material.run.scores
    if scores is None:
        return Absence(NAME, TITLE, material.run.why("scores.nc"))
    variable = _variable(scores)
    truth = _plane(scores, "truth_example", None, variable)
    if truth is None:
        return Absence(NAME, TITLE, "The scores hold no example forecast.")
    rows: list[tuple[Role, np.ndarray]] = []
    for role in material.cast.competitors:
        plane = _plane(scores, "example", role.name, variable)
        if plane is not None:
            rows.append((role, plane))
    shown = rows[:MOST]
    time = coordinate(scores["truth_example"], "lead")
    words = label("lead", units_of(scores, "lead") or "time units")
    height = 0.75 + 1.02 * (len(shown) + 1)
    figure, axes = begin(len(shown) + 1, 2, width=FULL, height=height, sharex=True, sharey=True)
    colours = _Colours(truth)
    _fill(axes[0, 0], TRUTH_ROLE, time, truth, colours.field)
    axes[0, 1].set_axis_off()
    field: Any = None
    error: Any = None
    for (role, plane), (left, right) in zip(shown, axes[1:], strict=True):
        field = _fill(left, role, time, plane, colours.field)
        error = _fill(right, role, time, plane - truth, colours.error)
        right.set_title(f"{role.label} minus truth", color=role.colour, fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel(words)
    for axis in axes[:, 0]:
        axis.set_ylabel("point")
    if field is not None:
        name = label(variable or "value", units_of(scores, "truth_example", variable))
        figure.colorbar(field, ax=axes[:, 0], label=name, aspect=34, pad=0.015, extend="both")
        figure.colorbar(error, ax=axes[:, 1], label="error", aspect=34, pad=0.015, extend="both")
    return finish(figure, NAME, TITLE, _caption(rows, shown))


def _variable(scores: xr.Dataset) -> str | None:
    """Return the variable that the example shows."""
    named = scores["example"].attrs.get("variable") if "example" in scores else None
    return str(named) if named else next(iter(variables_of(scores)), None)


class _Colours:
    """Symmetric diverging scales, set by the truth: a run that blows up cannot wash them out."""

    def __init__(self, truth: np.ndarray):
        known = truth[np.isfinite(truth)]
        centre = float(np.mean(known)) if known.size else 0.0
        reach = float(np.quantile(abs(known - centre), 0.995)) if known.size else 1.0
        reach = reach or 1.0
        self.field = {"cmap": "BrBG_r", "vmin": centre - reach, "vmax": centre + reach}
        self.error = {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach}


def _fill(axes: Axes, role: Role, time: np.ndarray, plane: np.ndarray, look: dict):
    axes.set_facecolor("#cfcfcf")
    axes.grid(visible=False)
    mesh = axes.pcolormesh(
        time, np.arange(plane.shape[1]), plane.T, shading="nearest", rasterized=True, **look
    )
    axes.set_title(role.label, color=role.colour, fontsize=9)
    if not np.isfinite(plane).all():
        note(axes, "not finite (blown up)")
    if plane.shape[1] <= 12:
        axes.set_yticks(range(0, plane.shape[1], 2 if plane.shape[1] > 5 else 1))
    return mesh


def _plane(
    scores: xr.Dataset, name: str, model: str | None, variable: str | None
) -> np.ndarray | None:
    """Return an example as (lead, point), or None where it is not one."""
    array = pick(scores, name, model, variable)
    if array is None or "lead" not in array.dims:
        return None
    points = [dim for dim in array.dims if dim != "lead"]
    if len(points) != 1 or not np.isfinite(array.values).any():
        return None
    return np.asarray(array.transpose("lead", points[0]).values, float)


def _caption(rows: list, shown: list) -> str:
    words = (
        "One colour scale for all; it is set by the truth. Right: forecast minus truth. "
        "Errors grow because the flow is chaotic: a good closure delays, it does not prevent."
    )
    if len(rows) > len(shown):
        left = ", ".join(role.name for role, _ in rows[len(shown) :])
        words += f" Not shown for want of room: {left}."
    return words
