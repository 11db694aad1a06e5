"""Offline scores are what the definitions say, with baselines, intervals and undefined values."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.closures.features import Stencil
from closura.closures.physical import PolynomialClosure
from closura.closures.stochastic import AR1Noise
from closura.core.closure import AbstractClosure, AbstractMemorylessClosure
from closura.core.learner import AbstractLearner, Pairs
from closura.core.passport import Passport
from closura.evaluation.learning_curve import learning_curve
from closura.evaluation.offline import FLOOR, NO_CLOSURE, score_offline
from closura.evaluation.prediction import predict

TIMES, LEVELS = 60, 5


class Times(AbstractMemorylessClosure):
    """A factor times one field, under the name of a target."""

    factor: float
    names: tuple[str, ...] = eqx.field(static=True, default=("T",))

    def tendency(self, fields, inputs=None):
        return dict.fromkeys(self.names, self.factor * fields["T"])


def pairs_of(targets, *, weights=None, inputs=None, series=2):
    generator = np.random.default_rng(2)
    fields = generator.standard_normal((series, TIMES, LEVELS)) if inputs is None else inputs
    units = tuple((name, "K s-1") for name in targets)
    return Pairs(
        inputs={"T": fields},
        targets=targets,
        time=np.arange(float(TIMES)),
        passport=Passport("file", units=units),
        weights=weights,
    )


@pytest.fixture
def noisy():
    generator = np.random.default_rng(3)
    inputs = generator.standard_normal((2, TIMES, LEVELS))
    target = 2.0 * inputs + 0.5 * generator.standard_normal(inputs.shape)
    return pairs_of({"T": target}, inputs=inputs)


def test_scores_are_those_of_the_definition(noisy, key):
    scores = score_offline({"twice": Times(2.0)}, noisy, key=key, samples=50)
    row = scores.sel(model="twice", variable="T")
    target, error = noisy.targets["T"], 2.0 * noisy.inputs["T"] - noisy.targets["T"]
    variance = target.var(axis=(0, 1))
    square = (error**2).mean(axis=(0, 1))
    np.testing.assert_allclose(row["r_squared"], 1 - square / variance)
    np.testing.assert_allclose(row["rmse"], np.sqrt(square))
    np.testing.assert_allclose(row["bias"], error.mean(axis=(0, 1)))
    np.testing.assert_allclose(row["overall_r_squared"], 1 - square.sum() / variance.sum())
    np.testing.assert_allclose(row["overall_rmse"], np.sqrt(square.mean()))


def test_no_closure_predicts_zero_and_is_always_there(noisy, key):
    scores = score_offline({}, noisy, key=key, samples=50)
    assert list(scores["model"].values) == [NO_CLOSURE, FLOOR]
    target = noisy.targets["T"]
    row = scores.sel(model=NO_CLOSURE, variable="T")
    np.testing.assert_allclose(row["overall_rmse"], np.sqrt((target**2).mean()))
    np.testing.assert_allclose(row["bias"], -target.mean(axis=(0, 1)))


def test_intervals_hold_the_scores_and_narrow_with_the_level(noisy, key):
    wide = score_offline({"twice": Times(2.0)}, noisy, key=key, level=0.9, block=3)
    narrow = score_offline({"twice": Times(2.0)}, noisy, key=key, level=0.5, block=3)
    for name in ("r_squared", "overall_r_squared", "overall_rmse", "bias"):
        row, other = wide.sel(model="twice"), narrow.sel(model="twice")
        assert np.all(row[f"{name}_lower"] < row[name])
        assert np.all(row[name] < row[f"{name}_upper"])
        width = row[f"{name}_upper"] - row[f"{name}_lower"]
        assert np.all(other[f"{name}_upper"] - other[f"{name}_lower"] < width)


def test_r_squared_is_undefined_where_the_target_does_not_vary(key):
    target = np.random.default_rng(4).standard_normal((2, TIMES, LEVELS))
    target[..., 1] = 0.3
    scores = score_offline({"twice": Times(2.0)}, pairs_of({"T": target}), key=key, samples=50)
    row = scores.sel(model="twice", variable="T")
    for name in ("r_squared", "r_squared_lower", "r_squared_upper"):
        np.testing.assert_array_equal(np.isnan(row[name]), [False, True, False, False, False])
    assert np.isfinite(row["overall_r_squared"])
    assert np.isfinite(row["rmse"]).all()


def test_a_mean_profile_alone_earns_no_variance(key):
    profile = np.array([10.0, -5.0, 3.0, 8.0, -20.0])
    target = profile + np.random.default_rng(5).standard_normal((2, TIMES, LEVELS))

    class Profile(AbstractMemorylessClosure):
        def tendency(self, fields, inputs=None):
            return {"T": jnp.asarray(profile) + 0 * fields["T"]}

    scores = score_offline({"profile": Profile()}, pairs_of({"T": target}), key=key, samples=50)
    assert abs(float(scores["overall_r_squared"].sel(model="profile", variable="T"))) < 0.02


def test_column_scores_weigh_levels_by_their_mass(key):
    generator = np.random.default_rng(6)
    inputs = generator.standard_normal((2, TIMES, LEVELS))
    target = 2.0 * inputs
    target[..., 4] = 5.0 * generator.standard_normal((2, TIMES))  # only this level is not known
    mass = np.array([1.0, 2.0, 3.0, 4.0, 0.5])
    closures = {"twice": Times(2.0)}
    for weights in (mass, np.broadcast_to(mass, (2, TIMES, LEVELS))):
        pairs = pairs_of({"T": target}, inputs=inputs, weights=weights)
        row = score_offline(closures, pairs, key=key, samples=50).sel(model="twice", variable="T")
        variance = target.var(axis=(0, 1))
        square = ((2.0 * inputs - target) ** 2).mean(axis=(0, 1))
        expected = 1 - (mass * square).sum() / (mass * variance).sum()
        np.testing.assert_allclose(row["column_r_squared"], expected)
        assert row["column_r_squared"] > row["overall_r_squared"]
        assert row["r_squared"].dims == ("level",)
    plain = score_offline(closures, pairs_of({"T": target}), key=key, samples=50)
    assert np.isnan(plain["column_r_squared"]).all()
    assert plain["r_squared"].dims == ("model", "variable", "point")


def test_fields_of_other_lengths_are_filled_up(key):
    generator = np.random.default_rng(7)
    targets = {"T": generator.standard_normal((2, TIMES, LEVELS)),
               "rain": generator.standard_normal((2, TIMES))}  # fmt: skip

    class Both(AbstractMemorylessClosure):
        def tendency(self, fields, inputs=None):
            return {"T": fields["T"], "rain": fields["T"].sum()}

    scores = score_offline({"both": Both()}, pairs_of(targets), key=key, samples=50)
    rain = scores["r_squared"].sel(model="both", variable="rain")
    np.testing.assert_array_equal(np.isnan(rain), [False, True, True, True, True])
    np.testing.assert_allclose(
        rain[0], scores["overall_r_squared"].sel(model="both", variable="rain")
    )


def test_the_noise_floor_is_the_jackknife_over_four_stretches(noisy, key):
    scores = score_offline({"twice": Times(2.0)}, noisy, key=key, samples=50)
    parts = []
    for left_out in range(4):
        keep = np.setdiff1d(np.arange(TIMES), np.arange(left_out * 15, left_out * 15 + 15))
        cut = noisy.at(keep)
        row = score_offline({"twice": Times(2.0)}, cut, key=key, samples=50).sel(model="twice")
        parts.append(float(row["overall_rmse"].sel(variable="T")))
    # sqrt((n - 1) / n * sum of squares) = sqrt(n - 1) * population deviation, n = 4
    expected = np.sqrt(3) * np.std(parts)
    np.testing.assert_allclose(scores["overall_rmse"].sel(model=FLOOR, variable="T"), expected)


def test_inputs_outside_the_training_range_are_counted(key):
    inputs = np.zeros((1, TIMES, LEVELS))
    inputs[0, :15, 0] = 3.0  # a quarter of the times, one point of five
    pairs = pairs_of({"T": np.random.default_rng(8).standard_normal(inputs.shape)}, inputs=inputs)
    stencil = Stencil(0, variables=("T",)).bind(pairs)
    local = PolynomialClosure([0.0, 1.0], variable="T", features=stencil, lower=[-1], upper=[1])
    scores = score_offline({"local": local, "free": Times(1.0)}, pairs, key=key, samples=50)
    np.testing.assert_allclose(scores["extrapolated_share"].sel(model="local"), 0.25 / 5)
    assert np.isnan(scores["extrapolated_share"].sel(model="free"))


def test_random_terms_are_left_out_of_a_prediction(noisy):
    noise = AR1Noise({"T": 0.5}, {"T": 1.0})
    np.testing.assert_allclose(predict(Times(2.0) + noise, noisy)["T"], 2.0 * noisy.inputs["T"])
    assert np.all(predict(noise, noisy)["T"] == 0.0)
    assert np.all(predict(None, noisy)["T"] == 0.0)


def test_long_records_are_predicted_in_pieces(noisy, monkeypatch):
    monkeypatch.setattr("closura.core.pieces.PIECE", 7 * 2 * 5 * 8)
    np.testing.assert_allclose(predict(Times(2.0), noisy)["T"], 2.0 * noisy.inputs["T"])


def test_a_closure_of_another_target_is_refused(noisy, key):
    with pytest.raises(ValueError, match="predicts q and the pairs hold the target 'T'"):
        score_offline({"other": Times(1.0, names=("q",))}, noisy, key=key)
    with pytest.raises(ValueError, match="3 held-out times cannot be scored; hold out 4 or more"):
        score_offline({}, noisy.at(slice(3)), key=key)


class Slope(AbstractLearner):
    """The best factor of the input; notes what it was given."""

    seen: list = eqx.field(static=True, default_factory=list)

    def fit(self, pairs: Pairs, *, key: jax.Array) -> AbstractClosure:
        self.seen.append(pairs.time)
        x, y = pairs.inputs["T"], pairs.targets["T"]
        return Times(float((x * y).sum() / (x * x).sum()))


def test_a_learning_curve_fits_contiguous_stretches(noisy, key):
    learner = Slope()
    curve = learning_curve(learner, noisy, sizes=(0.25, 1.0), repeats=3, key=key)
    assert curve["learning_curve"].dims == ("variable", "size")
    training, _ = noisy.split()
    np.testing.assert_array_equal(curve["size"], [2 * 12, 2 * 50])
    firsts = [times[0] for times in learner.seen[:3]]
    np.testing.assert_array_equal(firsts, training.time[[0, 19, 38]])
    assert all(len(times) == 12 for times in learner.seen[:3])
    assert all(len(times) == 50 for times in learner.seen[3:])
    # The law is linear with noise of variance 0.25 beside a signal of 4.
    np.testing.assert_allclose(curve["learning_curve"][0, -1], 1 - 0.25 / 4.25, atol=0.02)
    assert np.all(curve["learning_curve_lower"] <= curve["learning_curve_upper"])


def test_learning_curves_of_several_learners_stand_side_by_side(noisy, key):
    training, held_out = noisy.split()
    curve = learning_curve(
        {"a": Slope(), "b": Slope()}, training, held_out=held_out, sizes=(0.5,), repeats=1, key=key
    )
    assert curve["learning_curve"].dims == ("model", "variable", "size")
    np.testing.assert_allclose(*curve["learning_curve"].values)
    with pytest.raises(ValueError, match=r"sizes is \[1\.5\] and repeats 1; wanted are shares"):
        learning_curve(Slope(), noisy, sizes=(1.5,), repeats=1, key=key)
