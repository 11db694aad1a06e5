"""Ensembles of learners."""

import jax.numpy as jnp
import numpy as np
import pytest

from closura.closures.ensemble import ClosureEnsemble
from closura.closures.physical import PolynomialClosure
from closura.data.closures import load_closure, save_closure
from closura.learners.climatology import ClimatologicalCorrection
from closura.learners.ensemble import LearnerEnsemble
from closura.learners.linear import Linear, Polynomial
from closura.learners.noise import WithNoise
from closura.registry import build

from .conftest import pairs_of, r_squared, smooth

CUBIC = PolynomialClosure([0.3, 1.3, -0.1, -0.02])


def test_mean_and_median_are_taken_at_each_point():
    members = tuple(PolynomialClosure([c]) for c in (1.0, 2.0, 6.0))
    fields = {"X": jnp.zeros(7)}
    assert ClosureEnsemble(members, "mean").tendency(fields)["X"].tolist() == [3.0] * 7
    assert ClosureEnsemble(members, "median").tendency(fields)["X"].tolist() == [2.0] * 7


def test_each_learner_is_fitted_as_often_as_asked(key, tmp_path):
    pairs = pairs_of(CUBIC, smooth())
    learner = LearnerEnsemble((Polynomial(degree=3), Linear()), repeats=2, combine="mean")
    closure = learner.fit(pairs, key=key)
    assert [type(m).__name__ for m in closure.members] == [
        "PolynomialClosure", "PolynomialClosure", "LearnedClosure", "LearnedClosure",
    ]  # fmt: skip
    alone = r_squared(Linear().fit(pairs), pairs)
    # Half of the cubic's error, none, and half of the line's: a quarter of its mean square.
    assert 1 - r_squared(closure, pairs) == pytest.approx((1 - alone) / 4, rel=1e-6)
    back = load_closure(save_closure(tmp_path, closure))
    fields = {"X": jnp.linspace(-4.0, 4.0, 7)}
    np.testing.assert_array_equal(back.tendency(fields)["X"], closure.tendency(fields)["X"])
    assert closure.passport == pairs.passport


def test_a_list_in_a_file_becomes_its_learners():
    spec = {"type": "LearnerEnsemble", "learners": ["Linear", {"type": "Polynomial", "degree": 2}]}
    built = build("learners", spec)
    assert [type(one).__name__ for one in built.learners] == ["Linear", "Polynomial"]


def test_an_ensemble_knows_when_a_member_extrapolates(key):
    pairs = pairs_of(CUBIC, smooth())
    closure = LearnerEnsemble((ClimatologicalCorrection(), Linear())).fit(pairs, key=key)
    assert closure.extrapolates({"X": jnp.array([0.0, 1e3, 0, 0, 0, 0, 0])}).tolist()[:2] == [
        False, True,
    ]  # fmt: skip


def test_noise_cannot_be_averaged(key):
    learner = LearnerEnsemble((WithNoise(Linear()),))
    with pytest.raises(ValueError, match=r"ClosureEnsemble has Sum; it combines one closure or mo"):
        learner.fit(pairs_of(CUBIC, smooth()), key=key)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(
        ValueError, match="LearnerEnsemble: combine is 'mode'; it must be one of mean, me"
    ):
        LearnerEnsemble((Linear(),), combine="mode")
    with pytest.raises(ValueError, match="LearnerEnsemble: learners is 0; it must be 1 or more"):
        LearnerEnsemble(())
