"""Several learners, or one several times, that answer as one."""

import jax
from jaxtyping import Array

from closura.closures.ensemble import COMBINATIONS, ClosureEnsemble
from closura.core.learner import AbstractLearner, Pairs
from closura.learners.supervised import check_least


class LearnerEnsemble(AbstractLearner):
    """The mean or median of several learners, each fitted with a key of its own.

    Args:
        learners: What is fitted, one or more.
        repeats: How often each of them is.
        combine: ``"mean"`` or ``"median"``, taken at each point.

    Reference:
        Bretherton et al. (2022), J. Adv. Model. Earth Syst. 14, doi:10.1029/2021MS002794 (the
        median of four networks).
    """

    learners: tuple[AbstractLearner, ...]
    repeats: int = 1
    combine: str = "median"

    def __check_init__(self):
        check_least("LearnerEnsemble", learners=(len(self.learners), 1), repeats=(self.repeats, 1))
        if self.combine not in COMBINATIONS:
            raise ValueError(
                f"LearnerEnsemble: combine is {self.combine!r}; it must be one of "
                f"{', '.join(COMBINATIONS)}."
            )

    def fit(self, pairs: Pairs, *, key: Array) -> ClosureEnsemble:
        """Return the closures as one.

        Raises:
            ValueError: A closure has a memory or draws random numbers.
        """
        learners = [learner for learner in self.learners for _ in range(self.repeats)]
        keys = jax.random.split(key, len(learners))
        fitted = [one.fit(pairs, key=k) for one, k in zip(learners, keys, strict=True)]
        return ClosureEnsemble(tuple(fitted), self.combine)
