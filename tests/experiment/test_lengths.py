"""The truths that an experiment makes are as long as its protocol needs."""

import pytest

from closura.data.store import open_run
from closura.evaluation.climate import as_climate
from closura.evaluation.protocol import make_protocol
from closura.experiment import load_experiment
from closura.experiment.kinds.simulated_stages import simulate_test
from closura.experiment.work import Work


# Two members of 3 time units; one forecast as long as the whole climate: 21 states make 20
# intervals of 0.05; three members of 10 / 3 time units, which take 67 states.
@pytest.mark.parametrize(
    ("climate", "lead", "members", "instants"),
    [(6.0, 0.3, 2, 60), (1.0, 1.0, 1, 21), (10.0, 0.3, 3, 67)],
)
def test_a_truth_fits_its_protocol(tiny, tmp_path, climate, lead, members, instants):
    changes = [f"evaluate.climate={climate}", f"evaluate.lead={lead}"]
    experiment = load_experiment(tiny, changes)
    simulate_test(Work(experiment, tmp_path))
    with open_run(tmp_path / "test.zarr") as truth:
        assert (truth.sizes["member"], truth.sizes["time"]) == (members, instants)
        settings = experiment.settings.evaluate.model_dump()
        protocol = make_protocol(truth, **settings, seed=0)
        pieces = as_climate(truth, ["X"], protocol)
    assert protocol.climate_members == members
    assert pieces.sizes["member"] == members
    assert pieces.sizes["time"] == protocol.climate_states
