"""The contract of a closure: any term added to a model, learned or written by hand."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array

from closura.core.passport import Passport


class AbstractClosure(eqx.Module):
    """A tendency to add to a model: physics, nudging, noise, a trained net, an equation.

    To write one that remembers nothing, derive from `AbstractMemorylessClosure`. Otherwise:
    (1) write `init`, which returns the memory at the start; (2) write `__call__`, which returns
    the tendency **to add** as a dictionary of the fields it touches, and the memory one time step
    later. In a multi-stage stepper it is called at every stage with the memory and the key of the
    step's start, and only the memory returned by the first stage is kept: memory advances once
    per time step.
    """

    @property
    def passport(self) -> Passport | None:
        """How the pairs it was fitted on were measured; None if it was not fitted."""
        return None

    @property
    def random(self) -> bool:
        """Whether it needs a key."""
        return False

    def bind(self, model: Any, *, interval: float = 0.0) -> "AbstractClosure":
        """Return this closure with what it must know of the model filled in; itself by default.

        `couple` calls it.

        Args:
            model: The model that it is coupled to, bare: time step, coordinates, variables.
            interval: Time that a tendency of it is added for at a stretch [time unit]: the time
                step times `every`; 0 inside the tendency of every step, where the stepper
                integrates it.
        """
        return self

    @abstractmethod
    def init(self, fields: Any, key: Array | None = None) -> Any:
        """Return the memory before the first step."""

    @abstractmethod
    def __call__(
        self, fields: Any, inputs: Any, memory: Any, key: Array | None
    ) -> tuple[dict[str, Array], Any]:
        """Return the tendency to add, by field, and the memory one time step later."""

    def __add__(self, other: "AbstractClosure") -> "Sum":
        if not isinstance(other, AbstractClosure):
            return NotImplemented
        return Sum((*terms(self), *terms(other)))


class AbstractMemorylessClosure(AbstractClosure):
    """A closure that is a function of the present fields (and inputs) alone: write `tendency`."""

    @abstractmethod
    def tendency(self, fields: Any, inputs: Any = None) -> dict[str, Array]:
        """Return the tendency to add, by field, in units of the field per time unit."""

    def init(self, fields: Any, key: Array | None = None) -> Any:
        return ()

    def __call__(self, fields, inputs, memory, key):
        return self.tendency(fields, inputs), memory


class Zero(AbstractMemorylessClosure):
    """The closure that adds nothing: a model coupled to it is the model, bit for bit."""

    def tendency(self, fields: Any, inputs: Any = None) -> dict[str, Array]:
        return {}


class Sum(AbstractClosure):
    """Several closures acting together. Written `a + b`.

    Each term draws its own randomness: coupling a sum equals coupling its terms one by one.
    """

    terms: tuple[AbstractClosure, ...]

    @property
    def random(self) -> bool:
        return any(term.random for term in self.terms)

    @property
    def passport(self) -> Passport | None:
        return next((t.passport for t in self.terms if t.passport is not None), None)

    def bind(self, model: Any, *, interval: float = 0.0) -> "Sum":
        return Sum(tuple(term.bind(model, interval=interval) for term in self.terms))

    def init(self, fields: Any, key: Array | None = None) -> Any:
        return tuple(term.init(fields, fold(key, index)) for index, term in enumerate(self.terms))

    def __call__(self, fields, inputs, memory, key):
        total: dict[str, Array] = {}
        after = []
        for index, (term, remembered) in enumerate(zip(self.terms, memory, strict=True)):
            tendency, remembered = term(fields, inputs, remembered, fold(key, index))
            total = add_tendencies(total, tendency)
            after.append(remembered)
        return total, tuple(after)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.terms))


def terms(closure: AbstractClosure) -> tuple[AbstractClosure, ...]:
    """Return the closures that a closure is the sum of: itself, unless it is a `Sum`."""
    return closure.terms if isinstance(closure, Sum) else (closure,)


def add_tendencies(first: dict[str, Array], second: dict[str, Array]) -> dict[str, Array]:
    """Return the sum of two tendencies that may touch different fields."""
    shared = {name: first[name] + d if name in first else d for name, d in second.items()}
    return first | shared


def fold(key: Array | None, number: Any) -> Array | None:
    """Return `jax.random.fold_in(key, number)`, or None where there is no key."""
    return None if key is None else jax.random.fold_in(key, number)
