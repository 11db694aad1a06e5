"""The sections of an experiment whose truth is simulated."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from closura.experiment.specification import (
    LearningSkeleton,
    Name,
    Positive,
    Processes,
    Section,
    Spec,
)


class Simulated(Section):
    """Training data from runs of the truth; lengths in its time units.

    Args:
        spinup: Time before the first state that is kept, in every run.
        duration: Length of the training run of each member.
        every: Interval between two states that are kept.
        members: Number of members of the training run.
        target: What is recorded: ``"difference"`` or ``"coupling"``.
        test_duration: Length of the run for offline scores; a fifth of `duration` if not given.
    """

    spinup: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10.0
    duration: Positive
    every: Positive
    members: Annotated[int, Field(ge=1)] = 1
    target: Literal["difference", "coupling"] = "difference"
    test_duration: Positive | None = None


class Evaluation(Section):
    """How models are compared in their own runs; see `closura.evaluate`.

    Args:
        forecasts: Number of forecasts.
        lead: Length of a forecast.
        climate: Length of the climate runs, all members together.
        members: Ensemble members of a forecast with a stochastic closure.
        every: Interval between two scored states; a 60th of `lead`, in coarse steps, if not given.
        chaos: Length of the run whose end tells whether chaos was lost; 0 skips it.
        level: Probability that intervals are to cover.
    """

    forecasts: Annotated[int, Field(ge=2)] = 100
    lead: Positive = 3.0
    climate: Positive = 200.0
    members: Annotated[int, Field(ge=2)] = 20
    every: Positive | None = None
    chaos: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 200.0
    level: Annotated[float, Field(gt=0, lt=1)] = 0.9


class Coupling(Section):
    """Where and how often closures act; see `closura.couple`."""

    at: Literal["tendency", "step"] | None = None
    every: Annotated[int, Field(ge=1)] = 1


class SimulatedExperiment(LearningSkeleton):
    """A truth that is simulated, and a coarse model that is to be corrected."""

    learners: dict[Name, Spec] = Field(min_length=1)
    truth: Spec
    coarse: Spec
    data: Simulated
    processes: Processes = 1
    coupling: Coupling = Coupling()
    evaluate: Evaluation = Evaluation()

    def models(self) -> Mapping[str, Spec]:
        return {"truth": self.truth, "coarse": self.coarse}
