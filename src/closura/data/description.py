"""Trees of modules as a readable description beside a list of arrays, and back, bit for bit."""

import dataclasses
import functools
import hashlib
import importlib
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

# Functions may be named in a file only from these, and from packages whose modules it holds.
TRUSTED = frozenset({"closura", "equinox", "jax", "numpy"})
_PUBLIC = ("jax.nn", "jax.numpy", "jax", "jax.lax", "equinox.nn", "equinox")  # searched in order
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def describe(tree: Any, *, strict: bool = True) -> tuple[Any, list[np.ndarray]]:
    """Return plain values that describe a tree, for JSON, and the arrays that they number.

    Args:
        tree: Equinox modules, frozen dataclasses, NamedTuples, tuples, lists, dictionaries,
            numbers, strings, None, named functions and arrays, in any nesting.
        strict: Refuse what cannot be rebuilt. If false, describe it as well as can be: enough to
            tell two trees apart.

    Raises:
        TypeError: The tree holds something that no file can name, e.g. a lambda.
    """
    describer = _Describer(strict)
    return describer.describe(tree, type(tree).__name__), describer.arrays


def rebuild(description: Any, arrays: list[np.ndarray]) -> Any:
    """Return the tree that `describe` described. Runs no constructor.

    Raises:
        ValueError: The description is damaged, or names what does not exist or is not allowed.
    """
    classes = {path: _allowed_class(path) for path in sorted(set(_class_paths(description)))}
    return _Builder(classes, arrays).build(description)


def fingerprint(*trees: Any) -> str:
    """Return a short hash of everything in the trees: structure, names, numbers, array bits."""
    description, arrays = describe(trees, strict=False)
    total = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


