"""Patch features: what lies around each point of a plane, and what a learner makes of it."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.export.translate import translate
from closura.grids.plane import patches


@pytest.fixture
def pairs() -> Pairs:
    """Two fields on a plane of 5 x 7, and a target made of three neighbours."""
    draw = np.random.default_rng(3)
    u, s = draw.normal(size=(2, 30, 5, 7)), draw.normal(size=(2, 30, 5, 7))
    north_west = np.roll(u, (-1, 1), axis=(2, 3))  # y + 1, x - 1
    target = {"u": 2 * u - 3 * np.roll(s, 1, axis=3), "s": 0.5 * north_west + 4}
    return Pairs({"u": u, "s": s}, target, np.arange(30.0), Passport("coupling"))


def test_a_patch_goes_row_by_row_and_around_the_edges():
    # Value 10 j + i at (j, i) of a 3 x 4 plane: around (0, 3) lie rows 2, 0, 1 and columns 2, 3, 0.
    values = jnp.array([[10 * j + i for i in range(4)] for j in range(3)])
    assert list(patches(values, 1)[0, 3]) == [22, 23, 20, 2, 3, 0, 12, 13, 10]
    assert patches(values, 1).shape == (3, 4, 9)


def test_a_linear_law_of_neighbours_is_found_exactly(pairs):
    closure = cl.Linear(features=cl.Patch(radius=1)).fit(pairs)
    fields = {name: jnp.asarray(a[1, 4]) for name, a in pairs.inputs.items()}
    found = closure.tendency(fields)
    for name in ("u", "s"):
        np.testing.assert_allclose(found[name], pairs.targets[name][1, 4], atol=1e-9)


def test_tables_and_fields_are_inverse_of_each_other(pairs):
    features = cl.Patch(radius=0).bind(pairs.inputs, pairs.targets)
    targets = {name: jnp.asarray(a[0, 0]) for name, a in pairs.targets.items()}
    table = features.collect(targets)
    assert table.shape == (35, 2)
    for name, values in features.outputs(table).items():
        np.testing.assert_array_equal(values, targets[name])


def test_a_shipped_patch_names_its_neighbours_and_gathers_them(pairs):
    closure = cl.Linear(features=cl.Patch(radius=1, variables=("s", "u"))).fit(pairs)
    container, layout = translate(closure, pairs)
    names = [column.name for column in container.inputs]
    assert names[:4] == ["s(-1,-1)", "s(-1,0)", "s(-1,+1)", "s(0,-1)"] and names[9] == "u(-1,-1)"
    assert layout.inputs[2] == ("s", (-1, 1))
    from closura.export.cases import record

    cases = record(closure, layout, [pairs])
    np.testing.assert_allclose(container.predict(cases.inputs), cases.tendencies, atol=1e-9)


def test_fields_on_different_planes_are_refused(pairs):
    ring = replace(pairs, inputs=dict(pairs.inputs) | {"u": np.zeros((2, 30, 5))})
    with pytest.raises(ValueError, match=r"on one plane .y, x., found shapes .*use Stencil"):
        cl.Linear(features=cl.Patch()).fit(ring)


@pytest.mark.parametrize(("radius", "line"), [(-1, "it must be 0 or more"), (3, "of at most 2")])
def test_a_radius_that_does_not_fit_is_refused(pairs, radius, line):
    with pytest.raises(ValueError, match=line):
        cl.Linear(features=cl.Patch(radius=radius)).fit(pairs)
