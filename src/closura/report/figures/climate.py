"""The long run: distributions, memory, spectra and chaos of the hybrids beside the truth."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from closura.report.cast import TRUTH_ROLE, Role
from closura.report.drawing import (
    FULL,
    HALF,
    Absence,
    Drawn,
    begin,
    finish,
    legend,
    note,
)
from closura.report.material import Material
from closura.report.numbers import Curve, curve, interval, label, units_of, variables_of, written

PDF, PDF_TITLE = "climate_density", "Climate: how often each value occurs"
MEMORY, MEMORY_TITLE = "autocorrelation", "Memory: autocorrelation in time"
SPECTRA, SPECTRA_TITLE = "spectra", "Spectra in time and along the ring"
CHAOS, CHAOS_TITLE = "lyapunov", "Chaos: the largest Lyapunov exponent"
MOST_IN_HALF = 8  # curves whose key fits above a figure of half the width
FARTHEST_TRUTH = 3.0  # exponents of the models beyond which the truth's is only named
RAREST = 2e-3  # of the largest density: below, the ratio of two histograms is noise


def draw_density(material: Material) -> Drawn:
    """Draw the densities of all models, and their ratio to the truth's."""
    scores = material.run.scores
    variables = variables_of(scores)
    if scores is None or not variables:
        return Absence(PDF, PDF_TITLE, material.run.why("scores.nc"))
    found = {v: curve(scores, "truth_probability_density", None, v, "bin") for v in variables}
    shown = {variable: truth for variable, truth in found.items() if truth is not None}
    if not shown:
        return Absence(PDF, PDF_TITLE, "The scores hold no climate densities.")
    figure, axes = begin(len(shown), 3, width=FULL, height=0.5 + 2.9 * len(shown), sharex="row")
    seen: list[Role] = []
    for row, (variable, truth) in zip(axes, shown.items(), strict=True):
        _density_panels(row, truth)
        for role in material.cast.everyone:
            density = curve(scores, "probability_density", role.name, variable, "bin")
            if density is not None:
                _density_lines(row, role, density, truth)
                seen.append(role)
        words = label(variable, units_of(scores, "truth_probability_density", variable) and "")
        for panel in row:
            panel.set_xlabel(words)
        _density_limits(row, truth)
    legend(figure, [TRUTH_ROLE, *(role for role in material.cast.everyone if role in seen)])
    caption = (
        "Left: densities. Middle: the same on a logarithmic scale, where the tails are seen. "
        "Right: ratio to the truth; the noise floor shows how far an independent truth strays."
    )
    return finish(figure, PDF, PDF_TITLE, caption)


def _density_panels(row: np.ndarray, truth: Curve) -> None:
    plain, tails, ratio = row
    plain.fill_between(truth.x, 0, truth.y, color="#000000", alpha=0.08, lw=0)
    for panel in (plain, tails):
        panel.plot(truth.x, _positive(truth.y), **TRUTH_ROLE.line)
    tails.set_yscale("log")
    ratio.set_yscale("log")
    ratio.axhline(1.0, color="black", lw=1.2)
    plain.set_ylabel("density")
    tails.set_ylabel("density (logarithmic)")
    ratio.set_ylabel("density / truth")


def _density_lines(row: np.ndarray, role: Role, density: Curve, truth: Curve) -> None:
    plain, tails, ratio = row
    for panel in (plain, tails):
        panel.plot(density.x, _positive(density.y), **role.line)
    common = truth.y > RAREST * np.nanmax(truth.y)
    share = np.divide(density.y, truth.y, out=np.full_like(truth.y, np.nan), where=common)
    ratio.plot(density.x, _positive(share), **role.line)


