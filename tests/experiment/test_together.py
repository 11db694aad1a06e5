"""An experiment whose learners are fitted by several processes finds the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import closura as cl
from alive import children_of, is_alive, wait_until
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.experiment.together import trains_together

DOCUMENT = """
name: shared
data: {{files: {files}}}
processes: {processes}
learners:
  net: {{type: Network, features: {{type: Whole}}, width: 8, epochs: 3, batch: {batch}}}
evaluate: {{samples: 10, learning_curve: null}}
"""


@pytest.fixture
def run(tmp_path):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(6, 90, 5))
    pairs = Pairs({"x": x}, {"y": np.tanh(x[..., :2])}, np.arange(90.0), Passport("file"))
    cl.save_pairs(tmp_path / "pairs.zarr", pairs)

    def run(processes: int, batch: int = 32) -> list[dict]:
        file = tmp_path / f"shared_{processes}.yaml"
        settings = {"files": tmp_path / "pairs.zarr", "processes": processes, "batch": batch}
        file.write_text(DOCUMENT.format(**settings))
        folder = tmp_path / f"run_{processes}"
        cl.run_experiment(file, folder=folder, until="learn", quiet=True)
        return json.loads((folder / "net" / "history.json").read_text())

    return run


@pytest.mark.slow
def test_two_processes_find_what_one_finds(run):
    one, two = run(1), run(2)
    for name in ("loss", "validation"):
        np.testing.assert_allclose(
            [epoch[name] for epoch in two], [epoch[name] for epoch in one], rtol=1e-6
        )


@pytest.mark.slow
def test_two_processes_nudge_again_and_find_what_one_finds(tmp_path):
    document = yaml.safe_load(Path(__file__).with_name("nudged.yaml").read_text())
    network = {"type": "Network", "features": {"type": "Stencil", "radius": 1}, "width": 8,
               "epochs": 3, "batch": 256}  # fmt: skip
    document |= {"learners": {"net": network}, "iterate": {"net": 1}, "guards": [], "expect": {}}
    document["data"] |= {"spinup": 1.0, "duration": 8.0, "discard": 0.4}
    found = []
    for processes in (1, 2):
        file, folder = tmp_path / f"{processes}.yaml", tmp_path / f"run_{processes}"
        file.write_text(yaml.safe_dump(document | {"processes": processes}))
        cl.run_experiment(file, folder=folder, until="learn", quiet=True)
        found.append(json.loads((folder / "net" / "history.json").read_text()))
        assert not list(folder.glob(".fit*"))
    one, two = found
    assert [epoch["round"] for epoch in two] == [1, 1, 1, 2, 2, 2]
    for name in ("loss", "validation"):
        np.testing.assert_allclose(
            [epoch[name] for epoch in two], [epoch[name] for epoch in one], rtol=1e-6
        )


@pytest.mark.slow
def test_processes_end_with_a_run_that_is_killed_and_leave_nothing_to_the_next(run, tmp_path):
    file, folder = tmp_path / "killed.yaml", tmp_path / "run_2"
    settings = {"files": tmp_path / "pairs.zarr", "processes": 2, "batch": 32}
    file.write_text(DOCUMENT.format(**settings).replace("epochs: 3", "epochs: 10000000"))
    command = [sys.executable, "-m", "closura.cli", "run", str(file), "--folder", str(folder)]
    source = str(Path(cl.__file__).parents[1])
    killed = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": source})
    wait_until(lambda: len(children_of(killed.pid)) == 2)
    together = children_of(killed.pid)
    killed.kill()
    killed.wait()
    wait_until(lambda: not any(map(is_alive, together)), patience=120.0)
    assert list(folder.glob(".fit*"))
    run(2)
    assert not list(folder.glob(".fit*"))


@pytest.mark.slow
def test_a_process_that_fails_ends_the_others_and_says_why(run):
    with pytest.raises(RuntimeError) as caught:
        run(2, batch=33)
    message = str(caught.value)
    assert message.startswith("process ") and " of 2 ended with 1 while fitting 'net' (" in message
    assert "a batch of 33 samples cannot be shared evenly by 2 processes" in message
    assert message.endswith("; run the experiment again: what is finished is kept.")


def test_a_number_of_processes_must_be_one(run):
    with pytest.raises(ValueError, match=r"processes is 0; it should be greater"):
        run(0)


def test_only_what_processes_share_is_fitted_by_several():
    assert trains_together(cl.Network()) and trains_together(cl.WithNoise(cl.Network()))
    assert not any(map(trains_together, (cl.Forest(), cl.Linear(), cl.WithNoise(cl.Linear()))))


def test_a_learner_that_processes_do_not_share_is_fitted_once_and_here(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(2, 60, 3))
    pairs = Pairs({"x": x}, {"y": 2 * x}, np.arange(60.0), Passport("file"))
    cl.save_pairs(tmp_path / "pairs.zarr", pairs)
    file = tmp_path / "alone.yaml"
    settings = {"files": tmp_path / "pairs.zarr", "processes": 2, "batch": 1}
    before, _ = DOCUMENT.format(**settings).split("  net:")
    file.write_text(before + "  line: {type: Linear, features: {type: Whole}}\n")
    monkeypatch.setattr("closura.experiment.kinds.pairs.fit_together", None)
    cl.run_experiment(file, folder=tmp_path / "run", until="learn", quiet=True)
    assert (tmp_path / "run" / "line" / "closure.eqx").is_file()
