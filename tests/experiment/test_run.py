"""A run is finished stage by stage, goes on where it stopped, and never takes half for whole."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr
import yaml

from closura.experiment import load_experiment, run_experiment
from closura.experiment.checks import holds, spell
from closura.experiment.specification import Expectation

# The file whose last rename ends each stage, in the order in which a run makes them.
LANDMARKS = ("truth.zarr", "reference.zarr", "pairs.zarr", "closure.json", "offline.nc",
             "scores.nc", "price.json", "report.html")  # fmt: skip
CLOSURES = ("network/closure.eqx", "cubic/closure.eqx")
KILLED = """
import os, signal, sys
import closura.experiment.run
from closura.experiment import run_experiment
rename, replace = os.rename, os.replace
def watched(call):
    def landing(source, target, *rest, **more):
        if str(target).endswith(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return call(source, target, *rest, **more)
    return landing
os.rename, os.replace = watched(rename), watched(replace)
run_experiment(sys.argv[1], folder=sys.argv[2], quiet=True)
"""


def assert_same_results(first: Path, second: Path) -> None:
    for name in ("scores.nc", "offline.nc"):
        with xr.open_dataset(first / name) as one, xr.open_dataset(second / name) as other:
            xr.testing.assert_identical(one, other)
    for name in CLOSURES:
        assert (first / name).read_bytes() == (second / name).read_bytes()


def leftovers(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob(".*") if path.name != ".lock"]


@pytest.fixture
def copied(undisturbed, tmp_path) -> Path:
    """A copy of the undisturbed run, to be changed."""
    return Path(shutil.copytree(undisturbed, tmp_path / "run"))


@pytest.fixture
def ran(monkeypatch):
    """The names of the steps that really run."""
    from closura.experiment import run

    found, do = [], run._do

    def watch(step, *rest):
        found.append(step.name)
        return do(step, *rest)

    monkeypatch.setattr(run, "_do", watch)
    return found


def test_a_run_folder_holds_what_the_design_says(undisturbed):
    wanted = {
        "experiment.yaml", "truth.zarr", "test.zarr", "reference.zarr", "pairs.zarr",
        "pairs_test.zarr", "network", "cubic", "offline.nc", "scores.nc", "price.json",
        "checks.json", "metrics.jsonl", "provenance.json", "stages.json", "report.html",
    }  # fmt: skip
    assert wanted <= {path.name for path in undisturbed.iterdir()}
    assert not leftovers(undisturbed)
    assert {p.name for p in (undisturbed / "network").iterdir()} == {
        "closure.eqx", "closure.json", "history.json",
    }  # fmt: skip
    history = json.loads((undisturbed / "network" / "history.json").read_text())
    assert [record["epoch"] for record in history] == [1, 2]


def test_the_truth_for_training_keeps_only_what_the_coarse_model_knows(undisturbed):
    with xr.open_zarr(undisturbed / "truth.zarr", consolidated=False) as truth:
        assert set(truth.data_vars) == {"X"}
    with xr.open_zarr(undisturbed / "test.zarr", consolidated=False) as test:
        assert set(test.data_vars) == {"X", "Y"}


def test_provenance_says_how_the_run_came_about(undisturbed, tiny):
    said = json.loads((undisturbed / "provenance.json").read_text())
    assert said["command"] == f"closura run {tiny} --folder {undisturbed}"
    assert said["seed"] == 0
    assert {"python", "closura", "jax", "numpy"} <= set(said["versions"])
    assert {"truth/training", "learn/network", "online"} <= set(said["seconds"])
    assert {"device", "platform", "commit", "inputs"} <= set(said)


def test_events_are_kept_one_line_each(undisturbed):
    lines = [json.loads(line) for line in (undisturbed / "metrics.jsonl").read_text().splitlines()]
    assert {"begin", "finish", "simulate", "train", "evaluate"} <= {line["event"] for line in lines}


def test_a_finished_run_does_nothing_again(copied, tiny, ran):
    result = run_experiment(tiny, folder=copied, quiet=True)
    assert ran == []
    assert "noise floor" in repr(result)
    assert result.scores is not None
    assert result.report == copied / "report.html"


def test_a_changed_setting_runs_again_what_depends_on_it(copied, tiny, ran):
    changes = ["learners.cubic.degree=2"]
    run_experiment(tiny, overrides=changes, until="offline", folder=copied, quiet=True)
    assert ran == ["learn/cubic", "offline"]


def test_what_is_missing_is_made_again_with_the_same_result(copied, undisturbed, tiny, ran):
    shutil.rmtree(copied / "network")
    run_experiment(tiny, until="learn", folder=copied, quiet=True)
    assert ran == ["learn/network"]
    assert_same_results(undisturbed, copied)


def test_a_run_stops_after_the_stage_asked_for(tmp_path, tiny):
    result = run_experiment(tiny, until="pairs", folder=tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "pairs_test.zarr").exists()
    assert not (tmp_path / "run" / "network").exists()
    assert "nothing is scored yet" in repr(result)


def test_an_unknown_stage_offers_the_nearest(tmp_path, tiny):
    with pytest.raises(ValueError, match="there is no stage 'lern'; did you mean 'learn'"):
        run_experiment(tiny, until="lern", folder=tmp_path / "run", quiet=True)


def test_results_do_not_depend_on_other_learners_or_where_a_run_was_stopped(tmp_path, undisturbed):
    document = yaml.safe_load((undisturbed / "experiment.yaml").read_text())
    document["learners"] = {"cubic": document["learners"]["cubic"]}
    path = tmp_path / "alone.yaml"
    path.write_text(yaml.safe_dump(document))
    run_experiment(path, until="learn", folder=tmp_path / "run", quiet=True)
    alone, together = (folder / "cubic/closure.eqx" for folder in (tmp_path / "run", undisturbed))
    assert alone.read_bytes() == together.read_bytes()


def test_a_run_interrupted_in_every_stage_ends_with_the_same_scores(
    tmp_path, tiny, undisturbed, monkeypatch
):
    folder = tmp_path / "run"
    online = LANDMARKS.index("scores.nc")
    for landmark in LANDMARKS[: online + 1]:
        interrupt(monkeypatch, landmark, tiny, folder)
    run_experiment(tiny, until="online", folder=folder, quiet=True)
    assert_same_results(undisturbed, folder)
    assert not leftovers(folder)


@pytest.mark.parametrize(
    "landmark", ["price.json", pytest.param("report.html", marks=pytest.mark.slow)]
)
def test_the_last_stages_are_made_again_after_an_interruption(copied, tiny, monkeypatch, landmark):
    (copied / landmark).unlink()
    interrupt(monkeypatch, landmark, tiny, copied)
    assert not (copied / landmark).exists()
    run_experiment(tiny, folder=copied, quiet=True)
    assert (copied / landmark).exists()


def interrupt(monkeypatch, landmark: str, tiny: Path, folder: Path) -> None:
    """Run until a file of this name is about to be put in its place, and interrupt there."""
    with monkeypatch.context() as patch:
        for name in ("rename", "replace"):
            patch.setattr(os, name, _interrupting(getattr(os, name), landmark))
        with pytest.raises(KeyboardInterrupt):
            run_experiment(tiny, folder=folder, quiet=True)


def _interrupting(call, landmark):
    def landing(source, target, *rest, **more):
        if str(target).endswith(landmark):
            raise KeyboardInterrupt
        return call(source, target, *rest, **more)

    return landing


def test_a_run_killed_while_it_learns_goes_on_to_the_same_closures(tmp_path, tiny, undisturbed):
    folder = tmp_path / "run"
    kill("closure.json", tiny, folder)
    run_experiment(tiny, until="learn", folder=folder, quiet=True)
    for name in CLOSURES:
        assert (undisturbed / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.slow
def test_a_run_killed_in_every_stage_ends_with_the_same_scores(tmp_path, tiny, undisturbed):
    folder = tmp_path / "run"
    for landmark in LANDMARKS:
        kill(landmark, tiny, folder)
    run_experiment(tiny, folder=folder, quiet=True)
    assert_same_results(undisturbed, folder)


def kill(landmark: str, tiny: Path, folder: Path) -> None:
    """Run in a process that dies when a file of this name is about to be put in its place."""
    source = str(Path(__file__).parents[2] / "src")
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tiny), str(folder), landmark],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, f"{landmark}: {done.stderr[-500:]}"


def test_a_folder_of_another_experiment_is_refused(copied, tiny):
    with pytest.raises(ValueError, match="holds the run of another experiment: its truth is"):
        run_experiment(tiny, overrides=["truth.F=10"], folder=copied, quiet=True)
    with pytest.raises(ValueError, match=r"its name is tiny, and this one's is other"):
        run_experiment(tiny, overrides=["name=other"], folder=copied, quiet=True)
    assert (copied / "scores.nc").exists()


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path, tiny):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match=r"is not empty and holds no experiment.yaml"):
        run_experiment(tiny, folder=tmp_path, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("damage", ["truth.zarr", "cubic/closure.eqx", "scores.nc"])
def test_a_damaged_output_is_refused_and_left_alone(copied, tiny, damage):
    path = copied / damage
    if path.is_dir():
        path = next(file for file in path.rglob("*") if "c" in file.parts and file.is_file())
    path.write_bytes(path.read_bytes()[:-3])
    size = path.stat().st_size
    with pytest.raises(ValueError, match=r"is not what step .* wrote: it holds .* bytes"):
        run_experiment(tiny, folder=copied, quiet=True)
    assert path.stat().st_size == size


def test_a_damaged_record_is_refused(copied, tiny):
    (copied / "stages.json").write_text('{"truth')
    with pytest.raises(ValueError, match=r"stages.json cannot be read .* Delete it"):
        run_experiment(tiny, folder=copied, quiet=True)


def test_expected_numbers_are_written_beside_those_found(copied, tiny):
    overrides = [
        "expect.cubic.coefficients.1.below=-1000",
        "expect.network.forecast_mae_first_unit={above: 0}",
        "expect.network.offline.overall_r_squared={above: -100}",
        "expect.no closure.forecast_mae_first_unit / cubic.forecast_mae_first_unit={above: 0}",
        "expect.network.forecast_rmse.0.3={above: 0}",
        "expect.price.network.ratio_to_coarse={above: 0}",
        "expect.cubic.lost_chaos={is: false}",
        "expect.cubic.degre={above: 0}",
    ]
    result = run_experiment(tiny, overrides=overrides, until="price", folder=copied, quiet=True)
    by_name = {check.name: check for check in result.checks}
    passed = {name: check.passed for name, check in by_name.items()}
    assert passed.pop("cubic.coefficients.1") is False
    assert passed.pop("cubic.degre") is False
    assert all(passed.values()), by_name
    assert "cubic has no 'degre'" in by_name["cubic.degre"].problem
    stored = json.loads((copied / "checks.json").read_text())
    assert stored[0] == {
        "name": "cubic.coefficients.1", "expected": "< -1000", "passed": False, "source": "",
        "found": by_name["cubic.coefficients.1"].found, "problem": "",
    }  # fmt: skip
    with pytest.raises(AssertionError, match="2 of 8 numbers"):
        run_experiment(
            tiny, overrides=overrides, until="price", folder=copied, quiet=True, check=True
        )


@pytest.mark.parametrize(
    ("found", "passes"),
    [("worse", True), ("not resolved", True), ("improvement", False), ("", False), (1.0, False)],
)
def test_a_word_may_be_any_but_one(found, passes):
    wanted = Expectation(is_not="improvement")
    assert (holds(wanted, found), spell(wanted)) == (passes, "not improvement")


def test_other_seeds_have_folders_of_their_own_and_show_in_the_scores(copied, tiny, ran):
    run_experiment(tiny, overrides=["seeds=2"], until="online", folder=copied, quiet=True)
    assert "learn/network" not in ran
    assert "learn/network/seed_1" in ran
    first, second = (copied / "network" / seed / "closure.eqx" for seed in ("", "seed_1"))
    assert first.read_bytes() != second.read_bytes()
    with xr.open_dataset(copied / "scores.nc") as scores:
        assert scores["forecast_mae_first_unit_seeds"].sel(model="network").notnull().all()
        assert scores["forecast_mae_first_unit_seeds"].sel(model="cubic").isnull().all()


def test_single_precision_is_set_for_the_run_and_set_back(tmp_path, tiny):
    import jax

    overrides = ["precision=single"]
    run_experiment(tiny, overrides=overrides, until="truth", folder=tmp_path / "run", quiet=True)
    assert jax.config.jax_enable_x64
    with xr.open_zarr(tmp_path / "run" / "truth.zarr", consolidated=False) as truth:
        assert truth["X"].dtype == "float32"


def test_the_coupling_target_records_tendencies(tmp_path, tiny):
    overrides = ["data.target=coupling", "coarse.stepper=RK4"]
    run_experiment(tiny, overrides=overrides, until="pairs", folder=tmp_path / "run", quiet=True)
    with xr.open_zarr(tmp_path / "run" / "truth.zarr", consolidated=False) as truth:
        assert set(truth.data_vars) == {"X", "X_tendency"}


def test_the_resolved_experiment_runs_as_it_is(undisturbed, tiny):
    again = load_experiment(undisturbed / "experiment.yaml").resolved()
    assert again == load_experiment(tiny).resolved()
