"""The laws of models, closures, learners and solvers, for closura's plug-ins and yours.

Call `check_model(MyModel(...))` in a test of your own: it raises an AssertionError that says which
law broke and by how much.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from closura.closures.features import field
from closura.core.closure import AbstractClosure, AbstractMemorylessClosure, Zero
from closura.core.couple import couple
from closura.core.learner import AbstractLearner, Pairs
from closura.core.model import AbstractModel, AbstractODE, Snapshot
from closura.core.problem import AbstractSolver, Background, Observed
from closura.core.rollout import member_keys, rollout, start_members
from closura.core.windows import AbstractWindowSolver, Window
from closura.solvers.laws import check_calibrator as check_calibrator

STEPS = 6


class _Damping(AbstractMemorylessClosure):
    """Relax every field toward zero: a harmless closure to try the laws with."""

    rate: float

    def tendency(self, fields: Any, inputs: Any = None) -> dict[str, jax.Array]:
        names = getattr(fields, "_fields", None) or tuple(fields)
        return {name: -self.rate * field(fields, name) for name in names}


def check_model(model: AbstractModel, *, key: jax.Array | None = None, inputs: Any = None) -> None:
    """Try the laws of a model on a few steps.

    Its fields agree with its `variables`; a step keeps shapes and dtypes, counts, and depends on
    nothing but its arguments; members do not feel each other; coupling nothing changes no bit;
    coupling twice is coupling the sum; a run that is stopped goes on bit for bit; and fields
    survive the way to an xarray.Dataset and back.

    Args:
        model: The model to try.
        key: Randomness of initial states and of the model; `jax.random.key(0)` if None.
        inputs: A `Series` that the model reads, if it needs one.

    Raises:
        AssertionError: A law is broken; the message says which.
    """
    key = jax.random.key(0) if key is None else key
    state = model.initial_state(key)
    _check_variables(model, state)
    snapshot = _check_step(model, state, key, inputs)
    _check_continuation(model, snapshot, key, inputs)
    _check_members(model, key, inputs)
    _check_zero(model, state, key, inputs)
    _check_sum(model, state, key, inputs)
    _check_border(model, state)


def check_closure(
    closure: AbstractClosure, model: AbstractModel, *, key: jax.Array | None = None
) -> None:
    """Try the laws of a closure on a model: what it returns fits the fields, memory is stable.

    Args:
        closure: The closure to try.
        model: A model whose fields it can act on.
        key: Randomness; `jax.random.key(0)` if None.

    Raises:
        AssertionError: A law is broken; the message says which.
    """
    key = jax.random.key(0) if key is None else key
    fields = model.fields(model.initial_state(key))
    memory = closure.init(fields, key)
    tendency, after = eqx.filter_jit(closure)(fields, None, memory, key)
    for name, rate in tendency.items():
        like = field(fields, name)
        _require(
            rate.shape == like.shape and rate.dtype == like.dtype,
            f"the tendency of {name} is {rate.dtype}{rate.shape}; "
            f"the field is {like.dtype}{like.shape}.",
        )
    _require(_layout(memory) == _layout(after), "a call changes the layout of the memory.")
    hybrid = couple(model, closure)
    snapshot = hybrid.start(model.initial_state(key), key)
    _check_continuation(hybrid, snapshot, key, None)
    _check_members(hybrid, key, None)


def check_learner(
    learner: AbstractLearner, pairs: Pairs, *, key: jax.Array | None = None
) -> AbstractClosure:
    """Fit a learner twice: the same key gives the same closure, which carries the passport.

    Args:
        learner: The learner to try.
        pairs: Pairs that it can learn from, with a model to couple to if possible.
        key: Randomness; `jax.random.key(0)` if None.

    Returns:
        The fitted closure.

    Raises:
        AssertionError: A law is broken; the message says which.
    """
    key = jax.random.key(0) if key is None else key
    first, second = learner.fit(pairs, key=key), learner.fit(pairs, key=key)
    _require(isinstance(first, AbstractClosure), f"fit returned {type(first).__name__}.")
    _require(_same(first, second), "two fits with the same key differ.")
    _require(first.passport is not None, "the closure does not carry the passport of its pairs.")
    if pairs.model is not None:
        check_closure(first, pairs.model, key=key)
    return first


def check_solver(solver: AbstractSolver, *, key: jax.Array | None = None) -> None:
    """Try the laws of a solver on a small ring: what it must do with no data and with perfect data.

    The analysis keeps shape and dtype and depends on nothing but its arguments; what says nothing
    leaves the mean of the members (or the mean it always returns); perfect observations are met.
    Weighed members may err by their draw; in the window of a smoother the ring turns.

    Args:
        solver: The solver to try, before it is prepared; with as many members as it likes.
        key: Randomness; `jax.random.key(0)` if None.

    Raises:
        AssertionError: A law is broken; the message says which.
    """
    key = jax.random.key(0) if key is None else key
    places, seen, values = np.arange(9.0)[:, None], np.array([1, 4, 8]), jnp.array([2.5, -2.0, 1.0])
    sample = np.asarray(jax.random.normal(key, (9, max(60, solver.members)))) * np.c_[1:2:9j]
    solver = solver.prepare(Background(sample, places, places[seen], (9.0,)))
    ensemble = jnp.asarray(sample[:, : solver.members]).at[seen, 2].set(values)  # one is right
    memory = solver.init(ensemble)
    draws = solver.weights(memory) is not None

    def analyse(weight: float, ensemble: jax.Array = ensemble) -> tuple[jax.Array, ...]:
        seeing = Observed(values, jnp.full(3, weight), lambda x: x[seen])
        analysis, after = solver(ensemble, seeing, memory, key)
        mean, spread = solver.moments(analysis, after)
        return analysis, mean, 4 * draws * spread / math.sqrt(solver.members)

    (plain, *_), (blind, middle, unsure), (sharp, mean, doubt) = map(analyse, (1.0, 0.0, 1e3))
    _require(_layout(plain) == _layout(ensemble), "the analysis changes shape or dtype.")
    _require(_same(plain, analyse(1.0)[0]), "the same analysis twice differs.")
    if _same(blind, sharp):
        return  # it sees nothing, by design
    if not _same(analyse(0.0, ensemble + 1)[0], blind):  # it starts from the forecast
        moved = jnp.maximum(jnp.abs(middle - ensemble.mean(-1)) - unsure, 0.0)
        _require_close(jnp.zeros(9), moved, "no information moves the mean", 1.0)
    reached = float(jnp.max(jnp.abs(mean[seen] - values) - doubt[seen]))
    _require(reached < 0.02, f"perfect observations are missed by {reached:.3g}.")
    if isinstance(solver, AbstractWindowSolver):
        _check_window(solver, ensemble, seen, values, key)


def _check_window(
    solver: AbstractWindowSolver, ensemble: jax.Array, seen: np.ndarray, values: jax.Array, key: Any
) -> None:
    """Try a window of three times, between which everything moves on by one place."""

    def carry(vectors: jax.Array, errors: Any = None) -> jax.Array:
        states = [vectors]
        for error in (0.0, 0.0, 0.0) if errors is None else errors:
            states.append(jnp.roll(states[-1], 1, axis=0) + error)
        return jnp.stack(states[1:])

    def revise(weight: float) -> tuple[jax.Array, jax.Array]:
        errors = jnp.zeros((3, *ensemble.shape)) if solver.estimates_model_error else None
        first = values[None], jnp.full((1, 3), weight), lambda x: x[seen]
        window = Window(*first, carry, carry(ensemble), jnp.ones(3), errors)
        begin, _, found = solver.revise(ensemble, window, solver.init(ensemble), key)
        return begin, carry(begin, found)[-1]

    blind, (begin, end) = revise(0.0)[0], revise(1e3)
    _require(_layout(begin) == _layout(ensemble), "a window changes shape or dtype.")
    _require_close(ensemble.mean(-1), blind.mean(-1), "an empty window moves the mean")
    reached = float(jnp.max(jnp.abs(end.mean(-1)[seen] - values)))
    _require(reached < 0.02, f"perfect observations at a window's end are missed by {reached:.3g}.")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _layout(tree: Any) -> Any:
    return jax.tree.structure(tree), [(x.shape, x.dtype) for x in jax.tree.leaves(tree)]


def _same(first: Any, second: Any) -> bool:
    """Whether two trees agree in structure and in every bit."""
    left, right = jax.tree.leaves(first), jax.tree.leaves(second)
    alike = str(jax.tree.structure(first)) == str(jax.tree.structure(second))
    return alike and all(
        np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True) if eqx.is_array(a) else a == b
        for a, b in zip(left, right, strict=True)
    )


def _check_variables(model: AbstractModel, state: Any) -> None:
    fields = model.fields(state)
    names = getattr(fields, "_fields", None) or tuple(fields)
    described = tuple(variable.name for variable in model.variables)
    _require(described == tuple(names), f"variables are {described} and fields are {names}.")
    sizes: dict[str, int] = {}
    for variable in model.variables:
        shape = field(fields, variable.name).shape
        _require(
            len(shape) == len(variable.dims),
            f"{variable.name} has shape {shape} and dims {variable.dims}.",
        )
        for dim, size in zip(variable.dims, shape, strict=True):
            _require(sizes.setdefault(dim, size) == size, f"dimension {dim} has two lengths.")
        finite = bool(jnp.all(jnp.isfinite(field(fields, variable.name))))
        _require(finite, f"the initial {variable.name} is not finite.")


def _check_step(model: AbstractModel, state: Any, key: jax.Array, inputs: Any) -> Snapshot:
    present = None if inputs is None else inputs.at(inputs.first)
    snapshot = model.start(state, key, present)
    step = eqx.filter_jit(model.step)
    after = step(snapshot, present, key)
    _require(_layout(snapshot) == _layout(after), "a step changes shapes or dtypes.")
    _require(int(after.step) == int(snapshot.step) + 1, "a step does not add 1 to the count.")
    _require(_same(after, step(snapshot, present, key)), "the same step twice differs.")
    _require(not _same(after.state, snapshot.state), "a step changes nothing.")
    return snapshot


def _check_continuation(model: Any, snapshot: Snapshot, key: jax.Array, inputs: Any) -> None:
    whole, last = rollout(model, snapshot, STEPS, inputs=inputs, key=key)
    first, middle = rollout(model, snapshot, STEPS // 2, inputs=inputs, key=key)
    second, end = rollout(model, middle, STEPS // 2, inputs=inputs, key=key)
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)
    _require(
        int(last.step) == int(snapshot.step) + STEPS, "the step count does not count the steps."
    )
    _require(_same(joined, whole), "a run that is stopped and continued differs from a whole one.")
    _require(_same(end, last), "the last snapshot of a continued run differs from a whole one's.")


def _check_members(model: Any, key: jax.Array, inputs: Any) -> None:
    keys = member_keys(key, 3)
    present = None if inputs is None else inputs.at(inputs.first)
    start = start_members(model, keys, inputs=present)
    together, _ = rollout(model, start, STEPS, inputs=inputs, key=keys, members=True)
    for member in range(3):
        pick = lambda leaf: leaf[..., member]  # noqa: B023, E731
        alone = Snapshot(
            jax.tree.map(pick, start.state), start.step, jax.tree.map(pick, start.memory)
        )
        one, _ = rollout(model, alone, STEPS, inputs=inputs, key=keys[member])
        _require_close(one, jax.tree.map(pick, together), f"member {member} feels the others")


def _check_zero(model: AbstractModel, state: Any, key: jax.Array, inputs: Any) -> None:
    nothing = couple(model, Zero())
    with_zero, _ = rollout(nothing, nothing.start(state, key), STEPS, inputs=inputs, key=key)
    without, _ = rollout(model, model.start(state, key), STEPS, inputs=inputs, key=key)
    _require(_same(with_zero, without), "coupling the closure that adds nothing changes bits.")


def _check_sum(model: AbstractModel, state: Any, key: jax.Array, inputs: Any) -> None:
    places = ("tendency", "step") if isinstance(model, AbstractODE) else ("step",)
    first, second = _Damping(0.01 / model.dt), _Damping(0.02 / model.dt)
    for at in places:
        twice = couple(couple(model, first, at=at), second, at=at)
        once = couple(model, first + second, at=at)
        a, _ = rollout(twice, twice.start(state, key), STEPS, inputs=inputs, key=key)
        b, _ = rollout(once, once.start(state, key), STEPS, inputs=inputs, key=key)
        _require_close(a, b, f"coupling twice and coupling the sum differ (at='{at}')")


def _check_border(model: AbstractModel, state: Any) -> None:
    from closura.data.border import from_dataset, to_dataset

    fields = model.fields(state)
    stacked = jax.tree.map(lambda leaf: leaf[None], fields)
    dataset = to_dataset(model, stacked, time=np.array([0.0]))
    back = from_dataset(model, dataset, time=0)
    _require(_same(back, fields), "fields change on the way to a Dataset and back.")


def _require_close(first: Any, second: Any, message: str, scale: float = 1e-30) -> None:
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        scale = float(jnp.max(jnp.abs(a))) + scale
        tolerance = 1e4 * float(jnp.finfo(a.dtype).eps) * scale
        worst = float(jnp.max(jnp.abs(a - b)))
        _require(
            math.isfinite(worst) and worst <= tolerance,
            f"{message}: by {worst:.3g}, allowed are {tolerance:.3g}.",
        )
