"""The rules of the house: each function reads a source tree and returns what breaks the rule.

A finding is one line, `file:line: what was found; what to do`. The tests hold the project to
these rules, and hold the rules to a tree that breaks every one of them.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = "closura"
LONGEST_FILE = 500
LONGEST_FUNCTION = 80

# Lower layers first: a unit imports units of lower layers only, and itself.
LAYERS = (
    {"nets", "core", "metrics", "grids", "experiments"},
    {"solvers", "closures", "data", "models"},
    {"learners", "export", "evaluation"},
    {"registry", "report"},
    {"experiment"},
    {"testing"},
    {"cli"},
)
# The lowest layer has an order of its own: geometry and metrics may use contracts, and metrics and
# nets geometry (a network on a sphere has to know what lies beyond the poles).
BESIDE = {("grids", "core"), ("metrics", "core"), ("metrics", "grids"), ("nets", "grids")}
# Lower, and yet out of bounds.
OUT_OF_BOUNDS = {("learners", "models"): "models and learners never see each other"}

CORE_MAY_IMPORT = {"jax", "equinox", "jaxtyping", "numpy"} | set(sys.stdlib_module_names)
# Where a library may be imported: a unit, or one file.
HOMES = {
    "xarray": {"data", "metrics", "evaluation", "report"},
    "zarr": {"data"},
    "netCDF4": {"data"},
    "matplotlib": {"report"},
    "sklearn": {"learners/forest.py", "learners/novelty.py", "metrics/classifier.py"},
    "xgboost": {"learners/boosted.py"},
    "blackjax": {"solvers/markov.py"},
    "flowjax": {"solvers/neural.py"},
    "pyqg_jax": {"models/quasigeostrophic.py"},
    "dinosaur": {"models/spectral_core.py"},
    "onnx": {"export"},
    "onnxruntime": {"export"},
}
MAY_CONFIGURE_JAX = {"cli", "experiment", "testing"}
EMPTY_WORDS = {"util", "utils", "helper", "helpers", "manager", "managers", "misc", "base2"}
LEFT_OVER = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME)\b")
TEXT = {".py", ".md", ".yaml", ".yml", ".toml", ".f90", ".F90", ".css", ".html", ".ipynb"}


class Import(NamedTuple):
    """One imported module, absolute, and the line that asks for it."""

    module: str
    line: int


def sources(package: Path) -> list[Path]:
    """Every Python file of a package, in a fixed order."""
    return sorted(package.rglob("*.py"))


def unit_of(file: Path, package: Path) -> str:
    """The layer entry a file belongs to: its top folder, or its own stem."""
    return file.relative_to(package).parts[0].removesuffix(".py")


def imports(file: Path, package: Path) -> list[Import]:
    """All imports of a file, inside functions too; those for type checkers only do not count."""
    tree = ast.parse(file.read_text())
    here = (PACKAGE, *file.relative_to(package).parts[:-1])
    return sorted(set(_imports(tree, here)), key=lambda found: found.line)


def direction(package: Path) -> list[str]:
    """Imports that do not point down the layers."""
    rank = {unit: height for height, layer in enumerate(LAYERS) for unit in layer}
    findings = []
    for file in sources(package):
        unit = unit_of(file, package)
        if unit == "__init__":
            continue  # the face shows everything
        if unit not in rank:
            findings.append(f"{file}:1: '{unit}' has no layer; give it one in tests/house.py")
            continue
        for module, line in imports(file, package):
            path = module.split(".")
            if path[0] != PACKAGE or path[1:2] in ([unit], ["__version__"]):
                continue
            target = path[1] if len(path) > 1 else "the face"
            reason = _why_not(unit, target, rank)
            if reason:
                findings.append(f"{file}:{line}: {unit} imports {module}; {reason}")
    return findings


def libraries(package: Path) -> list[str]:
    """Third-party imports outside the one place that may have them."""
    findings = []
    for file in sources(package):
        unit, path = unit_of(file, package), file.relative_to(package).as_posix()
        for module, line in imports(file, package):
            library = module.split(".")[0]
            homes = HOMES.get(library)
            if homes is not None and not homes & {unit, path}:
                where = " or ".join(sorted(homes))
                findings.append(f"{file}:{line}: {library} belongs in {where}, not in {path}")
            if unit == "core" and library not in CORE_MAY_IMPORT | {PACKAGE}:
                findings.append(f"{file}:{line}: core knows JAX alone, not {library}")
    return findings


def lengths(package: Path) -> list[str]:
    """Files and functions that are too long to read at a sitting."""
    findings = []
    for file in sources(package):
        lines = count_lines(file)
        if lines > LONGEST_FILE:
            findings.append(f"{file}:1: {lines} lines; split what is over {LONGEST_FILE}")
        for name, line, length in functions(file):
            if length > LONGEST_FUNCTION:
                remedy = f"split what is over {LONGEST_FUNCTION}"
                findings.append(f"{file}:{line}: {name} has {length} lines; {remedy}")
    return findings


def names(package: Path) -> list[str]:
    """Files, folders, classes and functions named for nothing in particular."""
    findings = []
    for file in sources(package):
        tree = ast.parse(file.read_text())
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found = [(node.name, node.lineno) for node in ast.walk(tree) if isinstance(node, kinds)]
        found += [(part.removesuffix(".py"), 1) for part in file.relative_to(package).parts]
        for name, line in found:
            empty = sorted(EMPTY_WORDS & _words(name))
            if empty:
                findings.append(f"{file}:{line}: '{name}' says '{empty[0]}'; name what it holds")
    return sorted(set(findings))


def left_overs(*folders: Path) -> list[str]:
    """Notes to do it later, in any text file."""
    findings = []
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            if file.suffix not in TEXT or not file.is_file() or "_build" in file.parts:
                continue
            for number, line in enumerate(file.read_text().splitlines(), 1):
                if LEFT_OVER.search(line):
                    findings.append(
                        f"{file}:{number}: a note to do it later; do it, or open an issue"
                    )
    return findings


def jax_settings(package: Path) -> list[str]:
    """Changes of JAX's global configuration at import, or by anything but an entry point."""
    findings = []
    for file in sources(package):
        tree = ast.parse(file.read_text())
        lazy = _nodes_in_functions(tree)
        for node in _jax_settings(tree):
            if id(node) not in lazy:
                findings.append(f"{file}:{node.lineno}: sets a JAX flag at import; do it in a call")
            elif unit_of(file, package) not in MAY_CONFIGURE_JAX:
                entry_points = ", ".join(sorted(MAY_CONFIGURE_JAX))
                findings.append(
                    f"{file}:{node.lineno}: sets a JAX flag; only {entry_points} may do so"
                )
    return findings


