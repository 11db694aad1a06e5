"""A correction by date as files that LMDZ adds by itself, with guide_add and no new Fortran."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from closura import __version__
from closura.closures.climatological import ClimatologicalTendency
from closura.core.closure import AbstractClosure
from closura.core.learner import Pairs
from closura.data.guide_add import GuideWriter, count_records, read_record, write_levels
from closura.data.store import write_json
from closura.data.units import same_unit
from closura.export.gate import difference, hold
from closura.export.prepare import folder_beside
from closura.export.readme import fill
from closura.grids.lmdz_grid import (
    LmdzGrid,
    covariant_wind,
    physical_wind,
    to_u_points,
    to_v_points,
    u_to_centres,
    v_to_centres,
    with_repeated_meridian,
)
from closura.grids.lmdz_guide import DAY, GuideKeys, guided_step

LONGEST_YEAR = 366  # [days]
ALLOWED = 1e-6  # largest difference, relative to the largest tendency of the record
CHECKED = 60  # records that are read back, evenly spread
CALL = 900.0  # [s] a usual time between two calls of the guide; it cancels
WINDS = ("u", "v")


@dataclass(frozen=True)
class Plan:
    """What is written: on which grid, at which levels, how often.

    Args:
        grid: Of LMDZ.
        level: The top first [Pa].
        daily: Records a day; 0 for a correction that never changes.
        turn: Order of the pairs' meridians that begins at 180 W.
    """

    grid: LmdzGrid
    level: np.ndarray
    daily: int
    turn: np.ndarray

    @property
    def records(self) -> int:
        """Number of records: a leap year and the instant that ends it."""
        return LONGEST_YEAR * self.daily + 1

    def date(self, record: float | int) -> dict[str, float]:
        """Return day and hour of a record; the run begins with the year."""
        days = record / max(self.daily, 1)
        return {"day": 1.0 + np.floor(days), "hour": 24.0 * (days - np.floor(days))}


def export_guide_add(
    closure: AbstractClosure,
    folder: Path,
    pairs: Sequence[Pairs],
    *,
    name: str,
    missing: str = "report",
    source: str = "",
) -> dict[str, Any]:
    """Write the winds of a correction by date as u.nc and v.nc, once they are proved to be it.

    Args:
        closure: A `ClimatologicalTendency` of `u` and `v` at LMDZ's centres [m s-2].
        folder: A folder that does not exist yet.
        pairs: What it was fitted on: they know the grid, the levels and the unit.
        name: Of the learner.
        missing: Not asked for: such files hold no columns.
        source: Where the closure comes from.

    Returns:
        The figures that are in `parity.json`.

    Raises:
        ValueError: It cannot be written so, or what was written differs; nothing is left behind.
    """
    with jax.enable_x64(True):
        fixed = _check(closure, pairs[0])
        plan = _plan(fixed, pairs[0])
        with folder_beside(folder) as built:
            tendency = _compiled(fixed)
            with GuideWriter(built, plan.grid, plan.level, 24 / max(plan.daily, 1)) as writer:
                for record in range(plan.records):
                    writer.write(record, _at_points(tendency(plan.date(record)), plan))
            hybrid = _levels_beside(built, plan, pairs[0])
            figures = prove(built, fixed, plan)
            write_json(built / "parity.json", figures)
            words = {"NAME": name, "SOURCE": source or name, "SEASON": _season(fixed)}
            _pages(built, plan, figures, words, hybrid=hybrid)
    return figures


def prove(folder: Path, closure: ClimatologicalTendency, plan: Plan) -> dict[str, Any]:
    """Return how far what LMDZ adds, by its own formula, is from the closure's tendency.

    Raises:
        ValueError: Too far at a record.
    """
    tendency = _compiled(closure)
    count = count_records(folder)
    chosen = np.unique(np.linspace(0, count - 1, min(CHECKED, count)).round().astype(int))
    at_records = [_apart(folder, float(r), tendency(plan.date(r)), plan) for r in chosen.tolist()]
    between = [
        _apart(folder, r + 0.5, tendency(plan.date(r + 0.5)), plan) for r in chosen[:-1].tolist()
    ]
    largest = max(apart for apart, _ in at_records)
    hold("what LMDZ adds", largest, ALLOWED)
    return {
        "closura": __version__,
        "cases": len(chosen),
        "wanted_cases": len(chosen),
        "records": count,
        "native": {"single": {"largest": largest, "allowed": ALLOWED}},
        "between_records": max((apart for apart, _ in between), default=0.0),
        "lost_at_centres": max(lost for _, lost in at_records),
    }


def _apart(
    folder: Path, record: float, wanted: dict[str, np.ndarray], plan: Plan
) -> tuple[float, float]:
    """Return the largest difference at the winds' points, and what averaging loses at centres."""
    first, weight = int(record), record - int(record)
    points = _at_points(wanted, plan)
    apart, lost = 0.0, 0.0
    for wind, back in (("u", u_to_centres), ("v", v_to_centres)):
        length = plan.grid.cu if wind == "u" else plan.grid.cv
        held = (1 - weight) * read_record(folder, wind, first)
        if weight:
            held = held + weight * read_record(folder, wind, first + 1)
        added = lmdz_tendency(held, length)[::-1]
        apart = max(apart, difference(added.reshape(-1, 1), points[wind].reshape(-1, 1)))
        aim = _in_lmdz_order(wanted[wind], plan) * DAY
        size = np.sqrt(np.mean(aim**2)) or 1.0
        lost = max(lost, float(np.sqrt(np.mean((back(points[wind]) - aim) ** 2)) / size))
    return apart, lost


