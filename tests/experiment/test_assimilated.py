"""An experiment with assimilation: twins, increments, closures put back, scores with a verdict."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from closura.experiment import load_experiment, run_experiment
from closura.experiment.kinds.assimilated_stages import solver_of_round
from closura.experiment.plan import plan
from closura.experiment.run import opened, report_again
from closura.experiment.steps import fingerprints
from closura.experiment.work import Work
from closura.report.kinds.assimilated import summary, tables_of
from closura.report.material import gather
from closura.report.run_folder import read_run_folder
from experiment.junk import junk, load_or_one_line

TINY = Path(__file__).with_name("assimilate.yaml")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The run folder and the result of the tiny experiment; read them, never write them."""
    folder = tmp_path_factory.mktemp("assimilated") / "run"
    return folder, run_experiment(TINY, folder=folder, quiet=True)


@pytest.fixture
def written(tmp_path):
    """Write the tiny experiment with some top-level keys replaced; None removes one."""

    def write(**changes) -> Path:
        document = yaml.safe_load(TINY.read_text()) | changes
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in document.items() if v is not None}))
        return path

    return write


def series(folder: Path, name: str) -> xr.Dataset:
    with xr.open_dataset(folder / "analyses" / f"{name}.nc") as found:
        return found.load()


def test_every_stage_runs_in_order_and_leaves_what_it_should(finished):
    folder, result = finished
    steps = json.loads((folder / "stages.json").read_text())
    stages = list(dict.fromkeys(step["stage"] for step in steps.values()))
    assert stages == ["truth", "assimilate", "learn", "again", "scores", "report"]
    wanted = {"climate.zarr", "test_0.zarr", "test_1.zarr", "training_0.zarr", "pairs.zarr",
              "pairs_1.zarr", "pairs_test.zarr", "cubic", "analyses", "scores.nc",
              "report.html"}  # fmt: skip
    assert wanted <= {path.name for path in folder.iterdir()}
    assert [check.passed for check in result.checks] == [True] * 3
    assert yaml.safe_load((folder / "experiment.yaml").read_text())["kind"] == "assimilated"


def test_a_run_with_a_closure_needs_no_other_learner(finished, tmp_path):
    folder = Path(shutil.copytree(finished[0], tmp_path / "run"))
    document = yaml.safe_load((folder / "experiment.yaml").read_text())
    document["learners"]["later"] = {"type": "Polynomial", "degree": 2}
    (folder / "experiment.yaml").write_text(yaml.safe_dump(document))
    path = folder / "analyses" / "cubic" / "etkf.nc"
    path.unlink()
    with opened(folder) as work:
        (again,) = (step for step in plan(work) if step.name == "again/cubic/etkf")
        again.work()
    xr.testing.assert_identical(series(folder, "cubic/etkf"), series(finished[0], "cubic/etkf"))


def test_a_score_is_the_mean_over_late_times_and_twins(finished):
    folder, result = finished
    found = series(folder, "cubic/etkf")
    assert found.sizes["seed"] == 2
    errors = found["analysis_rmse"].values[:, found["time"].values > 1.0]  # skip: 1
    assert errors.shape == (2, 60)  # 3 of 4 time units, every 0.05
    score = result.scores["analysis_rmse"].sel(solver="etkf", model="cubic")
    assert float(score) == pytest.approx(errors.mean())
    assert result.scores["analysis_rmse_lower"].sel(solver="etkf", model="cubic") < score


def test_the_climate_is_the_error_of_the_solver_that_knows_nothing_else(finished):
    _, result = finished
    mean = result.scores["analysis_rmse"].sel(solver="mean", model="no closure")
    assert float(mean) == pytest.approx(float(result.scores["climatology_rmse"]))
    assert float(result.scores["observation_error"]) == pytest.approx(0.4)


def test_the_truth_has_a_rank_at_every_late_point(finished):
    ranks = series(finished[0], "etkf")["rank_histogram"]
    assert ranks.sizes["rank"] == 8  # 7 members
    assert (ranks.sum("rank") == 60 * 5).all()
    assert "rank_histogram" not in series(finished[0], "mean")


def test_twins_see_other_truths(finished):
    first, second = series(finished[0], "mean")["climatology_rmse"].values
    assert not np.allclose(first, second)


def test_no_member_of_a_baseline_means_no_spread(finished):
    _, result = finished
    assert np.isnan(float(result.scores["analysis_spread"].sel(solver="mean", model="cubic")))


def test_the_table_names_every_solver_with_every_closure(finished):
    _, result = finished
    names = [row[0] for row in result.table()]
    assert names == ["", "etkf", "etkf + cubic", "mean", "mean + cubic", "observation error",
                     "climatology"]  # fmt: skip


def test_the_report_says_that_scores_are_alike_by_their_intervals(finished):
    # The tiny ETKF does as well with the cubic as without: their intervals overlap.
    page = (finished[0] / "report.html").read_text()
    assert "as far as can be told: their intervals overlap." in page
    assert "noise floor" not in page


