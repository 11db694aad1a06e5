"""The skeleton of an experiment: which sections there are and what each may hold."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from closura.registry import nearest

RESERVED = ("price", "truth", "test", "reference", "figures", "climatology", "persistence")
Spec = str | dict[str, Any]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_\-]*$", max_length=60)]


class Section(BaseModel):
    """A mapping whose keys are known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


class HeldOut(Section):
    """Which part of a record is kept for testing: blocks in time, with a gap around each."""

    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    blocks: Annotated[int, Field(ge=1)] = 5
    gap: Annotated[int, Field(ge=0)] = 0


class Recorded(BaseModel):
    """Training data from the user's own files; all but `held_out` goes to `read_pairs`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    files: str | list[str]
    held_out: HeldOut = HeldOut()


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


class LearningCurve(Section):
    """How skill grows with the training data; see `closura.evaluation.learning_curve`."""

    sizes: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)] = [
        0.25, 0.5, 0.75, 1.0,
    ]  # fmt: skip
    repeats: Annotated[int, Field(ge=1)] = 5


class OfflineEvaluation(Section):
    """How closures are compared on held-out pairs; see `closura.score_offline`.

    Args:
        samples: Number of resampled records.
        level: Probability that intervals are to cover.
        block: Samples in a bootstrap block; from the targets' correlation if not given.
        learning_curve: Shares of the training data to fit again with; null skips it.
    """

    samples: Annotated[int, Field(ge=10)] = 500
    level: Annotated[float, Field(gt=0, lt=1)] = 0.9
    block: Annotated[int, Field(ge=1)] | None = None
    learning_curve: LearningCurve | None = LearningCurve()


class Coupling(Section):
    """Where and how often closures act; see `closura.couple`."""

    at: Literal["tendency", "step"] | None = None
    every: Annotated[int, Field(ge=1)] = 1


class Expectation(Section):
    """A number that a run must reproduce: exactly one of `value`, `above`, ... is given."""

    value: float | None = None
    within: Annotated[float, Field(ge=0)] | None = None
    above: float | None = None
    below: float | None = None
    between: tuple[float, float] | None = None
    equals: bool | str | None = Field(default=None, alias="is")
    source: str = ""

    @model_validator(mode="after")
    def _one_kind(self) -> "Expectation":
        kinds = ("value", "above", "below", "between", "equals")
        given = ["is" if k == "equals" else k for k in kinds if getattr(self, k) is not None]
        if len(given) != 1:
            found = ", ".join(given) or "none"
            raise ValueError(f"found {found}; give one of value, above, below, between, is")
        if (self.value is None) != (self.within is None):
            raise ValueError("value and within belong together: {value: 1.3, within: 0.03}")
        return self


class Skeleton(Section):
    """What every experiment has."""

    name: Name
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    precision: Literal["double", "single"] = "double"
    learners: dict[Name, Spec] = Field(min_length=1)
    seeds: Annotated[int, Field(ge=1, le=100)] = 1
    expect: dict[str, Expectation] = {}
    report: dict[str, Any] = {}


class ModelExperiment(Skeleton):
    """A truth that is simulated, and a coarse model that is to be corrected."""

    truth: Spec
    coarse: Spec
    data: Simulated
    coupling: Coupling = Coupling()
    evaluate: Evaluation = Evaluation()


class FileExperiment(Skeleton):
    """The user's own files of inputs and targets, with no model."""

    data: Recorded
    evaluate: OfflineEvaluation = OfflineEvaluation()


SECTIONS = ("name", "description", "seed", "precision", "truth", "coarse", "data", "coupling",
            "learners", "seeds", "evaluate", "expect", "report")  # fmt: skip


def check_skeleton(document: dict[str, Any], source: str) -> ModelExperiment | FileExperiment:
    """Return a document as an experiment whose sections and keys are all known.

    Raises:
        ValueError: A key is unknown (the nearest is offered), missing, or of the wrong kind.
    """
    for key in document:
        if key not in SECTIONS:
            raise ValueError(
                f"{source}: an experiment has no {key!r}{nearest(key, SECTIONS)} "
                f"It has: {', '.join(SECTIONS)}."
            )
    kind = _kind(document, source)
    for section in ("truth", "coarse", "coupling"):
        if kind is FileExperiment and document.get(section) is not None:
            raise ValueError(
                f"{source}: '{section}' and data.files exclude each other: take pairs from a "
                f"simulated truth, or from files; remove one of the two."
            )
    if kind is FileExperiment:
        document = {k: v for k, v in document.items() if k not in ("truth", "coarse", "coupling")}
    try:
        experiment = kind.model_validate(document)
    except ValidationError as error:
        raise ValueError(f"{source}: {_first_complaint(error, kind)}") from error
    taken = sorted(set(experiment.learners) & set(RESERVED))
    if taken:
        raise ValueError(f"{source}: a learner cannot be named {taken[0]!r}; choose another name.")
    return experiment


def _kind(document: dict[str, Any], source: str) -> type[ModelExperiment] | type[FileExperiment]:
    data = document.get("data")
    if not isinstance(data, dict):
        raise ValueError(
            f"{source}: data is {data!r}; it must be a mapping, for example "
            "{duration: 100, every: 0.005} for a simulated truth or {files: [my.nc], ...}."
        )
    return FileExperiment if "files" in data else ModelExperiment


def _first_complaint(error: ValidationError, kind: type[BaseModel]) -> str:
    """Return the first problem in one line: where, what was found, what is wanted."""
    problem = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    place = [str(part) for part in problem["loc"] if not _is_union_branch(part)]
    where = ".".join(part if part.isprintable() else repr(part) for part in place)
    if problem["type"] == "extra_forbidden":
        known = _keys_at(kind, place[:-1])
        return (
            f"{'.'.join(place[:-1])} has no {place[-1]!r}{nearest(place[-1], known)} "
            f"It has: {', '.join(known)}."
        )
    if problem["type"] == "missing":
        return f"{where} is missing; add it."
    if problem["type"] == "value_error":
        return f"{where}: {problem['msg'].removeprefix('Value error, ')}."
    message = problem["msg"].replace("Input should be", "it should be").rstrip(".")
    if place and place[0] == "learners" and problem["type"] == "string_pattern_mismatch":
        message = "a name begins with a letter and holds letters, digits, _ and - only"
    found = repr(problem["input"])
    return f"{where} is {found if len(found) < 80 else found[:77] + '...'}; {message}."


def _keys_at(kind: type[BaseModel], place: Iterable[str]) -> list[str]:
    """Return the keys that the section at a place may have."""
    model: Any = kind
    for part in place:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return list(Expectation.model_fields) if model is kind else _named(model)
        model = field.annotation if isinstance(field.annotation, type) else Expectation
    return _named(model)


def _named(model: Any) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _is_union_branch(part: Any) -> bool:
    """Return whether a part of a location is not a key but pydantic's name for a choice."""
    return part in ("[key]", "str", "float", "bool", "dict[str,any]", "list[str]") or (
        isinstance(part, str) and part.startswith(("constrained", "nullable", "function-"))
    )
