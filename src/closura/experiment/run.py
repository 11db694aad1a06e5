"""Run an experiment: every step that is not finished yet, in order, into its run folder."""

import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jax

from closura.core.couple import ClosuraWarning
from closura.core.progress import Listener, listen
from closura.data.store import write_json
from closura.experiment.checks import Check, check_all
from closura.experiment.display import Display
from closura.experiment.folder import Folder
from closura.experiment.loading import Experiment, load_experiment
from closura.experiment.logbook import Logbook
from closura.experiment.plan import plan
from closura.experiment.provenance import provenance
from closura.experiment.result import Result
from closura.experiment.side_by_side import cores, do_side_by_side
from closura.experiment.steps import Step, fingerprints
from closura.experiment.work import Work
from closura.report import write_report
from closura.report.run_folder import read_run_folder

RUNS = Path("runs")  # where run folders are made unless the user says otherwise


def run_experiment(
    name_or_path: str | Path,
    *,
    overrides: Iterable[str] = (),
    until: str | None = None,
    folder: str | Path | None = None,
    check: bool = False,
    quiet: bool = False,
    command: str | None = None,
) -> Result:
    """Run an experiment as far as it is not done yet, and return what came out.

    JAX's precision and compilation cache are set for the time of the run, and set back after.

    Args:
        name_or_path: Name of a bundled experiment, or the path of a YAML file.
        overrides: Changes such as ``"learners.network.width=64"``.
        until: Last stage to run; all if None.
        folder: Run folder; ``runs/<name>`` if None.
        check: Raise where an expected number is not reproduced.
        quiet: Show nothing on the way.
        command: What to type to repeat the run, for its provenance.

    Raises:
        ValueError: Something in the experiment or in the folder cannot be; one line says what.
        AssertionError: `check` is true and an expectation failed.
    """
    overrides = tuple(overrides)
    with ExitStack() as stack:
        stack.enter_context(jax_settings(cache_settings()))
        experiment = load_experiment(name_or_path, overrides)
        double = experiment.settings.precision == "double"
        stack.enter_context(jax_settings({"jax_enable_x64": double}))
        display = stack.enter_context(Display(quiet=quiet))
        place = RUNS / experiment.name if folder is None else Path(folder)
        repeat = command or _command(name_or_path, overrides, folder)
        result = _run(experiment, place, until, display, repeat)
    if check and any(not found.passed for found in result.checks):
        failed = [found for found in result.checks if not found.passed]
        raise AssertionError(f"{len(failed)} of {len(result.checks)} numbers are not as expected.")
    return result


def report_again(folder: str | Path) -> Path:
    """Write the report of a run again, in the precision of the run, and return its path.

    Raises:
        FileNotFoundError: It is no run folder.
    """
    path = Path(folder)
    double = read_run_folder(path).experiment.get("precision", "double") == "double"
    with jax_settings({"jax_enable_x64": double}):
        return write_report(path)


def carry_out(step: Step, listener: Listener) -> tuple[float, list[str]]:
    """Run one step; return how many seconds it took and what it warned about."""
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught, listen(listener):
        warnings.simplefilter("always")
        step.work()
    seconds = time.perf_counter() - began
    notes = [str(one.message) for one in caught if issubclass(one.category, ClosuraWarning)]
    return seconds, list(dict.fromkeys(notes))


@contextmanager
def opened(folder: Path) -> Iterator[Work]:
    """Give a process that shares in a run the work of its folder, with JAX set as the run wants."""
    experiment = load_experiment(folder / "experiment.yaml")
    double = experiment.settings.precision == "double"
    with jax_settings(cache_settings() | {"jax_enable_x64": double}):
        yield Work(experiment, folder)


@contextmanager
def jax_settings(wanted: dict[str, Any]) -> Iterator[None]:
    """Set options of JAX inside the block, and set them back after it."""
    before = {name: getattr(jax.config, name) for name in wanted}
    for name, value in wanted.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def cache_settings() -> dict[str, Any]:
    """Return what turns the persistent compilation cache on, nothing where it is on already."""
    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return {}
    return {
        "jax_compilation_cache_dir": str(cache_folder() / "jax"),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }


def cache_folder() -> Path:
    """Return the folder for what may be thrown away: `CLOSURA_CACHE`, or the user's cache."""
    import pooch

    return Path(os.environ.get("CLOSURA_CACHE") or pooch.os_cache("closura"))


def _run(
    experiment: Experiment, place: Path, until: str | None, display: Display, command: str
) -> Result:
    work = Work(experiment, place)
    steps, every = plan(work, until=until), plan(work)
    folder = Folder(place, experiment.resolved())
    every.append(_report_step(experiment, every, folder))
    prints = fingerprints(every)
    logbook = Logbook(prints, folder, display)
    with folder.locked():
        folder.forget_stale(every, prints)
        folder.claim()
        _do_all(logbook.left(steps), logbook, experiment)
        checks = _summarise(experiment, prints, folder, command)
        finished = until in (None, "report")
        if finished:
            for step in logbook.left(every[-1:]):
                _do(step, logbook)
        return Result(place, tuple(checks), tuple(folder.warnings(prints)), finished)


def _do_all(steps: list[Step], logbook: Logbook, experiment: Experiment) -> None:
    """Do the steps, here one after the other or side by side in processes of their own."""
    workers = min(_workers(experiment), len(steps))
    if workers > 1:
        do_side_by_side(steps, logbook, logbook.folder.path, workers)
    else:
        for step in steps:
            _do(step, logbook)


def _workers(experiment: Experiment) -> int:
    """Return how many processes may do steps: what is asked for, or what the cores can bear."""
    settings = experiment.settings
    if settings.workers is not None:
        return settings.workers
    if not experiment.kind.side_by_side or jax.default_backend() != "cpu":
        return 1  # an accelerator's memory belongs to one process
    if "'__main__." in repr(experiment.resolved()):
        return 1  # a class of this script or notebook, which no other process can import
    return max(1, cores() // getattr(settings, "processes", 1))


def _summarise(
    experiment: Experiment, prints: Mapping[str, str], folder: Folder, command: str
) -> list[Check]:
    """Write what was expected beside what was found, and how it came about."""
    place, seconds = folder.path, folder.seconds(prints)
    settings = experiment.settings
    checks = check_all(place, settings.expect, experiment.kind.vocabulary(settings))
    write_json(place / "checks.json", [found._asdict() for found in checks])
    said = provenance(
        experiment.resolved(), command=command, seconds=seconds,
        fingerprints={name: prints[name] for name in seconds}, warnings=folder.warnings(prints),
    )  # fmt: skip
    write_json(place / "provenance.json", said)
    return checks


def _do(step: Step, logbook: Logbook) -> None:
    """Run one step here and note that it is finished, with what it warned about."""
    logbook.begin(step)
    seconds, notes = carry_out(step, partial(logbook.tell, step))
    logbook.finish(step, seconds, notes)


def _report_step(experiment: Experiment, steps: list[Step], folder: Folder) -> Step:
    """Return the step that writes the report of all other steps."""
    said = experiment.resolved()
    part = {"expect": said["expect"], "report": said["report"], "description": said["description"]}

    def write() -> None:
        write_report(folder.path)

    return Step("report", "report", part, tuple(s.name for s in steps), ("report.html",), write,
                sealed=False)  # fmt: skip


def _command(
    name_or_path: str | Path, overrides: tuple[str, ...], folder: str | Path | None
) -> str:
    settings = "".join(f" --set '{setting}'" for setting in overrides)
    return f"closura run {name_or_path}{settings}" + (f" --folder {folder}" if folder else "")
