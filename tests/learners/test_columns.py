"""Learners on columns: a law that a column can express is found, and run inside a closure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.closures.atmosphere import Column
from closura.data.closures import load_closure, save_closure
from closura.learners.forest import Forest
from closura.learners.linear import Linear
from closura.learners.network import Network
from closura.learners.supervised import output_weights
from made_atmosphere import LEVELS, made_pairs

MASS = np.array([1.0, 2.0, 3.0, 4.0, 10.0])


def lawful(times=100):
    """Pairs whose target is friction that grows to the ground, and turns with the latitude."""
    pairs = made_pairs(times=times)
    drag = -np.linspace(0, 1, LEVELS)[:, None, None]
    turn = np.sin(np.radians(pairs.coordinates["lat"]))[:, None]
    u, v = pairs.inputs["u"], pairs.inputs["v"]
    targets = {"u": drag * u + 0.3 * turn, "v": drag * v - 0.5 * u.mean(axis=2, keepdims=True)}
    return made_pairs(times=times, targets=targets, weights=MASS)


def skill(closure, pairs):
    fields, given = pairs.instants(0, slice(0, 20))
    found = jax.vmap(lambda f, g: closure.tendency(f, g))(fields, given)
    error = sum(np.sum(np.square(found[n] - a[0, :20])) for n, a in pairs.targets.items())
    return 1 - error / sum(np.sum(np.square(a[0, :20])) for a in pairs.targets.values())


def test_a_linear_column_recovers_a_linear_law():
    closure = Linear(features=Column()).fit(lawful(20))
    assert skill(closure, lawful()) == pytest.approx(1, abs=1e-12)


def test_a_network_of_the_column_recovers_it_nearly_and_comes_back(key, tmp_path):
    pairs = lawful()
    learner = Network(features=Column(), width=32, depth=1, epochs=25, batch=128, weigh="mass")
    closure = learner.fit(pairs, key=key)
    assert skill(closure, pairs) > 0.95
    back = load_closure(save_closure(tmp_path, closure))
    fields = {name: jnp.asarray(a[0, 0]) for name, a in pairs.inputs.items()}
    np.testing.assert_array_equal(back.tendency(fields)["u"], closure.tendency(fields)["u"])


def test_a_forest_of_columns_has_16_trees_of_depth_13_and_many_outputs(key):
    pairs = lawful()
    closure = Forest(features=Column()).fit(pairs, key=key)
    trees = closure.predictor
    assert (trees.left.shape[0], trees.value.shape[2]) == (16, 2 * LEVELS)
    assert 8 <= trees.depth <= 13
    assert skill(closure, pairs) > 0.3


def test_weights_of_outputs_are_the_mass_of_their_level():
    pairs = lawful(10)
    features = Column(output_levels=(1, 5)).bind(pairs)
    wanted = np.tile(MASS[1:], 2)
    np.testing.assert_allclose(output_weights("Network", features, pairs), wanted / wanted.mean())


def test_weights_without_mass_are_refused(key):
    with pytest.raises(ValueError, match="Network: weigh is 'mass' and the pairs know no mass for"):
        Network(features=Column(), weigh="mass").fit(made_pairs(times=20), key=key)
