"""Trees as arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.learners.growing import as_trees
from closura.nets.forest import Tree, pack_trees


@pytest.fixture(scope="module")
def samples():
    draw = np.random.default_rng(3)
    inputs = draw.normal(size=(3000, 4))
    outputs = np.stack([np.sin(2 * inputs[:, 0]) * inputs[:, 1], inputs[:, 3] ** 2 - 1], axis=1)
    return inputs, outputs


@pytest.fixture(scope="module")
def forest(samples):
    ensemble = pytest.importorskip("sklearn.ensemble")
    return ensemble.RandomForestRegressor(7, max_leaf_nodes=60, random_state=0).fit(*samples)


def test_a_hand_made_tree_goes_left_up_to_its_threshold():
    # Root: x1 <= 2 goes to leaf 2 (value 5), else to node 1: x0 <= 0 ? 7 : 9.
    tree = Tree(
        feature=np.array([1, 0, -2, -2, -2]),
        threshold=np.array([2.0, 0.0, -2.0, -2.0, -2.0]),
        left=np.array([2, 3, -1, -1, -1]),
        right=np.array([1, 4, -1, -1, -1]),
        value=np.array([[0.0], [0.0], [5.0], [7.0], [9.0]]),
    )
    values = jnp.array([[1.0, 2.0], [-1.0, 3.0], [0.0, 3.0], [1.0, 3.0]], jnp.float32)
    table = pack_trees([tree])
    np.testing.assert_array_equal(table(values)[:, 0], [5, 7, 7, 9])
    assert table.depth == 2
    np.testing.assert_array_equal(table.right[0], [2, 1, 4, 3, 4])


def test_a_table_predicts_what_scikit_learn_predicts(forest, samples):
    table = pack_trees(as_trees(forest.estimators_))
    predicted = jax.jit(lambda values: table(values))(jnp.asarray(samples[0], jnp.float32))
    np.testing.assert_allclose(predicted, forest.predict(samples[0]), atol=1e-6, rtol=0)


def test_every_branch_is_the_one_of_scikit_learn_on_the_thresholds_themselves(forest):
    tree = forest.estimators_[0].tree_
    inner = tree.children_left >= 0
    values = np.zeros((4 * inner.sum(), 4), np.float32)
    near = tree.threshold[inner].astype(np.float32)
    values[:, :] = np.random.default_rng(0).normal(size=values.shape)
    up = np.nextafter(near, np.float32(np.inf))
    for number, column in enumerate((near, up, np.nextafter(near, np.float32(-np.inf)), near)):
        rows = np.arange(inner.sum()) + number * inner.sum()
        values[rows, tree.feature[inner]] = column
    table = pack_trees(as_trees(forest.estimators_))
    np.testing.assert_allclose(table(jnp.asarray(values)), forest.predict(values), atol=1e-6)


def test_members_on_the_last_axis_change_nothing(forest, samples):
    table = pack_trees(as_trees(forest.estimators_))
    values = jnp.asarray(samples[0][:15], jnp.float32)
    alone = table(values)
    together = jax.vmap(table, in_axes=-1, out_axes=-1)(
        jnp.moveaxis(values.reshape(3, 5, 4), 0, -1)
    )
    np.testing.assert_array_equal(jnp.moveaxis(together, -1, 0).reshape(15, 2), alone)
