"""A small experiment that nudges, fitted from two seeds: what is scored, kept and held out."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from closura.data.pairs import load_pairs
from closura.experiment import run_experiment
from closura.learners.linear import Linear

RING = Path(__file__).with_name("nudged.yaml")


def small(path: Path) -> Path:
    """Write the ring with short runs and one learner that iterates; return its file."""
    document = yaml.safe_load(RING.read_text())
    document["learners"].pop("linear")
    document["data"] |= {"duration": 16.0}
    document["evaluate"] |= {"duration": 24.0, "discard": 4.0, "block": 5.0, "forecasts": 2}
    # Guarded is told no features: it looks at those of the learner, though that gives a sum.
    document["guards"].append("Guarded")
    path.write_text(yaml.safe_dump(document | {"seeds": 2, "expect": {}}))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The run folder, and the times of the pairs that each fit saw, (first, last)."""
    seen, fit = [], Linear.fit

    def watched(self, pairs, *, key):
        seen.append((float(pairs.time[0]), float(pairs.time[-1])))
        return fit(self, pairs, key=key)

    folder = tmp_path_factory.mktemp("small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Linear, "fit", watched)
        run_experiment(small(folder / "study.yaml"), folder=folder / "run", quiet=True)
    return folder / "run", seen


def test_a_learner_without_chance_has_the_same_error_from_another_seed(run):
    with xr.open_dataset(run[0] / "scores.nc") as scores:
        error, again = scores["mean_error"].load(), scores["mean_error_seeds"].load()
    assert again.dims == ("variable", "model", "seed")
    assert again.shape == (1, 3, 1)
    chosen = {"variable": "X", "model": "twice"}
    np.testing.assert_allclose(again.sel(chosen), float(error.sel(chosen)), rtol=1e-9)


def test_no_round_is_fitted_to_what_is_held_out(run):
    folder, seen = run
    held_out = load_pairs(folder / "pairs_test.zarr")
    training = load_pairs(folder / "pairs.zarr")
    assert len(seen) == 4  # two rounds from two seeds
    assert held_out.time[0] > training.time[-1]
    assert all(last == pytest.approx(training.time[-1]) for _, last in seen)


def test_a_guard_without_features_watches_a_sum_of_rounds(run):
    with xr.open_dataset(run[0] / "scores.nc") as scores:
        share = float(scores["guard_share"].sel(model="twice", guard="novel"))
    assert 0.0 < share < 0.5
