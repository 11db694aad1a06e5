"""The units that files come in: which are known, and how one becomes another."""

import re
from typing import Any, NamedTuple

# [J kg-1 K-1] dry air at constant pressure: SHR_CONST_CPDAIR of CESM (shr_const_mod)
SPECIFIC_HEAT = 1004.64

DAY, HOUR, MINUTE = 86400.0, 3600.0, 60.0  # [s]


class Unit(NamedTuple):
    """A unit as `factor * value + offset` in the SI unit of its kind.

    Attributes:
        kind: What it measures; a rate is a kind "per time".
        factor: Size in SI units.
        offset: What zero is in SI units: 273.15 for degrees Celsius.
    """

    kind: str
    factor: float
    offset: float = 0.0


_SPELLINGS: dict[Unit, tuple[str, ...]] = {
    Unit("number", 1.0): ("1", "", "-", "dimensionless", "fraction", "none"),
    Unit("number", 0.01): ("%", "percent"),
    Unit("mass fraction", 1.0): ("kg/kg", "kg kg-1", "kg kg**-1"),
    Unit("mass fraction", 1e-3): ("g/kg", "g kg-1", "g kg**-1"),
    Unit("mole fraction", 1.0): ("mol/mol", "mol mol-1", "mol mol**-1"),
    Unit("mole fraction", 1e-6): ("ppm", "ppmv", "umol/mol", "micromol mol-1"),
    Unit("temperature", 1.0): ("K", "k", "kelvin", "Kelvin", "degK"),
    Unit("temperature", 1.0, 273.15): ("degC", "C", "celsius", "Celsius", "deg_C", "°C"),
    Unit("pressure", 1.0): ("Pa", "pascal", "Pascal", "N m-2"),
    Unit("pressure", 100.0): ("hPa", "mb", "mbar", "millibar", "millibars", "hectopascal"),
    Unit("length", 1.0): ("m", "metre", "metres", "meter", "meters"),
    Unit("length", 1000.0): ("km", "kilometre", "kilometer"),
    Unit("length", 0.01): ("cm", "centimetre", "centimeter"),
    Unit("acceleration", 1.0): ("m s-2", "m/s2", "m/s^2", "m s**-2", "m s-1 s-1", "m/s/s"),
    Unit("acceleration", 1 / HOUR): ("m s-1 h-1", "m/s/h", "m s-1 hour-1", "m/s/hour"),
    Unit("acceleration", 1 / DAY): ("m s-1 day-1", "m/s/day", "m s-1 d-1", "m/s/d"),
    Unit("heating per mass", 1.0): ("W/kg", "W kg-1", "J/kg/s", "J kg-1 s-1"),
    Unit("time", 1.0): ("s", "sec", "second", "seconds"),
    Unit("time", MINUTE): ("min", "minute", "minutes"),
    Unit("time", HOUR): ("h", "hr", "hour", "hours"),
    Unit("time", DAY): ("d", "day", "days"),
}
_KNOWN = {spelling: unit for unit, spellings in _SPELLINGS.items() for spelling in spellings}
_PER_TIME = re.compile(
    r"^(?P<base>.*?)\s*(?:/\s*(?P<over>[a-z]+)|\b(?P<power>[a-z]+)(?:\*\*|\^)?-1)$"
)


def parse_unit(text: str) -> Unit:
    """Return what a unit's spelling means, e.g. ``"hPa"``, ``"g/kg /s"``, ``"K day-1"``.

    Raises:
        ValueError: The unit is not known.
    """
    cleaned = " ".join(str(text).split())
    if cleaned in _KNOWN:
        return _KNOWN[cleaned]
    rate = _PER_TIME.match(cleaned)
    if rate is not None:
        base = _KNOWN.get(rate["base"])
        per = _KNOWN.get(rate["over"] or rate["power"])
        if base is not None and base.kind != "time" and per is not None and per.kind == "time":
            return Unit(f"{base.kind} per time", base.factor / per.factor)
    listed = ", ".join(spellings[0] for spellings in _SPELLINGS.values())
    raise ValueError(
        f"the unit {text!r} is not known; known are {listed}, and each of them per time "
        "(e.g. 'K/day'). Convert the values yourself and name the unit that they then have."
    )


def same_unit(first: str, second: str) -> bool:
    """Return whether two spellings mean the same unit: ``"hPa"`` and ``"mb"``, but not ``"Pa"``."""
    if first == second:
        return True
    try:
        one, other = parse_unit(first), parse_unit(second)
    except ValueError:
        return False
    return one == other or (_comparable(one, other, None) and one[1:] == other[1:])


def convert_units(
    array: Any, found: str, wanted: str, *, specific_heat: float | None = None
) -> Any:
    """Return values in another unit; the array itself where nothing changes.

    Args:
        array: Any array (NumPy, JAX, xarray).
        found: Unit of its values.
        wanted: Unit to return them in.
        specific_heat: [J kg-1 K-1] `SPECIFIC_HEAT` for dry air; only to turn heating per mass
            ("W/kg") into a rate of temperature ("K/s") or back, which it divides by this.

    Raises:
        ValueError: A unit is not known, or the two measure different things.
    """
    if found == wanted:
        return array
    try:
        source, target = parse_unit(found), parse_unit(wanted)
    except ValueError as unknown:
        raise ValueError(f"cannot convert {found!r} to {wanted!r}: {unknown}") from None
    if not _comparable(source, target, specific_heat):
        raise ValueError(
            f"cannot convert {found!r} ({source.kind}) to {wanted!r} ({target.kind}): "
            f"{_remedy(source, target)}"
        )
    factor = _in_si(source, specific_heat) / _in_si(target, specific_heat)
    offset = (source.offset - target.offset) / target.factor
    if factor == 1.0 and offset == 0.0:
        return array
    scaled = array if factor == 1.0 else array * factor
    return scaled if offset == 0.0 else scaled + offset


def tendency_units(units: str, time_units: str) -> str:
    """Return the unit of a tendency, e.g. ``"K s-1"``; a unit of time "1" adds nothing."""
    if time_units == "1":
        return units
    return f"{time_units}-1" if units == "1" else f"{units} {time_units}-1"


_HEATING = {"heating per mass", "temperature per time"}


def _in_si(unit: Unit, specific_heat: float | None) -> float:
    """Return the factor to SI, in K s-1 where heating is compared with a rate of temperature."""
    heating = unit.kind == "heating per mass" and specific_heat is not None
    return unit.factor / specific_heat if heating else unit.factor  # type: ignore[operator]


def _comparable(one: Unit, other: Unit, specific_heat: float | None) -> bool:
    """Return whether one converts into the other; a plain 1 stands for any kind of fraction."""
    kinds = {one.kind, other.kind}
    if len(kinds) == 1 or (kinds == _HEATING and specific_heat is not None):
        return True
    plain = {kind.removesuffix(" per time") for kind in kinds}
    rates = {kind.endswith(" per time") for kind in kinds}
    number = one if one.kind.startswith("number") else other
    return (
        "number" in plain
        and plain <= {"number", "mass fraction", "mole fraction"}
        and len(rates) == 1
        and number.factor != 0.01
    )


def _remedy(source: Unit, target: Unit) -> str:
    if {source.kind, target.kind} == _HEATING:
        return (
            "this divides or multiplies by a specific heat; pass "
            f"specific_heat={SPECIFIC_HEAT} [J kg-1 K-1] for dry air, or the model's own."
        )
    return "they measure different things; choose another variable, or compute it first."
