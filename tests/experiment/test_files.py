"""An experiment on the user's own files: no truth, no coarse model, held-out blocks in time."""

import json

import numpy as np
import pytest
import xarray as xr

from closura.experiment import run_experiment

YAML = """
name: mine
data:
  files: {files}
  inputs: {{temperature: T}}
  targets: {{heating: {{variable: Q, units: K s-1}}}}
  sample: time
  level: lev
  held_out: {{fraction: 0.25, blocks: 4, gap: 1}}
learners:
  linear: {{type: Linear, features: Whole}}
evaluate: {{samples: 20, learning_curve: {{sizes: [0.5, 1.0], repeats: 2}}}}
expect:
  linear.offline.overall_r_squared: {{above: 0.99}}
"""


@pytest.fixture
def study(tmp_path):
    """A file in which the heating is linear in the temperature, and the YAML that reads it."""
    draw = np.random.default_rng(3)
    temperature = 270 + 10 * draw.standard_normal((90, 4))
    heating = (270 - temperature) / 86400 @ np.diag([1, 2, 3, 4])
    dims = ("time", "lev")
    file = xr.Dataset(
        {"T": (dims, temperature, {"units": "K"}), "Q": (dims, heating, {"units": "K s-1"})},
        {"time": ("time", 1200.0 * np.arange(90), {"units": "s"}), "lev": np.arange(4)},
    )
    file.to_netcdf(tmp_path / "columns.nc")
    path = tmp_path / "mine.yaml"
    path.write_text(YAML.format(files=tmp_path / "columns.nc"))
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def test_files_are_split_learned_and_scored(study, folder):
    result = run_experiment(study, folder=folder, quiet=True)
    assert all(check.passed for check in result.checks)
    assert result.table()[0] == ["offline R²", "heating"]
    assert [row[0] for row in result.table()[1:]] == ["no closure", "linear", "noise floor"]
    assert result.offline["learning_curve"].sel(model="linear").notnull().all()
    assert not (folder / "truth.zarr").exists()
    assert (folder / "report.html").exists()
    stages = json.loads((folder / "stages.json").read_text())
    assert list(stages) == ["pairs/files", "learn/linear", "offline", "report"]


def test_a_changed_file_is_read_again(study, folder):
    run_experiment(study, until="pairs", folder=folder, quiet=True)
    before = json.loads((folder / "stages.json").read_text())["pairs/files"]["fingerprint"]
    path = study.parent / "columns.nc"
    changed = xr.load_dataset(path)
    changed["T"] = changed["T"] + 1
    path.unlink()
    changed.to_netcdf(path)
    run_experiment(study, until="pairs", folder=folder, quiet=True)
    after = json.loads((folder / "stages.json").read_text())["pairs/files"]["fingerprint"]
    assert before != after


def test_stages_of_models_are_unknown_where_files_are_read(study, folder):
    with pytest.raises(ValueError, match=r"there is no stage 'online'.* pairs, learn, offline"):
        run_experiment(study, until="online", folder=folder, quiet=True)


def test_an_unknown_key_of_the_data_offers_the_nearest(study, folder):
    with pytest.raises(ValueError, match="data has no 'on_mising'; did you mean 'on_missing'"):
        run_experiment(study, overrides=["data.on_mising=drop"], folder=folder, quiet=True)


def test_a_missing_variable_is_named(study, folder):
    with pytest.raises(ValueError, match="'TT'"):
        run_experiment(study, overrides=["data.inputs.temperature=TT"], folder=folder, quiet=True)
