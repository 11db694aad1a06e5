"""What the numbers say, in words: the summary and the warnings."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from closura.evaluation.findings import each_once
from closura.evaluation.scores import FLOOR, NO_CLOSURE
from closura.report.expectations import checks_of
from closura.report.material import Material
from closura.report.numbers import Interval, interval, variables_of, written
from closura.report.prices import prices_of
from closura.report.table import MAE, MEASURES, OFFLINE, judged, values_of

MUCH_EXTRAPOLATED = 0.01  # share of inputs outside the training range that deserves a warning
FEW_SAMPLES = 500  # below, intervals rather than scores are the message


def summary(material: Material) -> list[str]:
    """Return the sentences that a hurried reader should see first."""
    sentences = [_what(material)]
    for variable in variables_of(material.run.scores)[:3]:
        sentences += _online(material, variable)
    if material.run.scores is None:
        sentences += _offline_only(material)
    sentences += _price(material)
    if len(sentences) == 1:
        sentences.append("No scores are in the run folder yet: nothing can be said about skill.")
    return sentences


def warnings_of(material: Material) -> list[str]:
    """Return every warning of the run once: those recorded, then those the scores imply."""
    found: list[str] = []
    for dataset in (material.run.scores, material.run.offline):
        found += _listed(dataset.attrs.get("warnings")) if dataset is not None else []
    if material.training is not None:
        found += list(material.training.warnings)
    for step in material.run.stages.values():
        found += _listed(step.get("warnings")) if isinstance(step, Mapping) else []
    found += _listed(material.run.provenance.get("warnings"))
    if material.run.scores is not None and "warnings" not in material.run.scores.attrs:
        found += _implied(material)
    found = each_once(found)
    failed = [check for check in checks_of(material.run.checks) if check.passed is False]
    found += [f"expected {check.name} = {check.expected}, found {check.found}." for check in failed]
    return found


def _what(material: Material) -> str:
    run = material.run
    count = len(material.cast.closures)
    closures = f"{count} closure{'s' if count != 1 else ''}"
    truth, coarse = type_of(run.experiment.get("truth")), type_of(run.experiment.get("coarse"))
    if truth and coarse:
        return f"{closures} learned from {truth} and tested in the running {coarse}."
    pairs = material.training
    size = f", from {len(pairs.time)} recorded instants" if pairs is not None else ""
    return f"{closures} learned from recorded columns{size}."


def _online(material: Material, variable: str) -> list[str]:
    values = values_of(material, MAE, variable)
    names = [role.name for role in material.cast.closures]
    best, alike = judged(values, MAE, names)
    if best is None:
        return [f"No closure has an online score for {variable}."]
    none = values.get(NO_CLOSURE)
    sentence = (
        f"In the running model {quoted(best)} forecasts {variable} best: its mean absolute error "
        f"over the first time unit is {with_interval(values[best])}"
    )
    floor = values.get(FLOOR)
    if (
        none is not None
        and none.value > values[best].value
        and not values[best].upper >= none.lower
    ):
        ratio = none.value / values[best].value
        sentence += f", {written(ratio, 2)} times less than with no closure ({written(none.value)})"
    elif none is not None:
        sentence += (
            f", no gain over no closure ({written(none.value)}) that chance could not explain"
        )
    sentences = [sentence + "."]
    if floor is not None:
        ratio = values[best].value / floor.value if floor.value else float("inf")
        sentences.append(
            f"The noise floor ({floor_in_words(material)}) is {written(floor.value)}: "
            f"{quoted(best)} stands at {written(ratio, 2)} times the floor."
        )
    if alike:
        sentences.append(
            f"Within the intervals, {joined(sorted(alike, key=names.index))} cannot be told from "
            f"{quoted(best)}: no ranking between them is meant."
        )
    return sentences + _contrast(material, variable, best)


def floor_in_words(material: Material) -> str:
    """Say what the floor of the forecast scores is."""
    said = protocol_of(material.run.scores).get("forecast_floor")
    return str(said) if said else "truth against an independent truth"


def _contrast(material: Material, variable: str, best: str) -> list[str]:
    """Say where the offline winner and the climate winner are others."""
    sentences = []
    names = [role.name for role in material.cast.closures]
    offline = values_of(material, OFFLINE, variable)
    first, alike = judged(offline, OFFLINE, names)
    if first is not None and best in offline:
        if first == best or best in alike:
            sentences.append(f"Offline, {quoted(best)} has R² {with_interval(offline[best])}.")
        else:
            sentences.append(
                f"Offline, {quoted(first)} explains more (R² {with_interval(offline[first])}, "
                f"{quoted(best)} {written(offline[best].value)}): "
                "who wins offline does not win online."
            )
    measure = next(m for m in MEASURES if m.name == "wasserstein_1")
    climate = values_of(material, measure, variable)
    first, _ = judged(climate, measure, names)
    if first is not None:
        floor = climate.get(FLOOR)
        beside = f" (noise floor {written(floor.value)})" if floor is not None else ""
        sentences.append(
            f"The climate of {quoted(first)} is nearest to the truth, at a Wasserstein-1 "
            f"distance of {written(climate[first].value)}{beside}."
        )
    return sentences


def _offline_only(material: Material) -> list[str]:
    measure = next(m for m in MEASURES if m.name == "column_r_squared")
    names = [role.name for role in material.cast.closures]
    sentences = []
    for variable in variables_of(material.run.offline):
        for which, words in ((measure, "Column mean of "), (OFFLINE, "")):
            values = values_of(material, which, variable)
            best, alike = judged(values, which, names)
            if best is None:
                continue
            others = sorted(alike, key=names.index)
            close = f"; {joined(others)} cannot be told from it" if others else ""
            sentences.append(
                f"{words}{variable}: {quoted(best)} predicts it best, with R² "
                f"{with_interval(values[best])}{close}."
            )
            if values[best].value <= 0:
                sentences.append("No closure does better than the mean.")
            break
    pairs = material.training
    if pairs is not None and len(pairs) < FEW_SAMPLES and sentences:
        sentences.append(
            f"{len(pairs)} training instants are few: read the intervals and the learning curves "
            "before the scores."
        )
    return sentences


def _price(material: Material) -> list[str]:
    names = {role.name for role in material.cast.closures}
    prices = [price for price in prices_of(material.run.price) if price.name in names]
    if not prices:
        return []
    low, high = (pick(price.over_coarse for price in prices) for pick in (min, max))
    same = len(prices) == 1 or written(low, 2) == written(high, 2)
    words = written(low, 2) if same else f"{written(low, 2)} to {written(high, 2)}"
    fine = [price.over_fine for price in prices if np.isfinite(price.over_fine)]
    share = f", at most {written(100 * max(fine), 2)} % of the fine model's" if fine else ""
    return [f"A hybrid step costs {words} times a coarse step{share}."]


def _implied(material: Material) -> list[str]:
    """Return the warnings that scores imply, for scores that carry none of their own."""
    scores, found = material.run.scores, []
    for role in material.cast.competitors:
        blown = interval(scores, "blown_up_share", role.name).value
        if blown > 0:
            found.append(f"{role.name}: {written(100 * blown, 2)} % of its runs blew up.")
        if interval(scores, "lost_chaos", role.name).value > 0:
            found.append(f"{role.name}: lost its chaos: it ends in a point or a periodic orbit.")
        outside = interval(scores, "extrapolated_share", role.name).value
        if outside > MUCH_EXTRAPOLATED:
            share = f"{written(100 * outside, 2)} %"
            found.append(f"{role.name}: {share} of its inputs lie outside the training range.")
    return found


def _listed(value: Any) -> list[str]:
    """Return recorded warnings, kept as a JSON list, a list or one line."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = [value]
    if isinstance(value, str):
        value = [value]
    return [str(line) for line in value or () if str(line)] if value is not None else []


def protocol_of(dataset: xr.Dataset | None) -> dict[str, Any]:
    """Return the protocol that scores were made by, as plain values."""
    text = dataset.attrs.get("protocol") if dataset is not None else None
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        return {"protocol": str(text)}
    return found if isinstance(found, dict) else {"protocol": found}


def with_interval(value: Interval) -> str:
    """Return a number with the ends of its interval."""
    if not (np.isfinite(value.lower) and np.isfinite(value.upper)):
        return written(value.value)
    return f"{written(value.value)} ({written(value.lower)} to {written(value.upper)})"


def joined(names: list[str]) -> str:
    """Return names as part of a sentence."""
    each = [quoted(name) for name in names]
    return each[0] if len(each) == 1 else f"{', '.join(each[:-1])} and {each[-1]}"


def quoted(name: str) -> str:
    """Return a name that cannot be mistaken for words of the sentence."""
    return f"“{name}”" if not name.isidentifier() else name


def type_of(section: Any) -> str:
    """Return the class that a section of an experiment names."""
    if isinstance(section, Mapping):
        return str(section.get("type", "")).rpartition(".")[2]
    return section if isinstance(section, str) else ""