def test_the_report_shows_the_closures_also_when_it_is_written_again(finished):
    folder, _ = finished
    report_again(folder)
    page = (folder / "report.html").read_text()
    assert "is not drawn" not in page
    for name in ("solvers", "analysis_series", "increments", "ranks", "innovations"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 5000


def prints(changes: list[str], folder: Path) -> dict[str, str]:
    return fingerprints(plan(Work(load_experiment(TINY, changes), folder)))


@pytest.mark.parametrize(
    ("setting", "again"),
    [
        ("solvers.mean=OptimalInterpolation", {"assimilate/mean", "again/cubic/mean", "scores"}),
        ("increments.rounds.1.inflation=1.5",
         {"learn/cubic", "learn/cubic/seed_1", "again/cubic/etkf", "again/cubic/mean", "scores"}),
        ("assimilate.level=0.5", {"scores"}),
    ],
)  # fmt: skip
def test_a_changed_setting_runs_again_only_what_depends_on_it(tmp_path, setting, again):
    before, after = prints([], tmp_path), prints([setting], tmp_path)
    assert {name for name in before if before[name] != after[name]} == again


def test_a_round_changes_the_settings_of_its_solver_alone():
    said = load_experiment(TINY).settings
    assert solver_of_round(said, 0).inflation == 3.0
    assert solver_of_round(said, 1).inflation == 2.0


def test_without_a_coarse_model_the_truth_forecasts_itself(written):
    path = written(truth="Lorenz63", coarse=None, learners=None, increments=None, expect=None,
                   observe={"variables": ["x"], "every": 0.1})  # fmt: skip
    experiment = load_experiment(path)
    assert type(experiment.model("coarse")).__name__ == "Lorenz63"
    steps = [step.name for step in plan(Work(experiment, path.parent))]
    assert steps == ["truth/climate", "truth/test_0", "truth/test_1", "assimilate/etkf",
                     "assimilate/mean", "scores"]  # fmt: skip


WRONG = {
    "learners alone": ({"increments": None}, "'learners' and no 'increments'. Learners learn from"),
    "increments alone": ({"learners": None}, "'increments' and no 'learners'. Learners learn"),
    "unknown solver": (
        {"increments": {"solver": "etfk", "duration": 6.0}},
        "increments.solver is 'etfk'; did you mean 'etkf'?",
    ),
    "unknown setting of a round": (
        {"increments": {"solver": "etkf", "duration": 6.0, "rounds": [{"inflaton": 2.0}]}},
        "increments.rounds.0: ETKF has no setting 'inflaton'; did you mean 'inflation'?",
    ),
    "unknown setting of a solver": (
        {"solvers": {"etkf": {"type": "ETKF", "member": 3}}},
        "solvers.etkf: ETKF has no setting 'member'; did you mean 'members'?",
    ),
    "unknown key of the network": (
        {"observe": {"variables": ["X"], "evry": 0.05}},
        "observe has no 'evry'; did you mean 'every'?",
    ),
    "unknown key of the increments": (
        {"increments": {"solver": "etkf", "durations": 6.0}},
        "increments has no 'durations'; did you mean 'duration'?",
    ),
    "variable that is not there": (
        {"observe": {"variables": ["Y"], "every": 0.05}},
        "observe.variables names 'Y'",
    ),
    "no error": (
        {"observe": {"variables": ["X"], "every": 0.05, "noise": 0.0}},
        "observe: noise is 0.0; the error of an observation must be positive",
    ),
    "interval that dt does not divide": (
        {"observe": {"variables": ["X"], "every": 0.12}},
        "observe.every is 0.12, which is no multiple of the time step of coarse, 0.05",
    ),
    "endless interval": (
        {"observe": {"variables": ["X"], "every": float("inf")}},
        "observe.every is inf; wanted is a length",
    ),
    "coarse that is empty": ({"coarse": {}}, "coarse: found {}; wanted a name or a mapping"),
    "everything skipped": (
        {"assimilate": {"duration": 4.0, "skip": 4.0}},
        "assimilate.skip is 4 of a duration of 4, which leaves too little",
    ),
    "one name for two": (
        {"learners": {"etkf": "Polynomial"}},
        "'etkf' is the name of a solver and of a learner",
    ),
    "no solvers": ({"solvers": {}}, "solvers is {}"),
    "score of a learner": (
        {"expect": {"cubic.analysis_rmse": {"below": 1}}},
        "scores are of etkf, mean: e.g. etkf.analysis_rmse.cubic.",
    ),
    "unknown score": (
        {"expect": {"etkf.analysis_rms": {"below": 1}}},
        "asks for 'analysis_rms', which is no score; did you mean 'analysis_rmse'?",
    ),
    "section of another kind": ({"data": {"duration": 3}}, "an experiment has no 'data'"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_mistake_is_one_line_that_says_what_to_do(written, wrong):
    changes, line = WRONG[wrong]
    with pytest.raises(ValueError) as caught:
        load_experiment(written(**changes))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    place=st.sampled_from(["coarse", "observe", "assimilate", "solvers", "increments"]), value=junk
)
def test_one_random_section_never_ends_in_a_traceback(written, place, value):
    load_or_one_line(written(**{place: value}))


def test_a_diverged_filter_has_no_number_to_expect_and_none_in_the_table(tmp_path):
    # Without inflation a truncated model loses the truth, and two members are too few anyway.
    changes = ["solvers={lost: {type: ETKF, members: 2}}", "learners=null", "increments=null",
               "expect={lost.analysis_rmse: {below: 100}}", "assimilate.duration=8"]  # fmt: skip
    result = run_experiment(
        TINY, overrides=changes, until="scores", folder=tmp_path / "run", quiet=True
    )
    assert int(result.scores["diverged"].sel(solver="lost").item()) == 1
    assert not result.checks[0].passed
    assert result.checks[0].problem == "lost: diverged"
    assert result.table()[1] == ["lost", *["diverged"] * 4]
    assert any(line.startswith("lost, twin 0: ETKF diverged") for line in result.all_warnings())
    material = gather(read_run_folder(result.folder))
    row = tables_of(material)[0].rows[0]
    assert {cell.text for cell in row.cells} == {"diverged"}
    assert row.flags[0].startswith("diverged in")
    said = summary(material)
    assert "lost diverged: its error is not given." in said
    assert said[-1] == "No solver kept track of the truth without a closure."
