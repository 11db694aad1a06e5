"""What every experiment has, and the check of a document against the skeleton of its kind."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from closura.registry import nearest

if TYPE_CHECKING:
    from closura.experiment.kind import Kind

RESERVED = ("price", "truth", "test", "reference", "figures", "analyses",
            "climatology", "persistence")  # fmt: skip
Spec = str | dict[str, Any]
Processes = Annotated[int, Field(ge=1, le=1024)]  # that fit each learner together
Workers = Annotated[int, Field(ge=1, le=1024)]  # processes that run steps side by side
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_\-]*$", max_length=60)]


class Section(BaseModel):
    """A mapping whose keys are known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Expectation(Section):
    """A number that a run must reproduce: exactly one of `value`, `above`, ... is given."""

    value: float | None = None
    within: Annotated[float, Field(ge=0)] | None = None
    above: float | None = None
    below: float | None = None
    between: tuple[float, float] | None = None
    equals: bool | str | None = Field(default=None, alias="is")
    is_not: str | None = None
    source: str = ""

    @model_validator(mode="after")
    def _one_kind(self) -> "Expectation":
        kinds = ("value", "above", "below", "between", "equals", "is_not")
        given = ["is" if k == "equals" else k for k in kinds if getattr(self, k) is not None]
        if len(given) != 1:
            found = ", ".join(given) or "none"
            raise ValueError(f"found {found}; give one of value, above, below, between, is, is_not")
        if (self.value is None) != (self.within is None):
            raise ValueError("value and within belong together: {value: 1.3, within: 0.03}")
        return self


class Skeleton(Section):
    """What every experiment has; each kind adds its sections, see `Kind`."""

    name: Name
    kind: str
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    precision: Literal["double", "single"] = "double"
    expect: dict[str, Expectation] = {}
    report: dict[str, Any] = {}
    workers: Workers | None = None  # None: as many as suit the kind and the computer

    def models(self) -> Mapping[str, Spec]:
        """Return the models that the experiment describes, by the section that does."""
        return {}

    def recipes(self) -> Mapping[str, Spec]:
        """Return the learners that the experiment describes, by name."""
        return {}


class LearningSkeleton(Skeleton):
    """What every experiment has that fits closures."""

    learners: dict[Name, Spec] = {}
    seeds: Annotated[int, Field(ge=1, le=100)] = 1

    def recipes(self) -> Mapping[str, Spec]:
        return self.learners


def check_skeleton(document: dict[str, Any], kind: "Kind", source: str) -> Skeleton:
    """Return a document as an experiment of a kind, whose sections and keys are all known.

    Raises:
        ValueError: A key is unknown (the nearest is offered), missing, or of the wrong kind.
    """
    for key in document:
        if key not in kind.sections:
            raise ValueError(
                f"{source}: an experiment has no {key!r}{nearest(key, kind.sections)} "
                f"It has: {', '.join(kind.sections)}."
            )
    document = kind.tidy(document, source)
    try:
        experiment = kind.skeleton.model_validate(document | {"kind": kind.name})
    except ValidationError as error:
        raise ValueError(f"{source}: {_first_complaint(error, kind.skeleton)}") from error
    taken = sorted(set(experiment.recipes()) & set(RESERVED))
    if taken:
        raise ValueError(f"{source}: a learner cannot be named {taken[0]!r}; choose another name.")
    return experiment


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
        choices = get_args(field.annotation) or (field.annotation,)
        sections = [c for c in choices if isinstance(c, type) and issubclass(c, BaseModel)]
        model = sections[0] if sections else Expectation
    return _named(model)


def _named(model: Any) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _is_union_branch(part: Any) -> bool:
    """Return whether a part of a location is not a key but pydantic's name for a choice."""
    choices = ("constrained", "nullable", "function-", "list[", "dict[")
    return part in ("[key]", "str", "float", "bool") or (
        isinstance(part, str) and part.startswith(choices)
    )
