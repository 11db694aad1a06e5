"""What a scientist should know before trusting the scores, a line each."""

from collections.abc import Iterable, Mapping
from typing import Any

import xarray as xr

from closura.core.model import AbstractModel
from closura.evaluation.scores import FLOOR

EXTRAPOLATED = 0.01  # share of inputs outside the training range that is worth a line


def find_warnings(
    scores: xr.Dataset,
    hybrids: Mapping[str, AbstractModel],
    baselines: Mapping[str, AbstractModel],
    run: str | None,
) -> list[str]:
    """Return the warnings about models and scores.

    Args:
        scores: Scores by model and variable.
        hybrids: The hybrids by name.
        baselines: The baselines by name.
        run: Fingerprint of the run that they were scored on.
    """
    everyone = {**hybrids, **baselines}
    lines = _disagreements(everyone)
    for name, model in everyone.items():
        lines += _leaks(name, model, run)
        lines += _stability(name, scores.sel(model=name))
    for name in hybrids:
        for baseline in baselines:
            lines += _gains(scores, name, baseline)
    return lines


def each_once(lines: Iterable[str]) -> list[str]:
    """Return each line once; one that another repeats after the names of models goes."""
    found = list(dict.fromkeys(lines))
    return [line for line in found if not any(other.endswith(f": {line}") for other in found)]


def _disagreements(models: Mapping[str, AbstractModel]) -> list[str]:
    """Return what passports have against their models, with all the models that it concerns."""
    concerned: dict[str, list[str]] = {}
    for name, model in models.items():
        for line in dict.fromkeys(getattr(model, "disagreements", ())):
            concerned.setdefault(line, []).append(name)
    return [f"{', '.join(names)}: {line}" for line, names in concerned.items()]


def _leaks(name: str, model: Any, run: str | None) -> list[str]:
    passports = [term.closure.passport for term in getattr(model, "terms", ())]
    if run and any(p is not None and p.source == run for p in passports):
        return [
            f"{name}: scored on the run that the closure was trained on ({run}); "
            "simulate the truth again with another key."
        ]
    return []


def _stability(name: str, of: xr.Dataset) -> list[str]:
    lines = []
    share, failed = float(of["blown_up_share"]), float(of["blown_up_forecasts_share"])
    if share > 0 or failed > 0:
        lines.append(
            f"{name}: blows up in {share:.0%} of the climate runs and {failed:.0%} of the forecasts"
        )
    if bool(of["lost_chaos"]):
        lines.append(
            f"{name}: lost its chaos in {float(of['lost_chaos_share']):.0%} of the long runs, "
            "which end on a fixed point or a periodic orbit; its climate is that of a transient"
        )
    for variable in of["variable"].values[of["drifts"].values]:
        trend = float(of["drift"].sel(variable=variable))
        lines.append(f"{name}: {variable} drifts by {trend:+.3g} per time unit")
    extrapolated = float(of["extrapolated_share"])
    if extrapolated > EXTRAPOLATED:
        lines.append(
            f"{name}: {extrapolated:.1%} of the closure's inputs lie outside its training range"
        )
    return lines


def _gains(scores: xr.Dataset, name: str, baseline: str) -> list[str]:
    """Return the gains over a baseline that chance could explain."""
    lines = []
    for variable in scores["variable"].values:
        mine, other, floor = (
            scores.sel(model=one, variable=variable) for one in (name, baseline, FLOOR)
        )
        gain = float(other["wasserstein_1"] - mine["wasserstein_1"])
        least = float(floor["wasserstein_1"])
        if 0 < gain < least:
            lines.append(
                f"{name}: its gain over {baseline} in W1 of {variable} ({gain:.2g}) is smaller "
                f"than the noise floor ({least:.2g}): no gain"
            )
        better = mine["forecast_mae_first_unit"] < other["forecast_mae_first_unit"]
        apart = mine["forecast_mae_first_unit_upper"] < other["forecast_mae_first_unit_lower"]
        if bool(better) and not bool(apart):
            lines.append(
                f"{name}: its gain over {baseline} in the forecast error of {variable} is "
                "within the intervals: no gain"
            )
    return lines
