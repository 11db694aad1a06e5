"""Boosted trees: what xgboost says, without xgboost."""

import builtins

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from closura.closures.atmosphere import Column, LatLonImage
from closura.closures.features import Stencil
from closura.closures.physical import PolynomialClosure
from closura.data.closures import load_closure, save_closure
from closura.learners.boosted import BoostedTrees
from closura.learners.tables import Table
from made_atmosphere import made_pairs

from .conftest import pairs_of, r_squared, smooth


def trees_of(inputs, outputs, **settings):
    """What `BoostedTrees` grows on samples."""
    boosting = BoostedTrees(**settings)._boosting(seed=0)
    return boosting.grow(Table(inputs, outputs), cluster=None)


def predicted_by(xgboost, inputs, outputs, *, rounds: int, depth: int, shared: bool):
    """What xgboost's own model of all outputs says of samples that it was grown on."""
    settings = {
        "base_score": 0.0, "max_depth": depth, "nthread": 1,
        "min_child_weight": 5 * (outputs.shape[1] if shared else 1),
        "multi_strategy": "multi_output_tree" if shared else "one_output_per_tree",
    }  # fmt: skip
    samples = xgboost.QuantileDMatrix(inputs, outputs, nthread=1)
    booster = xgboost.train(settings, samples, num_boost_round=rounds)
    return booster.predict(xgboost.DMatrix(inputs)).reshape(outputs.shape)


@pytest.mark.parametrize("shared", [True, False])
def test_trees_say_what_xgboost_says(shared):
    xgboost = pytest.importorskip("xgboost")
    draw = np.random.default_rng(0)
    inputs = np.round(draw.normal(size=(3000, 4)), 1).astype("f4")  # many values on thresholds
    outputs = np.stack([inputs[:, 0] * inputs[:, 1], np.sin(inputs[:, 2]), inputs[:, 3] ** 3], 1)
    table = trees_of(inputs, outputs, rounds=12, depth=5, shared=shared)
    assert table.value.shape[2] == (3 if shared else 1)
    wanted = predicted_by(xgboost, inputs, outputs, rounds=12, depth=5, shared=shared)
    found = np.asarray(eqx.filter_jit(table)(jnp.asarray(inputs)))
    # Both add the same float32 numbers, xgboost in float32: 12 roundings of values below 30.
    np.testing.assert_allclose(found, wanted, rtol=0, atol=12 * 30 * 2.0**-24)


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_tree_of_one_leaf_says_what_xgboost_says(outputs):
    xgboost = pytest.importorskip("xgboost")
    inputs, ones = np.ones((9, 2), "f4"), np.ones((9, outputs), "f4")
    found = trees_of(inputs, ones, rounds=2)(jnp.asarray(inputs))
    wanted = predicted_by(xgboost, inputs, ones, rounds=2, depth=6, shared=True)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_boosting_recovers_a_cubic_of_each_point(key):
    pairs = pairs_of(PolynomialClosure([0.3, 1.3, -0.1, -0.02]), smooth())
    closure = BoostedTrees(rounds=40, depth=4, features=Stencil(0)).fit(pairs, key=key)
    assert r_squared(closure, pairs) > 0.99
    assert closure.passport == pairs.passport


def test_boosted_columns_come_back_from_a_file(key, tmp_path):
    pairs = made_pairs(times=40)
    closure = BoostedTrees(rounds=3, features=Column()).fit(pairs, key=key)
    back = load_closure(save_closure(tmp_path, closure))
    fields = {name: jnp.asarray(a[0, 0]) for name, a in pairs.inputs.items()}
    one, two = closure.tendency(fields), back.tendency(fields)
    assert one["u"].shape == (5, 6, 8)
    np.testing.assert_array_equal(one["v"], two["v"])


def test_images_are_refused(key):
    with pytest.raises(ValueError, match=r"BoostedTrees wants samples that are rows, and a sample"):
        BoostedTrees(features=LatLonImage()).fit(made_pairs(), key=key)


def test_without_xgboost_it_says_what_to_install(key, monkeypatch):
    load = builtins.__import__

    def refuse(name, *rest, **more):
        if name.startswith("xgboost"):
            raise ImportError(name)
        return load(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"BoostedTrees needs xgboost: pip install 'closura\[tr"):
        BoostedTrees().fit(made_pairs(), key=key)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"rounds": 0}, "BoostedTrees: rounds is 0; it must be 1 or more"),
        ({"learning_rate": 1.5}, "BoostedTrees: learning_rate is 1.5; it must lie above 0"),
        ({"penalty": -1.0}, "BoostedTrees: penalty is -1.0; it must be 0 or positive"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, line):
    with pytest.raises(ValueError, match=line):
        BoostedTrees(**settings)
