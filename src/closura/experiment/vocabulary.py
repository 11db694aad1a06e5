"""What `expect:` may ask for: names that paths begin with, and scores that may follow."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from closura.registry import nearest

OPERATORS = (" / ", " - ")
PRICE = "price"
OFFLINE = "offline"  # the word that chooses the offline scores where others have the same name
OFFLINE_FILE = "offline.nc"
TYPO = 0.85  # likeness at which a name is a score's with a typo, not an attribute of a closure


@dataclass(frozen=True)
class Vocabulary:
    """What the results of one experiment can be asked for.

    Args:
        learners: Names of learners: attributes of their closures may follow.
        scored: Names that scores are of, in the order in which they are offered.
        scores: Names of the scores by file; the file that is asked first comes first.
        along: Dimension of the scores that the first word of a path is a coordinate of.
        defaults: Coordinate along other dimensions where a path chooses none.
        verdict: Score that is true where there is no other: the word for it is then what is found.
        priced: Whether paths may begin with ``price``.
    """

    learners: tuple[str, ...]
    scored: tuple[str, ...]
    scores: Mapping[str, tuple[str, ...]]
    along: str = "model"
    defaults: Mapping[str, str] = field(default_factory=dict)
    verdict: str = ""
    priced: bool = True

    @property
    def heads(self) -> list[str]:
        """Every word that a path may begin with."""
        names = dict.fromkeys((*self.learners, *self.scored))
        return [*names, PRICE] if self.priced else list(names)

    @property
    def every_score(self) -> tuple[str, ...]:
        """Names of all scores."""
        return tuple(name for names in self.scores.values() for name in names)


def check_names(expected: Iterable[str], vocabulary: Vocabulary) -> None:
    """Raise ValueError where a path cannot lead anywhere, whatever the run will find.

    Attributes of a closure are not known before it is fitted, and pass.
    """
    for name in expected:
        for path in _operands(name):
            head, _, rest = path.partition(".")
            if head not in vocabulary.heads:
                raise ValueError(
                    f"expect: {name!r} begins with {head!r}{nearest(head, vocabulary.heads)} "
                    f"A path begins with: {', '.join(vocabulary.heads)}. Correct it; with other "
                    "learners than the expectations are of, drop them: --set 'expect={}'."
                )
            if head != PRICE:
                _check_score(name, head, rest.split("."), vocabulary)


def _check_score(name: str, head: str, words: list[str], vocabulary: Vocabulary) -> None:
    """Raise ValueError where the word that should name a score does not."""
    offline = words[0] == OFFLINE and OFFLINE_FILE in vocabulary.scores
    known = vocabulary.scores[OFFLINE_FILE] if offline else vocabulary.every_score
    word = words[int(offline)] if len(words) > int(offline) else ""
    typo = difflib.get_close_matches(word, known, n=1, cutoff=TYPO)
    if head not in vocabulary.scored:
        if typo:
            raise ValueError(
                f"expect: {name!r} asks for the {typo[0]} of {head!r}, which has none; scores are "
                f"of {', '.join(vocabulary.scored)}: e.g. {vocabulary.scored[0]}.{typo[0]}.{head}."
            )
    elif word not in known and (offline or head not in vocabulary.learners or typo):
        where = "offline score" if offline else "score"
        raise ValueError(
            f"expect: {name!r} asks for {word!r}, which is no {where}{nearest(word, known)} "
            "Correct the path."
        )


def _operands(name: str) -> list[str]:
    """Return the paths that a name consists of, as `Results.look_up` takes it apart."""
    for operator in OPERATORS:
        first, found, second = name.partition(operator)
        if found:
            return [*_operands(first), *_operands(second)]
    return [name.strip()]
