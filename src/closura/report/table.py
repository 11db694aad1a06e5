"""The table of scores: every closure beside no closure and beside the noise floor."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from closura.evaluation.scores import FLOOR, NO_CLOSURE
from closura.report.cast import TRUTH_ROLE, Role
from closura.report.material import Material
from closura.report.numbers import (
    NOTHING,
    Interval,
    interval,
    pretty_units,
    units_of,
    variables_of,
    written,
)
from closura.report.prices import prices_of

Better = Literal["low", "high", "none"]
OF_FILES = ("overall_rmse", "overall_bias")  # a running model has better measures than these
CLOSE = 0.05  # share of the value: narrower intervals need a digit more
DISTANCES = ("wasserstein_1", "hellinger", "kolmogorov_smirnov")


class Measure(NamedTuple):
    """One column of the table.

    Args:
        name: Variable of the scores.
        words: Head of the column.
        source: "offline" or "scores".
        better: Which values are good.
        hint: What it measures, in one line.
    """

    name: str
    words: str
    source: str
    better: Better
    hint: str


MEASURES = (
    Measure("overall_r_squared", "R²", "offline", "high", "offline: variance that is explained"),
    Measure("overall_rmse", "RMSE", "offline", "low", "offline, over all points"),
    Measure("overall_bias", "bias", "offline", "none", "offline, over all points"),
    Measure("column_r_squared", "R², column mean", "offline", "high", "offline, mass-weighted"),
    Measure("column_rmse", "RMSE, column mean", "offline", "low", "offline, mass-weighted"),
    Measure("column_bias", "bias, column mean", "offline", "none", "offline, mass-weighted"),
    Measure(
        "forecast_mae_first_unit", "MAE, first time unit", "scores", "low",
        "online: mean absolute error of forecasts over the first time unit",
    ),
    Measure(
        "useful_lead", "useful lead", "scores", "high",
        "online: lead at which the anomaly correlation falls below its threshold",
    ),
    Measure("wasserstein_1", "Wasserstein‑1", "scores", "low", "online: distance of the climates"),
    Measure("hellinger", "Hellinger", "scores", "low", "online: distance of the densities"),
    Measure("kolmogorov_smirnov", "KS", "scores", "low", "online: largest gap of distributions"),
    Measure("lyapunov", "Lyapunov", "scores", "none", "online: growth rate of small errors"),
)  # fmt: skip
OF_MODELS = tuple(measure for measure in MEASURES if measure.name not in OF_FILES)
MAE = next(measure for measure in MEASURES if measure.name == "forecast_mae_first_unit")
OFFLINE = MEASURES[0]


@dataclass
class Cell:
    """One number as written: value, interval below it, and its marks."""

    text: str = NOTHING
    bounds: str = ""
    best: bool = False
    alike: bool = False
    flag: str = ""


@dataclass
class Row:
    """One model."""

    name: str
    kind: str
    colour: str
    cells: list[Cell] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)


@dataclass
class Table:
    """All models for one variable."""

    variable: str
    heads: list[tuple[str, str, str]]
    rows: list[Row]
    alike: bool
    best: bool


def values_of(material: Material, measure: Measure, variable: str | None) -> dict[str, Interval]:
    """Return one measure of every model that has it, by name, the floor included."""
    dataset = getattr(material.run, measure.source)
    found = {
        role.name: _value(dataset, measure, role.name, variable) for role in material.cast.everyone
    }
    return {name: value for name, value in found.items() if not np.isnan(value.value)}


def judged(
    values: dict[str, Interval], measure: Measure, names: Sequence[str]
) -> tuple[str | None, set[str]]:
    """Return the best of some models, and those that cannot be told from it.

    Offline scores and distances of climates are alike if they differ by less than the noise
    floor; other scores, and where there is no floor, if their intervals overlap.
    """
    known = {name: values[name] for name in names if name in values}
    if measure.better == "none" or not known:
        return None, set()
    sign = -1.0 if measure.better == "high" else 1.0
    best = min(known, key=lambda name: sign * known[name].value)
    by_floor = FLOOR in values and (measure.source == "offline" or measure.name in DISTANCES)
    floor = values[FLOOR].value if by_floor else None
    return best, {
        name for name in known if name != best and _alike(known[name], known[best], floor)
    }


def _alike(one: Interval, best: Interval, floor: float | None) -> bool:
    if floor is not None:
        return abs(one.value - best.value) < floor
    return one.lower <= best.upper and best.lower <= one.upper


def tables_of(material: Material, measures: Sequence[Measure] = OF_MODELS) -> list[Table]:
    """Return one table for each scored variable, with those of the measures that were made."""
    names = dict.fromkeys((*variables_of(material.run.scores), *variables_of(material.run.offline)))
    return [
        table for name in names or () if (table := _table(material, name, measures)) is not None
    ]


def _table(material: Material, variable: str, measures: Sequence[Measure]) -> Table | None:
    columns = [
        (measure, values)
        for measure in measures
        if (values := values_of(material, measure, variable))
    ]
    if not columns:
        return None
    rows = {role.name: _row(material, role) for role in material.cast.everyone}
    competitors = [role.name for role in material.cast.competitors]
    for measure, values in columns:
        best, alike = judged(values, measure, competitors)
        for name, row in rows.items():
            cell = cell_of(values.get(name), name == best, name in alike)
            if row.kind == "floor" and measure.source == "offline" and cell.text != NOTHING:
                cell.text = f"±{written(values[name].value, 2)}"  # a standard error, not a score
            row.cells.append(cell)
    _add_truth(material, rows, [measure for measure, _ in columns])
    heads = [
        (measure.words, _units(material, measure, variable), measure.hint)
        for measure, _ in columns
    ]  # fmt: skip
    if _add_prices(material, rows):
        heads.append(("price", "coarse steps", "time of a hybrid step over a coarse step"))
    kept = [row for row in rows.values() if any(c.text != NOTHING for c in row.cells)]
    absent = [row for row in rows.values() if row not in kept and row.kind == "closure"]
    cells = [cell for row in kept for cell in row.cells]
    return Table(
        variable, heads, _ordered([*kept, *absent]), any(c.alike for c in cells),
        any(c.best for c in cells),
    )  # fmt: skip


def _row(material: Material, role: Role) -> Row:
    scores = material.run.scores
    row = Row(role.name, role.kind, role.colour)
    share = interval(scores, "blown_up_share", role.name).value
    if share > 0:
        row.flags.append(f"{written(100 * share, 2)} % blew up")
    if interval(scores, "lost_chaos", role.name).value > 0:
        row.flags.append("lost chaos")
    return row


def cell_of(value: Interval | None, best: bool, alike: bool) -> Cell:
    """Return a value as it is written, with the ends of its interval."""
    if value is None:
        return Cell()
    text = "whole lead" if value.value == np.inf else written(value.value)
    bounds = ""
    if np.isfinite(value.lower) and np.isfinite(value.upper):
        digits = 2 if abs(value.upper - value.lower) > CLOSE * abs(value.value) else 3
        bounds = f"{written(value.lower, digits)} to {written(value.upper, digits)}"
    return Cell(text, bounds, best, alike)


def _add_truth(material: Material, rows: dict[str, Row], measures: list[Measure]) -> None:
    """Add the truth as a row where something of it stands in a column: its Lyapunov exponent."""
    value = interval(material.run.scores, "truth_lyapunov", None)
    if np.isnan(value.value) or all(measure.name != "lyapunov" for measure in measures):
        return
    row = Row("truth", "truth", TRUTH_ROLE.colour)
    for measure in measures:
        row.cells.append(cell_of(value if measure.name == "lyapunov" else None, False, False))
    rows["truth"] = row


def _units(material: Material, measure: Measure, variable: str) -> str:
    if measure.name.endswith("r_squared"):
        return ""
    return pretty_units(units_of(getattr(material.run, measure.source), measure.name, variable))


def _add_prices(material: Material, rows: dict[str, Row]) -> bool:
    prices = {price.name: price for price in prices_of(material.run.price)}
    known = [name for name in prices if name in rows]
    if not known:
        return False
    for name, row in rows.items():
        price = prices.get(name)
        if price is None and name == NO_CLOSURE:
            row.cells.append(Cell("1×"))
        else:
            row.cells.append(Cell(f"{written(price.over_coarse)}×") if price else Cell())
    return True


def _ordered(rows: list[Row]) -> list[Row]:
    order = {"baseline": 0, "closure": 1, "floor": 2, "truth": 3}
    return sorted(rows, key=lambda row: order[row.kind])


def _value(dataset: Any, measure: Measure, model: str, variable: str | None) -> Interval:
    if dataset is None or measure.name not in dataset:
        return Interval(*(float("nan"),) * 3)
    return interval(dataset, measure.name, model, variable)
