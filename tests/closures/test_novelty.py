"""Novelty: scores against their formulas and scikit-learn, and what is done about them."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.closures.novelty import training_table
from made_atmosphere import made_pairs


def table(samples=400, features=3, seed=2):
    draw = np.random.default_rng(seed).normal(size=(samples, features))
    return draw * np.array([1.0, 10.0, 0.1])[:features] + np.array([5.0, 0.0, -1.0])[:features]


def test_the_range_score_adds_the_worst_above_and_below():
    detector = cl.MinMax().fit(np.array([[0.0, 10.0, 3.0], [2.0, 30.0, 3.0]]))
    # In ranges of 2 and 20: 1.5 above by 0.5; -0.25 below by 0.25; the constant one by 0.125.
    new = np.array([[1.0, 20.0, 3.0], [3.0, 5.0, 3.0], [-0.5, 40.0, 3.0], [1.0, 20.0, 3.125]])
    np.testing.assert_allclose(detector(jnp.asarray(new)), [0, 0.75, 0.75, 0.125])


def test_the_mahalanobis_score_is_the_distance_in_standard_deviations():
    known = table()
    detector = cl.Mahalanobis(quantile=0.95).fit(known)
    new = table(7, seed=3) * 1.5
    departure = new - known.mean(axis=0)
    inverse = np.linalg.inv(np.cov(known.T, bias=True))
    distance = np.sqrt(np.einsum("si,ij,sj->s", departure, inverse, departure) / 3)
    score = np.asarray(detector(jnp.asarray(new)))
    np.testing.assert_allclose(score - score[0], distance - distance[0], rtol=1e-9, atol=1e-12)
    assert np.mean(np.asarray(detector(jnp.asarray(known))) <= 0) == pytest.approx(0.95, abs=0.005)


def test_the_mahalanobis_score_ignores_directions_that_never_vary():
    known = table()
    known = np.column_stack([known, known[:, 0] + known[:, 1], np.full(len(known), 4.0)])
    detector = cl.Mahalanobis().fit(known)
    assert detector.whitening.shape == (5, 3)
    assert np.all(np.isfinite(detector(jnp.asarray(known))))


def test_the_kernel_machine_agrees_with_scikit_learn():
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import OneClassSVM

    known, new = table(), table(9, seed=5) * 1.3
    scaler = StandardScaler().fit(known)
    machine = OneClassSVM(gamma=0.3, nu=0.05).fit(scaler.transform(known))
    highest = -machine.score_samples(scaler.transform(known)).min()
    wanted = -machine.score_samples(scaler.transform(new)) - highest
    detector = cl.OneClassSVM(gamma=0.3, nu=0.05).fit(known)
    np.testing.assert_allclose(detector(jnp.asarray(new)), wanted, rtol=1e-6, atol=1e-6)
    assert float(np.max(detector(jnp.asarray(known)))) == pytest.approx(0, abs=1e-12)


class Halved(cl.AbstractMemorylessClosure):
    """Minus half the winds."""

    def tendency(self, fields, inputs=None):
        return {name: -0.5 * fields[name] for name in ("u", "v")}


def column():
    return cl.Column(variables=("temperature",))


def fitted(pairs, **settings):
    return cl.Guarded(Halved(), features=column(), **settings).fit(pairs)


def an_instant(pairs, **changes):
    fields = {name: jnp.asarray(array[0, 0]) for name, array in pairs.inputs.items()}
    return fields | changes


def test_columns_like_those_of_training_keep_their_tendency_and_others_lose_it(pairs):
    guard = fitted(pairs)
    fields = an_instant(pairs)
    fields["temperature"] = fields["temperature"].at[3, 1, 2].set(50.0).at[0, 4, 5].set(-50.0)
    found = guard(fields, None, (), None)[0]
    wanted = np.array(-0.5 * fields["u"])
    wanted[:, 1, 2] = wanted[:, 4, 5] = 0
    np.testing.assert_array_equal(found["u"], wanted)
    assert float(guard.share(fields)["novel"]) == pytest.approx(2 / 48)


def test_responses_are_mask_ramp_and_decay(pairs):
    lower, upper = pairs.inputs["temperature"].min(), pairs.inputs["temperature"].max()
    column_range = np.ptp(pairs.inputs["temperature"][:, :, 2])
    highest = pairs.inputs["temperature"][:, :, 2].max()
    assert lower < upper
    fields = an_instant(pairs)
    calm = (
        fields["temperature"]
        .at[:, 0, 0]
        .set(jnp.asarray(pairs.inputs["temperature"]).mean(axis=(0, 1, 3, 4)))
    )
    fields["temperature"] = calm.at[2, 0, 0].set(highest + 0.4 * column_range)  # a score of 0.4
    weight = lambda **settings: float(fitted(pairs, **settings).weights(fields)[0])  # noqa: E731
    assert weight() == 0.0
    assert weight(cutoff=0.5) == 1.0
    assert weight(response="ramp", cutoff=0.2, end=0.7) == pytest.approx(0.6)
    assert weight(response="decay", cutoff=0.1, rate=0.2) == pytest.approx(0.2**0.3)
    assert weight(response="decay", cutoff=0.5, rate=0.2) == 1.0


@pytest.mark.parametrize("novelty", [cl.Mahalanobis(), cl.OneClassSVM(samples=60)])
def test_any_detector_guards_and_comes_back_from_a_file(pairs, novelty, tmp_path):
    guard = cl.Limited(fitted(pairs, novelty=novelty), {"u": 0.1})
    far = an_instant(pairs, temperature=jnp.asarray(pairs.inputs["temperature"][0, 0]) + 40.0)
    assert float(guard.share(far)["novel"]) == 1.0
    fields = an_instant(pairs)
    assert float(guard.share(fields)["novel"]) < 0.2
    again = cl.load_closure(cl.save_closure(tmp_path, guard))
    for state in (fields, far):
        np.testing.assert_array_equal(
            again(state, None, (), None)[0]["u"], guard(state, None, (), None)[0]["u"]
        )


def test_a_learned_closure_brings_its_own_features(pairs, key):
    closure = cl.Linear(features=cl.Column()).fit(pairs, key=key)
    guard = cl.Guarded(closure).fit(pairs)
    given = {"calendar": {"day": 172, "hour": 0.0}}
    found = guard(an_instant(pairs), given, (), None)[0]
    plain = closure.tendency(an_instant(pairs), given)
    np.testing.assert_allclose(found["v"], plain["v"])


def test_many_samples_are_thinned_in_time(pairs, monkeypatch):
    from closura.closures import novelty

    monkeypatch.setattr(novelty, "MOST_SAMPLES", 100)
    assert training_table(column().bind(pairs), pairs).shape[0] == 2 * 48


def test_the_detector_sees_every_hour_of_the_day_when_times_are_thinned(monkeypatch):
    from closura.closures import novelty

    # A multiple of the four saved hours apart, times would all be of one hour.
    monkeypatch.setattr(novelty, "MOST_SAMPLES", 20 * 48)
    pairs = made_pairs(times=160)
    hours = 6.0 * (np.arange(160) % 4)
    temperature = pairs.inputs["temperature"]
    pairs = replace(pairs, inputs={"temperature": temperature * 0 + hours[:, None, None, None]})
    table = training_table(column().bind(pairs), pairs)
    assert table.shape[0] == 20 * 48
    assert sorted(set(table[:, 0].tolist())) == [0, 6, 12, 18]
    np.testing.assert_array_equal(table, training_table(column().bind(pairs), pairs))


WRONG = {
    "response": ({"response": "fade"}, "response is 'fade'; it must be one of mask, ramp, decay"),
    "ramp": ({"response": "ramp", "cutoff": 2.0}, "the ramp goes from 2.0 to 1.0; end must be"),
    "rate": ({"response": "decay", "rate": 1.5}, "rate is 1.5; it must lie between 0 and 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_guarding_refuses_what_cannot_be(case):
    settings, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        cl.Guarded(Halved(), **settings)


def test_guarding_says_what_it_lacks(pairs):
    with pytest.raises(ValueError, match=r"Halved has no features of its own; say with features="):
        cl.Guarded(Halved()).fit(pairs)
    with pytest.raises(ValueError, match=r"has seen no pairs; call its fit\(pairs\) first"):
        cl.Guarded(Halved(), features=column()).share(an_instant(pairs))
    winds = replace(made_pairs(), targets={"u": made_pairs().targets["u"]})
    with pytest.raises(ValueError, match=r"tendency of 'v', and Guarded was fitted on pairs with"):
        fitted(winds)(an_instant(pairs), None, (), None)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: cl.Mahalanobis(quantile=1.5), "Mahalanobis: quantile is 1.5; it must lie in"),
        (lambda: cl.OneClassSVM(nu=2.0), "OneClassSVM: nu is 2.0; it must lie between 0 and 1"),
        (lambda: cl.OneClassSVM(quantile=0.0), "OneClassSVM: quantile is 0.0"),
    ],
)
def test_recipes_refuse_what_cannot_be(made, message):
    with pytest.raises(ValueError, match=message):
        made()
