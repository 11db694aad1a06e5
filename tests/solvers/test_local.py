import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.core.problem import Background, Observed
from closura.grids.distance import distance, gaspari_cohn
from closura.solvers.baselines import ThreeDVar
from closura.solvers.ensemble import EnKF, SerialEnSRF
from closura.solvers.hybrid import HybridEnKF
from closura.solvers.letkf import LETKF
from closura.solvers.local_enkf import LocalEnKF
from closura.solvers.local_serial import LocalSerialEnSRF
from closura.solvers.localisation import find_near

RANDOM = np.random.default_rng(3)
PLANE = RANDOM.uniform(0, 10, (11, 2))
SPHERE = np.stack([RANDOM.uniform(-180, 180, 11), RANDOM.uniform(-80, 80, 11)], axis=1)
GEOMETRIES = {
    "line": (np.arange(11.0)[:, None], (), 0.0),
    "ring": (np.arange(11.0)[:, None], (11.0,), 0.0),
    "plane": (PLANE, (), 0.0),
    "torus": (PLANE, (10.0, 10.0), 0.0),
    "box": (np.concatenate([PLANE, RANDOM.uniform(0, 3, (11, 1))], axis=1), (10.0, 0.0, 0.0), 0.0),
    "sphere": (SPHERE, (), 4.0),
}
SEEN = np.array([1, 4, 7])
LOCAL = [LocalEnKF, LocalSerialEnSRF, LETKF]


def named(kind):
    return kind.__name__


def background(geometry, sample=None):
    places, periods, sphere = GEOMETRIES[geometry]
    sample = np.zeros((len(places), 2)) if sample is None else sample
    return Background(sample, places, places[SEEN], periods, sphere)


def observed(weights=(1.3, 0.7, 2.0)):
    return Observed(jnp.array([0.5, -0.4, 1.2]), jnp.array(weights), lambda state: state[SEEN])


@pytest.fixture
def members(key):
    return jax.random.normal(key, (11, 6))


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_mean_is_that_of_the_tapered_covariance(geometry, members, key):
    # (r o P) H' (H (r o P) H' + R)^{-1} with full matrices, for observations on grid points.
    places, periods, sphere = GEOMETRIES[geometry]
    taper = gaspari_cohn(distance(places[:, None], places[None], periods, sphere), 3.0)
    P, H = np.asarray(taper) * np.cov(members), np.eye(11)[SEEN]
    K = P @ H.T @ np.linalg.inv(H @ P @ H.T + np.diag([1.3**-2, 0.7**-2, 2.0**-2]))
    mean = np.asarray(members.mean(axis=1))
    wanted = mean + K @ ([0.5, -0.4, 1.2] - H @ mean)
    solver = LocalEnKF(6, radius=3.0, convention="half-width").prepare(background(geometry))
    found = solver.analyse(members, observed(), key)
    np.testing.assert_allclose(found.mean(axis=1), wanted, atol=1e-10)


