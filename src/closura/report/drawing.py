"""How every figure of a report is begun, furnished and finished."""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from closura.report.cast import Role
from closura.report.numbers import SUPERSCRIPTS, Curve, label, pretty_units, written

FULL, HALF = 10.0, 4.9  # [inch] widths of a figure across the page and across half of it
PIXELS_PER_INCH = 200  # twice the resolution of a common screen
ROW = 0.18  # [inch] height of one more row of the key
RUNAWAY = 2.5  # a curve this many times above the typical one is cut off and named instead

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.labelcolor": "#222222",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 2.4,
    "hatch.linewidth": 0.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "closura",
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.use_mathtext": True,
}


@dataclass(frozen=True)
class Picture:
    """A finished figure.

    Args:
        name: Name of its file, without ending.
        title: What it shows.
        caption: How to read it, plain text.
        svg: The figure as an SVG document.
        png: The figure as a PNG file.
        half: Whether it takes half of the width.
    """

    name: str
    title: str
    caption: str
    svg: bytes = field(repr=False)
    png: bytes = field(repr=False)
    half: bool = False

    @property
    def address(self) -> str:
        """The figure as a data address: the smaller of its two forms where SVG is heavy."""
        kind, data = ("svg+xml", self.svg) if len(self.svg) < 400_000 else ("png", self.png)
        return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


@dataclass(frozen=True)
class Absence:
    """A figure that cannot be drawn, and why."""

    name: str
    title: str
    reason: str


Drawn = Picture | Absence


def begin(
    rows: int = 1,
    columns: int = 1,
    *,
    width: float = FULL,
    height: float = 3.2,
    **options: Any,
) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes, always as an array (rows, columns)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def finish(figure: Figure, name: str, title: str, caption: str) -> Picture:
    """Render a figure in both forms and let it go."""
    svg, png = io.BytesIO(), io.BytesIO()
    figure.set_dpi(PIXELS_PER_INCH)
    FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
    figure.set_layout_engine("none")  # what was laid out for one form holds for the other
    FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None})
    half = bool(figure.get_figwidth() <= HALF)
    figure.clear()
    return Picture(name, title, caption, svg.getvalue(), png.getvalue(), half)


@contextmanager
def styled() -> Iterator[None]:
    """Draw figures with the same look whatever the user's settings."""
    with mpl.rc_context():
        mpl.rcdefaults()
        settings: Any = mpl.rcParams
        settings.update(STYLE)
        yield


def band(axes: Axes, role: Role, found: Curve, **line: Any) -> None:
    """Draw a curve with its confidence band."""
    if found.lower is not None and found.upper is not None:
        axes.fill_between(
            found.x, found.lower, found.upper, color=role.colour, alpha=0.18, lw=0, zorder=1.8
        )
    axes.plot(found.x, found.y, **{**role.line, **line})


def floor_area(axes: Axes, found: Curve, colour: str) -> None:
    """Hatch what lies below the noise floor: no closure can be told apart there."""
    axes.fill_between(
        found.x, 0.0, found.y, facecolor="none", edgecolor=colour, hatch="////", lw=0, alpha=0.45,
        zorder=1.2,
    )  # fmt: skip


