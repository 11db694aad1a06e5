"""Multilayer perceptrons."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.nets.mlp import MLP, initialise


def test_an_mlp_multiplies_adds_and_bends():
    first = jnp.array([[1.0, -1.0], [2.0, 0.5], [0.0, 1.0]], jnp.float32)
    second = jnp.array([[3.0], [10.0]], jnp.float32)
    net = MLP((first, second), (jnp.array([0.0, 1.0], jnp.float32), jnp.array([0.5], jnp.float32)))
    values = jnp.array([[1.0, 1.0, 0.0], [-1.0, 0.0, 2.0]], jnp.float32)
    # Hidden: (3, 0.5) and relu(-1, 4) = (0, 4); output: 9 + 5 + 0.5 and 40 + 0.5.
    np.testing.assert_allclose(net(values), [[14.5], [40.5]])


def test_initial_weights_keep_the_size_of_what_passes(key):
    values = jax.random.normal(key, (4000, 50), jnp.float32)
    net = initialise(50, 3, width=200, depth=3, activation="relu", key=key)
    hidden = values
    for weights, offset in zip(net.weights[:-1], net.offsets[:-1], strict=True):
        hidden = jax.nn.relu(hidden @ weights + offset)
    # He: the mean square stays 1 for inputs of variance 1.
    assert jnp.mean(hidden**2) == pytest.approx(1, abs=0.3)
    assert {a.dtype for a in jax.tree.leaves(net)} == {np.dtype("float32")}


def test_depth_zero_is_an_affine_map(key):
    net = initialise(3, 2, width=7, depth=0, activation="tanh", key=key)
    assert [w.shape for w in net.weights] == [(3, 2)]


def test_an_unknown_activation_names_its_nearest_neighbour(key):
    with pytest.raises(ValueError, match=r"MLP: activation is 'rleu'; did you mean 'relu'\?"):
        initialise(3, 2, width=7, depth=1, activation="rleu", key=key)
