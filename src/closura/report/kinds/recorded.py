"""The page of an experiment on a user's own files: closures on held-out times."""

from functools import partial

from closura.report.figures import columns, profiles, training
from closura.report.kinds import Page
from closura.report.kinds.simulated import ALIKE_NOTE, FIGURE_NOTE, TABLE_NOTE
from closura.report.rows import rows_of
from closura.report.table import MEASURES, tables_of
from closura.report.words import summary

PAGE = Page(
    painters=(
        columns.draw_levels,
        columns.draw_column_means,
        profiles.draw_profiles,
        profiles.draw_sections,
        columns.draw_learning,
        training.draw_training,
    ),
    summary=summary,
    tables=partial(tables_of, measures=MEASURES),
    rows=rows_of,
    settings=("truth", "coarse", "data", "evaluate", "seed", "precision"),
    table_head="model",
    table_note=TABLE_NOTE,
    figure_note=FIGURE_NOTE,
    alike_note=ALIKE_NOTE,
)
