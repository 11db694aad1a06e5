"""A model whose parameters are unknown: they stand beside its state, and solvers estimate them."""

from collections import namedtuple
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from closura.core.closure import fold
from closura.core.couple import Coupled
from closura.core.model import AbstractModel, Snapshot
from closura.core.priors import AbstractPrior, Normal
from closura.core.variable import Variable

make_fields: Any = namedtuple
WALK = 2**31 - 5  # folded into the key of a step for the random walk of the parameters
DRAW = 2**31 - 6  # and into that of an initial state, or of a member, for their first values


class AugmentedState(NamedTuple):
    """A State of the model and its unknown parameters, as unbounded numbers, by name."""

    state: Any
    parameters: Any


class Unknown(eqx.Module):
    """One unknown parameter of a model.

    Attributes:
        name: What its field is called.
        path: Attributes and numbers that lead to it from the model.
        prior: What is believed of it at the start.
        walk: Standard deviation of its random walk after one time unit, of the unbounded number.
    """

    name: str = eqx.field(static=True)
    path: tuple[str | int, ...] = eqx.field(static=True)
    prior: AbstractPrior
    walk: float


class Augmented(AbstractModel):
    """A model with unknown parameters among its fields. Made by `augment`; there is no other kind.

    A field holds the unbounded number of its parameter (see `AbstractPrior`), the logarithm of a
    positive one; `value_of` turns it into what the model gets. Parameters lie nowhere: localised
    solvers let them feel every observation.
    """

    model: AbstractModel
    unknown: tuple[Unknown, ...]
    dt: float = eqx.field(static=True)

    @property
    def variables(self) -> tuple[Variable, ...]:
        return (*self.model.variables, *(self._describe(one) for one in self.unknown))

    @property
    def time_units(self) -> str:
        return self.model.time_units

    @property
    def coordinates(self) -> Mapping[str, Any]:
        return self.model.coordinates

    @property
    def places(self) -> Mapping[str, Any]:
        return self.model.places

    @property
    def periods(self) -> tuple[float, ...]:
        return self.model.periods

    @property
    def sphere_radius(self) -> float:
        """Radius of the sphere that the model lives on; 0 where there is none."""
        return getattr(self.model, "sphere_radius", 0.0)

    def __repr__(self) -> str:
        lines = [f"{self.model!r}"]
        lines += [f"  unknown {one.name}: {one.prior!r}, walk {one.walk:g}" for one in self.unknown]
        return "\n".join(lines)

    def initial_state(self, key: Array) -> AugmentedState:
        """Return a State of the model with parameters drawn from what is believed of them."""
        drawn = self.draw(jax.random.fold_in(key, DRAW))
        return AugmentedState(self._with(drawn).initial_state(key), drawn)

    def draw(self, key: Array) -> Any:
        """Return parameters drawn from their priors, as unbounded numbers."""
        return self._named(
            one.prior.draw(jax.random.fold_in(key, number), self._shape(one))
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

    def value_of(self, name: str, unbounded: Any) -> Array:
        """Return the numbers that the model gets for values of a parameter's field.

        Raises:
            ValueError: No parameter has this name.
        """
        for one in self.unknown:
            if one.name == name:
                return one.prior.bound(jnp.asarray(unbounded))
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

    def _with(self, unbounded: Any) -> AbstractModel:
        """Return the model with these parameters."""
        bounded = [one.prior.bound(raw) for one, raw in zip(self.unknown, unbounded, strict=True)]
        return eqx.tree_at(
            lambda model: [_follow(model, one.path) for one in self.unknown], self.model, bounded
        )

    def _walk(self, parameters: Any, key: Array | None) -> Any:
        return self._named(
            value
            if one.walk == 0
            else value + one.walk * self.dt**0.5 * _normal(key, number, value)
            for number, (one, value) in enumerate(zip(self.unknown, parameters, strict=True))
        )

    def _shape(self, one: Unknown) -> tuple[int, ...]:
        return jnp.shape(_follow(self.model, one.path))

    def _describe(self, one: Unknown) -> Variable:
        dims = tuple(f"{one.name}_{axis}" for axis in range(len(self._shape(one))))
        return Variable(one.name, "1", dims, f"unknown parameter {one.name}, unbounded")


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
        unknown = cl.augment(hybrid, {"terms.0.closure.coefficients": cl.Normal(0.0, 0.1)})

    Args:
        model: Any model, a coupled one too.
        unknown: What is believed of each parameter, by path: the name of an attribute of the
            model or, if one alone has it, of a closure; or names and numbers with dots between.
            The field is called after the last name, or after the whole path if that is taken.
        walk: Random walk of the unbounded numbers, standard deviation after one time unit: one
            for all, or by path. 0 keeps them as they are between analyses.
        **named: The same, for paths without dots. A pair stands for `Normal`.

    Raises:
        ValueError: A path leads nowhere, to several places or to what is no number, or a walk is
            negative.
    """
    priors = {**(unknown or {}), **named}
    if not priors:
        raise ValueError("augment: no parameter is named; write e.g. F=(8.0, 1.0).")
    walks = _read_walks(walk, priors)
    taken = [variable.name for variable in model.variables]
    found = []
    for text, prior in priors.items():
        path = _locate(model, text)
        taken.append(_new_name(text, path, taken))
        found.append(Unknown(taken[-1], path, _as_prior(text, prior), float(walks.get(text, 0.0))))
    return Augmented(model=model, unknown=tuple(found), dt=model.dt)


def _read_walks(walk: float | Mapping[str, float], priors: Mapping[str, Any]) -> dict[str, float]:
    walks = dict(walk) if isinstance(walk, Mapping) else dict.fromkeys(priors, walk)
    if set(walks) - set(priors) or min(walks.values(), default=0.0) < 0:
        raise ValueError(
            f"augment: walk is {walk!r}; give one number of 0 or more, or one for any of "
            f"{', '.join(priors)}."
        )
    return walks


def _new_name(text: str, path: tuple[str | int, ...], taken: list[str]) -> str:
    """Return the last name of a path, or all of it where that is taken."""
    name = next(str(part) for part in reversed(path) if isinstance(part, str))
    name = "_".join(map(str, path)) if name in taken else name
    if name in taken:
        raise ValueError(f"augment: {text!r} would be the second field called {name!r}.")
    return name


def _as_prior(text: str, prior: Any) -> AbstractPrior:
    if isinstance(prior, AbstractPrior):
        return prior
    if isinstance(prior, tuple | list) and len(prior) == 2:
        return Normal(float(prior[0]), float(prior[1]))
    raise ValueError(
        f"augment: {text} is {prior!r}; wanted a pair (mean, deviation), or Normal, LogNormal or "
        "Uniform."
    )


def _locate(model: AbstractModel, text: str) -> tuple[str | int, ...]:
    """Return the path that a text stands for, checked."""
    parts = tuple(int(part) if part.isdigit() else part for part in text.split("."))
    roots: list[tuple[str | int, ...]] = [()]
    if isinstance(model, Coupled) and parts[0] not in ("model", "terms"):
        roots = [("model",), *(("terms", n, "closure") for n in range(len(model.terms)))]
    paths = [(*root, *parts) for root in roots if _exists(model, (*root, *parts))]
    if len(paths) != 1:
        dotted = ", ".join(".".join(map(str, path)) for path in paths)
        raise ValueError(
            f"augment: {text!r} leads to {len(paths)} places in {type(model).__name__}"
            + (f": {dotted}; write one of these." if paths else "; name an attribute of it.")
        )
    value = _follow(model, paths[0])
    leaves = jax.tree.leaves(model)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    estimable = number or eqx.is_inexact_array(value)
    if not estimable or not any(value is leaf for leaf in leaves):
        raise ValueError(
            f"augment: {text!r} is {value!r}, which cannot be estimated; wanted is a "
            "floating-point number or array that the model does not hold as static."
        )
    return paths[0]


def _exists(model: Any, path: tuple[str | int, ...]) -> bool:
    try:
        _follow(model, path)
    except (AttributeError, IndexError, TypeError, KeyError):
        return False
    return True


def _follow(root: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        root = root[part] if isinstance(part, int) else getattr(root, part)
    return root


@lru_cache
def _fields(names: tuple[str, ...]) -> Any:
    """Return the NamedTuple with these fields, always the same one."""
    return make_fields("Fields", names)


def _normal(key: Array | None, number: int, like: Array) -> Array:
    if key is None:
        raise ValueError("the parameters of an augmented model walk at random: give a key.")
    return jax.random.normal(jax.random.fold_in(key, number), like.shape, like.dtype)
