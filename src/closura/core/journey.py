"""How an ensemble gets from the beginning of a window through its times."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from closura.core.members import (
    add_vectors,
    count_dead,
    finite_members,
    living,
    replace_members,
    some_dead,
    unraveller,
    vectors_of,
)
from closura.core.model import AbstractModel, Snapshot
from closura.core.rollout import step_members


class _Trip(NamedTuple):
    """Where an ensemble began, where it was later, what it saw, and who survived."""

    begin: Snapshot
    later: Snapshot
    states: Array
    alive: Array


class Journey(eqx.Module):
    """A model that carries ensembles from time to time, differentiable both ways.

    Args:
        model: Any model.
        inputs: `Series` that it reads, or None.
        keys: A key per member.
        longest: Largest number of steps between two times.
        regular: Whether every interval has that many, or none.
    """

    model: AbstractModel
    inputs: Any
    keys: Array
    longest: int = eqx.field(static=True)
    regular: bool = eqx.field(static=True)

    def through(
        self, snapshot: Snapshot, gaps: Array, errors: Array | None, stop: int
    ) -> tuple[Snapshot, Array]:
        """Return the snapshot at the time number `stop`, and the vectors at every time."""
        unravel = unraveller(self.model, snapshot)

        def leg(snapshot: Snapshot, row: tuple[Array, Array | None]) -> tuple[Snapshot, Array]:
            gap, error = row
            snapshot = self._advance(snapshot, gap)
            if error is not None:
                snapshot = add_vectors(self.model, snapshot, unravel, error)
            return snapshot, vectors_of(self.model, snapshot)

        if stop == 0:
            return snapshot, lax.scan(leg, snapshot, (gaps, errors))[1]
        first = jax.tree.map(lambda row: row[:stop], (gaps, errors))
        second = jax.tree.map(lambda row: row[stop:], (gaps, errors))
        there, before = lax.scan(leg, snapshot, first)
        return there, jnp.concatenate([before, lax.scan(leg, there, second)[1]])

    def _advance(self, snapshot: Snapshot, gap: Array) -> Snapshot:
        """Return the snapshot `gap` steps later; the trip count is fixed, so vjp goes through."""

        def one_step(snapshot: Snapshot, _: None) -> tuple[Snapshot, None]:
            present = None if self.inputs is None else self.inputs.at(snapshot.step)
            return step_members(self.model, snapshot, present, self.keys, True), None

        def all_steps(snapshot: Snapshot) -> Snapshot:
            return lax.scan(one_step, snapshot, None, length=self.longest)[0]

        def step_if_wanted(snapshot: Snapshot, number: Array) -> tuple[Snapshot, None]:
            return lax.cond(number < gap, lambda s: one_step(s, None)[0], _same, snapshot), None

        if self.regular:  # gaps are all alike, or 0 before the start
            return lax.cond(gap > 0, all_steps, _same, snapshot)
        return lax.scan(step_if_wanted, snapshot, jnp.arange(self.longest))[0]


def _same(snapshot: Snapshot) -> Snapshot:
    return snapshot


def launch(
    journey: Journey, begin: Snapshot, gaps: Array, errors: Array | None, stop: int, key: Array
) -> tuple[Snapshot, Snapshot, Array, Array]:
    """Return the beginning with its dead members replaced, what follows, and how many died."""

    def attempt(trip: _Trip, again: Array) -> tuple[_Trip, None]:
        def go(trip: _Trip) -> _Trip:
            unravel = unraveller(journey.model, begin)
            start = replace_members(journey.model, begin, unravel, trip.alive, key)
            later, states = journey.through(start, gaps, errors, stop)
            alive = jnp.where(again, trip.alive, living(start) & finite_members(states))
            return _Trip(start, later, states, alive)

        wanted = ~again | some_dead(trip.alive)
        return lax.cond(wanted, go, lambda trip: trip, trip), None

    vectors = vectors_of(journey.model, begin)
    nowhere = jnp.zeros((len(gaps), *vectors.shape), vectors.dtype)
    alive = jnp.ones(vectors.shape[-1], bool)
    trips = jnp.array([False, True])  # the second one only where members died on the first
    trip = lax.scan(attempt, _Trip(begin, begin, nowhere, alive), trips)[0]
    return trip.begin, trip.later, trip.states, count_dead(trip.alive)
