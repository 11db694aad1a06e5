"""What an experiment that nudges refuses in one line: before it runs, and where a truth fails."""

from pathlib import Path

import pytest
import yaml

from closura.experiment import load_experiment
from closura.experiment.kinds import nudged_inputs, nudged_stages
from closura.experiment.work import Work

RING = Path(__file__).with_name("nudged.yaml")


def changed(tmp_path, **sections) -> Path:
    """The ring with some sections changed, as a file."""
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(RING.read_text()) | {"expect": {}} | sections))
    return path


def test_a_date_that_is_none_is_refused():
    with pytest.raises(ValueError, match="begin is '2001-13-45', which is no date of the calendar"):
        load_experiment("heldsuarez_twin", ("data.begin=2001-13-45",))


def test_a_time_step_that_divides_no_day_is_refused():
    changes = ["coarse.dt=2000", "truth.dt=2000", "data.every=36000", "data.duration=3600000",
               "evaluate.every=36000", "evaluate.block=3600000", "evaluate.duration=18000000",
               "evaluate.discard=0", "evaluate.lead=36000"]  # fmt: skip
    with pytest.raises(ValueError, match="dt is 2000 s, which does not divide a day"):
        load_experiment("heldsuarez_twin", changes)


def test_a_guard_with_nothing_to_look_at_is_refused(tmp_path):
    learners = {"constant": {"type": "ClimatologicalCorrection"}}
    guards = ["Guarded", {"type": "Limited", "quantile": 0.999}]
    study = changed(tmp_path, learners=learners, iterate={}, guards=guards)
    with pytest.raises(ValueError, match="Guarded without features, and learner 'constant' has"):
        load_experiment(study)


def test_a_guard_looks_at_the_features_of_the_learner_where_none_are_said(tmp_path):
    said = load_experiment(changed(tmp_path, guards=["Guarded"]))
    features = nudged_inputs.features_of(said, "twice")
    guard = nudged_inputs.guarded(said, "twice", nudged_inputs.Zero(), features=features)
    assert guard.features.radius == 1


@pytest.mark.parametrize("which", ["simulate_training", "simulate_test", "run_independent"])
def test_a_truth_that_blows_up_ends_the_run(tmp_path, which):
    document = yaml.safe_load(RING.read_text())
    truth, spinup = document["truth"] | {"F": 1e6}, document["data"] | {"spinup": 0.0}
    work = Work(load_experiment(changed(tmp_path, truth=truth, data=spinup)), tmp_path)
    with pytest.raises(RuntimeError, match=r"truth.* failed: .*; shorten the time step of .truth."):
        getattr(nudged_stages, which)(work)
