"""What small bundled experiments learn leaves to Fortran, or says why not."""

import pytest

from closura.experiment import run_experiment
from closura.experiment.shipping import export_run
from lmdz_files import write_guide, write_states

PUBLIC = ("scam_gate3_h1.nc", "scam_gate3_h2.nc")  # of gate_columns
SHORT = {
    "lorenz96": (
        "data.duration=8", "learners.network.epochs=2", "learners.tuned.epochs=1",
        "learners.tuned.window=32",
    ),
    "lorenz96_arnold": ("data.duration=8",),
    "gate_columns": ("learners.network.epochs=5", "learners.forest.trees=20"),
    "assimilate_lorenz96": ("assimilate.duration=15", "increments.duration=60"),
    "shallow_water": ("data.spinup=86400", "data.members=3", "learners.network.epochs=1"),
    "heldsuarez_twin": (
        "truth.levels=3", "coarse.levels=3", "data.spinup=1 days", "data.duration=13 days",
        "data.discard=1 days", "evaluate.duration=5 days", "evaluate.discard=1 days",
        "evaluate.block=12 hours", "iterate={}", "learners.network.epochs=1",
        "learners.forest.trees=2",
    ),
    "lmdz_columns": ("learners.network.epochs=1", "learners.forest.trees=2"),
}  # fmt: skip
LEARNERS = {
    "lorenz96": {"linear", "cubic", "cubic_ar1", "network", "tuned"},
    "lorenz96_arnold": {"cubic", "cubic_white", "cubic_ar1"},
    "gate_columns": {"ridge", "forest", "network"},
    "assimilate_lorenz96": {"cubic", "network"},
    "shallow_water": {"linear_ar1", "network"},
    "heldsuarez_twin": {"linear", "network", "forest"},
    "lmdz_columns": {"linear", "forest", "network"},
}
BY_DATE = {  # the mean of a date reads no column: for hosts that take dates there is guide_add
    "heldsuarez_twin": {"climatological", "climatological_twice"},
    "lmdz_columns": {"by_date"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_every_learner_of_a_bundled_experiment_leaves_to_fortran_or_says_why_not(
    name, gfortran, tmp_path, monkeypatch, data_file
):
    if name == "gate_columns":
        found = [data_file(file).parent for file in PUBLIC]
        monkeypatch.setenv("CLOSURA_DATA", str(found[0]))
    if name == "lmdz_columns":  # a template: the files are the user's
        write_guide(tmp_path / "guide_ins.nc", records=120)
        write_states(tmp_path / "histins.nc", records=120)
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "run"
    run_experiment(name, folder=place, until="learn", quiet=True, overrides=list(SHORT[name]))
    few = name == "gate_columns"  # its files hold 148 columns, 21 of them in nobody's part
    states = {"real": 127, "between": 873} if few else None
    for learner in LEARNERS[name]:
        (figures,) = export_run(place, learner=learner).values()
        assert set(figures["native"]) == {"double", "single"}
        assert all(one["largest"] <= one["allowed"] for one in figures["native"].values())
        assert figures["cases"] >= 1000
        assert figures["states"] == (states or {"real": figures["cases"], "between": 0})
    for learner in BY_DATE.get(name, ()):
        with pytest.raises(ValueError, match="cannot be shipped") as refused:
            export_run(place, learner=learner)
        assert "\n" not in str(refused.value)
    assert len(LEARNERS[name]) == len(list(place.glob("*/fortran/parity.json")))
    known = LEARNERS[name] | BY_DATE.get(name, set())
    assert known == {path.parent.name for path in place.glob("*/closure.json")}
