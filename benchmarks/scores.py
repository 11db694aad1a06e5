"""Published scores of assimilation, found again: `python -m benchmarks.scores [NAMES]`.

Runs every bundled experiment of the kind "assimilated" whose expectations name a source, or those
that are named, and prints one Markdown table: what was found beside what is published (a number
without a source only where it is not met). Exit code 1 where one is not met. With `--folder` what
is finished is kept, and a second call reads it.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from benchmarks import measure
from closura.experiment import load_experiment, run_experiment
from closura.experiment.checks import Check, Results
from closura.experiment.document import bundled
from closura.experiment.kinds.assimilated_settings import AssimilatedExperiment
from closura.experiment.loading import Experiment

KIND, SCORE = "assimilated", "analysis_rmse"
HEAD = ("setting", "solver", "found", "wanted", "", "source")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiments and print their table; return 1 where a number is not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scores", description=__doc__)
    parser.add_argument("names", nargs="*", help="experiments, or paths of YAML files; else all")
    parser.add_argument("--folder", type=Path, help="keep the runs here, and go on from them")
    chosen = parser.parse_args(arguments)
    try:
        experiments = _chosen(chosen.names)
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        checks = [run(name, experiment, folder) for name, experiment in experiments.items()]
    unit = "analysis RMSE (another score where the row names it), half of its 90 % interval after ±"
    measure.print_table(f"Scores: {unit}", HEAD, (row for rows, _ in checks for row in rows))
    missed, total = sum(failed for _, failed in checks), sum(len(rows) for rows, _ in checks)
    print(f"\n{total - missed} of {total} met. Measured on {measure.machine()}.")
    return int(missed > 0)


def run(name: str, experiment: Experiment, folder: Path) -> tuple[list[list[str]], int]:
    """Run one experiment; return its rows of the table, and how many are not met."""
    place = folder / experiment.name
    print(f"{experiment.name}:", file=sys.stderr, flush=True)
    result = run_experiment(name, until="scores", folder=place)
    results = Results(place, experiment.kind.vocabulary(experiment.settings))
    shown = [check for check in result.checks if check.source or not check.passed]
    rows = [
        [experiment.name, solver_of(experiment, check.name), found(check, results), check.expected,
         "met" if check.passed else "**missed**", check.source.replace("|", "\\|") or "–"]
        for check in shown
    ]  # fmt: skip
    return rows, sum(not check.passed for check in shown)


def solver_of(experiment: Experiment, path: str) -> str:
    """Return the solver that a dotted path begins with, as it is written in Python."""
    name, _, rest = path.partition(".")
    spec = cast(AssimilatedExperiment, experiment.settings).solvers.get(name)
    if spec is None or " " in path:  # a ratio of two scores, or the number of a closure
        return f"`{path}`"
    spec = {"type": spec} if isinstance(spec, str) else spec
    settings = ", ".join(f"{key}={value!r}" for key, value in spec.items() if key != "type")
    score, _, closure = rest.partition(".")
    learned = f" + {closure}" if closure else ""
    return f"`{spec['type']}({settings})`{learned}" + (f", {score}" if score != SCORE else "")


def found(check: Check, results: Results) -> str:
    """Return what was found, with half of its confidence interval where it has one."""
    if not isinstance(check.found, int | float):
        return check.problem or str(check.found)
    name, _, rest = check.name.partition(".")
    score, _, closure = rest.partition(".")
    ends = [".".join(filter(None, (name, score + end, closure))) for end in ("_lower", "_upper")]
    try:
        lower, upper = (results.look_up(end) for end in ends)
    except ValueError:  # a ratio, or the number of a closure
        return f"{check.found:.3f}"
    return f"{check.found:.3f} ± {(upper - lower) / 2:.3f}"


def _chosen(names: Sequence[str]) -> dict[str, Experiment]:
    """Return the experiments to run, by the name or path that they were asked for."""
    experiments = {name: load_experiment(name) for name in names or bundled()}
    for name, experiment in experiments.items():
        if names and experiment.kind.name != KIND:
            raise ValueError(
                f"{name} is of the kind {experiment.kind.name!r}; name experiments of the kind "
                f"{KIND!r}, e.g. sakov2008."
            )
    return experiments if names else dict(_published(experiments))


def _published(experiments: dict[str, Experiment]) -> Iterator[tuple[str, Experiment]]:
    """Yield the experiments with assimilation whose expectations name a source."""
    for name, experiment in experiments.items():
        sources = [expected.source for expected in experiment.settings.expect.values()]
        if experiment.kind.name == KIND and any(sources):
            yield name, experiment


if __name__ == "__main__":
    sys.exit(main())
