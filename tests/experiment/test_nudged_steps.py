"""What a change of the settings of an experiment that nudges makes anew, and what it keeps."""

from pathlib import Path

import pytest

from closura.experiment import load_experiment
from closura.experiment.plan import plan
from closura.experiment.steps import fingerprints
from closura.experiment.work import Work

RING = Path(__file__).with_name("nudged.yaml")


def prints(*changes, experiment=RING) -> dict[str, str]:
    """Every step's fingerprint."""
    return fingerprints(plan(Work(load_experiment(experiment, changes), Path())))


def anew(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """The steps that run again."""
    return {name for name in after if before.get(name) != after[name]}


@pytest.mark.parametrize("change", ["data.begin=1999-07-01", "data.calendar=360_day"])
def test_another_date_makes_all_that_may_read_it_anew(change):
    before, after = prints(), prints(change)
    assert anew(before, after) == {name for name in before if not name.startswith("truth/")}


def test_another_level_scores_alone_anew():
    assert anew(prints(), prints("evaluate.level=0.8")) == {"offline", "online/scores"}


def test_another_number_of_forecasts_makes_no_free_run_anew():
    found = anew(prints(), prints("evaluate.forecasts=4"))
    models = ("no closure", "linear", "twice")
    assert found == {"online/scores", *(f"online/{model}/forecasts" for model in models)}


def test_without_forecasts_there_is_no_step_for_them():
    assert not [name for name in prints("evaluate.forecasts=0") if name.endswith("/forecasts")]


@pytest.mark.parametrize("which", ["file", "start"])
def test_another_content_of_a_reference_makes_the_run_without_a_closure_anew(tmp_path, which):
    files = {name: tmp_path / f"{name}.nc" for name in ("file", "start")}
    for path in files.values():
        path.write_text("one")
    said = [f"reference.{name}={path}" for name, path in files.items()]
    before = prints(*said, experiment="correct_to_climatology")
    files[which].write_text("another")
    after = prints(*said, experiment="correct_to_climatology")
    assert anew(before, after) >= {"nudged/run", "online/no closure", "online/scores"}