def _density_limits(row: np.ndarray, truth: Curve) -> None:
    plain, tails, ratio = row
    highest = float(np.nanmax(truth.y))
    top = max((float(np.nanmax(line.get_ydata())) for line in plain.lines), default=highest)
    plain.set_ylim(0, min(1.6 * highest, 1.08 * top))
    rarest = float(np.nanmin(_positive(truth.y)))
    tails.set_ylim(max(highest * 1e-4, rarest / 3), 2 * highest)
    ratio.set_ylim(0.2, 5.0)
    ratio.set_yticks([0.2, 0.5, 1.0, 2.0, 5.0], ["0.2", "0.5", "1", "2", "5"])
    ratio.minorticks_off()
    inside = truth.x[truth.y > highest * 1e-4]
    if inside.size > 1:
        reach = 0.08 * (inside[-1] - inside[0])
        plain.set_xlim(inside[0] - reach, inside[-1] + reach)
    if top > 1.6 * highest:
        note(plain, "a density is cut off here:\nthat run hardly varies")


def draw_memory(material: Material) -> Drawn:
    """Draw the autocorrelation of all models against the lag."""
    scores = material.run.scores
    variable = next(iter(variables_of(scores)), None)
    if scores is None:
        return Absence(MEMORY, MEMORY_TITLE, material.run.why("scores.nc"))
    truth = curve(scores, "truth_autocorrelation", None, variable, "lag")
    if truth is None:
        return Absence(MEMORY, MEMORY_TITLE, "The scores hold no autocorrelation.")
    crowded = len(material.cast.everyone) > MOST_IN_HALF
    figure, axes = begin(width=FULL if crowded else HALF, height=3.2)
    panel = axes[0, 0]
    seen = _lines(panel, material, "autocorrelation", "lag", variable)
    panel.plot(truth.x, truth.y, **TRUTH_ROLE.line)
    panel.axhline(0.0, color="#bbbbbb", lw=0.8, zorder=1)
    panel.set_xlabel(label("lag", units_of(scores, "lag") or "time units"))
    panel.set_ylabel(f"autocorrelation of {variable}")
    panel.set_ylim(max(-1.02, panel.get_ylim()[0]), 1.02)
    panel.margins(x=0)
    legend(figure, [TRUTH_ROLE, *seen])
    caption = "A run that repeats itself never forgets: its curve keeps swinging."
    return finish(figure, MEMORY, MEMORY_TITLE, caption)


def draw_spectra(material: Material) -> Drawn:
    """Draw power against frequency and against wave number."""
    scores = material.run.scores
    variable = next(iter(variables_of(scores)), None)
    if scores is None:
        return Absence(SPECTRA, SPECTRA_TITLE, material.run.why("scores.nc"))
    wanted = [("frequency", "frequency"), ("wave_number", "wave number")]
    panels = [
        (along, words, name) for along, words in wanted
        if (name := _spectrum_name(scores, along)) is not None
    ]  # fmt: skip
    if not panels:
        return Absence(SPECTRA, SPECTRA_TITLE, "The scores hold no spectra.")
    width = FULL if len(panels) == 2 else HALF
    figure, axes = begin(1, len(panels), width=width, height=3.4)
    seen: list[Role] = []
    for panel, (along, words, name) in zip(axes[0], panels, strict=True):
        seen += _lines(panel, material, name, along, variable, positive=True)
        truth = curve(scores, f"truth_{name}", None, variable, along)
        marker = {"marker": "o", "ms": 3} if along == "wave_number" else {}
        if truth is not None:
            panel.plot(truth.x, _positive(truth.y), **TRUTH_ROLE.line, **marker)
            _spectrum_limits(panel, truth)
        panel.set_yscale("log")
        if along == "frequency":
            panel.set_xscale("log")
        else:
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        usual = "1 / time unit" if along == "frequency" else ""
        panel.set_xlabel(label(words, units_of(scores, along) or usual))
        panel.set_ylabel(f"power of {variable}")
    roles = [role for role in material.cast.everyone if role in seen]
    legend(figure, [TRUTH_ROLE, *roles])
    caption = (
        "Both axes logarithmic in frequency. Peaks that the truth lacks betray a periodic run."
    )
    return finish(figure, SPECTRA, SPECTRA_TITLE, caption)


