"""Rotating shallow water: waves, balance, what it keeps, its order, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.models.shallow_water import ShallowWaterState

FREE = {"nx": 7, "ny": 5, "spacing": 2e4, "depth": 300.0, "gravity": 0.3, "coriolis": 7e-5}


def random_state(model: cl.ShallowWater) -> ShallowWaterState:
    shape = (model.ny, model.nx)
    keys = jax.random.split(jax.random.key(5), 3)
    u, v, elevation = (jax.random.normal(key, shape) for key in keys)
    return ShallowWaterState(0.3 * u, 0.2 * v, 20.0 * elevation)


@pytest.mark.parametrize("along_x", [True, False])
def test_gravity_waves_travel_at_the_root_of_gravity_times_depth(along_x):
    # One wave on 24 points moves at c sin(k d / 2) / (k d / 2) on a C grid, 0.29 % below c.
    nx, ny = (24, 5) if along_x else (5, 24)
    model = cl.ShallowWater(nx=nx, ny=ny, coriolis=0.0, gravity=9.81, depth=100.0, dt=100.0)
    half = np.pi / 24
    speed = np.sqrt(981.0) * np.sin(half) / half
    points = np.arange(24)
    wave = 1e-4 * np.cos(2 * half * (points + 0.5))
    push = 1e-4 * np.sqrt(9.81 / 100.0) * np.cos(2 * half * points)
    shape = (lambda a: np.tile(a, (5, 1))) if along_x else (lambda a: np.tile(a[:, None], 5))
    still = np.zeros((ny, nx))
    flow = (shape(push), still) if along_x else (still, shape(push))
    start = model.start(ShallowWaterState(*map(jnp.asarray, (*flow, shape(wave)))))
    steps = 96  # 9600 s, half of a period
    _, after = cl.rollout(model, start, steps)
    found = np.asarray(after.state.elevation)
    found = found[2] if along_x else found[:, 2]
    angle = np.angle(np.fft.fft(wave)[1] / np.fft.fft(found)[1])
    assert angle / (2 * half) * 25e3 / (steps * 100.0) == pytest.approx(speed, rel=1e-4)
    assert speed == pytest.approx(0.99714 * np.sqrt(981.0), rel=1e-4)


def test_a_flow_in_geostrophic_balance_stays():
    # f v = g d(elevation)/dx: a weak jet along y that varies along x changes by nothing but the
    # square of its Rossby number, and without its elevation by f v.
    model = cl.ShallowWater(nx=48, ny=5)
    x = 2 * np.pi * (np.arange(48) + 0.5) / 48
    level = 1e-2 * np.cos(x)
    v = model.gravity / model.coriolis * (np.roll(level, -1) - np.roll(level, 1)) / (2 * 25e3)
    rows = lambda a: jnp.asarray(np.tile(a, (5, 1)))  # noqa: E731
    balanced = ShallowWaterState(rows(0 * v), rows(v), rows(level))
    adrift = balanced._replace(elevation=rows(0 * level))
    moved = float(jnp.abs(model.tendency(balanced).u).max())
    alone = float(jnp.abs(model.tendency(adrift).u).max())
    assert alone == pytest.approx(1e-4 * np.abs(v).max(), rel=0.01)
    assert moved < 5e-3 * alone  # the C grid takes f v as a mean of two: 0.4 % at 48 points


def test_the_first_state_is_in_geostrophic_balance():
    model = cl.ShallowWater(nx=48, ny=40)
    state = model.initial_state(jax.random.key(1))
    tendency = model.tendency(state)
    turning = 1e-4 * float(jnp.std(state.v))
    assert 0.02 < float(jnp.std(state.v)) < 0.5  # [m s-1]
    assert float(jnp.std(tendency.u)) < 0.15 * turning


def test_mass_is_conserved_to_rounding():
    model = cl.ShallowWater(**FREE, wind_stress=0.2, drag=2e-3, viscosity=100.0, dt=300.0)
    state = random_state(model)
    rise = model.tendency(state).elevation
    assert abs(float(rise.sum())) < 1e-14 * float(jnp.abs(rise).sum())
    _, after = cl.rollout(model, model.start(state), 200)
    before = float(state.elevation.mean())
    assert float(after.state.elevation.mean()) == pytest.approx(before, abs=1e-12)


def test_energy_is_conserved_without_wind_and_drag():
    # The energy's gradient times the tendency is zero to rounding, also for rough fields.
    model = cl.ShallowWater(**FREE)
    state = random_state(model)
    gradient = jax.grad(model.energy)(state)
    parts = [float(jnp.sum(g * t)) for g, t in zip(gradient, model.tendency(state), strict=True)]
    assert max(map(abs, parts)) > 1e-8
    assert abs(sum(parts)) < 1e-13 * sum(map(abs, parts)) * 10


@pytest.mark.parametrize("loss", [{"drag": 3e-3}, {"viscosity": 400.0}])
def test_drag_and_viscosity_take_energy(loss):
    model = cl.ShallowWater(**FREE, **loss)
    state = random_state(model)
    gradient = jax.grad(model.energy)(state)
    change = sum(jnp.sum(g * t) for g, t in zip(gradient, model.tendency(state), strict=True))
    assert float(change) < -1e-8


def test_drag_of_a_uniform_flow_is_that_of_the_formula():
    # u = 0.3, v = 0.4: speed 0.5. du/dt = f v - C |u| u / h, dv/dt = -f u - C |u| v / h.
    model = cl.ShallowWater(**FREE, drag=2e-3)
    full = lambda value: jnp.full((5, 7), value)  # noqa: E731
    found = model.tendency(ShallowWaterState(full(0.3), full(0.4), full(20.0)))
    np.testing.assert_allclose(found.u, 7e-5 * 0.4 - 2e-3 * 0.5 * 0.3 / 320, rtol=1e-12)
    np.testing.assert_allclose(found.v, -7e-5 * 0.3 - 2e-3 * 0.5 * 0.4 / 320, rtol=1e-12)
    np.testing.assert_allclose(found.elevation, 0, atol=1e-18)


def test_wind_over_water_at_rest_is_stress_over_mass():
    model = cl.ShallowWater(**FREE, wind_stress=0.2, wind_waves=1)
    still = jnp.zeros((5, 7))
    found = model.tendency(ShallowWaterState(still, still, still))
    row = 0.2 / (1025.0 * 300.0) * np.sin(2 * np.pi * (np.arange(5) + 0.5) / 5)
    np.testing.assert_allclose(found.u, np.tile(row[:, None], 7), atol=1e-20)
    np.testing.assert_allclose(found.v, 0, atol=1e-20)


def exact_tendency(model: cl.ShallowWater, x: np.ndarray, y: np.ndarray) -> tuple:
    """u, v, elevation and their tendencies for smooth fields, by hand, at (x, y) in wave units."""
    k, length = 2 * np.pi / (model.nx * model.spacing), np.pi * 2 / (model.ny * model.spacing)
    a, b, e = 0.3, 0.2, 9.0
    u, ux, uy = a * np.sin(x + y), a * k * np.cos(x + y), a * length * np.cos(x + y)
    v, vx, vy = b * np.cos(x - y), -b * k * np.sin(x - y), b * length * np.sin(x - y)
    s, sx, sy = e * np.sin(x) * np.cos(y), e * k * np.cos(x) * np.cos(y), -e * length * np.sin(x) * np.sin(y)  # fmt: skip
    h = model.depth + s
    lap = -(k**2 + length**2)
    loss = model.drag * np.sqrt(u**2 + v**2) / h
    du = (
        model.coriolis * v
        - u * ux
        - v * uy
        - model.gravity * sx
        + (model.viscosity * lap - loss) * u
    )
    dv = (
        -model.coriolis * u
        - u * vx
        - v * vy
        - model.gravity * sy
        + (model.viscosity * lap - loss) * v
    )
    return (u, v, s), (du, dv, -(ux + vy) * h - u * sx - v * sy)


def largest_error(nx: int, ny: int) -> list[float]:
    model = cl.ShallowWater(nx=nx, ny=ny, spacing=8e5 / nx, drag=3e-3, viscosity=3e4)
    places = model.places
    scale = 2 * np.pi / np.array(model.periods)
    at = {name: exact_tendency(model, *np.moveaxis(p * scale, -1, 0)) for name, p in places.items()}
    names = ("u", "v", "elevation")
    state = ShallowWaterState(*(jnp.asarray(at[n][0][i]) for i, n in enumerate(names)))
    found = model.tendency(state)
    return [float(np.abs(found[i] - at[n][1][i]).max()) for i, n in enumerate(names)]


def test_the_scheme_is_of_second_order():
    rough, fine = largest_error(24, 18), largest_error(48, 36)
    orders = [np.log2(one / two) for one, two in zip(rough, fine, strict=True)]
    assert min(orders) > 1.85, orders


def test_turning_the_plane_turns_the_tendency():
    model = cl.ShallowWater(**FREE, drag=1e-3, viscosity=50.0)
    state = random_state(model)
    turn = lambda field: jnp.roll(field, (2, 3), (0, 1))  # noqa: E731
    found, after = model.tendency(state), model.tendency(ShallowWaterState(*map(turn, state)))
    for one, two in zip(found, after, strict=True):
        np.testing.assert_allclose(turn(one), two, atol=1e-18)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"nx": 3}, "the plane has 24 x 3 points; it needs 4 x 4 or more"),
        ({"depth": -1.0}, "depth is -1.0; it must be a positive, finite number"),
        ({"gravity": 0.0}, "gravity is 0.0; it must be a positive, finite number"),
    ],
)
def test_refuses_what_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        cl.ShallowWater(**settings)
