"""What closures learned from increments, beside what the truth says that the model lacks."""

from typing import Any

from matplotlib.lines import Line2D

from closura.report.drawing import FULL, Absence, Drawn, begin, finish, legend
from closura.report.figures.relation import draw_cloud
from closura.report.material import Material

NAME = "increments"
TITLE = "What was learned from increments, and what the truth says"


def draw_increments(material: Material) -> Drawn:
    """Draw every closure over the increments it learned from, and over the true coupling."""
    pairs, coupling = material.training, material.held_out
    if pairs is None:
        nothing = "Nothing is learned from increments in this experiment."
        why = material.run.why("pairs.zarr") if material.run.learners else nothing
        return Absence(NAME, TITLE, why)
    clouds = [(pairs, material.on_training, "increments of the first round")]
    if coupling is not None:
        clouds.append((coupling, material.on_held_out, "true coupling, held-out twin"))
    name = next(iter(pairs.targets))
    figure, axes = begin(1, len(clouds), width=FULL, height=4.2, sharex=True, sharey=True)
    roles = [role for role in material.cast.closures if role.name in material.on_training]
    for panel, (cloud, predictions, words) in zip(axes[0], clouds, strict=True):
        draw_cloud(panel, name, cloud, predictions, roles, direct=False)
        panel.set_title(words)
    look: dict[str, Any] = {"color": "black", "mfc": "white", "ms": 4, "ls": ""}
    means = Line2D([], [], marker="o", **look, label="mean of the pairs")
    legend(figure, roles, [means])
    caption = (
        "Shading: pairs (logarithmic), an increment divided by the time it took to build up. "
        "Circles: their mean in bins; lines: mean answer of each closure to the same states. A "
        "closure is the sum of all rounds. The coupling is of an instant, an increment of the "
        "whole interval between two observations; nothing was fitted to the right panel."
    )
    if coupling is None:
        caption += " The true coupling cannot be told: the models are not both given by tendencies."
    return finish(figure, NAME, TITLE, f"{caption} {material.remarks()}".strip())