def draw_chaos(material: Material) -> Drawn:
    """Draw the largest Lyapunov exponent of every model beside the truth's."""
    scores = material.run.scores
    if scores is None:
        return Absence(CHAOS, CHAOS_TITLE, material.run.why("scores.nc"))
    rows = [
        (role, found) for role in material.cast.competitors
        if np.isfinite((found := interval(scores, "lyapunov", role.name)).value)
    ]  # fmt: skip
    if not rows:
        return Absence(CHAOS, CHAOS_TITLE, "The scores hold no Lyapunov exponents.")
    figure, axes = begin(width=HALF, height=0.9 + 0.3 * len(rows))
    panel = axes[0, 0]
    for place, (role, found) in enumerate(rows):
        panel.plot(found.value, place, "o", color=role.colour, ms=6)
        if np.isfinite(found.lower):
            panel.plot([found.lower, found.upper], [place, place], color=role.colour, lw=1.6)
        if interval(scores, "lost_chaos", role.name).value > 0:
            panel.annotate(
                "lost chaos", (np.nanmax(found), place), xytext=(6, 0), textcoords="offset points",
                va="center", fontsize=8, color="#8a3b00", fontweight="bold",
            )  # fmt: skip
    _true_exponent(panel, material, [found.value for _, found in rows])
    panel.axvline(0.0, color="#bbbbbb", lw=0.8, zorder=1)
    panel.set_yticks(range(len(rows)), [role.label for role, _ in rows])
    panel.set_ylim(len(rows) - 0.5, -1.1)
    panel.grid(visible=False, axis="y")
    panel.margins(x=0.16)
    panel.set_xlabel(label("growth rate", units_of(scores, "lyapunov") or "1 / time unit"))
    caption = (
        "How fast two near runs part. Zero or less: the run ends in a point or a periodic orbit, "
        "whatever its mean looks like."
    )
    return finish(figure, CHAOS, CHAOS_TITLE, caption)


def _true_exponent(axes: Axes, material: Material, others: list[float]) -> None:
    """Mark the truth's exponent, unless it would squeeze the models' into a corner."""
    value = interval(material.run.scores, "truth_lyapunov", None).value
    if not np.isfinite(value):
        return
    if value > FARTHEST_TRUTH * max(others):
        note(axes, f"truth: {written(value)}, off the scale (its fast variables)")
        return
    axes.axvline(value, color="black", lw=1.4, zorder=1.5)
    axes.text(value, -0.75, f" truth {written(value)}", fontsize=8, va="center")


def _lines(
    axes: Axes, material: Material, name: str, along: str, variable: str | None, *,
    positive: bool = False,
) -> list[Role]:  # fmt: skip
    """Draw one score of all models and return those that had one."""
    seen = []
    for role in material.cast.everyone:
        found = curve(material.run.scores, name, role.name, variable, along)
        if found is not None:
            axes.plot(found.x, _positive(found.y) if positive else found.y, **role.line)
            seen.append(role)
    return seen


def _spectrum_name(scores, along: str) -> str | None:
    for name in scores.data_vars:
        if along in scores[name].dims and "model" in scores[name].dims:
            return str(name).removesuffix("_lower").removesuffix("_upper")
    return None


def _spectrum_limits(axes: Axes, truth: Curve) -> None:
    known = truth.y[(truth.y > 0) & np.isfinite(truth.y) & (truth.x > 0)]
    if known.size:
        axes.set_ylim(max(known.min() / 3, known.max() * 1e-8), known.max() * 4)


def _positive(values: np.ndarray) -> np.ndarray:
    """Return values with NaN in place of what a logarithm cannot show."""
    return np.where(values > 0, values, np.nan)
