"""Guards: what each does to a closure, what it says of it, and that they compose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from box import INTERFACES, SIGMA
from closura.closures.guards import AbstractGuard
from made_atmosphere import made_pairs

DAY = 86400.0


class Given(cl.AbstractMemorylessClosure):
    """A closure that gives what it was told, as arrays by field."""

    values: dict

    def tendency(self, fields, inputs=None):
        return dict(self.values)


class Counting(cl.AbstractClosure):
    """Gives how often it acted, and NaN in every second call."""

    def init(self, fields, key=None):
        return jnp.asarray(0.0)

    def __call__(self, fields, inputs, memory, key):
        value = jnp.where(memory % 2 == 1, jnp.nan, memory)
        return {"u": jnp.full_like(fields.u, value)}, memory + 1


def some(seed=1, scale=1e-4, shape=(5, 7, 9)):
    return jnp.asarray(np.random.default_rng(seed).normal(scale=scale, size=shape))


def guarded(guard, box, **settings):
    return cl.couple(box, guard, **settings).terms[0].closure


def call(guard, state):
    return guard(state, None, guard.init(state), None)[0]


def test_the_taper_above_a_level_is_exponential(box, state):
    # s(k) = exp((k - cutoff) / rate) above the cutoff, 1 from it on: reference 1.4.
    rate = some()
    guard = guarded(cl.Tapered(Given({"u": rate}), cutoff=3, rate=2.0), box)
    wanted = np.exp(np.array([-1.5, -1.0, -0.5, 0, 0]))[:, None, None] * rate
    np.testing.assert_allclose(call(guard, state)["u"], wanted, rtol=1e-12)
    share = 1 - np.abs(wanted).sum() / np.abs(rate).sum()
    assert float(guard.share(state)["tapered"]) == pytest.approx(share, rel=1e-9)


def test_a_taper_in_sigma_fades_toward_the_ground_and_spares_surface_pressure(box, state):
    given = {"v": some(2), "surface_pressure": some(3, shape=(7, 9))}
    guard = guarded(cl.Tapered(Given(given), cl.BoundaryLayer(0.7, 0.1)), box)
    wanted = (1 + np.tanh((0.7 - SIGMA) / 0.1)) / 2
    found = call(guard, state)
    np.testing.assert_allclose(found["v"] / given["v"], np.broadcast_to(
        wanted[:, None, None], (5, 7, 9)), rtol=1e-12)  # fmt: skip
    np.testing.assert_array_equal(found["surface_pressure"], given["surface_pressure"])


def test_limits_clip_and_tell_the_share_of_columns(box, state):
    rate = jnp.zeros((5, 7, 9)).at[2, 3, 4].set(5.0).at[3, 3, 4].set(-5.0).at[0, 0, 0].set(-3.0)
    other = jnp.zeros((5, 7, 9)).at[1, 6, 8].set(9.0)
    guard = cl.Limited(Given({"u": rate, "temperature": other}), {"u": 2.0, "temperature": (-1, 4)})
    found = call(guard, state)
    assert (float(found["u"].max()), float(found["u"].min())) == (2.0, -2.0)
    assert float(found["temperature"].max()) == 4.0
    assert float(guard.share(state)["limited"]) == pytest.approx(3 / 63)


def test_limits_are_taken_from_pairs_level_by_level():
    from made_atmosphere import made_pairs

    pairs = made_pairs(times=6)
    deep = cl.Variable("u", "m s-1", ("level", "lat", "lon"), "wind")
    pairs = made_pairs(times=6, variables={"u": deep})
    guard = cl.Limited(Given({}), quantile=0.9).fit(pairs)
    wanted = np.quantile(pairs.targets["u"], 0.9, axis=(0, 1, 3, 4))
    np.testing.assert_allclose(guard.upper["u"][:, 0, 0], wanted, rtol=1e-12)
    assert float(guard.lower["v"]) == pytest.approx(np.quantile(pairs.targets["v"], 0.1))
    rate = jnp.full((5, 6, 8), 100.0)
    found = cl.Limited(Given({"u": rate}), quantile=0.9).fit(pairs)
    np.testing.assert_allclose(call(found, None)["u"][:, 2, 3], wanted, rtol=1e-12)


class Counted:
    """An array that is read a time at once, and how often it was."""

    def __init__(self, values):
        self.values, self.shape, self.ndim = values, values.shape, values.ndim
        self.dtype, self.reads = values.dtype, 0

    def __getitem__(self, index):
        self.reads += 1
        return self.values[index]

    def __array__(self, *_, **__):
        raise AssertionError("all of the target is read at once")


def test_limits_come_from_a_sample_of_times_where_targets_are_large(monkeypatch):
    from closura.closures import draws

    rng = np.random.default_rng(7)
    values = rng.normal(size=(2, 900, 5, 3, 4)) * np.arange(1, 6)[:, None, None]
    values += 100 * (np.arange(900) % 4 == 1)[:, None, None, None]  # one hour of the day is apart
    monkeypatch.setattr(draws, "MOST_BYTES", 300 * 60 * 8)
    target = Counted(values)
    about = {"u": cl.Variable("u", "m s-2", ("level", "lat", "lon"), "")}
    pairs = made_pairs(
        inputs={"u": target}, targets={"u": target}, variables=about, coordinates={}, given={},
        time=np.arange(900.0), static={},
    )  # fmt: skip
    guard = cl.Limited(cl.Zero(), quantile=0.9).fit(pairs)
    assert target.reads == 300
    # A quarter lies 100 up: the quantile 0.9 of all is its quantile 0.6.
    wanted = [np.quantile(values[:, :, k], 0.9) for k in range(5)]
    np.testing.assert_allclose(guard.upper["u"][:, 0, 0], wanted, rtol=0.02)
    again = cl.Limited(cl.Zero(), quantile=0.9).fit(pairs)
    np.testing.assert_array_equal(guard.upper["u"], again.upper["u"])


def test_damping_multiplies_by_field(state):
    given = {"u": some(), "v": some(2)}
    found = call(cl.Damped(Given(given), {"u": 0.25}), state)
    np.testing.assert_allclose(found["u"], 0.25 * given["u"])
    np.testing.assert_array_equal(found["v"], given["v"])
    np.testing.assert_allclose(call(cl.Damped(Given(given), 0.5), state)["v"], given["v"] / 2)


def test_what_is_not_finite_falls_back_to_zero_or_a_baseline(state):
    rate = some().at[1, 2, 3].set(jnp.nan).at[4, 2, 3].set(jnp.inf)
    guard = cl.Fallback(Given({"u": rate}))
    found = np.asarray(call(guard, state)["u"])
    assert found[1, 2, 3] == found[4, 2, 3] == 0.0
    np.testing.assert_array_equal(found[0], rate[0])
    assert float(guard.share(state)["filled"]) == pytest.approx(1 / 63)
    baseline = Given({"u": jnp.full((5, 7, 9), 7.0)})
    found = np.asarray(call(cl.Fallback(Given({"u": rate}), baseline), state)["u"])
    assert found[1, 2, 3] == found[4, 2, 3] == 7.0


def test_a_baseline_may_be_random_and_learns_from_pairs(pairs, state):
    noise = cl.AR1Noise({"u": 0.5}, {"u": 1e-4})
    assert cl.Fallback(cl.Zero(), noise).random
    assert cl.Fallback(noise, cl.Zero()).random
    assert not cl.Fallback(cl.Zero(), cl.Zero()).random and not cl.Fallback(cl.Zero()).random
    guard = cl.Fallback(cl.Zero(), cl.Limited(cl.Zero(), quantile=0.9)).fit(pairs)
    assert set(guard.baseline.upper) == {"u", "v"}


def test_guards_keep_the_memory_of_what_they_guard(box, state):
    # Calls give 0, NaN, 2, NaN, 4: 1800 (0 + 0 + 2 + 0 + 4) / 2 with the damping.
    guard = cl.Damped(cl.Fallback(Counting()), 0.5)
    model = cl.couple(box, guard)
    states, last = cl.rollout(model, model.start(state), 5, every=5)
    np.testing.assert_allclose(states.u[0] - state.u, 1800 * 3.0, rtol=1e-9)
    model = cl.couple(box, cl.Fallback(Counting(), Counting()))
    _, last = cl.rollout(model, model.start(state), 5)
    assert [float(m) for m in last.memory.terms[0]] == [5.0, 5.0]


class Steps(Counting):
    """Gives how often it acted."""

    def __call__(self, fields, inputs, memory, key):
        return {"u": jnp.full_like(fields.u, memory)}, memory + 1


class Held(AbstractGuard):
    """Gives what came a call before, and zero at first."""

    closure: cl.AbstractClosure

    @property
    def remembers(self):
        return True

    def begin(self, fields, key=None):
        return jnp.zeros_like(fields.u)

    def act(self, fields, tendency, inputs, memory, key):
        held = {"u": memory}
        return *self.guard(fields, held, inputs), tendency["u"]

    def guard(self, fields, tendency, inputs):
        return tendency, {"held": jnp.asarray(1.0)}


@pytest.mark.parametrize("wrap", [
    lambda inner: Held(inner),
    lambda inner: cl.Damped(Held(inner), 1.0),
    lambda inner: Held(cl.Damped(inner, 1.0)),
    lambda inner: cl.Fallback(Held(inner), Given({"u": jnp.zeros((5, 7, 9))})),
])  # fmt: skip
def test_a_guard_may_remember_beside_the_closure(wrap, state):
    guard = wrap(Steps())
    memory, given = guard.init(state), []
    for _ in range(4):
        share = guard.share(state, memory=memory)
        tendency, memory = guard(state, None, memory, None)
        given.append(float(tendency["u"].max()))
        assert share["held"] == 1
    assert given == [0, 0, 1, 2]


@pytest.mark.parametrize("over", ["column", "globe", "angular_momentum"])
def test_momentum_is_conserved_where_asked(box, state, over):
    rate = {"u": some() + 1e-5, "v": some(2) - 2e-5}
    guard = guarded(cl.Conserving(Given(rate), over), box)
    found = call(guard, state)
    mass = np.diff(INTERFACES)[:, None, None] * np.asarray(state.surface_pressure)
    _, area = np.polynomial.legendre.leggauss(7)
    cosine = np.cos(np.radians(box.coordinates["lat"]))[:, None]
    size = float(np.abs(mass * np.asarray(rate["u"])).sum())
    if over == "column":
        for name in ("u", "v"):
            net = (mass * np.asarray(found[name])).sum(axis=0)
            assert np.abs(net).max() < 1e-12 * size
    elif over == "globe":
        net = (mass * area[:, None] * np.asarray(found["v"])).sum()
        assert abs(net) < 1e-12 * size
        spread = np.ptp(np.asarray(rate["v"] - found["v"]))
        assert spread < 1e-15
    else:
        net = (mass * area[:, None] * cosine * np.asarray(found["u"])).sum()
        assert abs(net) < 1e-12 * size
        taken = np.asarray(rate["u"] - found["u"]) / cosine
        np.testing.assert_allclose(taken, taken[0, 0, 0], rtol=1e-9)
        np.testing.assert_array_equal(found["v"], rate["v"])
    assert 0 < float(guard.share(state)["removed"]) < 1


def test_humidity_is_never_driven_below_zero_and_energy_is_kept(box, state):
    # dt = 1800 s. Where q = 0.01 and dq = -1e-5 per s, q + dq dt = -0.008 < 0: then dq' = -q / dt
    # and T gains Lv (dq - dq') / (cp - Rd), a cooling that pays for the water not condensed.
    drying = jnp.zeros((5, 7, 9)).at[1, 2, 3].set(-1e-5).at[0, 0, 0].set(-1e-6)
    warming = some(5)
    closure = Given({"specific_humidity": drying, "temperature": warming})
    guard = guarded(cl.HumidityLimited(closure), box)
    found = call(guard, state)
    held = float(state.specific_humidity[1, 2, 3])
    assert float(found["specific_humidity"][1, 2, 3]) == pytest.approx(-held / 1800, rel=1e-12)
    assert float(found["specific_humidity"][0, 0, 0]) == -1e-6
    gained = 2.5e6 * (-1e-5 + held / 1800) / (1004 - 287.05)
    changed = np.asarray(found["temperature"] - warming)
    assert changed[1, 2, 3] == pytest.approx(gained, rel=1e-9)
    assert np.count_nonzero(changed) == 1
    assert float(guard.share(state)["dried"]) == pytest.approx(1 / 63)


def test_guards_compose_and_tell_each_its_share(box, state):
    rate = some(4).at[2, 1, 1].set(jnp.nan)
    guard = cl.Tapered(
        cl.Limited(cl.Limited(cl.Fallback(Given({"u": rate})), {"u": 3e-4}), {"u": 1e-4}),
        cutoff=2,
    )
    guard = guarded(guard, box)
    shares = {name: float(value) for name, value in guard.share(state).items()}
    assert list(shares) == ["filled", "limited", "limited_2", "tapered"]
    assert shares["filled"] == pytest.approx(1 / 63) and shares["limited_2"] > shares["limited"]
    clipped = np.clip(np.nan_to_num(rate), -1e-4, 1e-4)
    weights = np.exp(np.minimum((np.arange(5) - 2) / 5.0, 0))[:, None, None]
    np.testing.assert_allclose(call(guard, state)["u"], weights * clipped, rtol=1e-12)


def test_a_guarded_closure_keeps_passport_randomness_and_compiles(box, state):
    noise = cl.AR1Noise({"u": 0.5}, {"u": 1e-4})
    guard = cl.Limited(noise, {"u": 1e-4})
    assert guard.random
    model = cl.couple(box, guard)
    key = jax.random.key(3)
    states, _ = cl.rollout(model, model.start(state, key), 3, key=key)
    assert float(jnp.abs(jnp.diff(states.u, axis=0)).max()) <= 1800 * 1e-4 * (1 + 1e-9)


@pytest.mark.parametrize("name", ["tapered", "limited", "conserving", "humid", "fallback"])
def test_guards_come_back_from_a_file(box, state, name, tmp_path):
    closure = cl.Nudging({"u": 3600.0, "v": 7200.0, "specific_humidity": 3600.0})
    guard = {
        "tapered": cl.Tapered(closure, cl.Sponge(), cutoff=2),
        "limited": cl.Limited(closure, {"u": 1e-4, "v": (-1e-4, 2e-4)}),
        "conserving": cl.Conserving(closure),
        "humid": cl.HumidityLimited(closure),
        "fallback": cl.Fallback(closure, cl.Zero()),
    }[name]
    bound = guarded(guard, box)
    again = cl.load_closure(cl.save_closure(tmp_path, bound))
    inputs = {"reference": box.initial_state(jax.random.key(8))}
    one = bound(state, inputs, bound.init(state), None)[0]
    two = again(state, inputs, again.init(state), None)[0]
    assert isinstance(again, AbstractGuard)
    for field, rate in one.items():
        np.testing.assert_array_equal(two[field], rate)


def test_an_experiment_can_name_guards(box):
    from closura.registry import build

    closure = cl.Zero()
    for said in (
        {"type": "Tapered", "cutoff": 3, "rate": 2},
        {"type": "Limited", "limits": {"u": 1e-4, "v": [-1e-4, 2e-4]}},
        {"type": "Guarded", "novelty": {"type": "OneClassSVM", "nu": 0.05}, "response": "ramp"},
        {"type": "Fallback", "baseline": "Zero"},
    ):
        closure = build("closures", {**said, "closure": closure})
    assert type(closure.closure).__name__ == "Guarded"
    assert closure.closure.novelty.nu == 0.05


WRONG = {
    "no taper": (lambda: cl.Tapered(cl.Zero()), "neither taper nor cutoff"),
    "limits": (lambda: cl.Limited(cl.Zero()), "wants limits, or the quantile of pairs"),
    "both": (lambda: cl.Limited(cl.Zero(), {"u": 1.0}, 0.9), "one of the two"),
    "quantile": (lambda: cl.Limited(cl.Zero(), quantile=0.3), "quantile is 0.3; it must lie"),
    "order": (lambda: cl.Limited(cl.Zero(), {"u": (2, 1)}), "limits of u are 2 and 1; the first"),
    "over": (lambda: cl.Conserving(cl.Zero(), "earth"), "over is 'earth'; it must be one of"),
    "unfitted": (lambda: cl.Limited(Given({"u": some()}), quantile=0.9).share(None),
                 r"takes its limits from pairs and has seen none; call its fit\(pairs\)"),
    "uncoupled": (lambda: cl.Tapered(Given({"u": some()}), cutoff=2).share(None),
                  "does not know the levels; couple it"),
    "unknown": (lambda: cl.Limited(Given({"u": some()}), {"w": 1.0}).share(None),
                "has limits for 'w', and the closure gives tendencies of u"),
    "damped": (lambda: cl.Damped(Given({"u": some()}), {"w": 1.0}).share(None),
               "has a factor for 'w', and the closure gives"),
    "ring": (lambda: cl.couple(cl.Lorenz96(), cl.Conserving(cl.Zero())),
             "Conserving weighs levels by their mass, and Lorenz96 has no `levels`"),
    "dry": (lambda: cl.couple(cl.Lorenz96(), cl.HumidityLimited(cl.Zero())).terms[0].closure
            .share(None), "wants a tendency of 'specific_humidity', and the closure gives nothing"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_guards_refuse_what_cannot_be(case):
    made, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        made()
