"""How the closures were trained, and what their step costs."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from closura.report.cast import Role
from closura.report.drawing import FULL, HALF, Absence, Drawn, begin, finish
from closura.report.material import Material
from closura.report.numbers import written
from closura.report.prices import Price, prices_of

CURVES, CURVES_TITLE = "training", "Training: loss on the training and on the held-out blocks"
PRICE, PRICE_TITLE = "price", "The price of a hybrid step"
LOSSES = ("loss", "validation")
COLUMNS = 4


class TrainingCurve(NamedTuple):
    """Loss of one training, one seed, and what that loss is."""

    step: np.ndarray
    train: np.ndarray
    held_out: np.ndarray
    measure: str


def draw_training(material: Material) -> Drawn:
    """Draw the training curves of every learner that has them, one panel each."""
    found = {
        role: curves for role in material.cast.closures
        if (curves := training_curves(material.run.histories.get(role.name, ())))
    }  # fmt: skip
    if not found:
        reason = "No learner kept a training curve: none was trained in epochs."
        return Absence(CURVES, CURVES_TITLE, reason)
    columns = min(COLUMNS, max(2, len(found)))
    rows = -(-len(found) // columns)
    figure, axes = begin(rows, columns, width=FULL, height=0.5 + 2.5 * rows)
    panels = list(axes.ravel())
    for panel, (role, curves) in zip(panels, found.items(), strict=False):
        _training_panel(panel, role, curves)
    for panel in panels[len(found) :]:
        panel.set_axis_off()
    look: dict[str, Any] = {"color": "#333333", "lw": 1.6}
    figure.legend(
        handles=[
            Line2D([], [], **look, label="held-out blocks"),
            Line2D([], [], **{**look, "lw": 1.0, "ls": (0, (3, 1.5))}, label="training"),
        ],
        loc="outside upper left", ncols=2,
    )  # fmt: skip
    records = [r for role in found for h in material.run.histories[role.name] for r in h]
    rounds = any(isinstance(r, Mapping) and r.get("round", 1) > 1 for r in records)
    lines = "One line a seed and round" if rounds else "One line a seed"
    caption = f"{lines}; the dot marks the epoch that was kept, the least held-out loss."
    return finish(figure, CURVES, CURVES_TITLE, caption)


def draw_price(material: Material) -> Drawn:
    """Draw what a step with each closure costs, in coarse steps and in fine steps."""
    prices = {price.name: price for price in prices_of(material.run.price)}
    rows = [(role, prices[role.name]) for role in material.cast.closures if role.name in prices]
    if not rows:
        return Absence(PRICE, PRICE_TITLE, material.run.why("price.json"))
    figure, axes = begin(width=HALF, height=0.9 + 0.3 * len(rows))
    panel = axes[0, 0]
    for place, (role, price) in enumerate(rows):
        panel.barh(place, price.over_coarse, color=role.colour, height=0.6)
        panel.annotate(
            _words(price), (price.over_coarse, place), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=8, color="#333333",
        )  # fmt: skip
    panel.axvline(1.0, color="#7a7a7a", lw=1.2, zorder=3)
    panel.set_yticks(range(len(rows)), [role.label for role, _ in rows])
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.grid(visible=False, axis="y")
    values = [price.over_coarse for _, price in rows if np.isfinite(price.over_coarse)]
    if max(values, default=1.0) > 30 * min(values, default=1.0):
        panel.set_xscale("log")
        panel.set_xlim(None, 6 * max(values))
    else:
        panel.set_xlim(0, 1.55 * max(1.0, *values))
    panel.set_xlabel("time of a hybrid step / time of a coarse step")
    caption = (
        "Beside each bar: coarse steps, and the share of the fine model's cost of the same time."
    )
    return finish(figure, PRICE, PRICE_TITLE, caption)


def training_curves(histories: Iterable[Any]) -> list[TrainingCurve]:
    """Return the curves of a learner's histories, one history a seed.

    A history is a list of records, one an epoch, with `loss`, `validation` and `epoch`. Where the
    epoch starts anew, or another learner reports, another training began.
    """
    found = []
    for history in histories:
        records = (
            [r for r in history if isinstance(r, Mapping)] if isinstance(history, list) else []
        )
        for part in _trainings(records):
            columns = [[_number(r.get(name)) for r in part] for name in ("epoch", *LOSSES)]
            step, train, held_out = (np.asarray(column, float) for column in columns)
            if np.isnan(step).any():
                step = np.arange(1.0, len(part) + 1)
            if np.isfinite(train).any() or np.isfinite(held_out).any():
                measure = (
                    str(part[0].get("measure") or "loss").replace("R2", "R²").replace(" - ", " − ")
                )
                found.append(TrainingCurve(step, train, held_out, measure))
    return found


def _trainings(records: list[Mapping]) -> list[list[Mapping]]:
    parts: list[list[Mapping]] = []
    for record in records:
        before = parts[-1][-1] if parts else None
        if before is None or record.get("learner") != before.get("learner") or (
            _number(record.get("epoch")) <= _number(before.get("epoch"))
        ):  # fmt: skip
            parts.append([])
        parts[-1].append(record)
    return parts


def _training_panel(axes: Axes, role: Role, curves: list[TrainingCurve]) -> None:
    for found in curves:
        axes.plot(found.step, found.train, color=role.colour, lw=1.0, ls=(0, (3, 1.5)), alpha=0.8)
        axes.plot(found.step, found.held_out, color=role.colour, lw=1.5)
        if np.isfinite(found.held_out).any():
            best = int(np.nanargmin(found.held_out))
            axes.plot(found.step[best], found.held_out[best], "o", color=role.colour, ms=4.5)
    values = np.concatenate([np.concatenate([c.train, c.held_out]) for c in curves])
    known = values[np.isfinite(values) & (values > 0)]
    if known.size and known.max() > 6 * known.min():
        axes.set_yscale("log")
        axes.set_ylim(known.min() / 1.3, min(known.max() * 1.2, known.min() * 1e4))
    axes.set_title(role.label, color=role.colour)
    axes.set_xlabel("epoch")
    axes.set_ylabel(curves[0].measure)
    axes.margins(x=0.02)


def _words(price: Price) -> str:
    share = f", {written(100 * price.over_fine, 2)} % of fine" if price.over_fine else ""
    return f"{written(price.over_coarse)}×{share}"


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
