"""The page of an experiment whose truth is simulated: closures in the running model."""

from closura.report.figures import climate, forecast, hovmoeller, relation, training
from closura.report.kinds import Page
from closura.report.rows import rows_of
from closura.report.table import tables_of
from closura.report.words import summary

TABLE_NOTE = (
    "Small print: confidence interval by block bootstrap. Noise floor: online, truth against an "
    "independent truth of the same length; offline (±), what the choice of held-out times does to "
    "a score."
)
ALIKE_NOTE = (
    "they differ by less than the noise floor (offline scores, distances of climates), or their "
    "intervals overlap (forecasts, and where there is no floor)."
)
FIGURE_NOTE = (
    "One colour a closure throughout; black is the truth, grey is no closure, hatched or dashed "
    "grey the noise floor."
)
PAGE = Page(
    painters=(
        relation.draw_relation,
        hovmoeller.draw_hovmoeller,
        forecast.draw_skill,
        climate.draw_density,
        climate.draw_spectra,
        climate.draw_memory,
        forecast.draw_ranks,
        climate.draw_chaos,
        training.draw_price,
        training.draw_training,
    ),
    summary=summary,
    tables=tables_of,
    rows=rows_of,
    settings=("truth", "coarse", "data", "evaluate", "seed", "precision"),
    table_head="model",
    table_note=TABLE_NOTE,
    figure_note=FIGURE_NOTE,
    alike_note=ALIKE_NOTE,
)