@pytest.mark.parametrize(
    ("kind", "geometry"),
    [(LETKF, "plane"), (LETKF, "sphere"), (LocalEnKF, "box"), (LocalSerialEnSRF, "sphere")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_is_far_is_left_alone(kind, geometry, members, key):
    places, periods, sphere = GEOMETRIES[geometry]
    solver = kind(6, radius=1.0, convention="half-width").prepare(background(geometry))
    found = solver.analyse(members, observed((1.0, 0.0, 0.0)), key)
    moved = np.asarray(jnp.abs(found - members).max(axis=1) > 1e-9)
    far = distance(places, places[SEEN[0]], periods, sphere)
    np.testing.assert_array_equal(moved, far < 2.0)


@pytest.mark.parametrize(
    ("local", "whole"), [(LocalEnKF, EnKF), (LocalSerialEnSRF, SerialEnSRF)], ids=named
)
def test_a_wide_radius_is_no_localisation(local, whole, members, key):
    solver = local(6, radius=1e5).prepare(background("ring"))
    wanted = whole(6).analyse(members, observed(), key)
    np.testing.assert_allclose(solver.analyse(members, observed(), key), wanted, atol=1e-8)


@pytest.mark.parametrize("kind", LOCAL, ids=named)
def test_what_lies_nowhere_feels_every_observation_undamped(kind, members, key):
    # The last number is a global parameter; with a radius of 0.4 each observation moves one point.
    places = np.arange(11.0)[:, None].copy()
    places[10] = np.nan
    solver = kind(6, radius=0.4, convention="half-width").prepare(
        Background(np.zeros((11, 2)), places, places[SEEN])
    )
    apart = members.at[SEEN[1]].set(members[SEEN[0]])  # two that say the same of the parameter
    one = Observed(jnp.array([0.5]), jnp.ones(1), lambda state: state[SEEN[:1]])
    alone = kind(6, radius=0.4, convention="half-width").prepare(
        Background(np.zeros((11, 2)), places, places[SEEN[:1]])
    )
    found = alone.analyse(apart, one, key)
    P = np.cov(apart)
    gain = P[10, SEEN[0]] / (P[SEEN[0], SEEN[0]] + 1)
    moved = apart.mean(axis=1)[10] + gain * (0.5 - apart.mean(axis=1)[SEEN[0]])
    np.testing.assert_allclose(found.mean(axis=1)[10], moved, atol=1e-10)
    everything = solver.analyse(members, observed(), key)
    still = np.setdiff1d(np.arange(10), SEEN)
    np.testing.assert_allclose(everything[still], members[still], atol=1e-12)
    assert not np.allclose(everything[10], members[10])


def test_an_observation_that_lies_nowhere_is_near_everything():
    others = np.array([[2.0], [np.nan], [7.0]])
    index, taper = find_near(np.arange(9.0)[:, None], others, 0.5, Background(np.zeros((9, 2))))
    near = [
        {int(i) for i, t in zip(*row, strict=True) if t > 0}
        for row in zip(index, taper, strict=True)
    ]
    assert near[2] == {0, 1}
    assert near[7] == {1, 2}
    assert near[0] == {1}


@pytest.mark.parametrize("radius", [None, 2.0])
def test_a_hybrid_without_climate_is_the_ensemble_filter(radius, members, key):
    whole = EnKF(6) if radius is None else LocalEnKF(6, radius=radius).prepare(background("ring"))
    sample = RANDOM.normal(size=(11, 40))
    solver = HybridEnKF(6, weight=0.0, radius=radius).prepare(background("ring", sample))
    wanted = whole.analyse(members, observed(), key)
    np.testing.assert_allclose(solver.analyse(members, observed(), key), wanted, atol=1e-10)


def test_a_hybrid_of_climate_alone_moves_its_mean_as_the_static_analysis(members, key):
    sample = RANDOM.normal(size=(11, 40))
    static = ThreeDVar(scale=0.3).prepare(background("ring", sample))
    solver = HybridEnKF(6, weight=1.0, scale=0.3).prepare(background("ring", sample))
    wanted = static.analyse(members.mean(axis=1, keepdims=True), observed(), key)[:, 0]
    found = solver.analyse(members, observed(), key).mean(axis=1)
    np.testing.assert_allclose(found, wanted, atol=1e-10)


def test_an_identity_covariance_is_independent_errors(members, key):
    # Variance 4, each seen with error 1 / weight: gain 4 / (4 + 1 / w^2) at the point alone.
    static = ThreeDVar(scale=4.0, covariance="identity").prepare(
        background("ring", RANDOM.normal(size=(11, 40)))
    )
    state = members[:, :1]
    found = static.analyse(state, observed(), key)[:, 0]
    weight, wanted = np.array([1.3, 0.7, 2.0]), np.asarray(state[:, 0]).copy()
    gain = 4 / (4 + weight**-2.0)
    wanted[SEEN] += gain * ([0.5, -0.4, 1.2] - wanted[SEEN])
    np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: LocalEnKF(5, radius=-1.0), r"LocalEnKF: radius is -1.0; it must be positive\. W"),
        (lambda: LocalSerialEnSRF(5, radius=0.0), "Without localisation use SerialEnSRF"),
        (lambda: HybridEnKF(5, weight=1.2), r"HybridEnKF: weight is 1.2; it must lie between 0"),
        (lambda: HybridEnKF(5, scale=0.0), r"HybridEnKF: scale is 0.0; it must be positive"),
    ],
)
def test_impossible_settings_are_refused(make, complaint):
    with pytest.raises(ValueError, match=complaint):
        make()


@pytest.mark.parametrize(
    ("places", "positions", "sphere", "complaint"),
    [
        (PLANE, PLANE[:3, :1], 0.0, "positions of the observations have 1 coordinates and the mod"),
        (PLANE, PLANE[:3] + 50, 0.0, r"observation 0 at \(.*\) lies outside the domain, farther"),
        (SPHERE, SPHERE[:3, ::-1] * [1, 1.2], 4.0, "positions hold the latitude .* longitude, the"),
    ],
)
def test_places_that_do_not_fit_are_refused(places, positions, sphere, complaint):
    known = Background(np.zeros((11, 2)), places, positions, (), sphere)
    with pytest.raises(ValueError, match=f"LETKF: {complaint}"):
        LETKF(5, radius=1.0).prepare(known)


@pytest.mark.parametrize("kind", [LocalEnKF, LocalSerialEnSRF, HybridEnKF], ids=named)
def test_an_observation_outside_the_domain_is_refused(kind):
    # The last number of the state lies nowhere: that it feels everything excuses nothing.
    places = np.concatenate([PLANE, [[np.nan, np.nan]]])
    outside = np.concatenate([PLANE[:2], [[60.0, 5.0]]])
    known = Background(RANDOM.normal(size=(12, 40)), places, outside)
    with pytest.raises(ValueError, match=rf"{kind.__name__}: observation 2 at \(60, 5\) lies out"):
        kind(5, radius=1.0).prepare(known)


def test_local_filters_want_to_be_prepared(members, key):
    for kind in (LocalEnKF, LocalSerialEnSRF, HybridEnKF):
        with pytest.raises(ValueError, match=r"call prepare\(background\) first"):
            kind(6).analyse(members, observed(), key)
