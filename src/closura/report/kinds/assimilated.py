"""The page of an experiment with assimilation: solvers, and closures learned from increments."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from closura.evaluation.scores import NO_CLOSURE
from closura.report.analyses import (
    DIVERGED,
    LIMITS,
    Entry,
    diverged_of,
    entries_of,
    limit_of,
    rows_of,
    settings_of,
    value_of,
)
from closura.report.figures import assimilation, increments, training
from closura.report.kinds import Page
from closura.report.material import Material
from closura.report.numbers import Interval, written
from closura.report.table import Cell, Measure, Row, Table, cell_of, judged
from closura.report.words import joined, quoted, type_of, with_interval

MEASURES = (
    Measure("analysis_rmse", "analysis RMSE", "scores", "low", "mean over time, after the skip"),
    Measure("forecast_rmse", "forecast RMSE", "scores", "low", "before each analysis"),
    Measure("analysis_spread", "analysis spread", "scores", "none", "of the members"),
    Measure("forecast_spread", "forecast spread", "scores", "none", "of the members"),
    Measure(
        "innovation_ratio", "innovations / expected", "scores", "none",
        "1 where spread and observation error account for the innovations",
    ),
)  # fmt: skip
SETTINGS = ("truth", "coarse", "observe", "assimilate", "increments", "seeds", "seed", "precision")


def tables_of(material: Material) -> list[Table]:
    """Return the table of scores: a row for each solver with each closure."""
    run, entries = material.run, entries_of(material.run)
    if not entries:
        return []
    colours = {role.name: role.colour for role in material.cast.everyone}
    rows = []
    for entry in entries:
        kind = "baseline" if entry.model == NO_CLOSURE else "closure"
        row = Row(entry.words, kind, colours.get(entry.model, "#7a7a7a"))
        failed = diverged_of(run, entry)
        replaced = value_of(run, "replaced", entry).value
        row.flags += [failed] if failed else []
        row.flags += [f"{replaced:.0f} members drawn anew"] if replaced > 0 else []
        rows.append(row)
    for measure in MEASURES:
        values = {e.words: value_of(run, measure.name, e) for e in entries}
        known = {name: value for name, value in values.items() if np.isfinite(value.value)}
        best, alike = judged(known, measure, list(known))
        for entry, row in zip(entries, rows, strict=True):
            name = entry.words
            cell = cell_of(values[name], name == best, name in alike)
            row.cells.append(Cell(DIVERGED) if diverged_of(run, entry) else cell)
    for name, words in LIMITS:
        limit = Cell(written(limit_of(run, name)))
        rows.append(Row(words, "floor", "#c8c8c8", [limit, *(Cell() for _ in MEASURES[1:])]))
    heads = [(measure.words, "", measure.hint) for measure in MEASURES]
    alike_any = any(cell.alike for row in rows for cell in row.cells)
    return [Table("", heads, rows, alike_any, best=True)]


def summary(material: Material) -> list[str]:
    """Return the sentences that a hurried reader should see first."""
    run = material.run
    sentences = [_what(run.experiment, settings_of(run))]
    entries = entries_of(run)
    if not entries:
        return [*sentences, "No scores are in the run folder yet: nothing can be said about skill."]
    failed = [entry.words for entry in entries if diverged_of(run, entry)]
    if failed:
        verb = "diverged: its error is" if len(failed) == 1 else "diverged: their errors are"
        sentences.append(f"{joined(failed)} {verb} not given.")
    plain = _best(material, [entry for entry in entries if entry.model == NO_CLOSURE])
    if plain is None:
        return [*sentences, "No solver kept track of the truth without a closure."]
    name, value, alike = plain
    sentences.append(
        f"{'Without a closure' if run.learners else 'Of all solvers'} {quoted(name)} has the least "
        f"error of the analysis, {with_interval(value)}; that of an observation is "
        f"{written(limit_of(run, 'observation_error'))}, that of the climate's mean "
        f"{written(limit_of(run, 'climatology_rmse'))}."
    )
    if alike:
        sentences.append(f"Within the intervals {joined(alike)} cannot be told from it.")
    for learner in run.learners:
        sentences += _gain(material, learner, [e for e in entries if e.model == learner], value)
    return sentences


def _what(said: Mapping[str, Any], protocol: Mapping[str, Any]) -> str:
    count = len(said.get("solvers") or ())
    truth, coarse = type_of(said.get("truth")), type_of(said.get("coarse"))
    seen = said.get("observe") or {}
    names = ", ".join(map(str, seen.get("variables", ())))
    twins = ""
    if protocol:
        times = f"{protocol['twins']} × " if protocol["twins"] > 1 else ""
        twins = f", {times}{protocol['cycles']} times"
    return (
        f"{count} solver{'s' if count != 1 else ''} assimilate{'s' if count == 1 else ''} {names} "
        f"of {truth}, observed every {seen.get('every')} with an error of {seen.get('noise')}"
        f"{twins}, into {coarse or 'the same model'}."
    )


def _best(material: Material, entries: list[Entry]) -> tuple[str, Interval, list[str]] | None:
    """Return the entry with the least error of the analysis, and those that are alike."""
    found = {e.words: value_of(material.run, "analysis_rmse", e) for e in entries}
    known = {name: value for name, value in found.items() if np.isfinite(value.value)}
    best, alike = judged(known, MEASURES[0], list(known))
    if best is None:
        return None
    return best, known[best], [name for name in known if name in alike]


def _gain(material: Material, learner: str, entries: list[Entry], before: Interval) -> list[str]:
    """Say what a closure learned from increments brings, at the best solver with and without."""
    found = _best(material, entries)
    if found is None:
        return [f"With {quoted(learner)} no solver kept track of the truth."]
    name, after, _ = found
    if after.lower <= before.upper and before.lower <= after.upper:
        gain = "no gain that chance could not explain"
    elif after.value > before.value:
        gain = "worse than without"
    else:
        gain = f"{written(100 * (1 - after.value / before.value), 2)} % less than without"
    return [
        f"With {quoted(learner)}, learned from increments alone, the least error is "
        f"{with_interval(after)} ({name.partition(' + ')[0]}): {gain}."
    ]


PAGE = Page(
    painters=(
        assimilation.draw_scores,
        assimilation.draw_series,
        increments.draw_increments,
        assimilation.draw_ranks,
        assimilation.draw_innovations,
        training.draw_training,
    ),
    summary=summary,
    tables=tables_of,
    rows=rows_of,
    settings=SETTINGS,
    table_head="solver",
    table_note=(
        "Small print: confidence interval by block bootstrap over time. A filter that diverged in "
        "any twin has no score. Observation error: what the network alone knows. Climatology: the "
        "mean of an independent run as the analysis."
    ),
    figure_note="One colour a closure throughout; grey is no closure, black the truth.",
    alike_note="their intervals overlap.",
)
