"""What a simulation will do, in steps: lengths, chunks, groups of members, fingerprint."""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from closura import __version__
from closura.core.couple import Coupled
from closura.core.durations import duration as parse_duration
from closura.core.model import AbstractModel, AbstractODE
from closura.data.border import TENDENCY
from closura.data.description import fingerprint
from closura.data.recording import (
    RECORD,
    recorded_attributes,
    recorded_names,
    recorded_values,
)

CHUNK_BYTES = 2**25  # 32 MiB: large enough that Python and Zarr cost nothing beside the model
CHUNK_STEPS = 200_000  # a chunk is also the span between two restart files and two reports
GROUP_NUMBERS = 65536  # numbers in a group's state, 0.5 MB: it stays in a core's second cache
GROUP_MEMBERS = 256
WORTH_TWO = 32  # members from which two groups side by side on two cores beat one


class Recorder(eqx.Module):
    """What is kept of a snapshot: some fields, and the full tendencies of some.

    Args:
        variables: Names of the fields.
        tendencies: Names of the fields whose tendency is kept.
        recorded: Names of what recorded terms saw and gave.
    """

    variables: tuple[str, ...] = eqx.field(static=True)
    tendencies: tuple[str, ...] = eqx.field(static=True)
    recorded: tuple[str, ...] = eqx.field(static=True, default=())

    @property
    def names(self) -> tuple[str, ...]:
        """Names under which things are kept, in order."""
        tendencies = (name + TENDENCY for name in self.tendencies)
        return (*self.variables, *tendencies, *self.recorded)

    def __call__(self, model: AbstractModel, snapshot: Any, inputs: Any) -> dict[str, Any]:
        fields = model.fields(snapshot.state)
        kept = {name: getattr(fields, name) for name in self.variables}
        if self.tendencies:
            rates = model.tendency(snapshot.state, inputs)  # type: ignore[attr-defined]
            kept |= {name + TENDENCY: getattr(rates, name) for name in self.tendencies}
        if self.recorded:
            kept |= recorded_values(model, snapshot)
        return kept


@dataclass(frozen=True)
class Piece:
    """A stretch of a run that is compiled and computed at once.

    Args:
        steps: Time steps.
        every: Steps between two states that are looked at.
        first: Number of the first saved instant; None during spin-up.
    """

    steps: int
    every: int
    first: int | None

    @property
    def times(self) -> int:
        """Number of states that it looks at."""
        return self.steps // self.every


@dataclass(frozen=True)
class Plan:
    """All lengths of a simulation, in time steps.

    Args:
        dt: Time step [model time unit].
        spinup: Steps before the first instant counts.
        every: Steps between two saved instants.
        saves: Number of saved instants.
        members: Number of ensemble members.
        chunk: Saved instants in a chunk.
        sizes: Members in each group.
        attrs: Attributes of the run; ``"run"`` is its fingerprint.
    """

    dt: float
    spinup: int
    every: int
    saves: int
    members: int
    chunk: int
    sizes: tuple[int, ...]
    attrs: dict[str, Any]

    def pieces(self) -> list[Piece]:
        """Return the stretches, spin-up first: as few lengths as can be, each compiles once."""
        length = self.chunk * self.every
        found = [Piece(length, self.every, None)] * (self.spinup // length)
        rest = self.spinup % length
        if rest:
            found.append(Piece(rest, rest, None))
        for first in range(0, self.saves, self.chunk):
            times = min(self.chunk, self.saves - first)
            found.append(Piece(times * self.every, self.every, first))
        return found

    def times(self, first: int, count: int) -> np.ndarray:
        """Return the times of saved instants since the end of spin-up [model time unit].

        Rounded, so that the same time has the same bits in runs of different `dt`.
        """
        steps = self.every * np.arange(first + 1, first + count + 1)
        return np.round(steps * self.dt, 10 - math.floor(math.log10(self.dt)))

    def groups(self) -> list[slice]:
        """Return the members of each group."""
        ends = np.cumsum((0, *self.sizes)).tolist()
        return [slice(first, last) for first, last in itertools.pairwise(ends)]


def make_plan(
    model: AbstractModel,
    recorder: Recorder,
    *,
    duration: float | str,
    spinup: float | str,
    every: float | str | None,
    members: int,
    key: Any,
    state: Any,
    inputs: Any,
    chunk: int | None,
    template: Any,
) -> Plan:
    """Check the arguments of `simulate` and turn them into steps.

    Raises:
        ValueError: A length is no multiple of dt, or a number is out of range.
    """
    interval = 1 if every is None else _steps("every", every, model)
    total, before = _steps("duration", duration, model), _steps("spinup", spinup, model)
    for name, value, least in (
        ("every", interval, 1), ("duration", total, 1), ("members", members, 1),
        ("chunk", 1 if chunk is None else chunk, 1), ("spinup", before, 0),
    ):  # fmt: skip
        if value < least:
            wanted = "0 or more" if least == 0 else "positive"
            raise ValueError(f"{name} is {value}; it must be {wanted}.")
    if total % interval:
        raise ValueError(
            f"duration is {total * model.dt:g}, which is no multiple of every = "
            f"{interval * model.dt:g}; "
            f"take {interval * (total // interval + 1) * model.dt:g}."
        )
    if inputs is not None:
        inputs.check_covers(0, before + total)
    saves = total // interval
    double = bool(jax.config.jax_enable_x64)  # type: ignore[attr-defined]
    words = None if key is None else key_numbers(key)
    run = fingerprint(
        model, words, interval, saves, before, members, state, inputs, recorder, double
    )
    precision = "double" if double else "single"
    attrs = {"run": run, "key": "none" if words is None else words, "precision": precision}
    attrs |= _attributes(model, interval, before, total, recorder)
    sizes = _group_sizes(members, sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(template)))
    length = chunk if chunk is not None else _chunk(saves, interval, members, template, recorder)
    return Plan(model.dt, before, interval, saves, members, min(length, saves), sizes, attrs)


