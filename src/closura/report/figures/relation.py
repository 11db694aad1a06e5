"""What the closures have learned: the recorded tendency against the resolved variable."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from closura.core.learner import Pairs
from closura.report.cast import TRUTH_ROLE, Role
from closura.report.drawing import (
    FULL,
    Absence,
    Drawn,
    begin,
    finish,
    label_ends,
    legend,
)
from closura.report.material import Material
from closura.report.numbers import label
from closura.report.predictions import Prediction, flat

NAME, TITLE = "relation", "What was learned: the missing tendency against the resolved variable"
BINS = 40
FEWEST = 12  # samples a bin needs before its mean is drawn
MOST_LABELS = 9  # closures that are named at the edge of a panel; more stand in the key


def draw_relation(material: Material) -> Drawn:
    """Draw the density of the training pairs with every closure's bin means through it."""
    pairs = material.training
    if pairs is None:
        return Absence(NAME, TITLE, material.run.why("pairs.zarr"))
    names = [
        name for name in pairs.targets
        if name in pairs.inputs and pairs.inputs[name].shape == pairs.targets[name].shape
    ]  # fmt: skip
    if not names:
        return Absence(NAME, TITLE, "No target stands at the same points as an input of its name.")
    shown = names[:3]
    figure, axes = begin(1, len(shown), width=FULL, height=4.6 if len(shown) == 1 else 3.9)
    roles = [role for role in material.cast.closures if role.name in material.on_training]
    for panel, name in zip(axes[0], shown, strict=True):
        direct = len(shown) == 1 and len(roles) <= MOST_LABELS
        draw_cloud(panel, name, pairs, material.on_training, roles, direct=direct)
    if len(shown) > 1 or len(roles) > MOST_LABELS:
        legend(figure, [TRUTH_ROLE, *roles])
    return finish(figure, NAME, TITLE, _caption(pairs, material, names))


def draw_cloud(
    axes: Axes, name: str, pairs: Pairs, predictions: Mapping[str, Prediction],
    roles: Sequence[Role], *, direct: bool,
) -> None:  # fmt: skip
    """Draw the density of pairs of one target, with their mean and each closure's through it.

    Args:
        axes: The panel.
        name: The target, and the input of the same name.
        pairs: The pairs.
        predictions: What closures say about them, by learner.
        roles: The closures to draw, those with a prediction.
        direct: Whether curves are named at the right edge.
    """
    x, y = flat(pairs.inputs[name]).ravel(), flat(pairs.targets[name]).ravel()
    good = np.isfinite(x) & np.isfinite(y)
    if not good.any():
        return
    _density(axes, x[good], y[good])
    edges = _edges(x[good])
    ends = [(TRUTH_ROLE, _mean_line(axes, TRUTH_ROLE, x, y, edges))]
    for role in roles:
        prediction = predictions[role.name]
        if name in prediction.tendency:
            values = prediction.tendency[name].reshape(-1)
            end = _mean_line(axes, role, x, values, edges)
            _noise_band(axes, role, prediction, name, x, values, edges)
            ends.append((role, end))
    axes.set_xlabel(label(name, _units(pairs, name)))
    axes.set_ylabel(label(f"tendency of {name} to add", _units(pairs, f"{name}_tendency")))
    low, high = np.quantile(y[good], [0.0002, 0.9998])
    margin = 0.08 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    centres, means = bin_means(x, y, edges)
    shown = centres[np.isfinite(means)]
    if shown.size > 1:
        axes.set_xlim(shown[0], shown[-1])
    axes.axhline(0.0, color="#bbbbbb", lw=0.8, zorder=1)
    if direct:
        label_ends(axes, [(role, end) for role, end in ends if np.isfinite(end)])


def _edges(x: np.ndarray) -> np.ndarray:
    low, high = np.quantile(x, [0.0005, 0.9995])
    return np.linspace(low, high if high > low else low + 1.0, BINS + 1)


def _density(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Shade the number of pairs, on a logarithmic scale, so that rare states are seen too."""
    ranges = [np.quantile(values, [0.0002, 0.9998]) for values in (x, y)]
    ranges = [(low, high) if high > low else (low - 0.5, low + 0.5) for low, high in ranges]
    counts, x_edges, y_edges = np.histogram2d(x, y, bins=(90, 70), range=ranges)
    counts = np.ma.masked_equal(counts.T, 0)
    mesh = axes.pcolormesh(
        x_edges, y_edges, counts, cmap="Blues", norm=LogNorm(1, max(2, counts.max() * 2.5)),
        rasterized=True, zorder=1.1,
    )  # fmt: skip
    mesh.set_edgecolor("face")


def _mean_line(axes: Axes, role: Role, x: np.ndarray, y: np.ndarray, edges: np.ndarray) -> float:
    """Draw bin means and return the last one."""
    centres, means = bin_means(x, y, edges)
    if role.kind == "truth":
        axes.plot(centres, means, "o", color="black", ms=3.2, mfc="white", mew=1.0, zorder=2.8)
    else:
        axes.plot(centres, means, **role.line)
    known = means[np.isfinite(means)]
    return float(known[-1]) if known.size else float("nan")


def _noise_band(
    axes: Axes, role: Role, prediction: Prediction, name: str, x: np.ndarray,
    values: np.ndarray, edges: np.ndarray,
) -> None:  # fmt: skip
    if name not in prediction.sigma:
        return
    sigma = float(np.sqrt(np.mean(np.square(prediction.sigma[name]))))
    centres, means = bin_means(x, values, edges)
    axes.fill_between(
        centres, means - sigma, means + sigma, color=role.colour, alpha=0.16, lw=0, zorder=1.6
    )


def bin_means(x: np.ndarray, y: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return centres of bins and the mean of y in each; NaN where there are too few samples."""
    good = np.isfinite(x) & np.isfinite(y)
    counts, _ = np.histogram(x[good], edges)
    sums, _ = np.histogram(x[good], edges, weights=y[good])
    fewest = min(FEWEST, max(1, counts.max(initial=1) // 4))
    means = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts >= fewest)
    return (edges[:-1] + edges[1:]) / 2, means


def _units(pairs: Pairs, name: str) -> str:
    variable = pairs.variables.get(name)
    return variable.units if variable is not None else ""


def _caption(pairs: Pairs, material: Material, names: list[str]) -> str:
    points = sum(np.size(pairs.targets[name]) for name in names[:1])
    lines = [
        f"Shading: {points:,} training pairs (logarithmic). Circles: mean of the truth in bins.",
        "Lines: mean of what each closure answers to the same real states, neighbours included.",
    ]
    if any(p.sigma for p in material.on_training.values()):
        lines.append("Bands: one deviation of the noise that a stochastic closure adds.")
    if len(names) > 3:
        lines.append(f"Not shown: {', '.join(names[3:])}.")
    lines.append(f"Target: {pairs.passport.target}.")
    return " ".join([*lines, material.remarks()]).strip()
