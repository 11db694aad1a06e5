"""What a run shows belongs to its own settings: nothing of earlier ones is left to be mixed in."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import xarray as xr
import yaml

from closura.experiment import load_experiment, run_experiment
from closura.experiment.kinds.pairs import OFFLINE_SCORES, ONLINE_SCORES
from closura.experiment.plan import plan
from closura.experiment.steps import fingerprints
from closura.experiment.work import Work

SCORED = ("offline.nc", "scores.nc", "price.json", "report.html")
MINE = """
from closura.learners.linear import Polynomial

class Mine(Polynomial):
    pass
"""


@pytest.fixture
def copied(undisturbed, tmp_path) -> Path:
    """A copy of the undisturbed run, to be changed."""
    return Path(shutil.copytree(undisturbed, tmp_path / "run"))


def test_scores_of_another_closure_are_removed_when_it_is_fitted_again(copied, tiny):
    changes = ["learners.cubic.degree=1", "expect.network.forecast_mae_first_unit={above: 0}"]
    result = run_experiment(tiny, overrides=changes, until="learn", folder=copied, quiet=True)
    assert not any((copied / name).exists() for name in SCORED)
    assert not {"offline", "online", "price", "report"} & set(
        json.loads((copied / "stages.json").read_text())
    )
    assert result.table() == []
    assert result.report is None
    check = next(c for c in result.checks if c.name.startswith("network"))
    assert not check.passed
    assert "scores.nc is not there: the stage that writes it has not run" in check.problem


def test_scores_with_other_settings_are_removed_though_their_stage_does_not_run(copied, tiny):
    changes = ["evaluate.forecasts=5"]
    run_experiment(tiny, overrides=changes, until="truth", folder=copied, quiet=True)
    left = [name for name in SCORED if (copied / name).exists()]
    assert left == ["offline.nc", "price.json"]  # neither of them makes forecasts


def test_what_has_the_same_settings_is_left_where_a_run_stops_early(copied, tiny):
    run_experiment(tiny, until="truth", folder=copied, quiet=True)
    assert all((copied / name).exists() for name in SCORED)


def test_the_probability_of_intervals_is_part_of_the_offline_scores(tiny, tmp_path):
    first, second = (
        fingerprints(plan(Work(load_experiment(tiny, changes), tmp_path)))
        for changes in ([], ["evaluate.level=0.8"])
    )
    differ = {name for name in first if first[name] != second[name]}
    assert differ == {"offline", "online"}


def test_an_edited_class_of_the_user_is_fitted_again(tiny, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    document = yaml.safe_load(tiny.read_text())
    document["learners"]["mine"] = {"type": "closura_test_mine.Mine", "degree": 1}
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(document))
    found = []
    for source in (MINE, MINE, MINE + "    # another idea\n"):
        (tmp_path / "closura_test_mine.py").write_text(source)
        monkeypatch.delitem(sys.modules, "closura_test_mine", raising=False)
        found.append(fingerprints(plan(Work(load_experiment(study), tmp_path))))
    first, same, edited = found
    assert first == same
    differ = {name for name in first if first[name] != edited[name]}
    assert differ == {"learn/mine", "offline", "online", "price"}


def test_the_names_that_expectations_are_held_against_are_those_of_the_scores(undisturbed):
    for file, known in (("scores.nc", ONLINE_SCORES), ("offline.nc", OFFLINE_SCORES)):
        with xr.open_dataset(undisturbed / file) as scores:
            assert set(map(str, scores.data_vars)) <= set(known)
