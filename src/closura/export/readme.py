"""The page that lies beside a shipped closure: what its columns are, and how to call it."""

from typing import Any

from closura.export.container import Container
from closura.export.layout import Layout
from closura.export.states import say_states

MEMORY_TEXT = """\
This closure remembers: keep `memory(@ROWS@, n_columns)` in your model, and in its restart files.

```fortran
call closura_draw(seed, 0, first_column, normal)            ! first_column: its number on the globe
call closura_start(correction, memory, normal, status)      ! before the first step
call closura_predict(correction, columns, tendencies, status, memory=memory)   ! at every stage
call closura_draw(seed, step, first_column, normal)
call closura_advance(correction, memory, normal, status)    ! once at the end of a time step
```

`closura_draw` gives the same numbers on any number of ranks. Numbers of your own from N(0, 1) do as
well.

"""
MISSING_TEXT = {
    "report": """\
A column that holds NaN or infinity gets NaN back, and `status` says how many there were; with
`closura_guard(correction, closura_zero, status)` it gets zero.""",
    "zero": """\
A column that holds NaN or infinity gets zero back, and `status` stays 0; with
`closura_guard(correction, closura_report, status)` it gets NaN, and `status` says how
many there were.""",
    "pass": """\
A column that holds NaN or infinity gets NaN back, and `status` stays 0; with
`closura_guard(correction, closura_report, status)` it says how many there were.""",
}
POINTS = """\
A column is one point of the ring, and `n_columns` may be any number of points. `X(0)` is the field
X at the point itself, `X(-1)` at the point before it (the one with the lower index), `X(+1)` at
the point after it; the ring closes on itself. Hand them over in this order, in these units,
unscaled."""
PLANE = """\
A column is one point of the plane (y, x), and `n_columns` may be any number of points. `u(0,0)` is
the field u at the point itself, `u(-1,+1)` at the point with the y before it and the x after it (y
before is the one with the lower index); the plane closes on itself in both directions. Hand them
over in this order, in these units, unscaled."""
COLUMNS = """\
A column is one column of the atmosphere, and `n_columns` the number of them. `u(3)` is level
3 of the field u, counted from 1 at the top; a name without a number is one value of the column, and
`sin` and `cos` are those of an angle. Hand them over in this order, in these units, unscaled."""
GRID = """

Columns see others here, so they come as whole spheres of @COUNT@ columns: @PLACE@,
in the order of the training data. `n_columns` is a multiple of that. What is not finite spoils
every column that sees it."""
THREADS = """ What it works in
stays, one copy a thread: compile `closura.F90` with OpenMP if threads call it."""
ALONE = " A column depends on no other column of the call."
INSTANTS = """\
A column is everything at one place and instant. `T(3)` is value 3 of the field T, counted from 1 in
the order of the training data; a name without a number is a field of one value. Hand them over in
this order, in these units, unscaled."""


def fill_readme(
    template: str, name: str, container: Container, layout: Layout, figures: dict[str, Any]
) -> str:
    """Return the page for one closure."""
    inputs = [
        f"| {number} | `{column.name}` | {column.units} | {_bound(container.lower, number)} "
        f"| {_bound(container.upper, number)} |"
        for number, column in enumerate(container.inputs, 1)
    ]
    outputs = [
        f"| {number} | `{column.name}` | {column.units} |"
        for number, column in enumerate(container.outputs, 1)
    ]
    values = {
        "NAME": name,
        "CLOSURE": str(container.about.get("closure", "")),
        "CASES": say_states(figures["states"]),
        "VERIFIED": _verified(figures),
        "MISSING": MISSING_TEXT[container.missing],
        "INPUTS": str(len(inputs)),
        "OUTPUTS": str(len(outputs)),
        "MEMORY_ARGUMENT": ", memory=memory" if container.memory else "",
        "MEMORY": MEMORY_TEXT.replace("@ROWS@", str(container.memory)) if container.memory else "",
        "GATHERING": _gathering(layout, container),
        "ALONE": THREADS if _sphere(container) else ALONE,
        "INPUT_ROWS": "\n".join(inputs) or "| | no inputs | | | |",
        "OUTPUT_ROWS": "\n".join(outputs),
    }
    return fill(template, values)


def fill(template: str, values: dict[str, str]) -> str:
    """Return a text with each `@NAME@` replaced by its value."""
    for name, value in values.items():
        template = template.replace(f"@{name}@", value)
    return template


def _sphere(container: Container) -> str:
    """Return what is to be known of the grid, where columns see others."""
    places = [getattr(one, "place", None) for one in container.operations]
    place = next((one for one in places if one is not None), None)
    if place is None:
        return ""
    rows, lines = (1, *place)[-2:]
    on_grid = f"{rows} latitudes of {lines} longitudes, longitudes fastest"
    where = on_grid if rows > 1 else "those of the grid"
    return fill(GRID, {"COUNT": str(rows * lines), "PLACE": where})


def _gathering(layout: Layout, container: Container) -> str:
    if layout.columns:
        return COLUMNS + _sphere(container)
    if layout.whole:
        return INSTANTS
    return PLANE if len(layout.fields[0][1]) == 2 else POINTS


def _verified(figures: dict[str, Any]) -> str:
    if figures.get("compiler", "") is None:
        return (
            "No Fortran compiler was there when this was exported: the file was checked in Python "
            "alone, and `make test` is still to be run."
        )
    lines = (
        f"{found['largest']:.1e} in {precision} precision (allowed {found['allowed']:.0e})"
        for precision, found in figures["native"].items()
    )
    precise = (
        " It would lose more digits than that in single precision, so columns in single precision "
        "are computed in double precision too."
    )
    who = figures.get("runtime", "the compiled runtime")
    return (
        f"When it was exported, {who} differed from the trained closure by at most "
        f"{' and '.join(lines)}, relative to the largest value of the same output."
        f"{precise if figures['precise'] else ''}"
    )


def _bound(bounds: Any, number: int) -> str:
    return "?" if bounds is None else f"{bounds[number - 1]:.6g}"
