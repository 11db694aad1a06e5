"""The guard that draws the state toward the mean of its training states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from made_atmosphere import made_pairs


class Given(cl.AbstractMemorylessClosure):
    """A closure that gives what it was told, as arrays by field."""

    values: dict

    def tendency(self, fields, inputs=None):
        return dict(self.values)


def fields_of(pairs, number=2):
    return {name: jnp.asarray(a[0, number]) for name, a in pairs.inputs.items()}


def test_it_adds_the_departure_from_the_mean_over_the_timescale():
    pairs = made_pairs(times=11)
    fields = fields_of(pairs)
    rate = jnp.full((5, 6, 8), 0.25)
    guard = cl.Anchored(Given({"u": rate}), {"u": 4.0, "temperature": 10.0}).fit(pairs)
    found, _ = guard(fields, None, guard.init(fields), None)
    assert set(found) == {"u", "temperature"}
    departure = {n: pairs.inputs[n][0].mean(axis=0) - pairs.inputs[n][0, 2] for n in found}
    np.testing.assert_allclose(found["u"], 0.25 + departure["u"] / 4.0, rtol=1e-6)
    np.testing.assert_allclose(found["temperature"], departure["temperature"] / 10.0, rtol=1e-6)
    share = guard.share(fields)["anchored"]
    # u: |d| / 4 against 0.25; of temperature there is nothing else, so its share is 1.
    own = np.abs(departure["u"]).sum() / 4
    assert float(share) == pytest.approx((own / (own + 0.25 * 240) + 1) / 2, rel=1e-5)


def test_one_timescale_draws_every_target():
    pairs = made_pairs(times=11)
    guard = cl.Anchored(cl.Zero(), 2.0).fit(pairs)
    assert set(guard(fields_of(pairs), None, None, None)[0]) == {"u", "v"}


def test_an_error_of_the_mean_that_decays_within_t_is_left_at_its_share():
    # dx/dt = f - x / T with T = 3 and f = 5 too much: 15 off. Drawn within 1.5 it is T' = 1: 5 off,
    # which is 15 / (1 + 3 / 1.5).
    model = cl.Lorenz96(K=7, F=5.0, dt=0.05)

    class Decay(cl.AbstractMemorylessClosure):
        """Undoes all of Lorenz-96 but the constant, and lets it decay."""

        def tendency(self, fields, inputs=None):
            x = fields.X
            own = (jnp.roll(x, -1) - jnp.roll(x, 2)) * jnp.roll(x, 1) - x
            return {"X": -own - x / 3.0}

    pairs = made_pairs(
        times=4, inputs={"X": np.zeros((1, 4, 7))}, targets={"X": np.zeros((1, 4, 7))},
        coordinates={}, static={}, given={},
    )  # fmt: skip
    guard = cl.Anchored(cl.Zero(), 1.5).fit(pairs)
    hybrid = cl.couple(cl.couple(model, Decay()), guard)
    state = type(model.initial_state(jax.random.key(0)))(jnp.zeros(7))
    states, _ = cl.rollout(hybrid, hybrid.start(state), 400)
    np.testing.assert_allclose(states.X[-1], 5.0, rtol=1e-4)


def averaged(pairs, *, timescale=2.0, averaging=3.0):
    """A guard of nothing that acts every 0.1 on a model whose time has no unit."""
    guard = cl.Anchored(cl.Zero(), {"u": timescale}, averaging=averaging).fit(pairs)
    return guard.bind(cl.Lorenz96(K=7, dt=0.05), interval=0.1)


def test_with_averaging_it_is_the_running_mean_that_is_drawn():
    pairs = made_pairs(times=11)
    guard, mean = averaged(pairs), pairs.inputs["u"][0].mean(axis=0)
    states = [fields_of(pairs, number) for number in (2, 5, 3)]
    memory = guard.init(states[0])
    running, kept = mean, np.exp(-0.1 / 3.0)
    for state in states:
        share = guard.share(state, memory=memory)["anchored"]
        found, memory = guard(state, None, memory, None)
        running = kept * running + (1 - kept) * np.asarray(state["u"])
        np.testing.assert_allclose(found["u"], (mean - running) / 2.0, rtol=1e-5, atol=1e-7)
        assert float(share) == 1.0  # there is no other tendency


def test_what_passes_is_left_to_itself_and_what_lasts_is_called_back():
    pairs = made_pairs(times=11)
    mean = jnp.asarray(pairs.inputs["u"][0].mean(axis=0))
    guard = averaged(pairs, averaging=20.0)
    asked = {}
    for name, sign in (("wave", -1.0), ("drift", 1.0)):
        memory, rates = guard.init(fields_of(pairs)), []
        for step in range(1200):  # 120 units, six times `averaging`
            found, memory = guard({"u": mean + 3.0 * sign**step}, None, memory, None)
            rates.append(float(jnp.abs(found["u"]).max()))
        asked[name] = max(rates[-2:])
    assert asked["drift"] == pytest.approx(1.5, rel=0.01)  # 3 over the timescale of 2
    assert asked["wave"] < 0.01


@pytest.mark.parametrize("at", ["step", "tendency"])
@pytest.mark.parametrize("every", [1, 4])
def test_in_a_run_the_mean_goes_on_in_the_time_of_the_model(at, every):
    mean = jnp.linspace(-1.0, 2.0, 7)
    guard = cl.Anchored(cl.Zero(), {"X": 2.0}, averaging=3.0, mean={"X": mean})
    hybrid = cl.couple(cl.Lorenz96(K=7, dt=0.05), guard, at=at, every=every)
    state = hybrid.initial_state(jax.random.key(1))
    states, end = cl.rollout(hybrid, hybrid.start(state), 40)
    # Inside the tendency a term sees the state at the beginning of a step, else the stepped one.
    seen = np.concatenate([np.asarray(state.X)[None], np.asarray(states.X)])[:40][::every]
    kept = np.exp(-0.05 * every / 3.0)
    running = np.asarray(mean)
    for x in seen:
        running = kept * running + (1 - kept) * x
    memory = end.memory.terms[0]
    found = (memory if every == 1 else memory.memory)[1]["X"]
    if at == "tendency":
        np.testing.assert_allclose(found, running, rtol=1e-6)
    else:  # which nobody but the term has seen: a step later, and a step of it off
        np.testing.assert_allclose(found, running, atol=0.25)


def test_one_inside_another_is_told_apart():
    pairs = made_pairs(times=11)
    inner = averaged(pairs)
    outer = cl.Anchored(inner, {"u": 5.0}, averaging=8.0).fit(pairs)
    outer = outer.bind(cl.Lorenz96(K=7, dt=0.05), interval=0.1)
    share = outer.share(fields_of(pairs))
    assert set(share) == {"anchored", "anchored_2"}
    assert float(share["anchored"]) == 1.0 and float(share["anchored_2"]) < 0.5


def test_averaging_comes_back_from_a_file(tmp_path, box):
    pairs = made_pairs(times=9)
    guard = averaged(pairs)
    again = cl.load_closure(cl.save_closure(tmp_path, guard))
    fields = fields_of(pairs)
    one, two = (g(fields, None, g.init(fields), None)[0] for g in (guard, again))
    np.testing.assert_array_equal(one["u"], two["u"])
    said = cl.Anchored(cl.Zero(), {"u": "2 days"}, averaging="8 days")
    bound = cl.couple(box, said).terms[0].closure
    assert (bound.averaging, bound.timescale) == (691200.0, {"u": 172800.0})


def test_it_comes_back_from_a_file(tmp_path):
    pairs = made_pairs(times=9)
    guard = cl.Anchored(cl.Zero(), {"u": 4.0}).fit(pairs)
    again = cl.load_closure(cl.save_closure(tmp_path, guard))
    fields = fields_of(pairs)
    one, two = (g(fields, None, g.init(fields), None)[0] for g in (guard, again))
    np.testing.assert_array_equal(one["u"], two["u"])


def test_words_are_times_of_a_model_in_seconds(box):
    guard = cl.couple(box, cl.Anchored(cl.Zero(), {"u": "2 days"})).terms[0].closure
    assert guard.timescale == {"u": 172800.0}


def test_a_timescale_shorter_than_what_it_acts_over_is_refused():
    guard, model = cl.Anchored(cl.Zero(), {"X": 0.15}), cl.Lorenz96(K=7, dt=0.05)
    cl.couple(model, guard, at="step", every=3)
    with pytest.raises(ValueError) as caught:
        cl.couple(model, guard, at="step", every=4)
    assert str(caught.value) == (
        "Anchored: the timescale of 'X' is 0.15 and it acts over 0.2: it would overshoot the "
        "mean. Take a longer one, or act more often."
    )


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: cl.Anchored(cl.Zero(), 0.0),
         "Anchored: the timescale is 0; relaxation needs a positive time, e.g. '20 days'"),
        (lambda: cl.Anchored(cl.Zero(), 1.0, averaging="0 days"),
         "Anchored: averaging is 0; a running mean needs a positive time, e.g. '20 days'. None dr"),
        (lambda: cl.Anchored(cl.Zero(), 2.0, averaging=8.0).fit(made_pairs()).share(
            fields_of(made_pairs())),
         "Anchored does not know how long a step is, which its running mean needs; couple it"),
        (lambda: cl.Anchored(cl.Zero(), {"w": 2.0}).fit(made_pairs()),
         "Anchored draws 'w', and the pairs hold states of u, v, temperature, surface_pressure"),
        (lambda: cl.Anchored(cl.Zero(), 2.0).share({}),
         r"Anchored takes its mean state from pairs and has seen none; call its fit\(pairs\)"),
        (lambda: cl.Anchored(cl.Zero(), "2 days").fit(made_pairs()).share(fields_of(made_pairs())),
         "Anchored does not know the unit of time; couple it to a model"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(make, line):
    with pytest.raises(ValueError, match=line):
        make()
