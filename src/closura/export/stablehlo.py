"""A closure as StableHLO: any closure that JAX computes, for programs that embed XLA."""

from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from closura import __version__
from closura.core.closure import AbstractClosure, terms
from closura.core.learner import Pairs
from closura.data.store import write_json
from closura.export.cases import in_double
from closura.export.gate import TOLERANCE, difference, hold
from closura.export.guards import guards, is_known, seen_by, settle
from closura.export.layout import lay_out
from closura.export.prepare import whole_folder
from closura.export.readme import fill
from closura.export.states import WANTED, count_states, say_states, spread_states

PLATFORMS = ("cpu", "cuda")
KINDS = {"double": jnp.float64, "single": jnp.float32}


def export_stablehlo(
    closure: AbstractClosure,
    folder: Path,
    pairs: Sequence[Pairs],
    *,
    name: str,
    missing: str = "report",
    source: str = "",
) -> dict[str, Any]:
    """Write a closure as StableHLO, once what is read back is proved to be the same.

    One file a precision. Each takes the fields of any number of instants.

    Args:
        closure: What shall be shipped.
        folder, pairs, name, source: See `export_fortran`.
        missing: Fields go through as they are; anything but ``"report"`` is refused.

    Returns:
        The figures that are in `parity.json`.

    Raises:
        ValueError: It cannot be shipped, or what is shipped differs from what was trained; then
            nothing is written.
    """
    if missing != "report":
        raise ValueError(
            f"missing is {missing!r}, but StableHLO passes NaN on as the closure does; use report."
        )
    with whole_folder(folder) as built, jax.enable_x64(True):
        closure = settle(closure, pairs[0], check=False)
        fields, outside, states = _fields(closure, pairs)
        figures: dict[str, Any] = {
            "closura": __version__,
            "cases": sum(states.values()),
            "wanted_cases": WANTED,
            "states": states,
            "runtime": "the function, read back by jax.export,",
            "native": {},
            "precise": False,
            "source": source,
        }
        for precision, kind in KINDS.items():
            cast = jax.tree.map(lambda a, kind=kind: jnp.asarray(a, kind), (fields, outside))
            content, largest = _prove(closure, _arguments(closure, *cast), precision)
            (built / f"{name}_{precision}.stablehlo").write_bytes(content)
            figures["native"][precision] = {"largest": largest, "allowed": TOLERANCE[precision]}
        write_json(built / "parity.json", figures | {"arguments": _shapes(closure, fields)})
        (built / "README.md").write_text(_page(closure, name, figures, fields))
    return figures


def _prove(closure: AbstractClosure, given: tuple[Any, ...], precision: str) -> tuple[bytes, float]:
    """Return a function that is the same once it is read back, and how far it is off."""
    wanted = _calls(in_double(closure))(*jax.tree.map(_wide, given))
    for shipped in _ways(closure, precision):
        content = _serialise(shipped, given)
        found = export.deserialize(bytearray(content)).call(*given)
        largest = _largest(found, wanted)
        if largest <= TOLERANCE[precision]:
            break
    hold(f"the function in {precision} precision", largest, TOLERANCE[precision])
    return content, largest


def _ways(closure: AbstractClosure, precision: str) -> list[Callable]:
    """Return what may be shipped: the closure, or all of it in double where single does not do."""
    exact = _calls(in_double(closure))
    if precision == "double":
        return [exact]

    def rounded(*arguments: Any) -> Any:
        found = exact(*jax.tree.map(_wide, arguments))
        return jax.tree.map(lambda a: a.astype(jnp.float32), found)

    return [_calls(closure), rounded]


def _calls(closure: AbstractClosure) -> Callable:
    """Return the closure over instants: fields and inputs; noise has memory and keys beside."""
    if not closure.random:

        def still(fields: Any, given: Any) -> Any:
            return closure(fields, given, closure.init(fields), None)[0]

        return jax.vmap(still)

    def one(fields: Any, given: Any, memory: Any, key: Any) -> Any:
        return closure(fields, given, memory, jax.random.wrap_key_data(key))

    return jax.vmap(one)


