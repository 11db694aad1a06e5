"""Nudging: its formulas, where it acts, its steady error and Krinner's iteration."""

import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.closures.features import Stencil

HOUR = 3600.0


def tendency(closure, box, state, reference, **settings):
    model = cl.couple(box, closure, at="step", **settings)
    inputs = {"reference": reference}
    return model.terms[0].closure.tendency(state, inputs)


def test_euler_is_the_departure_over_the_timescale(box, state, reference):
    closure = cl.Nudging({"u": "6 hours", "temperature": 12 * cl.hours}, scheme="euler")
    found = tendency(closure, box, state, reference)
    assert set(found) == {"u", "temperature"}
    np.testing.assert_allclose(found["u"], (reference.u - state.u) / 21600, rtol=1e-12)
    wanted = (reference.temperature - state.temperature) / 43200
    np.testing.assert_allclose(found["temperature"], wanted, rtol=1e-12)


def test_exact_relaxation_is_that_of_lmdz(box, state, reference):
    # X + (1 - exp(-dt / tau)) (X_ref - X), as an increment dt * tendency.
    found = tendency(cl.Nudging("6 hours"), box, state, reference)
    share = 1 - np.exp(-1800 / 21600)
    np.testing.assert_allclose(1800 * found["u"], share * (reference.u - state.u), rtol=1e-9)
    assert set(found) == set(state._fields)


@pytest.mark.parametrize("every", [1, 4])
def test_exact_relaxation_composes_over_steps_and_under_a_cadence(box, state, reference, every):
    model = cl.couple(box, cl.Nudging({"u": "1 hour"}), at="step", every=every)
    inputs = cl.Inputs(reference=cl.Steady(reference))
    start = model.start(state, inputs=inputs.at(0))
    states, _ = cl.rollout(model, start, 8, every=8, inputs=inputs)
    left = np.exp(-8 * 1800 / HOUR)
    wanted = reference.u + left * (state.u - reference.u)
    np.testing.assert_allclose(states.u[0], wanted, rtol=1e-9)


def test_the_boundary_layer_taper_is_that_of_lmdz(box, state, reference):
    closure = cl.Nudging("6 hours", scheme="euler", taper=cl.BoundaryLayer())
    found = tendency(closure, box, state, reference)
    share = found["u"] * 21600 / (reference.u - state.u)
    np.testing.assert_allclose(share[3], 0.5, rtol=1e-9)  # at sigma = 0.85
    np.testing.assert_allclose(share[4], 0.018, atol=1e-4)  # at 0.95
    expected = (1 + np.tanh((0.85 - np.array([0.05, 0.3, 0.6])) / 0.05)) / 2
    np.testing.assert_allclose(share[:3, 2, 3], expected, rtol=1e-9)
    wanted = (reference.surface_pressure - state.surface_pressure) / 21600
    np.testing.assert_allclose(found["surface_pressure"], wanted, rtol=1e-12)


def test_tapers_multiply(box, state, reference):
    tapers = (cl.Sponge(0.3, 0.1), cl.Between(0.2, 0.9), cl.Exponential(3, 2.0))
    closure = cl.Nudging({"v": HOUR}, scheme="euler", taper=tapers)
    share = tendency(closure, box, state, reference)["v"] * HOUR / (reference.v - state.v)
    below = (1 + np.tanh((np.array([0.05, 0.3, 0.6, 0.85, 0.95]) - 0.3) / 0.1)) / 2
    fading = np.exp(np.minimum((np.arange(5) - 3) / 2, 0))
    np.testing.assert_allclose(share[:, 1, 1], below * [0, 1, 1, 1, 0] * fading, rtol=1e-9)


