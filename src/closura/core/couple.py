"""A model with closures added is again a model."""

import itertools
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from closura.core.closure import AbstractClosure, fold, terms
from closura.core.model import AbstractModel, AbstractODE, AbstractWrapper, Snapshot
from closura.core.term import Recorded, Term, advance_term, start_term
from closura.core.variable import Variable

START = 2**31 - 1  # folded into the key of a run for what happens before step 0
BESIDE = 2**30  # first number of terms that ride along, out of the way of those that act


class ClosuraWarning(UserWarning):
    """Something that a scientist should know before trusting a result."""


class CoupledMemory(NamedTuple):
    """What a coupled model remembers: the model's own memory and one entry a term."""

    model: Any
    terms: tuple[Any, ...]


class Coupled(AbstractWrapper):
    """A model plus the tendencies of its closures. Made by `couple`; there is no other kind."""

    model: AbstractModel
    terms: tuple[Term, ...]

    @property
    def dt(self) -> float:  # type: ignore[override]
        return self.model.dt

    @property
    def variables(self) -> tuple[Variable, ...]:
        return self.model.variables

    @property
    def random(self) -> bool:
        """Whether any of its closures draws random numbers."""
        return any(term.closure.random for term in self.terms)

    @property
    def disagreements(self) -> tuple[str, ...]:
        """What the passports of its closures have against this model, a line each."""
        found: list[str] = []
        for term in self.terms:
            if term.closure.passport is not None:
                found += term.closure.passport.disagreements(self.model)
        return tuple(found)

    def __repr__(self) -> str:
        lines = [f"{self.model!r}"]
        for term in self.terms:
            cadence = "" if term.every == 1 else f", every {term.every} steps"
            recorded = ", recorded" if term.record else ""
            sign = "+" if term.apply else "beside"
            lines.append(f"  {sign} {term.closure!r} at {term.at!r}{cadence}{recorded}")
        return "\n".join(lines)

    def recorded(self, snapshot: Snapshot) -> tuple[Recorded, ...]:
        """Return what each recorded term saw and gave when it last acted, in order."""
        pairs = zip(self.terms, snapshot.memory.terms, strict=True)
        return tuple(
            memory if term.every == 1 else memory.memory for term, memory in pairs if term.record
        )

    def initial_state(self, key: Array) -> Any:
        return self.model.initial_state(key)

    def fields(self, state: Any) -> Any:
        return self.model.fields(state)

    def add(self, state: Any, increments: Mapping[str, Array]) -> Any:
        return self.model.add(state, increments)

    def start(self, state: Any, key: Array | None = None, inputs: Any = None) -> Snapshot:
        fields = self.fields(state)
        own = fold(key, START)
        memories = tuple(
            start_term(term, fields, inputs, fold(own, number))
            for number, term in zip(self._numbers(), self.terms, strict=True)
        )
        if not self._forces_tendency():
            begun = self.model.start(state, key, inputs)
            return Snapshot(state, begun.step, CoupledMemory(begun.memory, memories))
        forced = self._forced(inputs, memories, own)
        memory = self.model.stepper.start(forced, state, self.dt)  # type: ignore[attr-defined]
        return Snapshot(state, jnp.asarray(0, jnp.int32), CoupledMemory(memory, memories))

    def step(self, snapshot: Snapshot, inputs: Any = None, key: Array | None = None) -> Snapshot:
        now = fold(key, snapshot.step)
        memories = self._advance_memories(snapshot, inputs, now)
        if self._forces_tendency():
            forced = self._forced(inputs, self._during(snapshot.memory.terms, memories), now)
            state, memory = self.model.stepper.step(  # type: ignore[attr-defined]
                forced, snapshot.state, snapshot.memory.model, self.dt
            )
        else:
            alone = Snapshot(snapshot.state, snapshot.step, snapshot.memory.model)
            state, memory = self.model.step(alone, inputs, key)[::2]
        state, memories = self._after_step(snapshot, state, memories, inputs, now)
        return Snapshot(state, snapshot.step + 1, CoupledMemory(memory, memories))

    def _forces_tendency(self) -> bool:
        return any(term.at == "tendency" and term.apply for term in self.terms)

    def _numbers(self) -> list[int]:
        """Return what each term folds into the key: one beside the run leaves the others'."""
        applied = list(itertools.accumulate((term.apply for term in self.terms), initial=0))
        return [
            applied[index] if term.apply else BESIDE + index
            for index, term in enumerate(self.terms)
        ]

    def _forced(self, inputs: Any, memories: tuple[Any, ...], key: Array | None):
        """Return x -> model tendency plus every term that acts inside the tendency."""

        def forced(state: Any) -> Any:
            total = self.model.tendency(state, inputs)  # type: ignore[attr-defined]
            fields = self.fields(state)
            for number, term, memory in zip(self._numbers(), self.terms, memories, strict=True):
                if term.at != "tendency" or not term.apply:
                    continue
                if term.every == 1:
                    own = memory.memory if term.record else memory
                    added, _ = term.closure(fields, inputs, own, fold(key, number))
                else:
                    added = memory.tendency
                total = self.model.add(total, added)
            return total

        return forced

    def _advance_memories(self, snapshot: Snapshot, inputs: Any, key: Array | None):
        """Return each in-tendency term's memory one step later, from the step's first stage."""
        fields = self.fields(snapshot.state)
        advanced = []
        for number, term, memory in zip(
            self._numbers(), self.terms, snapshot.memory.terms, strict=True
        ):
            if term.at == "tendency":
                memory = advance_term(
                    term, snapshot.step, fields, inputs, memory, fold(key, number)
                )[1]
            advanced.append(memory)
        return tuple(advanced)

    def _during(self, before: tuple[Any, ...], after: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return what the stages see: the old memory, but the tendency that is held now."""
        return tuple(
            old if term.every == 1 else new
            for term, old, new in zip(self.terms, before, after, strict=True)
        )

    def _after_step(self, snapshot, state, memories, inputs, key):
        """Apply the terms that act after the step (process split), one after the other."""
        after = list(memories)
        for index, (number, term) in enumerate(zip(self._numbers(), self.terms, strict=True)):
            if term.at == "step":
                tendency, after[index] = advance_term(
                    term,
                    snapshot.step,
                    self.fields(state),
                    inputs,
                    memories[index],
                    fold(key, number),
                )
                if term.apply:
                    increments = {name: self.dt * rate for name, rate in tendency.items()}
                    state = self.model.add(state, increments)
        return state, tuple(after)


def couple(
    model: AbstractModel,
    closure: AbstractClosure,
    *,
    at: str | None = None,
    every: int = 1,
    record: bool = False,
    apply: bool = True,
) -> Coupled:
    """Return the model with the closure's tendency added: again a model.

    Args:
        model: Any model, a coupled one too: coupling twice equals coupling the sum.
        closure: What to add.
        at: ``"tendency"``: inside the right-hand side, at every stage of the stepper (needs an
            `AbstractODE`; its default). ``"step"``: after the step, on the stepped fields
            (process split, as in a GCM; the default of other models).
        every: Act every n-th step and hold the tendency between.
        record: Remember what the closure saw, all fields before it acted, and the tendency that
            it gave: `simulate(..., recorded=True)` writes both, `diagnose` makes pairs of them.
        apply: Whether the tendency is added. If not, the closure rides along: it is computed, and
            recorded, and the run is the same bit for bit.

    Raises:
        ValueError: `at` or `every` cannot be.

    Warns:
        ClosuraWarning: The closure's passport and the model disagree.
    """
    coupled = compose(model, closure, at=at, every=every, record=record, apply=apply)
    for term in coupled.terms[-len(terms(closure)) :]:
        passport = term.closure.passport
        for line in passport.disagreements(coupled.model) if passport is not None else ():
            warnings.warn(line, ClosuraWarning, stacklevel=2)
    return coupled


def compose(
    model: AbstractModel,
    closure: AbstractClosure,
    *,
    at: str | None = None,
    every: int = 1,
    record: bool = False,
    apply: bool = True,
) -> Coupled:
    """Return what `couple` returns, without a word about passports: for work inside a fit."""
    inner, earlier = (model.model, model.terms) if isinstance(model, Coupled) else (model, ())
    if at is None:
        at = "tendency" if isinstance(inner, AbstractODE) else "step"
    if at not in ("tendency", "step"):
        raise ValueError(f"at is {at!r}; it must be 'tendency' or 'step'.")
    if at == "tendency" and not isinstance(inner, AbstractODE):
        raise ValueError(
            f"{type(inner).__name__} has no tendency to add to; use at='step' to act after it."
        )
    if every < 1:
        raise ValueError(f"every is {every}; it counts time steps and must be 1 or more.")
    held = at == "step" or every > 1
    closure = closure.bind(inner, interval=every * inner.dt if held else 0.0)
    added = tuple(Term(term, at, every, record, apply) for term in terms(closure))
    return Coupled(inner, (*earlier, *added))
