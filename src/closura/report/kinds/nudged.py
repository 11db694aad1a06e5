"""The page of an experiment that nudges: free runs beside the truth, the floor and no closure."""

from typing import Any

import numpy as np

from closura.evaluation.gain import BLEW_UP, IMPROVED, RULE, UNCOMPARED, UNRESOLVED, WORSE
from closura.evaluation.scores import FLOOR, NO_CLOSURE
from closura.report.cast import Role
from closura.report.figures import circulation, columns, free_runs, training
from closura.report.figures.free_runs import shown_variables
from closura.report.kinds import Page, Sentence
from closura.report.material import Material
from closura.report.numbers import (
    Interval,
    interval,
    pick,
    pretty_units,
    units_of,
    variables_of,
    written,
)
from closura.report.prices import prices_of
from closura.report.rows import Rows
from closura.report.run_folder import RunFolder
from closura.report.table import Cell, Row, Table, cell_of
from closura.report.words import quoted, type_of, with_interval

SETTINGS = ("truth", "reference", "coarse", "nudging", "data", "learners", "iterate", "guards",
            "coupling", "evaluate", "seeds", "seed", "precision")  # fmt: skip
NEAR_FLOOR = 1.1  # times the upper end of the floor: such an error is called "at the floor"


def tables_of(material: Material) -> list[Table]:
    """Return a table for the wind and one for temperature, or one for each variable."""
    if material.run.scores is None or "mean_error" not in material.run.scores:
        return []
    return [_table(material, variable) for variable in shown_variables(material)]


def _table(material: Material, variable: str) -> Table:
    scores = material.run.scores
    units = pretty_units(units_of(scores, "mean_error", variable))
    heads = [
        ("RMSE", units, "of the time mean, over area and mass"),
        ("zonal-mean RMSE", units, "of the time and zonal mean"),
        ("gain", units, "RMSE without a closure minus RMSE with it"),
        ("of the excess", "", "share of what exceeds the noise floor that is removed"),
        ("verdict", "", RULE),
        ("drift", "", "trend of the global mean over the scored period"),
        ("price", "coarse steps", "time of a hybrid step over a coarse step"),
    ]
    values = {r.name: interval(scores, "mean_error", r.name, variable)
              for r in material.cast.competitors}  # fmt: skip
    known = {n: v for n, v in values.items() if np.isfinite(v.value)}
    best = min(known, key=lambda name: known[name].value) if known else None
    prices = {price.name: price.over_coarse for price in prices_of(material.run.price)}
    rows = [
        _row(material, role, variable, role.name == best, prices) for role in material.cast.everyone
    ]
    return Table(variable, heads, rows, alike=False, best=True)


def _row(
    material: Material, role: Role, variable: str, best: bool, prices: dict[str, float]
) -> Row:
    scores = material.run.scores

    def number(name: str) -> Interval:
        return interval(scores, name, role.name, variable)

    row = Row(role.name, role.kind, role.colour)
    gain, share = number("mean_gain"), number("excess_removed").value
    drift = number("drift").value * free_runs.time_scale(material)[0]
    unit = free_runs.time_scale(material)[1].removesuffix("s")
    price = 1.0 if role.name == NO_CLOSURE and prices else prices.get(role.name, np.nan)
    row.cells = [
        cell_of(number("mean_error"), best, alike=False),
        cell_of(number("zonal_error"), False, alike=False),
        cell_of(gain, False, alike=False),
        Cell(f"{written(100 * share, 2)} %" if np.isfinite(share) else "–"),
        Cell(_verdict(material, role.name, variable) or "–"),
        Cell(f"{written(drift, 2)} / {unit}" if np.isfinite(drift) else "–"),
        Cell(f"{written(price)}×" if np.isfinite(price) else "–"),
    ]
    for cell in row.cells[:3]:
        cell.text = "–" if cell.text == "nan" else cell.text
    if _verdict(material, role.name, variable) == BLEW_UP:
        row.flags.append(BLEW_UP)
    return row


def summary(material: Material) -> list[Sentence]:
    """Return the sentences that a hurried reader should see first."""
    run = material.run
    said = run.experiment
    truth = type_of(said.get("truth")) or f"the file {(said.get('reference') or {}).get('file')}"
    coarse = type_of(said.get("coarse"))
    count = len(run.learners)
    sentences: list[Sentence] = [
        f"{coarse} was nudged to {truth}, {count} learner{'s' if count != 1 else ''} fitted to "
        "what that took, and each was added to a free run."
    ]
    variables = shown_variables(material)
    if run.scores is None or not variables:
        return [*sentences, "No scores are in the run folder yet: nothing can be said about skill."]
    for variable in variables:
        sentences.append(_before(material, variable))
        sentences.append([_after(material, r.name, variable) for r in material.cast.closures])
    return [*sentences, RULE]


