"""Networks of the whole sphere."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.closures.atmosphere import Column, LatLonImage
from closura.closures.learned import LearnedClosure, Scaling
from closura.closures.mesh import SphereMesh
from closura.data.closures import load_closure, save_closure
from closura.learners.images import Graph, UNet, scale_winds, wind_channels
from closura.learners.tables import measure_scaling
from closura.nets.graph import draw_graph
from closura.nets.unet import draw_unet
from made_atmosphere import LATITUDES, made_pairs

ONE = {"variables": ("temperature",), "input_levels": (2, 3), "output_levels": (2, 3)}
KEY = jax.random.key(0)


def excited(features, network):
    """A closure of a network whose last matrix is not zero, so that all of it speaks."""
    last = jax.tree.map(lambda a: 0.3 * jax.random.normal(KEY, a.shape, a.dtype), network.last)
    inputs, outputs = (
        jnp.ones(len(features.layout.names)),
        jnp.ones(network.column.offsets[-1].size),
    )
    scaling = Scaling(0 * inputs, inputs, 0 * outputs, outputs, inputs, inputs)
    return LearnedClosure(features, scaling, eqx.tree_at(lambda n: n.last, network, last))


def unet(pairs):
    features = LatLonImage().bind(pairs)
    layout = features.layout
    outputs = sum(slot.size for slot in layout.written)
    settings = {"width": 4, "depth": 2, "activation": "tanh", "poles": layout.poles}
    settings |= {"signs": layout.signs, "key": KEY}
    network = eqx.filter_jit(draw_unet)(len(layout.names), outputs, **settings)
    return excited(features, network)


def graph(pairs, nearest=None):
    features = SphereMesh(nearest=nearest).bind(pairs)
    layout = features.layout
    outputs = sum(slot.size for slot in layout.written)
    settings = {"width": 4, "rounds": 2, "activation": "tanh", "winds": wind_channels(layout)}
    network = eqx.filter_jit(draw_graph)(len(layout.names), outputs, **settings, key=KEY)
    return excited(features, replace(network, mesh=features.mesh))


tendency = eqx.filter_jit(lambda closure, fields: closure.tendency(fields))


def fields_of(pairs, number=0):
    return {name: jnp.asarray(a[0, number]) for name, a in pairs.inputs.items()}


@pytest.fixture(scope="module", params=[unet, graph])
def closure(request):
    return request.param(made_pairs())


@pytest.mark.parametrize("turned", [4, 3])
def test_turning_the_world_turns_the_answer(closure, turned):
    if turned % 4 and isinstance(closure.features, LatLonImage):
        return  # two halvings: multiples of 4 alone
    fields = fields_of(made_pairs())
    there = jax.tree.map(lambda a: jnp.roll(a, turned, axis=-1), fields)
    one, two = tendency(closure, fields), tendency(closure, there)
    np.testing.assert_allclose(two["u"], jnp.roll(one["u"], turned, axis=-1), atol=2e-5)


def test_what_lies_across_the_pole_is_seen_as_near(closure):
    # A change at 75 N, longitude 0 is felt at 75 N half-way round as it is at 45 N.
    fields = fields_of(made_pairs())
    other = fields | {"temperature": fields["temperature"].at[:, 5, 0].add(3.0)}
    felt = jnp.abs(tendency(closure, other)["u"] - tendency(closure, fields)["u"]).max(axis=0)
    assert felt[5, 4] > 1e-3
    assert felt[4, 0] > 1e-3


def test_a_resting_uniform_atmosphere_gets_the_same_along_each_latitude(closure):
    fields = jax.tree.map(lambda a: jnp.full_like(a, 0.7), fields_of(made_pairs()))
    fields |= {"u": 0 * fields["u"], "v": 0 * fields["v"]}
    found = tendency(closure, fields)["u"]
    np.testing.assert_allclose(found, found[..., :1] * jnp.ones(8), atol=1e-5)


def test_winds_across_the_pole_are_read_with_the_other_sign(closure):
    # Flow over the pole along longitudes 0 and 180: v > 0 here is v < 0 there. Both sides of the
    # pole see the same picture, turned by half a circle: so do their answers.
    zero = jnp.zeros((5, 6, 8))
    fields = fields_of(made_pairs()) | {"u": zero, "v": zero, "temperature": zero}
    fields |= {"surface_pressure": jnp.zeros((6, 8))}
    north = fields | {"v": zero.at[:, 5, 0].set(1.0)}
    south = fields | {"v": zero.at[:, 5, 4].set(1.0)}
    one, two = tendency(closure, north)["u"], tendency(closure, south)["u"]
    np.testing.assert_allclose(jnp.roll(one, 4, axis=-1), two, atol=1e-5)


def test_it_comes_back_from_a_file(closure, tmp_path):
    back = load_closure(save_closure(tmp_path, closure))
    fields = fields_of(made_pairs())
    np.testing.assert_array_equal(tendency(back, fields)["v"], tendency(closure, fields)["v"])
    assert back.predictor.column.weights[0].dtype == jnp.float32


@pytest.mark.parametrize(
    "learner",
    [
        UNet(LatLonImage(**ONE), width=8, depth=0, columns=0, epochs=30, learning_rate=1e-2),
        Graph(SphereMesh(**ONE), width=16, rounds=1, columns=0, epochs=30, learning_rate=1e-2),
    ],
    ids=["UNet", "Graph"],
)
def test_a_law_of_the_neighbours_is_learned(learner, key):
    # No column alone can know it: du/dt is the temperature to the east minus that to the west.
    # Of 6 rows the outer two differ most in the distance of neighbours: they are not scored.
    pairs = made_pairs(times=150)
    warm = pairs.inputs["temperature"]
    target = {"u": np.roll(warm, -1, axis=-1) - np.roll(warm, 1, axis=-1)}
    pairs = made_pairs(times=150, targets=target)
    closure = learner.fit(pairs, key=key)
    found = np.stack([tendency(closure, fields_of(pairs, n))["u"] for n in range(0, 150, 10)])
    wanted = target["u"][0, ::10, 2:3, 1:-1]
    found = found[:, 2:3, 1:-1]
    assert 1 - np.mean((found - wanted) ** 2) / np.var(wanted) > 0.8


@pytest.mark.parametrize(
    "learner",
    [
        UNet(LatLonImage(**ONE), width=4, depth=0, columns=12, epochs=1, learning_rate=1e-9),
        Graph(SphereMesh(**ONE), width=8, rounds=1, columns=12, epochs=1, learning_rate=1e-9),
    ],
    ids=["UNet", "Graph"],
)
def test_what_columns_know_is_learned_before_the_rest(learner, key):
    # The whole is hardly trained (a rate of 1e-9): what is explained, its network of columns does.
    warm = made_pairs(times=150).inputs["temperature"]
    pairs = made_pairs(times=150, targets={"u": -0.5 * warm})
    closure = learner.fit(pairs, key=key)
    found = np.stack([tendency(closure, fields_of(pairs, n))["u"][2] for n in range(0, 150, 10)])
    wanted = -0.5 * warm[0, ::10, 2]
    assert 1 - np.mean((found - wanted) ** 2) / np.var(wanted) > 0.9


def test_winds_share_one_deviation_about_zero():
    features = SphereMesh(input_levels=(1, 3)).bind(made_pairs(times=50))
    layout = features.layout
    assert wind_channels(layout) == ((0, 1), (2, 3))
    before = measure_scaling(features, made_pairs(times=50))
    after = scale_winds(before, layout)
    power = before.mean[:4] ** 2 + before.deviation[:4] ** 2
    np.testing.assert_allclose(after.deviation[1] ** 2, 0.5 * (power[1] + power[3]))
    np.testing.assert_array_equal(after.mean[:4], 0)
    np.testing.assert_array_equal(after.mean[4:], before.mean[4:])


def test_rows_that_cannot_be_halved_are_filled_up_and_taken_off_again():
    rows = np.linspace(-90, 90, 7)
    pairs = made_pairs(times=20)
    wide = {n: np.concatenate([a, a[..., :1, :]], axis=-2) for n, a in pairs.inputs.items()}
    pairs = made_pairs(inputs=wide, targets={"u": wide["u"]}, time=pairs.time, given={}, static={},
                       coordinates=dict(pairs.coordinates) | {"lat": rows})  # fmt: skip
    closure = unet(pairs)
    assert closure.predictor.poles == (True, True)
    assert tendency(closure, fields_of(pairs))["u"].shape == (5, 7, 8)


def test_columns_without_rows_and_lines_are_a_mesh_of_the_nearest():
    pairs = made_pairs(times=20)
    flat = {n: a.reshape(*a.shape[:-2], 48) for n, a in pairs.inputs.items()}
    latitude, longitude = np.meshgrid(LATITUDES, 45.0 * np.arange(8), indexing="ij")
    pairs = made_pairs(inputs=flat, targets={"u": flat["u"]}, time=pairs.time, given={}, static={},
                       coordinates={"lat": latitude.ravel(), "lon": longitude.ravel()})  # fmt: skip
    closure = graph(pairs, nearest=5)
    assert closure.features.mesh.index.shape == (48, 5)
    assert tendency(closure, fields_of(pairs))["u"].shape == (5, 48)


@pytest.mark.parametrize(
    ("learner", "line"),
    [
        (UNet(features=Column()), "UNet wants LatLonImage and has Column; set it."),
        (UNet(depth=4), "UNet: 8 longitudes cannot be halved 4 times; use a smaller depth."),
        (Graph(features=LatLonImage()), "Graph wants SphereMesh and has LatLonImage; set it."),
    ],
)
def test_features_that_do_not_fit_are_refused(learner, line, key):
    with pytest.raises(ValueError, match=line):
        learner.fit(made_pairs(), key=key)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="Graph: rounds is 0; it must be 1 or more"):
        Graph(rounds=0)
    with pytest.raises(ValueError, match="UNet: columns is -1; it must be 0 or more"):
        UNet(columns=-1)
    with pytest.raises(ValueError, match="UNet: weigh is 'mas'; did you mean 'mass'"):
        UNet(weigh="mas")