def test_zonal_spectral_nudging_leaves_short_waves_alone(box, state):
    around = 2 * np.pi * np.arange(9) / 9
    waves = 3.0 + np.cos(2 * around + 0.3) + 0.5 * np.sin(4 * around)
    far = state._replace(u=state.u + jnp.asarray(waves))
    closure = cl.Nudging({"u": HOUR}, scheme="euler", largest_wavenumber=2, wavenumber="zonal")
    found = tendency(closure, box, state, far)["u"] * HOUR
    np.testing.assert_allclose(found[1, 2], 3.0 + np.cos(2 * around + 0.3), rtol=1e-9)


def test_total_spectral_nudging_keeps_low_degrees_and_no_others(box, state):
    # Y(2, 1) ~ sin cos(lat) cos(lon) and P2 = (3 sin^2 - 1) / 2 stay under 2; P4 and Y(3, 3) go.
    latitude = np.radians(box.coordinates["lat"])[:, None]
    around = np.radians(box.coordinates["lon"])
    sine, cosine = np.sin(latitude), np.cos(latitude)
    low = sine * cosine * np.cos(around) + (3 * sine**2 - 1) / 2
    high = (35 * sine**4 - 30 * sine**2 + 3) / 8 + cosine**3 * np.sin(3 * around)
    far = state._replace(temperature=state.temperature + jnp.asarray(low + high))
    closure = cl.Nudging({"temperature": HOUR}, scheme="euler", largest_wavenumber=2)
    found = tendency(closure, box, state, far)["temperature"] * HOUR
    np.testing.assert_allclose(found[4], low, atol=1e-9)


def test_winds_are_cut_by_total_wavenumber_as_smooth_scalars(box, state):
    # Solid rotation u = cos(lat): u cos(lat) = cos^2 has degrees 0 and 2, so 2 keeps it whole.
    latitude = np.radians(box.coordinates["lat"])[:, None]
    far = state._replace(u=state.u + jnp.asarray(np.cos(latitude)))
    closure = cl.Nudging({"u": HOUR}, scheme="euler", largest_wavenumber=2)
    found = tendency(closure, box, state, far)["u"] * HOUR
    np.testing.assert_allclose(found, np.broadcast_to(np.cos(latitude), found.shape), rtol=1e-9)


def toy(r=0.0, *, a=0.4, tau=0.5, dt=0.01, scheme="euler"):
    """Return dx/dt = -a x + r, of which the truth has r = 0 and so rests at 0, nudged to it."""
    ring = cl.Lorenz96(K=4, dt=dt, stepper="euler")

    class Linear(type(ring)):
        def tendency(self, state, inputs=None):
            return state._replace(X=r - a * state.X)

    model = Linear(K=4, dt=dt, stepper="euler")
    nudging = cl.Nudging({"X": tau}, scheme=scheme)
    return cl.couple(model, nudging, at="step", record=True)


def steady(model, correction=0.0):
    """Return the state before nudging and the tendency, when all is at rest."""
    if correction:
        ring = Stencil(read=(("X", (4,)),), written=(("X", (4,)),))
        model = cl.couple(model, cl.PolynomialClosure((correction,), features=ring))
    nothing = model.initial_state(cl_key())._replace(X=jnp.zeros(4))
    inputs = cl.Inputs(reference=cl.Steady({"X": jnp.zeros(4)}))
    run = cl.simulate(
        model, duration=80.0, every=80.0, state=nothing, inputs=inputs, recorded=True,
        key=cl_key(),
    )  # fmt: skip
    pairs = cl.diagnose(run, target="nudging")
    return float(pairs.inputs["X"][0, 0, 0]), float(pairs.targets["X"][0, 0, 0])


def cl_key():
    import jax

    return jax.random.key(0)