def _before(material: Material, variable: str) -> str:
    scores = material.run.scores
    first = interval(scores, "mean_error", NO_CLOSURE, variable)
    floor = interval(scores, "mean_error", FLOOR, variable)
    if not np.isfinite(first.value):
        return f"Without a closure the run blew up, so {variable} has no error to be reduced."
    text = f"Without a closure the error of the time-mean {variable} is {with_interval(first)}"
    if np.isfinite(floor.value):
        text += f"; the noise floor is {with_interval(floor)}"
        if first.value <= floor.upper:
            text += ": no error that runs of this length could show"
    return text + "."


def _after(material: Material, name: str, variable: str) -> str:
    """Say in a sentence what the rule makes of one learner."""
    scores = material.run.scores
    found = interval(scores, "mean_error", name, variable)
    gain = interval(scores, "mean_gain", name, variable)
    floor = interval(scores, "mean_error", FLOOR, variable)
    verdict = _verdict(material, name, variable)
    who = quoted(name)
    zonal = [interval(scores, "zonal_error", n, variable).value for n in (NO_CLOSURE, name)]
    brings = f"{who} brings it to {written(found.value)}"
    if np.isfinite(zonal).all() and "section" in (scores or {}):
        brings += f" (zonal means: {written(zonal[0])} to {written(zonal[1])})"
    if verdict == BLEW_UP:
        return f"With {who} the run blew up."
    if verdict == UNCOMPARED:
        return f"With {who} the run survived; its error is {written(found.value)}."
    if verdict == IMPROVED:
        at = " (at the noise floor)" if found.value <= NEAR_FLOOR * floor.upper else ""
        return f"{brings}{at}: an improvement."
    if verdict == WORSE:
        return f"{brings}: worse than without."
    if verdict == UNRESOLVED:
        return (
            f"{brings}: a difference of {written(-gain.value)} "
            "that runs of this length cannot tell from noise, and no improvement."
        )
    return f"{who} has no verdict."


def _verdict(material: Material, name: str, variable: str) -> str:
    found = pick(material.run.scores, "verdict", name, variable)
    return "" if found is None else str(found.item())


def rows_of(run: RunFolder) -> Rows:
    """Return the table in plain text, as the command line shows it."""
    scores = run.scores
    if scores is None or "mean_error" not in scores:
        return []
    names = list(variables_of(scores))
    shown = [name for name in free_runs.EARTHLY if name in names] or names[:2]
    heading = [""]
    for variable in shown:
        heading += [f"{variable} RMSE", "verdict"]
    rows = [heading]
    for model in map(str, scores["model"].values):
        row = [model]
        for variable in shown:
            found = interval(scores, "mean_error", model, variable)
            verdict: Any = pick(scores, "verdict", model, variable)
            half = (found.upper - found.lower) / 2
            spread = f" ± {written(half, 2)}" if np.isfinite(half) else ""
            row += [
                written(found.value) + spread,
                str(verdict.item()) if verdict is not None else "",
            ]
        rows.append(row)
    return rows


PAGE = Page(
    painters=(
        free_runs.draw_errors,
        circulation.draw_wind_sections,
        circulation.draw_temperature_sections,
        circulation.draw_wind_maps,
        circulation.draw_temperature_maps,
        free_runs.draw_leads,
        free_runs.draw_jets,
        circulation.draw_eddies,
        free_runs.draw_spectrum,
        free_runs.draw_added,
        free_runs.draw_guards,
        free_runs.draw_drift,
        columns.draw_levels,
        training.draw_price,
        training.draw_training,
    ),
    summary=summary,
    tables=tables_of,
    rows=rows_of,
    settings=SETTINGS,
    table_head="model",
    table_note=(
        "Small print: confidence interval by bootstrap over blocks of time. Noise floor: the truth "
        "against an independent truth of the same length; where the truth is a file, the sampling "
        f"error of the model's own mean. {RULE}"
    ),
    figure_note=(
        "One colour a closure throughout; black is the truth, grey is no closure, dashed grey the "
        "noise floor."
    ),
)
