"""The command line: `closura run`, `report`, `export`, `list` and `new`."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from closura import __version__

if TYPE_CHECKING:
    from closura.experiment.result import Result

FAILED, WRONG, INTERRUPTED = 1, 2, 130
EXPECTED = (ValueError, OSError, ImportError, ArithmeticError)  # their message says what to do
HELP = "Learn what a numerical Earth-system model misses, and prove it in the running model."

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help=HELP, pretty_exceptions_enable=False,
    rich_markup_mode=None,
)  # fmt: skip

Debug = Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")]


def main() -> NoReturn:
    """Run the command line; every error is one line on standard error."""
    debug = "--debug" in sys.argv
    sys.path.append(os.getcwd())  # dotted paths in an experiment may lead to the user's files
    try:
        app(standalone_mode=False)
    except KeyboardInterrupt:
        _leave("interrupted.", INTERRUPTED)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
    except Exception as error:
        if debug and not _is_usage(error):
            raise
        _leave(_explain(error), INTERRUPTED if isinstance(error, typer.Abort) else WRONG)
    sys.exit(0)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        typer.echo(f"closura {__version__}")
        raise typer.Exit


@app.command()
def run(
    experiment: Annotated[str, typer.Argument(help="A bundled name or the path of a YAML file.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting: --set a.b.c=value.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Last stage to run.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Run folder; runs/NAME if not given.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with `expect:`; exit 1 where it fails.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    debug: Debug = False,
) -> None:
    """Run an experiment; stages that are finished already are kept."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when the libraries are imported
    from closura.experiment.run import run_experiment

    command = " ".join(["closura", *sys.argv[1:]])
    try:
        result = run_experiment(
            experiment, overrides=settings or (), until=until, folder=folder, quiet=quiet,
            command=command,
        )  # fmt: skip
    except KeyboardInterrupt:
        _leave(f"interrupted; finished stages are kept. To go on: {command}", INTERRUPTED)
    if not quiet:
        _show(result)
    if check:
        _check(result, quiet=quiet)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The run folder.")], debug: Debug = False
) -> None:
    """Write the report of a run again, finished or not."""
    from closura.experiment.run import report_again

    typer.echo(f"report: {report_again(folder)}")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="The run folder.")],
    to: Annotated[
        str,
        typer.Option(help="What to ship to: fortran, onnx, mom6, stablehlo, source or guide_add."),
    ] = "fortran",
    learner: Annotated[str | None, typer.Option(help="Which learner; all if not given.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write; FOLDER/LEARNER/TO if not given.")
    ] = None,
    missing: Annotated[
        str, typer.Option(help="What a column with NaN gets: report, zero or pass.")
    ] = "report",
    debug: Debug = False,
) -> None:
    """Ship what a run has learned to another program, and prove that it is the same."""
    from closura.experiment.shipping import export_run
    from closura.export.ship import summarise

    done = export_run(folder, learner=learner, to=to, output=output, missing=missing)
    for place, figures in done.items():
        typer.echo(f"{place}: {summarise(figures)}")


@app.command("list")
def list_names(
    kind: Annotated[
        str | None, typer.Argument(help="experiments, models, learners, closures, features, ...")
    ] = None,
    debug: Debug = False,
) -> None:
    """List what an experiment can name."""
    from closura.registry import REGISTRY, describe, nearest

    kinds = ["experiments", *REGISTRY]
    if kind is not None and kind not in kinds:
        known = ", ".join(kinds)
        raise ValueError(f"there is no kind {kind!r}{nearest(kind, kinds)} There are: {known}.")
    for one in kinds if kind is None else [kind]:
        rows = _experiments() if one == "experiments" else describe(one)
        width = max(map(len, rows), default=0)
        typer.echo(f"{one}:")
        for name, about in rows.items():
            typer.echo(f"  {name:<{width}}  {about}")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the new experiment.")],
    source: Annotated[str, typer.Option("--from", help="What to copy: a bundled name or a path.")],
    debug: Debug = False,
) -> None:
    """Copy an experiment to NAME.yaml, to change it."""
    from closura.experiment.document import copy_document

    path = copy_document(name.removesuffix(".yaml"), source, Path.cwd())
    typer.echo(f"{path.name} is written; change it and run it: closura run {path.name}")


def _show(result: "Result") -> None:
    """Print the table, the warnings and where the report is."""
    from closura.experiment.result import aligned

    rows = result.table()
    typer.echo("\n" + "\n".join(aligned(rows)) if rows else f"run folder: {result.folder}")
    for line in result.all_warnings():
        typer.echo(f"! {line}")
    if result.report is not None:
        typer.echo(f"\nreport: {result.report}")


def _check(result: "Result", *, quiet: bool) -> None:
    """Print expected beside found, and leave with 1 where a number is not as expected."""
    from closura.experiment.result import aligned

    failed = sum(not check.passed for check in result.checks)
    if not quiet:
        typer.echo("\n" + "\n".join(aligned(result.check_table())))
    if failed:
        _leave(f"{failed} of {len(result.checks)} numbers are not as expected.", FAILED)


def _experiments() -> dict[str, str]:
    from closura.experiment.document import bundled, read_document

    return {
        name: str(read_document(path).get("description", "")).strip().partition("\n")[0]
        for name, path in bundled().items()
    }


def _explain(error: Exception) -> str:
    """Return one line for an error: its own words where it was meant for the user."""
    if _is_usage(error):
        return error.format_message()  # type: ignore[attr-defined]
    if isinstance(error, typer.Abort):
        return "interrupted."
    if isinstance(error, EXPECTED):
        return _line(error)
    return f"{type(error).__name__}: {_line(error)} (an error of closura: see it with --debug)"


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3]) or type(error).__name__


def _is_usage(error: BaseException) -> bool:
    """Return whether the command line itself was wrong, as Click found."""
    return hasattr(error, "format_message")


def _leave(line: str, code: int) -> NoReturn:
    print(f"closura: {line}", file=sys.stderr, flush=True)
    if code == INTERRUPTED:
        os._exit(code)  # threads of JAX may still compute, and taking them down can crash
    sys.exit(code)


if __name__ == "__main__":
    main()
