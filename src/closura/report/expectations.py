"""Expected numbers beside those that were found, as the page shows them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from closura.report.numbers import written


class Check(NamedTuple):
    """One expected number beside the one found."""

    name: str
    expected: str
    found: str
    passed: bool | None
    source: str


def checks_of(checks: Any) -> list[Check]:
    """Return expected and found, whether the file keeps a list or a mapping."""
    if isinstance(checks, Mapping):
        nested = checks.get("checks")
        if isinstance(nested, list | Mapping):
            return checks_of(nested)
        checks = [{"name": name, **entry} for name, entry in checks.items()
                  if isinstance(entry, Mapping)]  # fmt: skip
    return [_check(entry) for entry in checks or () if isinstance(entry, Mapping)]


def _check(entry: Mapping) -> Check:
    passed = next((entry[k] for k in ("passed", "ok", "met", "held") if k in entry), None)
    return Check(
        name=str(next((entry[k] for k in ("name", "path", "what") if k in entry), "")),
        expected=_expected(entry),
        found=_found(entry),
        passed=None if passed is None else bool(passed),
        source=str(entry.get("source") or ""),
    )


def _found(entry: Mapping) -> str:
    value = next((entry[k] for k in ("found", "actual") if k in entry), None)
    problem = entry.get("problem")
    return str(problem) if value is None and problem else _plain(value)


def _expected(entry: Mapping) -> str:
    value = next((entry[k] for k in ("expected", "value", "wanted") if k in entry), None)
    if isinstance(value, Mapping):
        return _expected(value)
    words = [] if value is None else [_given(value)]
    if entry.get("within") is not None:
        words.append(f"± {_given(entry['within'])}")
    bounds = (("at_least", "≥"), ("at_most", "≤"), ("above", ">"), ("below", "<"),
              ("min", "≥"), ("max", "≤"))  # fmt: skip
    words += [f"{sign} {_given(entry[k])}" for k, sign in bounds if entry.get(k) is not None]
    if isinstance(entry.get("between"), list | tuple):
        words.append(" to ".join(_given(limit) for limit in entry["between"]))
    words += [_given(entry[k]) for k in ("is", "equals") if entry.get(k) is not None]
    return " ".join(words) or "–"


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int | float):
        return written(float(value), 4)
    return str(value)


def _given(value: Any) -> str:
    """Write a number as its author did: without zeros that claim precision."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.6g}".replace("-", "−")
    return _plain(value)