def legend(figure: Figure, roles: Sequence[Role], extra: Iterable[Any] = ()) -> None:
    """Put one key above all panels, and give the figure the height that it takes."""
    handles = [*(_handle(role) for role in roles), *extra]
    widest = max((len(handle.get_label()) for handle in handles), default=1)
    inch = 0.5 + 0.075 * widest  # of one entry: the line and its letters
    columns = max(1, min(len(handles), int(figure.get_figwidth() * 0.97 / inch)))
    rows = -(-len(handles) // columns)
    columns = max(1, -(-len(handles) // max(1, rows)))
    figure.set_figheight(figure.get_figheight() + ROW * (rows - 1))
    figure.legend(
        handles=handles, loc="outside upper left", ncols=columns, columnspacing=1.4, borderpad=0.1
    )


def _handle(role: Role) -> Any:
    if role.kind != "floor":
        return Line2D([], [], label=role.label, **role.line)
    look: dict[str, Any] = {"facecolor": "none", "edgecolor": role.colour, "hatch": "////"}
    return Patch(label=role.label, ls=role.dash, lw=0.8, **look)


def limit_errors(axes: Axes, named: Sequence[tuple[str, np.ndarray]], *, bottom: float = 0) -> None:
    """Set sensible vertical limits where a curve or two run away, and name those that do."""
    tops = {name: _greatest(values) for name, values in named}
    finite = [top for top in tops.values() if np.isfinite(top)]
    if not finite:
        return
    usual = RUNAWAY * float(np.median(finite))
    kept = [top for top in finite if top <= usual] or finite
    highest = max(kept)
    axes.set_ylim(bottom, 1.06 * highest if highest > bottom else bottom + 1.0)
    away = [name for name, top in tops.items() if not top <= usual]
    if away:
        lines = [f"{name} (to {written(tops[name], 2)})" for name in away[:3]]
        more = [f"and {len(away) - 3} more"] if len(away) > 3 else []
        note(axes, "off the scale: " + "\n".join([*lines, *more]))


def power_label(axis: Axis, words: str, units: str | None) -> None:
    """Label an axis whose limits are final, powers of ten moved into its unit."""
    lower, upper = sorted(axis.get_view_interval())
    reach = max(abs(lower), abs(upper))
    power = int(np.floor(np.log10(reach))) if reach > 0 else 0
    if -3 < power < 4:
        axis.set_label_text(label(words, units))
        return
    axis.set_major_formatter(lambda value, _: f"{value / 10.0**power:g}".replace("-", "−"))
    scale = f"10{str(power).translate(SUPERSCRIPTS)}"
    axis.set_label_text(f"{words} [{' '.join(filter(None, (scale, pretty_units(units))))}]")


def note(axes: Axes, words: str, *, x: float = 0.985, y: float = 0.975) -> None:
    """Write a remark in a corner of a panel."""
    axes.text(
        x, y, words, transform=axes.transAxes, ha="right" if x > 0.5 else "left",
        va="top" if y > 0.5 else "bottom", fontsize=7.5, color="#8a3b00", zorder=5,
        bbox={"facecolor": "white", "alpha": 0.85, "lw": 0, "pad": 1.5},
    )  # fmt: skip


def label_ends(axes: Axes, entries: Sequence[tuple[Role, float]], *, least: float = 0.065) -> None:
    """Name curves at the right edge of a panel, pushed apart where they would overlap.

    Args:
        axes: The panel; its limits must be final.
        entries: Each curve's role and its value at the right edge.
        least: Smallest distance between labels [share of the panel's height].
    """
    lower, upper = axes.get_ylim()
    shares = [(float(np.clip((y - lower) / (upper - lower), 0, 1)), role) for role, y in entries]
    shares.sort(key=lambda entry: entry[0])
    places = spread_apart([share for share, _ in shares], least)
    for (share, role), place in zip(shares, places, strict=True):
        axes.plot(
            [1.0, 1.025], [share, place], transform=axes.transAxes, color=role.colour, lw=0.8,
            clip_on=False,
        )  # fmt: skip
        axes.text(
            1.03, place, role.label, transform=axes.transAxes, color=role.colour, va="center",
            fontsize=8.5, fontweight="bold" if role.kind == "truth" else "normal",
        )  # fmt: skip


def spread_apart(places: Sequence[float], least: float) -> list[float]:
    """Return increasing places at least so far apart, as near to the wanted ones as may be."""
    groups: list[list[float]] = []  # [mean place, number], merged while they touch
    for place in places:
        groups.append([place, 1.0])
        while len(groups) > 1:
            (low, below), (high, above) = groups[-2], groups[-1]
            if high - low >= least * (below + above) / 2:
                break
            groups[-2:] = [[(low * below + high * above) / (below + above), below + above]]
    found: list[float] = []
    for centre, count in groups:
        found += [centre + least * (index - (count - 1) / 2) for index in range(int(count))]
    return found


def _greatest(values: np.ndarray) -> float:
    """Return the greatest value, infinite where the curve is anywhere infinite."""
    known = values[~np.isnan(values)]
    return float(known.max()) if known.size else float("nan")
