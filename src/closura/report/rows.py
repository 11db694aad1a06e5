"""The table of scores in plain text, as the command line shows it."""

from typing import Any

from closura.evaluation.forecasts import USEFUL
from closura.evaluation.scores import FLOOR
from closura.report.numbers import NOTHING, interval, variables_of, written
from closura.report.prices import prices_of
from closura.report.run_folder import RunFolder

Rows = list[list[str]]


def rows_of(run: RunFolder) -> Rows:
    """Return the rows of the table, the heading first; empty if nothing is scored."""
    if run.scores is not None:
        return _online(run)
    return _offline(run) if run.offline is not None else []


def _online(run: Any) -> Rows:
    prices = {price.name: price for price in prices_of(run.price)}
    variable = variables_of(run.scores)[0]
    heading = ["", "offline R²", "MAE first unit", f"lead, corr. > {USEFUL}", "Wasserstein-1",
               "price / coarse"]  # fmt: skip
    rows = [heading]
    for name in map(str, run.scores["model"].values):
        price = prices.get(name)
        rows.append(
            [
                name,
                _offline_score(run, "overall_r_squared", name, variable),
                _spread(run.scores, "forecast_mae_first_unit", name, variable),
                _lead(run.scores, name, variable),
                _spread(run.scores, "wasserstein_1", name, variable),
                written(price.over_coarse, 3) if price else NOTHING,
            ]
        )
    return rows


def _offline(run: Any) -> Rows:
    """Return R² by variable: weighed by mass where the columns have one."""
    variables = variables_of(run.offline)
    rows = [["offline R²", *variables]]
    for name in map(str, run.offline["model"].values):
        cells = []
        for variable in variables:
            cell = _offline_score(run, "column_r_squared", name, variable)
            whole = _offline_score(run, "overall_r_squared", name, variable)
            cells.append(whole if cell == NOTHING else cell)
        rows.append([name, *cells])
    return rows


def _offline_score(run: Any, score: str, model: str, variable: str) -> str:
    """Return an offline score; the floor's is itself a spread."""
    cell = _spread(run.offline, score, model, variable)
    return f"± {cell}" if model == FLOOR and cell != NOTHING else cell


def _spread(dataset: Any, score: str, model: str, variable: str) -> str:
    found = interval(dataset, score, model, variable)
    half = (found.upper - found.lower) / 2
    return written(found.value) + (f" ± {written(half, 2)}" if half == half else "")


def _lead(scores: Any, model: str, variable: str) -> str:
    if "useful_lead" not in scores:
        return NOTHING
    value = float(scores["useful_lead"].sel(model=model, variable=variable))
    if value == float("inf"):  # it never fell below
        return f"> {written(float(scores['lead'].values[-1]))}"
    return written(value)
