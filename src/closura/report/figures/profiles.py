"""Profiles on the held-out blocks: means, and sections in time and height."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from closura.report.cast import TRUTH_ROLE, Role
from closura.report.drawing import FULL, Absence, Drawn, begin, finish, legend, power_label
from closura.report.figures.columns import Levels, downward, level_axis
from closura.report.material import Material
from closura.report.numbers import label
from closura.report.predictions import flat

PROFILES, PROFILES_TITLE = "mean_profiles", "Mean profile over the held-out blocks"
SECTIONS, SECTIONS_TITLE = "sections", "Time–height sections on the held-out blocks"
SECTION_VARIABLES, SECTION_ROWS = 4, 4


def draw_profiles(material: Material) -> Drawn:
    """Draw the mean profile of target and predictions over the held-out blocks."""
    axis, profiles = level_axis(material), _profiles(material)
    if axis is None or not profiles:
        return Absence(PROFILES, PROFILES_TITLE, material.run.why("offline.nc", "pairs_test.zarr"))
    columns = min(4, len(profiles))
    rows = -(-len(profiles) // columns)
    figure, axes = begin(rows, columns, width=FULL, height=0.6 + 3.4 * rows, sharey=True)
    seen: list[Role] = []
    for panel, (variable, target) in zip(axes.ravel(), profiles.items(), strict=False):
        for role, values in _answers(material, variable, target.shape):
            panel.plot(values.mean(axis=0), axis.values, **role.line)
            seen.append(role)
        low, high = np.quantile(target, [0.1, 0.9], axis=0)
        panel.fill_betweenx(axis.values, low, high, color="black", alpha=0.08, lw=0)
        panel.plot(target.mean(axis=0), axis.values, **TRUTH_ROLE.line)
        panel.axvline(0.0, color="#bbbbbb", lw=0.8, zorder=1)
        power_label(panel.xaxis, variable, _target_units(material, variable))
    for panel in axes.ravel()[len(profiles) :]:
        panel.set_axis_off()
    for row in axes:
        row[0].set_ylabel(axis.words)
    downward(axes[0, 0], axis)
    legend(figure, [TRUTH_ROLE, *(role for role in material.cast.closures if role in seen)])
    caption = f"Shaded: the middle 80 % of the target's values. {material.remarks()}".strip()
    return finish(figure, PROFILES, PROFILES_TITLE, caption)


def draw_sections(material: Material) -> Drawn:
    """Draw target and predictions in time and height, the held-out blocks one after another."""
    axis, profiles = level_axis(material), _profiles(material)
    if axis is None or not profiles:
        return Absence(SECTIONS, SECTIONS_TITLE, material.run.why("offline.nc", "pairs_test.zarr"))
    shown = list(profiles.items())[:SECTION_VARIABLES]
    roles = [role for role in material.cast.closures if role.name in material.on_held_out]
    rows = 1 + min(len(roles), SECTION_ROWS)
    figure, axes = begin(
        rows, len(shown), width=FULL, height=0.7 + 1.55 * rows, sharex=True, sharey=True
    )
    for column, (variable, target) in zip(axes.T, shown, strict=True):
        reach = float(np.quantile(abs(target), 0.99)) or float(abs(target).max()) or 1.0
        look = {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach}
        mesh = _section(column[0], axis, target, look)
        column[0].set_title(f"{variable}: target")
        for panel, (role, values) in zip(
            column[1:], _answers(material, variable, target.shape), strict=False
        ):
            _section(panel, axis, values, look)
            panel.set_title(role.label, color=role.colour)
        words = label("", _target_units(material, variable)).strip()
        figure.colorbar(
            mesh, ax=list(column), orientation="horizontal", label=words, aspect=26, pad=0.02,
            extend="both",
        )  # fmt: skip
        for panel in column:
            _gaps(panel, material)
    for panel in axes[:, 0]:
        panel.set_ylabel(axis.words)
    for panel in axes[-1]:
        panel.set_xlabel("held-out sample")
    downward(axes[0, 0], axis)
    caption = "One scale a column, set by the target. Dashed: where one held-out block ends."
    left = [*(n for n, _ in list(profiles.items())[SECTION_VARIABLES:]),
            *(role.name for role in roles[SECTION_ROWS:])]  # fmt: skip
    if left:
        caption += f" Not shown for want of room: {', '.join(left)}."
    return finish(figure, SECTIONS, SECTIONS_TITLE, caption)


def _section(axes: Axes, axis: Levels, values: np.ndarray, look: dict[str, Any]):
    axes.grid(visible=False)
    return axes.pcolormesh(
        np.arange(len(values)), axis.values, values.T, shading="nearest", rasterized=True, **look
    )


def _gaps(axes: Axes, material: Material) -> None:
    """Mark where time jumps: two held-out blocks are not neighbours."""
    pairs = material.held_out
    if pairs is None or len(pairs.time) < 3:
        return
    steps = np.diff(pairs.time)
    for place in np.flatnonzero(steps > 1.5 * np.median(steps)):
        axes.axvline(place + 0.5, color="black", lw=0.8, ls=(0, (4, 3)))


def _profiles(material: Material) -> dict[str, np.ndarray]:
    """Return held-out targets that are profiles, (instant, level)."""
    axis, pairs = level_axis(material), material.held_out
    if axis is None or pairs is None:
        return {}
    tables = {name: flat(values) for name, values in pairs.targets.items()}
    return {name: a for name, a in tables.items() if a.shape[1:] == axis.values.shape}


def _answers(material: Material, variable: str, shape: tuple[int, ...]):
    """Yield role and prediction of every closure that predicts this target."""
    for role in material.cast.closures:
        prediction = material.on_held_out.get(role.name)
        if prediction is not None and variable in prediction.tendency:
            yield role, prediction.tendency[variable].reshape(shape)


def _target_units(material: Material, variable: str) -> str:
    pairs = material.held_out
    variables = pairs.variables if pairs is not None else {}
    found = variables.get(variable) or variables.get(f"{variable}_tendency")
    return found.units if found is not None else ""
