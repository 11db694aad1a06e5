"""What a spectral core steps forward: transforms of all of it at once, and steps kept in memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("dinosaur")

import closura as cl
from closura.models.spectral_state import computed_once, stacked

TREE = (jnp.array([[1.5, jnp.inf], [-0.0, 3e-40]]), {"q": jnp.arange(6.0).reshape(2, 3)})
STAGES = 3


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize("first", [1.5, np.nan])
def test_a_tree_computed_once_is_the_tree(first):
    tree = (TREE[0].at[0, 0].set(first), TREE[1])
    assert bits(computed_once(tree)) == bits(tree)
    assert bits(jax.jit(computed_once)(tree)) == bits(tree)
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), tree)
    assert bits(jax.vmap(computed_once)(many)) == bits(many)


def test_a_gradient_passes_through_what_is_computed_once():
    def energy(tree):
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(computed_once(tree)))

    tree = (jnp.arange(4.0), {"q": jnp.arange(3.0) - 1})
    found = jax.grad(energy)(tree)
    assert bits(found) == bits(jax.tree.map(lambda leaf: 2 * leaf, tree))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="only on a CPU is a border needed")
@pytest.mark.parametrize("members", [None, 2])
def test_the_compiler_leaves_every_border_of_a_step_in_place(members):
    """Or the step is slower by a fifth: one border for each stage's two results, one at its end."""
    model = cl.PrimitiveEquations("T21", 2)
    start = model.start(model.initial_state(jax.random.key(0)))

    def step(now):
        return model.step(now)

    if members is not None:
        start = jax.tree.map(lambda leaf: jnp.stack(members * [leaf]), start)
        step = jax.vmap(step)
    compiled = jax.jit(step).lower(start).compile().as_text()
    assert compiled.count(" conditional(") == 2 * STAGES + 1


def test_a_step_outside_jit_is_compiled_once():
    tree = (TREE[0] + 1, TREE[1])
    computed_once(tree)
    known = computed_once._cache_size()
    computed_once((TREE[0] + 2, TREE[1]))
    assert computed_once._cache_size() == known


def test_transforms_of_all_leaves_at_once_are_those_of_each():
    def transform(values):
        return jnp.tensordot(values, jnp.arange(6.0).reshape(3, 2), axes=1)

    tree = {"b": jnp.arange(6.0).reshape(2, 3), "a": jnp.arange(3.0)[None]}
    assert bits(stacked(transform, tree)) == bits({n: transform(leaf) for n, leaf in tree.items()})
    assert stacked(transform, {}) == {}