def undocumented(registered: list[str], docs: Path) -> list[str]:
    """Registered names that no page mentions."""
    pages = "\n".join(page.read_text() for page in sorted(docs.rglob("*.md")))
    return [
        f"{name} is registered, but no page under {docs.name}/ names it"
        for name in registered
        if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", pages)
    ]


def count_lines(file: Path) -> int:
    """Number of lines of a file."""
    return len(file.read_text().splitlines())


def functions(file: Path) -> Iterator[tuple[str, int, int]]:
    """Name, first line and number of lines, decorators and docstring included, of each function."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
            yield node.name, node.lineno, (node.end_lineno or node.lineno) - first + 1


def comments(file: Path) -> Iterator[str]:
    """The comments of a file; text that only looks like one, inside a string, is left out."""
    for token in tokenize.generate_tokens(io.StringIO(file.read_text()).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def _why_not(unit: str, target: str, rank: dict[str, int]) -> str | None:
    if (unit, target) in OUT_OF_BOUNDS:
        return OUT_OF_BOUNDS[unit, target]
    if target == "the face":
        return "the package's face imports everything; name the module that holds it"
    if target not in rank:
        return f"'{target}' has no layer; give it one in tests/house.py"
    if rank[target] < rank[unit] or (unit, target) in BESIDE:
        return None
    return "imports point down only"


def _imports(node: ast.AST, here: tuple[str, ...]) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, node.lineno)
    elif isinstance(node, ast.ImportFrom):
        start = here[: len(here) - node.level + 1] if node.level else ()
        base = ".".join((*start, *([node.module] if node.module else [])))
        if base == PACKAGE:  # `from closura import data` imports closura.data
            for alias in node.names:
                yield Import(f"{base}.{alias.name}", node.lineno)
        else:
            yield Import(base, node.lineno)
    elif isinstance(node, ast.Call) and _name(node.func).endswith("import_module"):
        if node.args and isinstance(node.args[0], ast.Constant):
            yield Import(str(node.args[0].value), node.lineno)
    elif isinstance(node, ast.If) and _name(node.test).split(".")[-1] == "TYPE_CHECKING":
        for child in node.orelse:
            yield from _imports(child, here)
        return
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, here)


def _name(node: ast.AST) -> str:
    """The dotted name of `a.b.c`, empty for anything else."""
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _nodes_in_functions(tree: ast.AST) -> set[int]:
    """The identities of all nodes that run on a call, not on import."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    bodies = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return {id(node) for body in bodies for node in ast.walk(body)}


def _jax_settings(tree: ast.AST) -> Iterator[ast.Call | ast.Assign]:
    prefixes = ["jax.config."]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "jax":
            prefixes += [f"{a.asname or a.name}." for a in node.names if a.name == "config"]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            names = [_name(node.func)] if _name(node.func).endswith(".update") else []
        elif isinstance(node, ast.Assign):
            names = [_name(target) for target in node.targets]
        else:
            continue
        if any(name.startswith(tuple(prefixes)) for name in names):
            yield node


def _words(name: str) -> set[str]:
    """The words of a snake_case or CamelCase name, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+\d*", name)}