class _Describer:
    """Walks a tree, collecting arrays on the way."""

    def __init__(self, strict: bool):
        self.strict = strict
        self.arrays: list[np.ndarray] = []

    def describe(self, value: Any, place: str) -> Any:
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, jax.Array | np.ndarray | np.generic):
            return self._array(value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            fields = dict(zip(value._fields, value, strict=True))
            return self._fields(value, fields, place)
        if isinstance(value, tuple | list):
            kind = "tuple" if isinstance(value, tuple) else "list"
            return {kind: [self.describe(v, f"{place}[{i}]") for i, v in enumerate(value)]}
        if isinstance(value, Mapping):
            pairs = [
                [self.describe(k, place), self.describe(v, f"{place}[{k!r}]")]
                for k, v in value.items()
            ]
            return {"dict": pairs}
        if isinstance(value, np.dtype):
            return {"dtype": value.name}
        if isinstance(value, complex):
            return {"complex": [self.describe(value.real, place), self.describe(value.imag, place)]}
        return self._object(value, place)

    def _array(self, value: Any) -> dict[str, Any]:
        entry: dict[str, Any] = {"array": len(self.arrays)}
        if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            entry |= {"kind": "key", "generator": str(jax.random.key_impl(value))}
            value = jax.random.key_data(value)
        elif isinstance(value, np.generic):
            entry["kind"] = "scalar"
        elif isinstance(value, np.ndarray):
            entry["kind"] = "numpy"
        plain = np.asarray(value)
        entry |= {"dtype": plain.dtype.name, "shape": list(plain.shape)}
        # NumPy writes no name for the types that JAX adds (bfloat16): keep the bits as integers.
        native = plain.dtype.isbuiltin == 1
        self.arrays.append(plain if native else plain.view(f"u{plain.itemsize}"))
        return entry

    def _object(self, value: Any, place: str) -> Any:
        if isinstance(value, functools.partial) and type(value) is functools.partial:
            parts = (value.func, value.args, value.keywords)
            return {"partial": [self.describe(part, place) for part in parts]}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            frozen = type(value).__dataclass_params__.frozen  # type: ignore[attr-defined]
            if frozen or isinstance(value, eqx.Module) or not self.strict:
                held = [f.name for f in dataclasses.fields(value) if hasattr(value, f.name)]
                return self._fields(value, {name: getattr(value, name) for name in held}, place)
        path = path_of(value) if callable(value) else None
        if path is not None:
            return {"function": path}
        if not self.strict:
            return self._loosely(value, place)
        name = getattr(value, "__name__", None)
        what = f"the function {name!r}" if name else f"a {type(value).__name__}"
        raise TypeError(
            f"{place} is {what}, which a file cannot hold by name; use a function that its module "
            "defines under its own name, or an equinox.Module."
        )

    def _fields(self, value: Any, fields: Mapping[str, Any], place: str) -> dict[str, Any]:
        kind = type(value)
        path = f"{kind.__module__}:{kind.__qualname__}"
        if self.strict and _look_up(path) is not kind:
            raise TypeError(
                f"{place} is a {kind.__qualname__}, which cannot be imported from "
                f"{kind.__module__!r}; define the class at the top of a module."
            )
        described = {name: self.describe(v, f"{place}.{name}") for name, v in fields.items()}
        return {"class": path, "fields": described}

    def _loosely(self, value: Any, place: str) -> Any:
        code = getattr(value, "__code__", None)
        if code is not None:
            cells = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
            shown = _ADDRESS.sub("", repr((code.co_name, code.co_code.hex(), code.co_consts)))
            return {"code": shown, "holds": self.describe(cells, place)}
        kind = type(value)
        held = {
            name: self.describe(v, place)
            for name, v in getattr(value, "__dict__", {}).items()
            if not isinstance(getattr(kind, name, None), functools.cached_property)
        }
        if held and not isinstance(value, type):
            return {"class": f"{kind.__module__}:{kind.__qualname__}", "fields": held}
        return {"repr": _ADDRESS.sub("", repr(value))}


class _Builder:
    """Makes a tree from its description."""

    def __init__(self, classes: dict[str, type], arrays: list[np.ndarray]):
        self.classes, self.arrays = classes, arrays
        self.trusted = TRUSTED | {path.partition(":")[0].partition(".")[0] for path in classes}

    def build(self, node: Any) -> Any:
        if node is None or isinstance(node, bool | int | float | str):
            return node
        if isinstance(node, dict):
            for kind in ("class", "array", "tuple", "list", "dict", "function", "partial", "float",
                         "dtype", "complex"):  # fmt: skip
                if kind in node:
                    return getattr(self, f"_{kind}")(node)
        raise ValueError(f"{str(node)[:60]!r} is no part of a description")

    def _tuple(self, node: dict) -> tuple:
        return tuple(self.build(part) for part in node["tuple"])

    def _list(self, node: dict) -> list:
        return [self.build(part) for part in node["list"]]

    def _dict(self, node: dict) -> dict:
        return {self.build(key): self.build(value) for key, value in node["dict"]}

    def _float(self, node: dict) -> float:
        return float(node["float"])

    def _complex(self, node: dict) -> complex:
        return complex(*(self.build(part) for part in node["complex"]))

    def _dtype(self, node: dict) -> np.dtype:
        return jnp.dtype(node["dtype"])

    def _partial(self, node: dict) -> functools.partial:
        function, arguments, keywords = (self.build(part) for part in node["partial"])
        return functools.partial(function, *arguments, **keywords)

    def _function(self, node: dict) -> Any:
        path = str(node["function"])
        if path.partition(":")[0].partition(".")[0] not in self.trusted:
            raise ValueError(f"{path!r} is a function of a package that the file has no module of")
        found = _look_up(path)
        if not callable(found):
            raise ValueError(f"there is no function {path!r} here")
        return found

    def _array(self, node: dict) -> Any:
        raw, dtype = self.arrays[node["array"]], jnp.dtype(node["dtype"])
        if list(raw.shape) != node["shape"] or raw.itemsize != dtype.itemsize:
            raise ValueError(f"array {node['array']} has shape {raw.shape}, not {node['shape']}")
        values, kind = raw.view(dtype), node.get("kind", "jax")
        if kind == "numpy":
            return values
        if kind == "scalar":
            return values[()]
        if jax.dtypes.canonicalize_dtype(dtype) != dtype:
            raise ValueError(
                f"it holds {dtype.name} and JAX is set to single precision; "
                'call jax.config.update("jax_enable_x64", True) first'
            )
        array = jnp.asarray(values)
        return jax.random.wrap_key_data(array, impl=node["generator"]) if kind == "key" else array

    def _class(self, node: dict) -> Any:
        kind = self.classes[node["class"]]
        values = {name: self.build(value) for name, value in node["fields"].items()}
        if issubclass(kind, tuple):
            wanted = kind._fields  # type: ignore[attr-defined]
            _check_names(node["class"], values, wanted, wanted)
            return tuple.__new__(kind, [values[name] for name in wanted])
        fields = dataclasses.fields(kind)  # type: ignore[arg-type]
        defaults = {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}
        names = tuple(f.name for f in fields)
        _check_names(node["class"], values, names, tuple(n for n in names if n not in defaults))
        value = object.__new__(kind)
        for name in names:
            object.__setattr__(value, name, values[name] if name in values else defaults[name])
        return value


def path_of(thing: Any) -> str | None:
    """Return ``"module:name"`` of a function or class, or None if no module holds it by a name."""
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
    module = getattr(thing, "__module__", None)
    for home in (*_PUBLIC, module):
        if name and home and _look_up(f"{home}:{name}") is thing:
            return f"{home}:{name}"
    held = vars(sys.modules[module]).items() if module in sys.modules else ()
    return next((f"{module}:{key}" for key, value in held if value is thing), None)


def _look_up(path: str) -> Any:
    """Return what a dotted path names, or None."""
    module, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ImportError:
        return None
    for part in name.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found


def _class_paths(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("class"), str):
            yield node["class"]
        for part in node.values():
            yield from _class_paths(part)
    elif isinstance(node, list):
        for part in node:
            yield from _class_paths(part)


def _allowed_class(path: str) -> type:
    found = _look_up(path)
    if not isinstance(found, type):
        raise ValueError(
            f"it names the class {path!r}, which cannot be imported here; install the package that "
            "defines it, or put its folder on PYTHONPATH"
        )
    parameters = getattr(found, "__dataclass_params__", None)
    frozen = parameters is not None and parameters.frozen
    named_tuple = issubclass(found, tuple) and hasattr(found, "_fields")
    if not (issubclass(found, eqx.Module) or frozen or named_tuple):
        raise ValueError(f"it names the class {path!r}, which is no equinox.Module and no record")
    return found


def _check_names(path: str, found: Mapping, known: tuple, needed: tuple) -> None:
    unknown = [name for name in found if name not in known]
    missing = [name for name in needed if name not in found]
    if unknown or missing:
        raise ValueError(
            f"the fields of {path!r} have changed since (unknown: {', '.join(unknown) or 'none'}; "
            f"missing: {', '.join(missing) or 'none'})"
        )
