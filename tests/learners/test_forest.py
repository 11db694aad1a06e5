"""Random forests."""

import builtins

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.closures.features import Stencil, Whole
from closura.closures.physical import PolynomialClosure
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.learners.forest import Forest

from .conftest import pairs_of, r_squared, smooth

SMALL = {"trees": 10, "leaves": 200, "samples": 5000}


@pytest.fixture(scope="module")
def pairs():
    pytest.importorskip("sklearn")
    return pairs_of(PolynomialClosure([0.3, 1.3, -0.1, -0.02]), smooth())


def test_a_forest_nearly_recovers_the_forest_that_made_the_pairs(pairs, key):
    teacher = Forest(trees=1, leaves=20).fit(pairs, key=key)
    taught = pairs_of(teacher, pairs.inputs["X"])
    assert r_squared(Forest(**SMALL).fit(taught, key=key), taught) > 0.99


def test_a_forest_carries_the_passport_and_knows_where_it_was_trained(pairs, key):
    closure = Forest(**SMALL).fit(pairs, key=key)
    assert closure.passport == pairs.passport
    assert list(closure.extrapolates({"X": jnp.array([0.0, 1e3])})) == [False, True]


def test_the_same_key_gives_the_same_forest_on_any_number_of_threads(pairs, key, monkeypatch):
    first = Forest(**SMALL).fit(pairs, key=key)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    again = Forest(**SMALL).fit(pairs, key=key)
    same = jax.tree.map(jnp.array_equal, first.predictor, again.predictor)
    assert all(jax.tree.leaves(same))
    other = Forest(**SMALL).fit(pairs, key=jax.random.key(1))
    fields = {"X": jnp.linspace(-5, 5, 7)}
    assert not jnp.array_equal(first.tendency(fields)["X"], other.tendency(fields)["X"])


def test_a_forest_of_several_outputs_predicts_each_in_its_own_unit(key):
    pytest.importorskip("sklearn")
    inputs = smooth()
    time = np.arange(inputs.shape[1], dtype=float)
    targets = {"X": np.sin(inputs), "Y": 1e6 * np.cos(inputs)}
    pairs = Pairs({"X": inputs}, targets, time, Passport("file"))
    closure = Forest(trees=20, leaves=None, features=Stencil(0)).fit(pairs, key=key)
    found = closure.tendency({"X": jnp.linspace(-4, 4, 9)})
    np.testing.assert_allclose(found["X"], np.sin(np.linspace(-4, 4, 9)), atol=0.1)
    np.testing.assert_allclose(found["Y"], 1e6 * np.cos(np.linspace(-4, 4, 9)), atol=1e5)


def test_a_forest_sees_a_whole_ring(pairs, key):
    closure = Forest(trees=3, leaves=10, features=Whole()).fit(pairs, key=key)
    assert closure.tendency({"X": jnp.ones(7)})["X"].shape == (7,)


def test_without_scikit_learn_a_forest_says_what_to_install(pairs, key, monkeypatch):
    load = builtins.__import__

    def refuse(name, *rest, **more):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return load(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"Forest needs scikit-learn: pip install 'closura\[tr"):
        Forest().fit(pairs, key=key)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trees": 0}, "Forest: trees is 0; it must be 1 or more"),
        ({"leaves": 1}, "Forest: leaves is 1; it must be 2 or more"),
        ({"maximum_samples": 1.5}, "Forest: maximum_samples is 1.5; it is a share of the samples"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Forest(**settings)
