"""Who appears in a report, and in which colour, the same in every figure."""

from dataclasses import dataclass
from typing import Any

from closura.evaluation.scores import FLOOR, NO_CLOSURE
from closura.report.run_folder import RunFolder

TRUTH = "truth"
BASELINES = (NO_CLOSURE, "climatological correction", "climatology", "persistence")

# Wong (2011), doi:10.1038/nmeth.1618, without black and yellow; then the muted scheme of P. Tol.
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
    "#332288", "#882255", "#117733", "#AA4499", "#999933", "#44AA99",
)  # fmt: skip
DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)))
GREYS = ("#7a7a7a", "#a08a6a", "#8a9a8a", "#9a8a9a")
LONGEST_NAME = 26


@dataclass(frozen=True)
class Role:
    """One curve's name and look.

    Args:
        name: As in the scores.
        kind: "closure", "baseline", "floor" or "truth".
        colour: Hexadecimal colour.
        dash: Line style of matplotlib.
    """

    name: str
    kind: str
    colour: str
    dash: Any = "solid"

    @property
    def label(self) -> str:
        """Name as drawn: short enough for a legend, with nothing that matplotlib interprets."""
        name = self.name
        if len(name) > LONGEST_NAME:
            name = f"{name[: LONGEST_NAME - 9]}…{name[-8:]}"
        return (" " + name if name.startswith("_") else name).replace("$", r"\$")

    @property
    def line(self) -> dict[str, Any]:
        """Keywords for `plot`."""
        width = {"truth": 1.8, "closure": 1.6, "baseline": 1.4, "floor": 1.2}[self.kind]
        order = {"truth": 2.6, "closure": 2.5, "baseline": 2.3, "floor": 2.2}[self.kind]
        return {"color": self.colour, "ls": self.dash, "lw": width, "zorder": order}


TRUTH_ROLE = Role(TRUTH, "truth", "#000000")
FLOOR_ROLE = Role(FLOOR, "floor", "#8c8c8c", (0, (2, 1.6)))


@dataclass(frozen=True)
class Cast:
    """All that is compared: closures in the order of the experiment, baselines, the floor."""

    closures: tuple[Role, ...]
    baselines: tuple[Role, ...]
    floor: Role | None

    @property
    def competitors(self) -> tuple[Role, ...]:
        """Baselines first, then closures."""
        return (*self.baselines, *self.closures)

    @property
    def everyone(self) -> tuple[Role, ...]:
        """Competitors and the noise floor."""
        return (*self.competitors, *((self.floor,) if self.floor else ()))


def cast_of(run: RunFolder) -> Cast:
    """Give every model of a run its role, from the experiment and from what was scored."""
    scored: list[str] = []
    for dataset in (run.scores, run.offline):
        if dataset is not None and "model" in dataset.coords:
            scored += [str(name) for name in dataset["model"].values]
    scored = list(dict.fromkeys(scored))
    others = [name for name in scored if name not in run.learners and name != FLOOR]
    baselines = [name for name in others if run.learners or name in BASELINES]
    closures = [*run.learners, *(name for name in others if name not in baselines)]
    return Cast(
        closures=tuple(_closure(index, name) for index, name in enumerate(closures)),
        baselines=tuple(_baseline(index, name) for index, name in enumerate(baselines)),
        floor=FLOOR_ROLE if FLOOR in scored else None,
    )


def _closure(index: int, name: str) -> Role:
    turn = index // len(COLOURS) + (index % len(COLOURS)) // 6
    return Role(name, "closure", COLOURS[index % len(COLOURS)], DASHES[turn % len(DASHES)])


def _baseline(index: int, name: str) -> Role:
    dash = "solid" if index == 0 else DASHES[min(index, len(DASHES) - 1)]
    return Role(name, "baseline", GREYS[index % len(GREYS)], dash)
