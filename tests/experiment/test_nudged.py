"""An experiment that nudges, from YAML to report, on a ring that is run in seconds."""

import json
import shutil
from pathlib import Path

import pytest
import xarray as xr
import yaml

from closura.data.closures import load_closure
from closura.data.pairs import load_pairs
from closura.experiment import load_experiment, run_experiment

RING = Path(__file__).with_name("nudged.yaml")


@pytest.fixture(scope="session")
def ring(tmp_path_factory) -> Path:
    """The run folder of the ring, run in one go; read it, never write it."""
    folder = tmp_path_factory.mktemp("nudged") / "run"
    run_experiment(RING, folder=folder, quiet=True)
    return folder


@pytest.fixture(scope="session")
def scores(ring) -> xr.Dataset:
    with xr.open_dataset(ring / "scores.nc") as found:
        return found.load()


def changed(tmp_path, **sections) -> Path:
    """The experiment with some sections changed, as a file."""
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(RING.read_text()) | sections))
    return path


def test_the_expected_numbers_are_found(ring):
    checks = json.loads((ring / "checks.json").read_text())
    assert checks["checks"] if isinstance(checks, dict) else checks
    assert all(check["passed"] for check in (checks if isinstance(checks, list)
                                             else checks["checks"]))  # fmt: skip


def test_pairs_are_the_state_before_nudging_and_what_was_added(ring):
    pairs = load_pairs(ring / "pairs.zarr")
    assert set(pairs.inputs) == set(pairs.targets) == {"X"}
    assert pairs.passport.target == "nudging"
    # The model lacks 6 everywhere. It lags by about 0.1 of that, and what it makes of the lag (it
    # damps less, advects less) is not missing any more.
    assert 3.5 < float(pairs.targets["X"].mean()) < 6.0
    assert pairs.time[0] > 2.0  # discarded


def test_held_out_pairs_come_after_the_others_with_a_gap_between(ring):
    training, test = (load_pairs(ring / f"{name}.zarr") for name in ("pairs", "pairs_test"))
    assert test.time[0] - training.time[-1] == pytest.approx(6 * 0.04)


def test_a_learner_that_iterates_adds_what_is_still_lacking(ring):
    once, twice = load_closure(ring / "linear"), load_closure(ring / "twice")
    assert not hasattr(once, "terms")
    assert len(twice.terms) == 2


def test_errors_fall_with_each_round_and_are_held_against_the_floor(scores):
    error = scores["mean_error"].sel(variable="X")
    values = [float(error.sel(model=name)) for name in ("no closure", "linear", "twice")]
    assert values[0] > values[1] > values[2]
    assert float(error.sel(model="noise floor")) < values[0] / 2


def test_forecasts_start_from_the_truth(scores):
    rmse = scores["forecast_rmse"].sel(variable="X")
    assert (rmse.sel(model="linear") < rmse.sel(model="no closure")).all()
    assert rmse["lead"].values[-1] == pytest.approx(0.4)


def test_what_was_added_is_kept_by_model(scores):
    assert float(scores["added_mean"].sel(model="linear", added="X")) == pytest.approx(5, abs=1.5)


def test_the_guard_keeps_count_of_what_it_limits(scores):
    share = float(scores["guard_share"].sel(model="linear", guard="limited"))
    assert 0.0 <= share < 0.3
    assert scores["guard_share"].sel(model="no closure").isnull().all()


def test_the_report_gives_a_verdict_for_every_learner(ring):
    page = (ring / "report.html").read_text()
    for learner in ("linear", "twice"):
        assert f"<li>{learner} brings it to" in page  # a line each
    assert "A gain counts as an improvement only if" in page


def times_of(folder) -> dict[str, int]:
    """When each file of a run folder was last written."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*") if path.is_file()
    }  # fmt: skip


def test_another_level_scores_again_and_runs_nothing_again(ring, tmp_path):
    folder = Path(shutil.copytree(ring, tmp_path / "run"))
    before = times_of(folder)
    run_experiment(RING, overrides=("evaluate.level=0.8",), folder=folder, quiet=True)
    after = times_of(folder)
    kept = [name for name in before if name.startswith(("free/", "leads/", "nudged.zarr", "test"))]
    assert {"free/linear.nc", "free/no closure.nc", "leads/twice.nc"} <= set(kept)
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert after["scores.nc"] > before["scores.nc"]


def test_a_guard_around_one_learner_leaves_the_runs_of_the_others(ring, tmp_path):
    folder = Path(shutil.copytree(ring, tmp_path / "run"))
    before = times_of(folder)
    with xr.open_dataset(folder / "scores.nc") as scores:
        whole = float(scores["added_rms"].sel(model="linear").mean())
    limited = "{type: Limited, quantile: 0.999}"
    guards = f"guards={{linear: [{limited}, {{type: Damped, factor: 0.5}}], twice: [{limited}]}}"
    run_experiment(RING, overrides=(guards,), folder=folder, quiet=True)
    after = times_of(folder)
    kept = [name for name in before if name.startswith(("free/", "leads/", "closures/"))]
    again = {name for name in kept if after[name] != before[name]}
    assert again == {"free/linear.nc", "leads/linear.nc"}
    with xr.open_dataset(folder / "scores.nc") as scores:
        assert float(scores["added_rms"].sel(model="linear").mean()) < 0.7 * whole


ANCHORED = {"type": "Anchored"}


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"reference": {"file": "a.nc"}}, "'truth' and 'reference' exclude each other"),
        ({"truth": None}, "neither a truth .a model. nor a reference"),
        ({"iterate": {"linaer": 2}}, "iterate names 'linaer', which is no learner; did you mean"),
        ({"nudging": {"timescale": -1.0}}, "the timescale is -1; relaxation needs a positive"),
        ({"nudging": {"timescal": 1.0}}, "has no setting 'timescal'; did you mean 'timescale'"),
        ({"guards": ["Tapred"]}, "guards.0: there is no 'Tapred'"),
        ({"guards": {"twice": ["Tapred"]}}, "guards.twice.0: there is no 'Tapred'"),
        ({"guards": {"linaer": []}}, "guards names 'linaer', which is no learner; did you mean"),
        ({"guards": {"type": "Damped"}}, "guards: found .*; write a list, e.g. .{type: Damped}"),
        ({"guards": {"twice": "Damped"}}, "guards: twice is 'Damped'; write a list, e.g."),
        ({"guards": [ANCHORED | {"timescale": "5 days"}]}, "timescale is '5 days' and the time"),
        ({"guards": [ANCHORED | {"timescale": 0.001}]}, "timescale is 0.001 and it acts over"),
        ({"data": {"duration": "40 days", "every": 0.04}}, "data.duration is '40 days'"),
        ({"data": {"duration": 40.01, "every": 0.04}}, "data.duration is 40.01, which is no"),
        (
            {"evaluate": {"duration": 20.0, "every": 0.1, "block": 8.0}},
            "evaluate.duration - evaluate.discard is 20, which is no multiple of evaluate.block",
        ),
        (
            {"evaluate": {"duration": 24.0, "every": 0.1, "block": 8.0}},
            "evaluate scores 24 in blocks of 8; wanted are 4 blocks or more",
        ),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_one_clear_line(tmp_path, sections, words):
    with pytest.raises(ValueError, match=words):
        load_experiment(changed(tmp_path, **sections))
