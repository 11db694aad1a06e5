"""The text of an experiment: YAML to plain values, and one setting of it changed."""

import functools
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from closura.registry import nearest

LARGEST = 1_000_000  # [bytes] an experiment is a page or two; what is larger is another file
MOST_VALUES = 20_000  # aliases can make a small text endless
DEEPEST = 40

Document = dict[str, Any]


def bundled() -> dict[str, Path]:
    """Return the experiments that come with the package, by name."""
    folder = Path(str(files("closura").joinpath("experiments")))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def locate(name_or_path: str | Path) -> Path:
    """Return the YAML file that a bundled name or a path means.

    Raises:
        FileNotFoundError: There is neither.
    """
    path = Path(name_or_path)
    looks_like_path = isinstance(name_or_path, Path) or path.suffix in (".yaml", ".yml")
    if looks_like_path or len(path.parts) > 1:
        if path.is_file():
            return path
        state = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(
            f"{path} {state}; wanted the YAML file of an experiment. `closura list experiments` "
            "shows the bundled ones, `closura new NAME --from lorenz96` copies one."
        )
    known = bundled()
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    beside = path.with_suffix(".yaml")
    hint = f" {beside} is here: to run it, give its whole name." if beside.is_file() else ""
    raise FileNotFoundError(
        f"there is no bundled experiment {str(name_or_path)!r}{nearest(name_or_path, known)} "
        f"There are: {', '.join(known) or 'none'}; or give the path of a YAML file.{hint}"
    )


def read_document(path: Path) -> Document:
    """Return what a YAML file says, as plain values.

    Raises:
        ValueError: It is no YAML mapping of plain values.
    """
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"{path} has {size:,} bytes; an experiment has at most {LARGEST:,}.")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not text in UTF-8 (byte {error.start}); wanted the YAML of an experiment."
        ) from error
    document = parse(text, str(path))
    if not isinstance(document, dict):
        raise ValueError(
            f"{path} holds {_kind(document)}; an experiment is a mapping, with lines such as "
            "'name: my_study'."
        )
    return document


def parse(text: str, source: str) -> Any:
    """Return a YAML text as plain values: mappings with text keys, lists, numbers, texts.

    Raises:
        ValueError: It is not YAML, or says something that is not plain.
    """
    try:
        found = yaml.load(text, Loader=_loader())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        problem = error.problem or error.context or "cannot be parsed"
        raise ValueError(f"{source} is not YAML: {problem}{place}.") from error
    except Exception as error:  # whatever PyYAML stumbles over in a tagged scalar
        line = " ".join(str(error).split())[:200]
        raise ValueError(f"{source} is not YAML: {line or type(error).__name__}.") from error
    return _plain(found, source, [MOST_VALUES], 0)


def change(document: Document, setting: str, sections: tuple[str, ...]) -> None:
    """Carry out one ``--set a.b.c=value`` in place; the value is read as YAML.

    Args:
        document: The experiment; a list is entered by number.
        setting: The whole text, e.g. ``"learners.network.width=64"``.
        sections: What an experiment may have at the top.

    Raises:
        ValueError: There is no such place; the nearest is offered.
    """
    path, equals, text = setting.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ValueError(
            f"--set {setting!r} has no value or no place; write --set a.b.c=value, "
            "e.g. --set learners.network.width=64."
        )
    value = parse(text, f"the value in --set {setting!r}")
    if keys[0] not in document and keys[0] in sections and len(keys) > 1:
        document[keys[0]] = {}
    if keys[0] == "expect" and len(keys) > 1 and isinstance(value, dict):
        keys = ["expect", ".".join(keys[1:])]  # the name of an expectation holds dots
    if keys[0] not in document and keys[0] not in sections:
        raise ValueError(
            f"--set: an experiment has no {keys[0]!r}{nearest(keys[0], sections)} "
            f"It has: {', '.join(sections)}."
        )
    _assign(document, keys, value, done=[])


def copy_document(name: str, source: str | Path, folder: Path) -> Path:
    """Copy an experiment under another name, comments and all, and return the new file.

    Raises:
        FileExistsError: The file is there already.
        ValueError: The name cannot be that of an experiment.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise ValueError(
            f"{name!r} cannot be the name of an experiment: begin with a letter, and use letters, "
            "digits, _ and - only."
        )
    text = locate(source).read_text(encoding="utf-8")
    renamed, count = re.subn(r"(?m)^name:.*$", f"name: {name}", text, count=1)
    path = folder / f"{name}.yaml"
    if path.exists():
        raise FileExistsError(f"{path} is there already; choose another name or remove it.")
    path.write_text(renamed if count else f"name: {name}\n{text}", encoding="utf-8")
    return path


def _assign(place: Any, keys: list[str], value: Any, done: list[str]) -> None:
    """Set the value that keys lead to; a key of the document may itself hold dots."""
    key: Any
    if isinstance(place, list):
        key, rest = _index(place, keys[0], done), keys[1:]
    else:
        joined = (".".join(keys[:count]) for count in range(len(keys), 0, -1))
        key = next((name for name in joined if name in place), keys[0])
        rest = keys[str(key).count(".") + 1 :] if key in place else keys[1:]
    if not rest:
        place[key] = value
        return
    here = ".".join([*done, str(key)])
    if isinstance(place, Mapping) and key not in place:
        within = f"in {'.'.join(done)}" if done else "in the experiment"
        raise ValueError(f"--set: there is no {key!r} {within}{nearest(key, place)}")
    if isinstance(place[key], str):
        place[key] = {"type": place[key]}  # a bare name is a type with no settings yet
    if not isinstance(place[key], dict | list):
        raise ValueError(
            f"--set: {here} is {place[key]!r}, which holds no {rest[0]!r}; set it whole, "
            f"e.g. --set '{here}={{type: ..., {rest[0]}: ...}}'."
        )
    _assign(place[key], rest, value, [*done, str(key)])


def _index(place: list[Any], key: str, done: list[str]) -> int:
    if not key.isdigit() or int(key) >= len(place):
        raise ValueError(
            f"--set: {'.'.join(done)} is a list of {len(place)} entries and {key!r} is none of "
            f"them; give a number from 0 to {len(place) - 1}."
        )
    return int(key)


def _plain(value: Any, source: str, budget: list[int], depth: int) -> Any:
    """Return a copy without aliases; refuse what is endless or not plain."""
    budget[0] -= 1
    if budget[0] < 0 or depth > DEEPEST:
        raise ValueError(f"{source} is endless: more than {MOST_VALUES} values, or an alias loop.")
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(
                    f"{source} has the key {key!r} ({_kind(key)}); keys are texts: quote it."
                )
        return {key: _plain(item, source, budget, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, source, budget, depth + 1) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"{source} holds {_kind(value)}; an experiment holds texts, numbers, lists and mappings."
    )


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "a text", type(None): "nothing",
             int: "a number", float: "a number", bool: "true or false"}  # fmt: skip
    return names.get(type(value), f"a {type(value).__name__}")


@functools.cache
def _loader() -> type[yaml.SafeLoader]:
    """Return a safe loader that reads 1e-3 as a number, dates as text, and refuses double keys."""

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen and key.value != "<<":
                        raise yaml.constructor.ConstructorError(
                            problem=f"{key.value!r} stands twice in one mapping",
                            problem_mark=key.start_mark,
                        )
                    seen.add(key.value)
            return super().construct_mapping(node, deep)

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if not tag.endswith(":timestamp")]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    number = re.compile(r"^[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    return Loader