def test_the_nudged_state_lags_by_the_missing_tendency_times_the_timescale():
    # Without other damping (a = 0) a model that gains r too much rests where the nudging takes it
    # away: the tendency is -r exactly, the state after nudging r (tau - dt) away. Reference 2.2
    # gives |tendency error| tau: 2.5 m/s/day at a quarter of a day is 0.63 m/s.
    before, added = steady(toy(2.5, a=0.0, tau=0.25, dt=0.01))
    assert added == pytest.approx(-2.5, rel=1e-9)
    assert before == pytest.approx(0.625, rel=1e-9)
    # The exact scheme: dt r is what relaxation takes, before (1 - exp(-dt / tau)).
    before, added = steady(toy(2.5, a=0.0, tau=0.25, dt=0.01, scheme="exact"))
    assert added == pytest.approx(-2.5, rel=1e-9)
    assert before == pytest.approx(0.01 * 2.5 / (1 - np.exp(-0.01 / 0.25)), rel=1e-9)


def test_the_iterated_correction_converges_geometrically():
    # Process split with k = dt / tau and c = a dt: after nudging y = (1 - k) e, and a step later
    # e = (1 - c) y + dt r. At rest e (1 - (1 - k)(1 - c)) = dt r, and the nudging adds
    # -e / tau = -r k / (k + c - k c). Krinner adds that to the correction, so the residual
    # shrinks by (c - k c) / (k + c - k c) each time: for dt -> 0 by a tau / (1 + a tau).
    a, tau, dt, residual, correction = 0.4, 0.5, 0.01, 1.7, 0.0
    k, c = dt / tau, a * dt
    ratio = (c - k * c) / (k + c - k * c)
    assert ratio == pytest.approx(a * tau / (1 + a * tau), rel=0.02)
    for _ in range(4):
        _, added = steady(toy(1.7, a=a, tau=tau, dt=dt), correction)
        correction += added
        residual *= ratio
        assert 1.7 + correction == pytest.approx(residual, rel=1e-9, abs=1e-11)


def test_inside_the_tendency_the_stepper_relaxes():
    # dx/dt = (1 - x) / 2 by RK4 from 0: 1 - exp(-t / 2) to the order of the stepper.
    class Rest(cl.Lorenz96):
        def tendency(self, state, inputs=None):
            return state._replace(X=jnp.zeros_like(state.X))

    model = cl.couple(Rest(K=5, dt=0.01), cl.Nudging(2.0))
    start = model.start(model.initial_state(cl_key())._replace(X=jnp.zeros(5)))
    inputs = cl.Inputs(reference=cl.Steady({"X": jnp.ones(5)}), ahead=0)
    states, _ = cl.rollout(model, start, 100, every=100, inputs=inputs)
    np.testing.assert_allclose(states.X[0], 1 - np.exp(-0.5), rtol=1e-9)


