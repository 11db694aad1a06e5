"""The page itself: sections filled from the material, rendered, written whole."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import yaml

from closura import __version__
from closura.data.store import write_atomically
from closura.report.drawing import Absence, Drawn, Picture, styled
from closura.report.expectations import checks_of
from closura.report.kinds import Sentence, page_of
from closura.report.material import Material, gather
from closura.report.run_folder import read_run_folder
from closura.report.words import protocol_of, warnings_of


def write_report(folder: str | Path) -> Path:
    """Write `report.html` into a run folder, from what the folder holds, and return its path.

    The page needs nothing but itself: figures and style are inside. What is missing in the
    folder is said in the page, in the place where it would stand. The figures are written as
    PNG files too, into `figures/`.

    Args:
        folder: The run folder, finished or not.

    Raises:
        FileNotFoundError: It is no run folder.
    """
    material = gather(read_run_folder(folder))
    drawn = draw_all(material)
    for figure in drawn:
        if isinstance(figure, Picture):
            path = material.run.path / "figures" / f"{figure.name}.png"
            path.parent.mkdir(exist_ok=True)
            _write_whole(path, figure.png)
    target = material.run.path / "report.html"
    _write_whole(target, render(material, drawn).encode())
    return target


def draw_all(material: Material) -> list[Drawn]:
    """Return every figure that suits the experiment, or why it is not there."""
    with styled():
        return [paint(material) for paint in page_of(material.run.kind).painters]


def render(material: Material, drawn: list[Drawn]) -> str:
    """Return the page as HTML."""
    package = files("closura.report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((package / "page.html.jinja").read_text("utf-8"))
    run = material.run
    page = page_of(run.kind)
    return template.render(
        style=(package / "page.css").read_text("utf-8"),
        name=run.name,
        description=str(run.experiment.get("description") or ""),
        summary=_paragraphs(page.summary(material)),
        warnings=warnings_of(material),
        tables=page.tables(material),
        page=page,
        table_missing=run.why("scores.nc", "offline.nc"),
        checks=checks_of(run.checks),
        checks_missing=_checks_missing(material),
        pictures=[figure for figure in drawn if isinstance(figure, Picture)],
        absent=[figure for figure in drawn if isinstance(figure, Absence)],
        protocol=_rows(protocol_of(run.scores) or protocol_of(run.offline)),
        settings=_rows({k: run.experiment[k] for k in page.settings if k in run.experiment}),
        provenance=_rows(_without(run.provenance, "warnings")),
        provenance_missing=run.why("provenance.json"),
        experiment=yaml.safe_dump(dict(run.experiment), sort_keys=False, allow_unicode=True),
        command=str(run.provenance.get("command") or "closura run experiment.yaml"),
        version=__version__,
    )


def _checks_missing(material: Material) -> str:
    if not material.run.experiment.get("expect"):
        return "The experiment expects no numbers (`expect:` is empty)."
    return material.run.why("checks.json")


def _rows(values: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Return nested plain values as (dotted name, text)."""
    found: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{above}{key}".replace("_", " ")
        if isinstance(value, Mapping) and value:
            found += _rows(value, f"{name} › ")
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            found += _rows({str(i + 1): item for i, item in enumerate(value)}, f"{name} › ")
        else:
            found.append((name, _text(value)))
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", "−")
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return str(value)


def _without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in names}


def _write_whole(path: Path, content: bytes) -> None:
    with write_atomically(path) as temporary:
        Path(temporary).write_bytes(content)


def _paragraphs(parts: Sequence[Sentence]) -> list[Sentence]:
    """Join sentences that follow one another; a list among them stays a list of lines."""
    found: list[Sentence] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += f" {part}"
        else:
            found.append(part)
    return found