def lmdz_tendency(held: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Return what a day of LMDZ's guide adds [m s-1 day-1]: its formula, step by step.

    Args:
        held: Wind as it was read from the file.
        length: `cu` or `cv` [m].
    """
    factt = CALL / DAY
    alpha = GuideKeys(tau_min=1.0, guide_add=True).factor(factt)
    covariant = covariant_wind(held, length)
    step = np.asarray(guided_step(np.zeros_like(covariant), covariant, alpha, guide_add=True))
    return physical_wind(step, length) / factt


def _check(closure: AbstractClosure, pairs: Pairs) -> ClimatologicalTendency:
    """Return the closure, if it is one that depends on the date alone and corrects the winds."""
    if not isinstance(closure, ClimatologicalTendency):
        raise ValueError(
            f"{type(closure).__name__} sees the state and cannot be shipped as LMDZ's guide_add, "
            "which takes a correction by date; take --to fortran, or a ClimatologicalCorrection."
        )
    absent = [wind for wind in WINDS if wind not in closure.coefficients]
    if absent:
        raise ValueError(
            f"the correction has no {absent[0]!r}, it has {', '.join(closure.coefficients)}, and "
            "cannot be shipped: LMDZ's u.nc and v.nc want both winds. Fit it on targets u and v."
        )
    for wind in WINDS:
        spoiled = int(np.sum(~np.isfinite(closure.coefficients[wind])))
        if spoiled:
            raise ValueError(
                f"the correction of {wind!r} has {spoiled} values that are not finite, and LMDZ "
                "would add them; fit it on targets without NaN, or on levels that have none."
            )
    units = dict(pairs.passport.units)
    for wind in WINDS:
        found = units.get(wind, "")
        if not same_unit(found, "m s-2"):
            raise ValueError(
                f"the tendency of {wind!r} has units {found!r}; guide_add needs 'm s-2'. Read the "
                f"targets with units, {wind}: {{variable: ..., units: m s-2}}."
            )
    return closure


def _plan(closure: ClimatologicalTendency, pairs: Pairs) -> Plan:
    places = pairs.coordinates
    absent = [name for name in ("level", "lat", "lon") if name not in places]
    if absent:
        raise ValueError(
            f"the pairs know no {absent[0]!r}, so the points of LMDZ are not known; read them with "
            "layout: lmdz, or with coordinates level, lat and lon."
        )
    grid = LmdzGrid(len(places["lon"]), len(places["lat"]) + 1)
    turn = np.argsort((places["lon"] + 180.0) % 360.0)
    lines = (places["lon"][turn] + 180.0) % 360.0 - 180.0
    rows = np.allclose(places["lat"], grid.latitude_u[-2:0:-1], atol=0.01)
    if not (rows and np.allclose(lines, grid.longitude_v[:-1], atol=0.01)):
        raise ValueError(
            f"the pairs stand on {len(places['lat'])} latitudes from {places['lat'][0]:g} to "
            f"{places['lat'][-1]:g} and {len(lines)} longitudes; guide_add is written for LMDZ's "
            "regular grid without its poles (layout: lmdz), not for a zoomed or another one."
        )
    changes = closure.hours > 1 or closure.terms > 1
    return Plan(grid, np.asarray(places["level"], float), closure.hours if changes else 0, turn)


def _compiled(closure: ClimatologicalTendency):
    """Return a function from a date to the tendencies [m s-2], (level, lat, lon)."""
    shapes = {name: jnp.zeros((), float) for name in closure.coefficients}
    call = eqx.filter_jit(lambda date: closure.tendency(shapes, {"calendar": date}))

    def tendency(date: dict[str, float]) -> dict[str, np.ndarray]:
        found = call({part: jnp.asarray(value) for part, value in date.items()})
        return {wind: np.asarray(found[wind], np.float64) for wind in WINDS}

    return tendency


def _in_lmdz_order(field: np.ndarray, plan: Plan) -> np.ndarray:
    """Return a field with rows from north to south and meridians from 180 W."""
    return field[..., ::-1, :][..., plan.turn]


def _at_points(tendency: dict[str, np.ndarray], plan: Plan) -> dict[str, np.ndarray]:
    """Return both winds at their own points [m s-1 day-1], levels from the top down."""
    u, v = (_in_lmdz_order(tendency[wind], plan) * DAY for wind in WINDS)
    return {"u": to_u_points(u), "v": to_v_points(u, v, plan.grid.longitude_v[:-1])}


def _levels_beside(folder: Path, plan: Plan, pairs: Pairs) -> bool:
    """Write apbp.nc and ps.nc where the pairs know the hybrid levels; return whether they do."""
    known = {"ap", "bp"} <= set(pairs.coordinates) and "surface_pressure" in pairs.inputs
    if known:
        mean = np.mean(pairs.inputs["surface_pressure"], axis=(0, 1))
        inside = with_repeated_meridian(_in_lmdz_order(mean, plan))
        poles = [np.full_like(inside[:1], inside[row, :-1].mean()) for row in (0, -1)]
        whole = np.concatenate([poles[0], inside, poles[1]])
        ap, bp = (np.asarray(pairs.coordinates[name], float) for name in ("ap", "bp"))
        write_levels(folder, plan.grid, plan.level, ap, bp, whole, plan.records)
    return known


def _season(closure: ClimatologicalTendency) -> str:
    count = (closure.terms - 1) // 2
    if count == 0:
        return "none: every day of the year is the same, whatever days it was learned from"
    return f"the mean and {count} harmonic{'s' if count > 1 else ''} of the year"


def _pages(
    folder: Path, plan: Plan, figures: dict[str, Any], said: dict[str, str], *, hybrid: bool
) -> None:
    """Write guide.def and the README."""
    place = resources.files("closura.export") / "runtime"
    files = "u.nc, v.nc, apbp.nc and ps.nc" if hybrid else "u.nc and v.nc"
    words = said | {
        "FILES": files, "PLEVS": str(int(hybrid)),
        "READ": str(plan.daily), "INTERPOLATE": str(max(plan.daily, 4)),
        "GRID": f"{plan.grid.iim} x {plan.grid.jjm} x {len(plan.level)}",
        "RECORDS": str(plan.records), "LARGEST": f"{figures['native']['single']['largest']:.1e}",
        "BETWEEN": f"{figures['between_records']:.1e}", "CHECKED": str(figures["cases"]),
        "LOST": f"{100 * figures['lost_at_centres']:.1f}",
    }  # fmt: skip
    for template, file in (("guide.def", "guide.def"), ("guide_add.md", "README.md")):
        (folder / file).write_text(fill((place / template).read_text(), words))