def test_a_timescale_shorter_than_the_step_allows_is_refused(box):
    with pytest.raises(ValueError, match=r"timescale of u is 800 and it acts over 1800: a forward "
                                         r"step is unstable below 900"):  # fmt: skip
        cl.couple(box, cl.Nudging({"u": 800.0}, scheme="euler"))
    with pytest.warns(cl.ClosuraWarning, match=r"is 1000 and it acts over 1800: .* overshoots"):
        cl.couple(box, cl.Nudging(1000.0, scheme="euler"))
    with pytest.raises(ValueError, match=r"acts over 21600: a forward step is unstable below"):
        cl.couple(box, cl.Nudging("2 hours", scheme="euler"), every=12)
    cl.couple(box, cl.Nudging(1.0))  # exact relaxation takes any
    with pytest.raises(ValueError, match=r"is 0.001 and it acts over 0.05"):
        cl.couple(cl.Lorenz96(dt=0.05), cl.Nudging(0.001))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timescale": -1.0}, "timescale is -1; relaxation needs a positive time"),
        ({"timescale": {"u": 0}}, "timescale of u is 0; relaxation needs"),
        ({"timescale": {"u": "6 moons"}}, "timescale of u is '6 moons'; write a number and a unit"),
        ({"timescale": 1.0, "scheme": "implicit"}, "scheme is 'implicit'; it must be exact or"),
    ],
)
def test_nudging_refuses_what_cannot_be(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        cl.Nudging(**settings)


@pytest.mark.parametrize("timescale", ["6 hours", {"X": "6 hours"}])
def test_text_is_refused_by_a_model_whose_time_is_not_in_seconds(timescale):
    closure = cl.Nudging(timescale)
    assert "6 hours" in repr(closure)
    with pytest.raises(ValueError, match=r"is '6 hours' and the time of this model is in units of"):
        cl.couple(cl.Lorenz96(), closure, at="step")


def test_text_means_seconds_once_the_model_is_known(box, state, reference):
    bound = cl.couple(box, cl.Nudging({"u": "6 hours", "v": 60.0})).terms[0].closure
    assert bound.timescale == {"u": 21600.0, "v": 60.0}
    assert cl.couple(box, cl.Nudging("90 min")).terms[0].closure.timescale == 5400.0
    with pytest.raises(ValueError, match=r"does not know the time step; couple it"):
        cl.Nudging("6 hours", interval=1800.0).tendency(state, {"reference": reference})


def test_what_the_reference_lacks_is_named(box, state, reference):
    partial = {"u": reference.u}
    with pytest.raises(ValueError, match=r"timescale for 'v', which the reference does not hold"):
        tendency(cl.Nudging({"u": HOUR, "v": HOUR}), box, state, partial)
    with pytest.raises(ValueError, match=r"for 'wind', which the model does not hold; it holds u,"):
        tendency(cl.Nudging({"wind": HOUR}), box, state, partial)
    assert set(tendency(cl.Nudging(HOUR), box, state, partial)) == {"u"}
    with pytest.raises(ValueError, match=r"there is nothing to nudge"):
        tendency(cl.Nudging(HOUR), box, state, {"z": reference.u})
    with pytest.raises(ValueError, match=r"'u' has shape \(5, 7, 8\) and the model \(5, 7, 9\)"):
        tendency(cl.Nudging(HOUR), box, state, {"u": reference.u[..., :8]})


def test_a_model_without_levels_or_gauss_takes_neither_taper_nor_total_wavenumber():
    ring = cl.Lorenz96()
    with pytest.raises(ValueError, match=r"Nudging fades with level and Lorenz96 has no coord"):
        cl.couple(ring, cl.Nudging(1.0, taper=cl.BoundaryLayer()))
    with pytest.raises(ValueError, match=r"wants a Gaussian grid, and Lorenz96 has no latitudes"):
        cl.couple(ring, cl.Nudging(1.0, largest_wavenumber=3))


def test_uncoupled_nudging_says_that_it_lacks_the_step(state, reference):
    with pytest.raises(ValueError, match=r"does not know the time step; couple it"):
        cl.Nudging(HOUR).tendency(state, {"reference": reference})


def test_nudging_comes_back_from_a_file(box, state, reference, tmp_path):
    closure = cl.Nudging({"u": HOUR}, taper=cl.BoundaryLayer(), largest_wavenumber=3)
    bound = cl.couple(box, closure).terms[0].closure
    again = cl.load_closure(cl.save_closure(tmp_path, bound))
    inputs = {"reference": reference}
    np.testing.assert_array_equal(
        again.tendency(state, inputs)["u"], bound.tendency(state, inputs)["u"]
    )


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: cl.BoundaryLayer(width=0.0), "BoundaryLayer: width is 0.0; it must be positive"),
        (lambda: cl.Sponge(width=-1.0), "Sponge: width is -1.0; it must be positive"),
        (lambda: cl.Exponential(3, 0.0), "Exponential: rate is 0.0; it must be positive"),
        (lambda: cl.Between(0.9, 0.2), "top is 0.9 and bottom 0.2; sigma grows downward"),
    ],
)
def test_tapers_refuse_what_cannot_be(made, message):
    with pytest.raises(ValueError, match=message):
        made()
