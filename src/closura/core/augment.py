"""A model whose parameters are unknown: they stand beside its state, and solvers estimate them.

A field holds where a parameter stands among standard normals, 0 at the median of its prior and 1 at
one deviation: unbounded, whatever bounds the parameter.
"""

from collections import namedtuple
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from closura.core.closure import fold
from closura.core.model import AbstractModel, AbstractWrapper, Snapshot
from closura.core.parameters import parameter_of, with_parameters
from closura.core.prior import AbstractMarginal, Normal
from closura.core.variable import Variable

make_fields: Any = namedtuple
WALK = 2**31 - 5  # folded into the key of a step for the random walk of the parameters
DRAW = 2**31 - 6  # and into that of an initial state, or of a member, for their first values


class AugmentedState(NamedTuple):
    """A State of the model, and the positions of its unknown parameters, by name."""

    state: Any
    parameters: Any


class Unknown(eqx.Module):
    """One unknown parameter of a model.

    Attributes:
        name: What its field is called.
        parameter: What it is called in the model; see `with_parameters`.
        shape: Its shape in the model; () for a number.
        prior: What is believed of it at the start.
        walk: Standard deviation of the random walk of its position after one time unit, in
            deviations of the prior.
    """

    name: str = eqx.field(static=True)
    parameter: str = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    prior: AbstractMarginal
    walk: float


class Augmented(AbstractWrapper):
    """A model with unknown parameters among its fields. Made by `augment`; there is no other kind.

    A field holds the position of its parameter among standard normals; `value_of` turns it into
    what the model gets. Parameters lie nowhere: localised solvers let them feel every observation.
    """

    model: AbstractModel
    unknown: tuple[Unknown, ...]
    dt: float = eqx.field(static=True)

    @property
    def variables(self) -> tuple[Variable, ...]:
        return (*self.model.variables, *(self._describe(one) for one in self.unknown))

    @property
    def size_of_parameters(self) -> int:
        """How many numbers the unknown parameters are."""
        return sum(int(np.prod(one.shape)) for one in self.unknown)

    def __repr__(self) -> str:
        lines = [f"{self.model!r}"]
        lines += [f"  unknown {one.name}: {one.prior!r}, walk {one.walk:g}" for one in self.unknown]
        return "\n".join(lines)

    def initial_state(self, key: Array) -> AugmentedState:
        """Return a State of the model with parameters drawn from what is believed of them."""
        drawn = self.draw(jax.random.fold_in(key, DRAW))
        return AugmentedState(self._with(drawn).initial_state(key), drawn)

    def draw(self, key: Array) -> Any:
        """Return positions of parameters drawn from their priors."""
        return self._named(
            jax.random.normal(jax.random.fold_in(key, number), one.shape)
            for number, one in enumerate(self.unknown)
        )

    def begin(self, states: Any, key: Array) -> AugmentedState:
        """Return States, members last, each with parameters of its own drawn anew.

        Args:
            states: States of the wrapped model, or augmented ones.
            key: Randomness.
        """
        states = states.state if isinstance(states, AugmentedState) else states
        count = jax.tree.leaves(states)[0].shape[-1]
        return AugmentedState(
            states, jax.vmap(self.draw, out_axes=-1)(jax.random.split(key, count))
        )

    def value_of(self, name: str, position: Any) -> Array:
        """Return the numbers that the model gets for values of a parameter's field.

        Args:
            name: Name of the field.
            position: Its values; of an array, with its dimensions last.

        Raises:
            ValueError: No parameter has this name.
        """
        for one in self.unknown:
            if one.name == name:
                return jnp.asarray(one.prior.from_normal(jnp.asarray(position)))
        names = ", ".join(one.name for one in self.unknown)
        raise ValueError(f"there is no unknown parameter {name!r}; there are: {names}.")

    def start(self, state: AugmentedState, key: Array | None = None, inputs: Any = None):
        begun = self._with(state.parameters).start(state.state, key, inputs)
        return begun._replace(state=AugmentedState(begun.state, state.parameters))

    def step(self, snapshot: Snapshot, inputs: Any = None, key: Array | None = None) -> Snapshot:
        state, parameters = snapshot.state
        alone = snapshot._replace(state=state)
        after = self._with(parameters).step(alone, inputs, key)
        parameters = self._walk(parameters, fold(fold(key, snapshot.step), WALK))
        return after._replace(state=AugmentedState(after.state, parameters))

    def fields(self, state: AugmentedState) -> Any:
        named = self.model.fields(state.state)
        named = named if isinstance(named, dict) else named._asdict()
        kind = _fields((*named, *(one.name for one in self.unknown)))
        return kind(*named.values(), *state.parameters)

    def add(self, state: AugmentedState, increments: Mapping[str, Array]) -> AugmentedState:
        names = state.parameters._fields
        own = {name: rate for name, rate in increments.items() if name not in names}
        moved = {n: getattr(state.parameters, n) + increments[n] for n in names if n in increments}
        return AugmentedState(self.model.add(state.state, own), state.parameters._replace(**moved))

    def _named(self, values: Any) -> Any:
        return _fields(tuple(one.name for one in self.unknown))(*values)

    def _with(self, positions: Any) -> AbstractModel:
        """Return the model with these parameters."""
        known = zip(self.unknown, positions, strict=True)
        values = {one.parameter: one.prior.from_normal(position) for one, position in known}
        return with_parameters(self.model, values)

    def _walk(self, parameters: Any, key: Array | None) -> Any:
        return self._named(
            value
            if one.walk == 0
            else value + one.walk * self.dt**0.5 * _normal(key, number, value)
            for number, (one, value) in enumerate(zip(self.unknown, parameters, strict=True))
        )

    def _describe(self, one: Unknown) -> Variable:
        dims = tuple(f"{one.name}_{axis}" for axis in range(len(one.shape)))
        return Variable(one.name, "1", dims, f"unknown parameter {one.name} among standard normals")


