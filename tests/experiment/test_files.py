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


def test_what_is_odd_in_files_is_said_where_the_run_ends(study, folder):
    with xr.open_dataset(study.with_name("columns.nc")) as file:
        holed = file.isel(time=[*range(30), *range(40, 90)]).load()
    holed.to_netcdf(study.with_name("columns.nc"))
    result = run_experiment(study, folder=folder, until="pairs", quiet=True)
    (line,) = result.all_warnings()
    assert "gap" in line and f"! {line}" in repr(result)


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


def test_pairs_that_stay_in_their_folder_score_the_same(study, folder, tmp_path, monkeypatch):
    from closura.core.lazy import is_lazy
    from closura.experiment.work import Work

    seen = []
    inside = Work.pairs

    def noting(work, name):
        found = inside(work, name)
        seen.append(is_lazy(found.inputs["temperature"]))
        return found

    monkeypatch.setattr(Work, "pairs", noting)
    held = run_experiment(study, folder=folder, until="offline", quiet=True)
    assert seen and not any(seen)
    seen.clear()
    monkeypatch.setattr("closura.experiment.work.HELD", 0)
    stored = run_experiment(study, folder=tmp_path / "stored", until="offline", quiet=True)
    assert seen and all(seen)
    xr.testing.assert_equal(stored.offline, held.offline)


def test_fields_on_latitudes_and_longitudes_count_by_area(tmp_path):
    draw = np.random.default_rng(5)
    lat, dims = np.array([-75.0, 0.0, 60.0]), ("time", "lat", "lon")
    fields = draw.standard_normal((2, 48, 3, 4))
    fields[1] *= 1e-6
    fields[1, :, 0] *= 10  # large, and of little area
    xr.Dataset(
        {"T": (dims, 270 + fields[0], {"units": "K"}), "Q": (dims, fields[1], {"units": "K s-1"})},
        {"time": ("time", 1200.0 * np.arange(48), {"units": "s"}),
         "lat": ("lat", lat, {"units": "degrees_north"}),
         "lon": ("lon", 90.0 * np.arange(4), {"units": "degrees_east"})},
    ).to_netcdf(tmp_path / "columns.nc")  # fmt: skip
    text = YAML.format(files=tmp_path / "columns.nc").partition("expect:")[0]
    text = text.replace("level: lev", "level: [lat, lon]")
    (tmp_path / "mine.yaml").write_text(text)
    run = run_experiment(tmp_path / "mine.yaml", folder=tmp_path / "run", until="offline",
                         quiet=True)  # fmt: skip
    held = np.concatenate([fields[1, start + 9 : start + 12] for start in (0, 12, 24, 36)])
    # Bands meet halfway, at 37.5 S and 30 N, and reach as far out as in, to the poles at most.
    edges = np.sin(np.deg2rad([-90.0, -37.5, 30.0, 90.0]))
    area = np.diff(edges)[:, None] * np.ones(4)
    expected = np.sqrt((held**2 * area / area.sum()).sum(axis=(1, 2)).mean())
    found = run.offline.sel(variable="heating")
    np.testing.assert_allclose(found["overall_rmse"].sel(model="no closure"), expected)
    last = found["learning_curve"].sel(model="linear").isel(size=-1)
    np.testing.assert_allclose(last, found["overall_r_squared"].sel(model="linear"), rtol=1e-6)
