"""Fine-tuning inside the running model."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from closura.closures.features import Stencil
from closura.closures.physical import PolynomialClosure
from closura.closures.stochastic import AR1Noise
from closura.core import progress
from closura.core.closure import Zero
from closura.core.couple import couple
from closura.learners.linear import Linear, Polynomial
from closura.learners.network import Network
from closura.learners.online import Online
from closura.learners.windows import cut_windows, measure_pace
from closura.models.lorenz96 import Lorenz96

MODEL = Lorenz96(K=7, F=8.0, dt=0.02)
TRUE = PolynomialClosure([0.5, -0.4])
SMALL = {"window": 12, "grow": (4,), "epochs": 6, "batch": 16}


def tuned(learner, pairs, key):
    """Return the closure and the reports of its training."""
    heard = []
    with progress.listen(lambda event, values: heard.append(values)):
        closure = learner.fit(pairs, key=key)
    return closure, [values for values in heard if values["learner"] == "Online"]


def test_a_polynomial_that_is_off_is_brought_to_the_one_that_made_the_states(record, key):
    pairs = record(MODEL, TRUE)
    start = PolynomialClosure([0.0, -0.2])
    learner = Online(start, MODEL, **SMALL | {"learning_rate": 0.05, "epochs": 16})
    closure, reports = tuned(learner, pairs, key)
    np.testing.assert_allclose(closure.coefficients, TRUE.coefficients, atol=0.03)
    assert reports[-1]["validation"] < 0.01 * reports[-1]["start"]


def test_a_network_fitted_first_forecasts_better_after_tuning(record, key):
    pairs = record(MODEL, TRUE)
    start = Network(Stencil(0), width=8, depth=1, epochs=2, batch=512, learning_rate=0.01)
    closure, reports = tuned(Online(start, MODEL, **SMALL), pairs, key)
    assert min(r["validation"] for r in reports) < 0.8 * reports[0]["start"]
    # Scalings stay, weights move, and the passport says for which model.
    assert closure.passport.target == "trajectory" and closure.passport.dt == MODEL.dt
    assert not couple(MODEL, closure).disagreements


def test_tuning_never_makes_a_closure_worse_on_held_out_windows(record, key):
    pairs = record(MODEL, TRUE)
    start = Polynomial(degree=1).fit(pairs, key=key)
    learner = Online(start, MODEL, **SMALL | {"learning_rate": 3.0, "epochs": 3})
    closure, _ = tuned(learner, pairs, key)
    np.testing.assert_array_equal(closure.coefficients, start.coefficients)


def test_the_loss_is_the_mean_squared_error_of_forecasts(record, key):
    pairs = record(MODEL, TRUE, times=200)
    learner = Online(Zero() + TRUE, MODEL, window=3, grow=(), epochs=1, learning_rate=1e-12)
    shifted = replace(pairs, inputs={"X": np.repeat(pairs.inputs["X"][:, :1], 200, axis=1)})
    _, reports = tuned(learner, shifted, key)
    # Truth that stands still: the error is the distance that the forecast has gone.
    hybrid = couple(MODEL, TRUE)
    errors = []
    for series in range(3):
        state = type(hybrid.initial_state(key))(jnp.asarray(pairs.inputs["X"][series, 0]))
        snapshot = hybrid.start(state)
        for _ in range(3):
            snapshot = hybrid.step(snapshot)
            errors.append(jnp.mean((snapshot.state.X - state.X) ** 2))
    assert reports[0]["start"] == pytest.approx(float(np.mean(errors)), rel=1e-10)


def test_the_same_key_gives_the_same_closure(record, key):
    pairs = record(MODEL, TRUE, times=400)
    learner = Online(Linear(), MODEL, **SMALL | {"epochs": 2})
    first, again = learner.fit(pairs, key=key), learner.fit(pairs, key=key)
    np.testing.assert_array_equal(first.predictor.weights, again.predictor.weights)


def test_the_terms_of_a_sum_are_tuned_together_on_a_model_with_terms_of_its_own(record, key):
    model = couple(MODEL, PolynomialClosure([0.5]))
    pairs = record(MODEL, TRUE, times=400)
    start = PolynomialClosure([0.0, -0.1]) + PolynomialClosure([0.0, -0.1])
    closure, reports = tuned(Online(start, model, **SMALL | {"learning_rate": 0.03}), pairs, key)
    assert [len(term.coefficients) for term in closure.terms] == [2, 2]
    assert min(r["validation"] for r in reports) < 0.5 * reports[0]["start"]


def test_a_model_may_step_several_times_between_recorded_states(record, key):
    pairs = record(MODEL, TRUE).at(slice(None, None, 2))  # 0.04 apart
    assert measure_pace(pairs.interval, MODEL, 12).every == 2
    learner = Online(PolynomialClosure([0.4, -0.4]), MODEL, **SMALL | {"learning_rate": 0.02})
    closure, _ = tuned(learner, pairs, key)
    np.testing.assert_allclose(closure.coefficients, TRUE.coefficients, atol=0.03)


def test_a_model_may_step_over_recorded_states():
    pace = measure_pace(0.01, Lorenz96(K=7, dt=0.03), 4)
    assert (pace.stride, pace.every, pace.states) == (3, 1, 5)


def test_windows_cross_no_border():
    held = np.zeros(40, bool)
    held[15:20] = held[35:] = True
    unbroken = np.ones(39, bool)
    unbroken[27] = False  # a gap between times 27 and 28
    pace = measure_pace(1.0, Lorenz96(K=7, dt=1.0), 4)
    truth = {"X": np.arange(40.0)[None, :, None]}
    training, held_out = cut_windows(truth, held, unbroken, pace)
    # Five states a window, the last of one being the first of the next.
    np.testing.assert_array_equal(training["X"][:, 0, 0], [0, 4, 8, 20, 28])
    np.testing.assert_array_equal(held_out["X"][:, 0, 0], [15, 35])
    np.testing.assert_array_equal(training["X"][3, :, 0], [20, 21, 22, 23, 24])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": Lorenz96(K=7, dt=0.03)}, "the pairs are 0.02 apart and the model steps by dt"),
        ({"window": 60, "grow": ()}, "no held-out stretch of the 400 times is as long as a window"),
        ({"start": Zero()}, "nothing to tune: Zero holds no floating-point arrays"),
        (
            {"start": AR1Noise({"X": jnp.array(0.5)}, {"X": jnp.array(1.0)})},
            "Online tunes deterministic closures and this one draws random numbers",
        ),
    ],
)
def test_what_cannot_be_tuned_is_refused(record, key, change, message):
    pairs = record(MODEL, TRUE, times=400)
    with pytest.raises(ValueError, match=message):
        Online(**dict(start=TRUE, model=MODEL, **SMALL) | change).fit(pairs, key=key)


def test_pairs_without_the_state_are_refused(record, key):
    pairs = record(MODEL, TRUE, times=200)
    other = replace(pairs, inputs={"Z": pairs.inputs["X"]})
    with pytest.raises(ValueError, match=r"the pairs lack X of Lorenz96 \(they hold Z\)"):
        Online(TRUE, MODEL, **SMALL).fit(other, key=key)


def test_a_growing_length_longer_than_the_window_is_refused():
    with pytest.raises(ValueError, match=r"window is 12 and grow \(4, 16\)"):
        Online(TRUE, MODEL, window=12, grow=(4, 16))


def test_checkpointing_does_not_change_the_result(record, key):
    pairs = record(MODEL, TRUE, times=200)
    found = [
        Online(PolynomialClosure([0.0, -0.2]), MODEL, window=5, grow=(), epochs=2, checkpoint=kind)
        .fit(pairs, key=key)
        .coefficients
        for kind in (True, False)
    ]
    np.testing.assert_allclose(*found, rtol=1e-12)
