"""What sets one kind of experiment apart: the machinery knows nothing else of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from closura.experiment.specification import Skeleton
from closura.experiment.steps import Step
from closura.experiment.vocabulary import Vocabulary

if TYPE_CHECKING:
    from closura.experiment.loading import Experiment
    from closura.experiment.work import Work

Document = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One kind of experiment, stated in one place.

    To add one: (1) write a `Skeleton` with its sections; (2) write a module in
    `experiment/kinds/` that ends in ``KIND = Kind(...)``; (3) add its line to
    `experiment.kinds.KINDS`; (4) give it a page: a module in `report/kinds/`.

    Args:
        name: What `kind:` says in a resolved experiment; also the name of its page.
        skeleton: The sections and what each may hold.
        sections: Their names in the order in which they are offered to the user.
        stages: Names of the stages, in order; the last is ``"report"``.
        recognises: Whether a document that does not say its kind is of this one.
        tidy: Refuses sections that exclude each other, in the user's words, and returns the
            document without those that are empty; `(document, source)`.
        settle: Checks what only models and lengths together can tell, and returns the settings
            with what was not given filled in.
        steps: Every step but the report.
        vocabulary: What its results can be asked for in `expect:`.
        side_by_side: Whether its steps run in processes of their own, one for each core, unless
            `workers:` says otherwise: wanted where most steps take far longer than a process takes
            to start, some seconds.
    """

    name: str
    skeleton: type[Skeleton]
    sections: tuple[str, ...]
    stages: tuple[str, ...]
    recognises: Callable[[Document], bool]
    tidy: Callable[[Document, str], Document]
    settle: Callable[["Experiment"], Skeleton]
    steps: Callable[["Work"], list[Step]]
    vocabulary: Callable[[Any], Vocabulary]
    side_by_side: bool = False