def _refuse_memory(closure: AbstractClosure, fields: dict[str, Any]) -> None:
    """Raise ValueError where what a closure remembers would begin anew at every call."""
    first = jax.tree.map(lambda values: jnp.asarray(values[0]), fields)
    if not closure.random and jax.tree.leaves(closure.init(first)):
        raise ValueError(
            "the closure remembers what it saw (as Anchored does with averaging), and a StableHLO "
            "file has no place for that; ship what is inside that guard."
        )


def _arguments(
    closure: AbstractClosure, fields: dict[str, Any], given: dict[str, Any]
) -> tuple[Any, ...]:
    if not closure.random:
        return fields, given
    count = len(next(iter(fields.values())))
    keys = jax.random.split(jax.random.key(0), (2, count))
    memory = jax.vmap(lambda one, key: closure.init(one, key))(fields, keys[0])
    return fields, given, memory, jax.random.key_data(keys[1])


def _serialise(function: Callable, arguments: tuple[Any, ...]) -> bytes:
    """Return the function for any number of instants, for CPUs and NVIDIA's GPUs."""
    (instants,) = export.symbolic_shape("instant")

    def free(array: Any) -> Any:
        return jax.ShapeDtypeStruct((instants, *array.shape[1:]), array.dtype)

    shapes = jax.tree.map(free, arguments)
    return bytes(export.export(jax.jit(function), platforms=PLATFORMS)(*shapes).serialize())


def _fields(
    closure: AbstractClosure, pairs: Sequence[Pairs]
) -> tuple[dict[str, np.ndarray], Any, dict[str, int]]:
    """Return fields (instant, *field), what is given, and how many states they hold, by origin."""
    first, names = pairs[0], []
    for term in terms(closure):
        known = seen_by(term) if all(map(is_known, guards(term))) else []  # another may read any
        names += [name for one in known for name, _ in one.read] if known else [*first.inputs]
    points = _points(closure, first)
    shapes = [(name, tuple(np.shape(first.inputs[name])[2:])) for name in dict.fromkeys(names)]
    found, given = spread_states(shapes, pairs, columns=points)
    kept = {name: found[name] for name, _ in shapes}
    _refuse_memory(closure, kept)
    return kept, given, count_states(pairs, points)


def _points(closure: AbstractClosure, pairs: Pairs) -> int:
    """Return how many states there are in an instant."""
    try:
        layout = lay_out(closure, pairs)
    except ValueError:  # it cannot be cut into columns
        return 1
    if layout.fields:
        return layout.points
    shape = np.shape(next(iter(pairs.targets.values())))[2:]  # a mean by date has one a point
    return int(np.prod(shape[-2:]))


def _largest(found: Any, wanted: Any) -> float:
    """Return the largest difference of all arrays, relative to the largest value of each."""
    each = zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True)
    return max(difference(np.ravel(a)[:, None], np.ravel(b)[:, None]) for a, b in each)


def _wide(leaf: Any) -> Any:
    return leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def _shapes(closure: AbstractClosure, fields: dict[str, np.ndarray]) -> dict[str, Any]:
    said = {name: ["instant", *array.shape[1:]] for name, array in fields.items()}
    return {"fields": said, "random": closure.random}


def _page(
    closure: AbstractClosure, name: str, figures: dict[str, Any], fields: dict[str, np.ndarray]
) -> str:
    template = (resources.files("closura.export") / "runtime" / "stablehlo.md").read_text()
    rows = [f"| `{key}` | {('instant', *array.shape[1:])} |" for key, array in fields.items()]
    found = figures["native"].items()
    said = " and ".join(f"{one['largest']:.1e} in {key} precision" for key, one in found)
    values = {
        "NAME": name,
        "CLOSURE": " ".join(repr(closure).split()),
        "CASES": say_states(figures["states"]),
        "FOUND": said,
        "CALL": "fields, given, memory, key" if closure.random else "fields, given",
        "GIVES": "tendencies, memory" if closure.random else "tendencies",
        "ROWS": "\n".join(rows),
    }
    return fill(template, values)