def augment(
    model: AbstractModel,
    unknown: Mapping[str, Any] | None = None,
    /,
    *,
    walk: float | Mapping[str, float] = 0.0,
    **named: Any,
) -> Augmented:
    """Return the model with parameters beside its state, for any solver to estimate.

    ::

        unknown = cl.augment(model, F=(8.0, 1.0))                       # normal: mean, deviation
        unknown = cl.augment(hybrid, {"PolynomialClosure.coefficients": cl.Normal(0.0, 0.1)})

    Args:
        model: Any model, a coupled one too.
        unknown: What is believed of each parameter, by name: a setting of the model or of a
            closure, or ``Class.setting`` where several have a setting of that name. The field is
            called after the setting, or ``Class_setting`` if that is taken.
        walk: Random walk of the parameters: standard deviation after one time unit, in deviations
            of the prior; one for all, or by name. 0 keeps them as they are between analyses.
        **named: The same, for names without a class. A pair stands for `Normal`.

    Raises:
        ValueError: A name leads nowhere or to several places, a prior does not fit the shape, or
            a walk is negative.
    """
    priors = {**(unknown or {}), **named}
    if not priors:
        raise ValueError("augment: no parameter is named; write e.g. F=(8.0, 1.0).")
    walks = _read_walks(walk, priors)
    taken = [variable.name for variable in model.variables]
    found = []
    for text, prior in priors.items():
        shape = np.shape(parameter_of(model, text))
        taken.append(_new_name(text, taken))
        marginal = _as_marginal(text, prior, shape)
        found.append(Unknown(taken[-1], text, shape, marginal, float(walks.get(text, 0.0))))
    return Augmented(model=model, unknown=tuple(found), dt=model.dt)


def _read_walks(walk: float | Mapping[str, float], priors: Mapping[str, Any]) -> dict[str, float]:
    walks = dict(walk) if isinstance(walk, Mapping) else dict.fromkeys(priors, walk)
    if set(walks) - set(priors) or min(walks.values(), default=0.0) < 0:
        raise ValueError(
            f"augment: walk is {walk!r}; give one number of 0 or more, or one for any of "
            f"{', '.join(priors)}."
        )
    return walks


def _new_name(text: str, taken: list[str]) -> str:
    """Return the setting's name, or the class's before it where that is taken."""
    name = text.rpartition(".")[2]
    name = text.replace(".", "_") if name in taken else name
    if name in taken:
        raise ValueError(f"augment: {text!r} would be the second field called {name!r}.")
    return name


def _as_marginal(text: str, prior: Any, shape: tuple[int, ...]) -> AbstractMarginal:
    if isinstance(prior, tuple | list) and len(prior) == 2:
        prior = Normal(*prior)
    if not isinstance(prior, AbstractMarginal):
        raise ValueError(
            f"augment: {text} is {prior!r}; wanted a pair (mean, deviation), or Normal, LogNormal, "
            "Uniform or TruncatedNormal."
        )
    if prior.shape not in ((), shape):
        raise ValueError(
            f"augment: the prior of {text} has shape {prior.shape} and the parameter {shape}; give "
            "one number for all, or arrays of that shape."
        )
    return prior


@lru_cache
def _fields(names: tuple[str, ...]) -> Any:
    """Return the NamedTuple with these fields, always the same one."""
    return make_fields("Fields", names)


def _normal(key: Array | None, number: int, like: Array) -> Array:
    if key is None:
        raise ValueError("the parameters of an augmented model walk at random: give a key.")
    return jax.random.normal(jax.random.fold_in(key, number), like.shape, like.dtype)
