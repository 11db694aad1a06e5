"""The scores of several models: a Dataset that prints as a table."""

import html
import json
from typing import Any

import numpy as np
import xarray as xr

NO_CLOSURE, FLOOR = "no closure", "noise floor"  # names of rows, in every table
LONGEST_NAME = 24
MOST_WARNINGS = 6
TABLE = ("forecast_mae_first_unit", "useful_lead", "wasserstein_1", "hellinger",
         "kolmogorov_smirnov", "lyapunov", "blown_up_share", "lost_chaos", "drifts",
         "extrapolated_share")  # fmt: skip


class Scores(xr.Dataset):
    """All scores of all models, by `model` and `variable`; an xarray.Dataset that prints a table.

    It is written with `to_netcdf` and read back with `Scores(xr.open_dataset(path))`. Bounds end
    in `_lower` and `_upper`. The last model is the noise floor: what the truth scores against
    itself. What a scientist should know is in `warnings`, the settings are in `protocol`.
    """

    __slots__ = ()

    def __init__(self, data_vars: Any = None, coords: Any = None, attrs: Any = None):
        if isinstance(data_vars, xr.Dataset):
            attrs = data_vars.attrs if attrs is None else attrs
            data_vars, coords = data_vars.data_vars, data_vars.coords
        super().__init__(data_vars, coords, attrs)

    @property
    def warnings(self) -> list[str]:
        """What a scientist should know before trusting the scores, a line each."""
        return list(json.loads(self.attrs.get("warnings", "[]")))

    @property
    def protocol(self) -> dict[str, Any]:
        """The settings that every model was scored with."""
        return dict(json.loads(self.attrs.get("protocol", "{}")))

    def table(self, variable: str | None = None) -> list[list[str]]:
        """Return the rows of the printed table, the heading first.

        Args:
            variable: The variable to show; the first if None.
        """
        shown = self.sel(variable=variable or self["variable"].values[0])
        return [_heading(self), *(_row(shown, str(name)) for name in self["model"].values)]

    def __repr__(self) -> str:
        if not _is_whole(self):
            return super().__repr__()
        names = [str(name) for name in self["variable"].values]
        rows = self.table()
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        others = f" (and {', '.join(names[1:])}: see .table)" if names[1:] else ""
        lines = [
            f"Scores of {names[0]}{others}: {_protocol_line(self.protocol)}",
            *(_line(row, widths) for row in rows),
        ]
        found = self.warnings
        lines += [f"! {line}" for line in found[:MOST_WARNINGS]]
        if len(found) > MOST_WARNINGS:
            lines.append(f"! and {len(found) - MOST_WARNINGS} more in .warnings")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        if not _is_whole(self):
            return super()._repr_html_()
        heading, *rows = [[html.escape(cell) for cell in row] for row in self.table()]
        head = "".join(f"<th>{cell}</th>" for cell in heading)
        body = "".join(
            "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows
        )
        notes = "".join(f"<li>{html.escape(line)}</li>" for line in self.warnings)
        return (
            f"<table><caption>{html.escape(_protocol_line(self.protocol))}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><ul>{notes}</ul>"
        )


def _is_whole(scores: xr.Dataset) -> bool:
    """Return whether the table can be made: a part of the scores prints as any Dataset does."""
    return {"model", "variable", "lead"} <= set(scores.dims) and set(TABLE) <= set(scores)


def _heading(scores: xr.Dataset) -> list[str]:
    level = json.loads(scores.attrs.get("protocol", "{}")).get("level", 0.9)
    return ["model", f"MAE 0-1 ({level:.0%})", "useful lead", "W1", "Hellinger", "KS",
            "Lyapunov", "flags"]  # fmt: skip


def _row(scores: xr.Dataset, name: str) -> list[str]:
    of = scores.sel(model=name)

    def value(key: str) -> float:
        return float(of[key])

    middle, lower, upper = (
        value(f"forecast_mae_first_unit{end}") for end in ("", "_lower", "_upper")
    )
    error = _number(middle)
    if np.isfinite(middle):
        error += f" ± {(upper - lower) / 2:.2g}"
    useful = value("useful_lead")
    longest = float(scores["lead"].values[-1])
    return [
        name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…",
        error,
        f"> {longest:g}" if np.isposinf(useful) else _number(useful),
        *(_number(value(key)) for key in ("wasserstein_1", "hellinger", "kolmogorov_smirnov")),
        _number(value("lyapunov")),
        ", ".join(_flags(of)),
    ]


def _flags(of: xr.Dataset) -> list[str]:
    found = []
    if float(of["blown_up_share"]) > 0:
        found.append(f"blows up ({float(of['blown_up_share']):.0%})")
    if bool(of["lost_chaos"]):
        found.append("lost chaos")
    if bool(of["drifts"]):
        found.append("drifts")
    if float(of["extrapolated_share"]) > 0.01:
        found.append(f"extrapolates {float(of['extrapolated_share']):.0%}")
    return found


def _number(value: float) -> str:
    return f"{value:#.3g}".rstrip(".") if np.isfinite(value) else "-"


def _line(row: list[str], widths: list[int]) -> str:
    first, *numbers, flags = row
    cells = [cell.rjust(width) for cell, width in zip(numbers, widths[1:-1], strict=True)]
    return "  ".join([first.ljust(widths[0]), *cells, flags]).rstrip()


def _protocol_line(settings: dict[str, Any]) -> str:
    if not settings:
        return "settings unknown"
    return (
        f"{settings['forecasts']} forecasts of {settings['lead']:g} time units, "
        f"climate of {settings['climate']:g}"
    )
