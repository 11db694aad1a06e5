"""The sections of an experiment that nudges a model, learns what that took, and runs it free."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from closura.experiment.kinds.recorded import HeldOut
from closura.experiment.specification import LearningSkeleton, Name, Processes, Section, Spec

# A number in the model's time units, or words such as "6 hours" where these are seconds.
Length = Annotated[float, Field(ge=0, allow_inf_nan=False)] | str


class Reference(Section):
    """A truth that is a file: one state, such as a climatology, to nudge and compare with.

    Args:
        file: Path, or name of a public file; see `closura fetch`.
        start: File of the state to start from; the model's own first state if None.
        variables: Names in the file by variable of the model; its own guesses if None.
        start_variables: The same for `start`.
    """

    file: str
    start: str | None = None
    variables: dict[str, str] | None = None
    start_variables: dict[str, str] | None = None


class NudgingSettings(BaseModel):
    """How the model is nudged: settings of the closure `Nudging`, or of the `type` given."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = "Nudging"


class NudgedData(Section):
    """The run to nudge to and the nudged run; lengths in time units, or such as "6 hours".

    Args:
        spinup: Time before the first state of every truth.
        duration: Length of the truth to nudge to.
        discard: What is left out at the beginning of the nudged run.
        every: Interval of the states to nudge to, and of the pairs.
        record: Interval of the pairs where it is another, a multiple of `every`.
        held_out: Part of the pairs kept for the offline scores.
        begin: Date of the first step, for closures that know the date (time in seconds).
        calendar: ``"standard"``, ``"noleap"`` or ``"360_day"``.
    """

    spinup: Length = 0.0
    duration: Length
    discard: Length = 0.0
    every: Length
    record: Length | None = None
    held_out: HeldOut = HeldOut(fraction=0.15, blocks=1, gap=8)
    begin: str = "2001-01-01"
    calendar: Literal["standard", "noleap", "360_day"] = "noleap"


class FreeRuns(Section):
    """How free runs are made and scored.

    Args:
        duration: Length of each free run.
        discard: What is left out at its beginning.
        every: Interval of the states that are looked at.
        block: Length of the blocks whose means are kept for the intervals.
        forecasts: Number of short forecasts from states of the truth; 0 for none.
        lead: Their length.
        samples: Number of resampled runs.
        level: Probability that intervals are to cover.
    """

    duration: Length
    discard: Length = 0.0
    every: Length
    block: Length
    forecasts: Annotated[int, Field(ge=0)] = 8
    lead: Length = 0.0
    samples: Annotated[int, Field(ge=10)] = 500
    level: Annotated[float, Field(gt=0, lt=1)] = 0.9


class Acting(Section):
    """Where and how often learned closures act; see `closura.couple`.

    Args:
        at: ``"tendency"``, ``"step"``, or what suits the model.
        every: Time steps, or a length such as "6 hours", between two calls; held in between.
    """

    at: Literal["tendency", "step"] | None = None
    every: Annotated[int, Field(ge=1)] | str = 1


class NudgedExperiment(LearningSkeleton):
    """A model that is nudged to a truth, corrected by what was learned from it, and run free.

    Args:
        truth: The model that is the truth; or else `reference`.
        reference: A truth in a file.
        coarse: The model to be corrected.
        nudging: How it is nudged.
        data: How long, and how often.
        learners: What is fitted to the nudging tendencies.
        processes: How many fit each network together.
        iterate: For some learners, how often the corrected model is nudged again, and what it
            still lacks added (Krinner et al. 2026).
        guards: Closures around every learned one, the innermost first; or such a list by learner,
            and those left out have none.
        coupling: Where and how often they act.
        evaluate: How free runs are scored.
    """

    learners: dict[Name, Spec] = Field(min_length=1)
    truth: Spec | None = None
    reference: Reference | None = None
    coarse: Spec
    nudging: NudgingSettings
    data: NudgedData
    processes: Processes = 1
    iterate: dict[Name, Annotated[int, Field(ge=1, le=20)]] = Field(default={})
    guards: list[Spec] | dict[Name, list[Spec]] = Field(default=[])
    coupling: Acting = Acting()
    evaluate: FreeRuns

    @field_validator("guards", mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        for key, inside in value.items() if isinstance(value, dict) else ():
            if key == "type":
                raise ValueError(f"found {value!r}; write a list, e.g. [{{type: {inside}}}]")
            if not isinstance(inside, list):
                raise ValueError(f"{key} is {inside!r}; write a list, e.g. [{{type: Damped}}]")
        return value

    def models(self) -> Mapping[str, Spec]:
        found: dict[str, Any] = {"coarse": self.coarse}
        return found if self.truth is None else found | {"truth": self.truth}

    def guards_of(self, learner: str) -> list[Spec]:
        """Return the guards around what a learner learned, the innermost first."""
        return self.guards if isinstance(self.guards, list) else self.guards.get(learner, [])
