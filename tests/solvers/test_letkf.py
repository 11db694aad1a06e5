import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.core.problem import Background, Observed
from closura.solvers.letkf import LETKF
from closura.solvers.localisation import find_local, half_width

PLACES = np.arange(24.0)[:, None]


def background(observed=PLACES[::2]):
    return Background(np.zeros((24, 2)), PLACES, observed, (24.0,))


def test_far_observations_are_not_felt(key):
    ensemble = jax.random.normal(key, (24, 5))
    seen = Observed(jnp.array([3.0]), jnp.ones(1), lambda state: state[:1])
    solver = LETKF(5, radius=2.0, convention="half-width").prepare(background(PLACES[:1]))
    moved = jnp.abs(solver.analyse(ensemble, seen, key) - ensemble).max(axis=1) > 1e-12
    # Half-width 2: the taper vanishes from distance 4 on, both ways round the ring.
    assert np.flatnonzero(moved).tolist() == [0, 1, 2, 3, 21, 22, 23]


def test_lists_hold_what_is_near_whichever_way_round():
    local = find_local(background(), 1.0, "half-width", "LETKF")
    near = [
        {int(i) for i, r in zip(*row, strict=True) if r > 0}
        for row in zip(local.number, local.root, strict=True)
    ]
    # Observation n lies at 2 n: point 0 sees only itself within a distance below 2.
    assert near[0] == {0}
    assert near[23] == {11, 0}
    assert local.number.shape[1] <= 3


def test_radius_of_dapper_is_wider_than_the_half_width():
    assert half_width(2.0, "decay") == 3.64
    assert half_width(2.0, "half-width") == 2.0


def test_cost_of_lists_grows_with_the_number_of_points():
    # 40 000 points: a full matrix of distances would take 12.8 GB.
    places = np.arange(40_000.0)[:, None]
    local = find_local(
        Background(np.zeros((1, 2)), places, places, (40_000.0,)), 4.0, "decay", "LETKF"
    )
    assert local.number.shape == (40_000, 29)


def test_state_without_places_is_refused():
    with pytest.raises(ValueError, match="LETKF: the state has no places"):
        LETKF(5).prepare(Background(np.zeros((24, 2))))


def test_radius_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"LETKF: radius is 0.0; it must be positive"):
        LETKF(5, radius=0.0)