def _attributes(
    model: AbstractModel, interval: int, before: int, total: int, recorder: Recorder
) -> dict[str, Any]:
    """Return what a run says of itself, of its model and lengths."""
    dt = float(model.dt)
    about = {
        "model": model_name(model), "dt": dt, "every": float(interval * model.dt),
        "spinup": float(before * model.dt), "duration": float(total * model.dt),
        "closura": __version__,
    }  # fmt: skip
    return about | recorded_attributes(model) if recorder.recorded else about


def make_recorder(
    model: AbstractModel,
    variables: Sequence[str] | None,
    tendencies: Sequence[str],
    *,
    recorded: bool = False,
    inputs: Any = None,
) -> Recorder:
    """Check the names that are to be kept.

    Raises:
        ValueError: A name is not a variable of the model, or records are asked of a model that
            has none.
        TypeError: Tendencies are asked of a model that has none.
    """
    names = tuple(variable.name for variable in model.variables)
    for argument, asked in (("variables", variables or ()), ("tendencies", tendencies)):
        if isinstance(asked, str):
            raise TypeError(f"{argument} is {asked!r}; give a tuple of names, ({asked!r},).")
        for name in asked:
            if name not in names:
                nearest = get_close_matches(name, names, n=1)
                guess = f"; did you mean {nearest[0]!r}?" if nearest else "."
                owner = type(model).__name__
                raise ValueError(
                    f"{argument} names {name!r}; {owner} has {', '.join(names)}{guess}"
                )
    if tendencies and not isinstance(model, AbstractODE):
        raise TypeError(
            f"{type(model).__name__} has no tendency to record; leave `tendencies` empty, or "
            "simulate an AbstractODE before it is coupled to anything."
        )
    records = recorded_names(model, None if inputs is None else inputs.at(0)) if recorded else ()
    return Recorder(names if variables is None else tuple(variables), tuple(tendencies), records)


def model_name(model: AbstractModel) -> str:
    """Return the class of a model, with those of its closures: ``"Lorenz96 + AR1Noise"``."""
    if not isinstance(model, Coupled):
        return type(model).__name__
    closures = [type(term.closure).__name__ for term in model.terms]
    return " + ".join([type(model.model).__name__, *closures])


def key_numbers(key: Any) -> list[int]:
    """Return the numbers that a random key is made of."""
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return [int(n) for n in np.ravel(jax.random.key_data(key) if typed else key)]


def _steps(name: str, length: float | str, model: AbstractModel) -> int:
    """Return a length of time as a number of steps."""
    value, dt = parse_duration(length, name=name, time_units=model.time_units), model.dt
    steps = round(value / dt)
    if not math.isclose(steps * dt, value, rel_tol=1e-9, abs_tol=1e-9 * dt):
        raise ValueError(
            f"{name} is {value:g}, which is no multiple of the time step dt = {dt:g}; "
            f"nearest is {max(steps, 1) * dt:g}."
        )
    return steps


def _group_sizes(members: int, numbers: int) -> tuple[int, ...]:
    """Return the members in each group; how many depends on the model, never on the computer.

    On an accelerator a group is as large as it may be.
    """
    limit, least = GROUP_MEMBERS, 1
    if jax.default_backend() == "cpu":
        limit = min(limit, max(1, GROUP_NUMBERS // max(1, numbers)))
        least = 2 if members >= WORTH_TWO else 1
    count = max(least, 2 ** math.ceil(math.log2(math.ceil(members / limit))))
    small, larger = divmod(members, min(count, members))
    return (small + 1,) * larger + (small,) * (min(count, members) - larger)


def _chunk(saves: int, every: int, members: int, template: Any, recorder: Recorder) -> int:
    """Return the saved instants in a chunk: all chunks of one length if a good one divides."""
    records = (re.sub(RECORD, "", name) for name in recorder.recorded)
    names = (*recorder.variables, *recorder.tendencies, *records)
    sizes = [(getattr(template, n).shape, getattr(template, n).dtype.itemsize) for n in names]
    instant = members * sum(math.prod(shape) * size for shape, size in sizes)
    limit = max(1, min(CHUNK_BYTES // max(1, instant), CHUNK_STEPS // every))
    if limit >= saves:
        return saves
    dividing = next((n for n in range(limit, limit // 2, -1) if saves % n == 0), None)
    return dividing or math.ceil(saves / math.ceil(saves / limit))
