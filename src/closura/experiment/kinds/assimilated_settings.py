"""The sections of an experiment that assimilates observations of a simulated truth."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from closura.data.observations import Observe
from closura.experiment.specification import LearningSkeleton, Name, Positive, Section, Spec

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Assimilation(Section):
    """How long, from where, and how it is scored; lengths in time units of the truth.

    Args:
        spinup: Time before the first state of every run.
        duration: Length of each assimilation that is scored.
        skip: Time left out of the scores at the start, while the filters find the truth.
        climate: Length of the independent run that members begin from, and that static
            covariances are measured on; `duration` if not given.
        start: Members begin around the truth, with this share of the climate's standard deviation;
            if not given, at instants of the climate.
        level: Probability that intervals are to cover.
    """

    spinup: NotNegative = 10.0
    duration: Positive
    skip: NotNegative = 0.0
    climate: Positive | None = None
    start: Positive | None = None
    level: Annotated[float, Field(gt=0, lt=1)] = 0.9


class Increments(Section):
    """Which assimilation teaches the learners what the model lacks.

    Args:
        solver: Name of the solver whose increments are recorded.
        duration: Length of the assimilation that is learned from; never one that is scored.
        rounds: For each round of learning, what is changed in the solver's settings. The closure
            of a round is put into the model before the next, and what both say is added.
    """

    solver: Name
    duration: Positive
    rounds: list[dict[str, Any]] = Field([{}], min_length=1)


class AssimilatedExperiment(LearningSkeleton):
    """A truth that is observed, and solvers that find it again, with the truth's model or another.

    A coarse model may be left out: then the truth's own model forecasts, a perfect twin.
    """

    truth: Spec
    coarse: Spec | None = None
    observe: Observe
    assimilate: Assimilation
    solvers: dict[Name, Spec] = Field(min_length=1)
    increments: Increments | None = None

    def models(self) -> Mapping[str, Spec]:
        return {"truth": self.truth, "coarse": self.truth if self.coarse is None else self.coarse}
