"""The training loop and the network that uses it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.closures.features import Stencil, Whole
from closura.closures.learned import LearnedClosure
from closura.closures.physical import PolynomialClosure
from closura.core import progress
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.learners.network import Network
from closura.learners.tables import measure_scaling
from closura.learners.training import Descent, minimise
from closura.nets.mlp import initialise

from .conftest import pairs_of, r_squared, smooth

SMALL = {
    "features": Stencil(1),
    "width": 16,
    "depth": 1,
    "epochs": 8,
    "batch": 64,
    "learning_rate": 0.02,
}


@pytest.fixture(scope="module")
def pairs():
    return pairs_of(PolynomialClosure([0.3, 1.3, -0.1, -0.02]), smooth())


def test_a_network_recovers_the_network_that_made_the_pairs(key):
    inputs = smooth()
    features = Stencil(1).bind(pairs_of(None, inputs))
    scaling = measure_scaling(features, pairs_of(PolynomialClosure([0.0, 1.0]), inputs))
    teacher = initialise(3, 1, width=4, depth=1, activation="tanh", key=key)
    pairs = pairs_of(LearnedClosure(features, scaling, teacher), inputs)
    learner = Network(Stencil(1), width=16, depth=1, activation="tanh", epochs=25, batch=128)
    assert r_squared(learner.fit(pairs, key=key), pairs) > 0.99


def test_the_same_key_gives_the_same_network_and_another_key_another(pairs, key):
    first, again = (Network(**SMALL).fit(pairs, key=key) for _ in range(2))
    other = Network(**SMALL).fit(pairs, key=jax.random.key(1))
    same = jax.tree.map(lambda a, b: bool(jnp.all(a == b)), first.predictor, again.predictor)
    assert all(jax.tree.leaves(same))
    assert not jnp.array_equal(first.predictor.weights[0], other.predictor.weights[0])
    assert first.passport == pairs.passport


def test_reports_tell_the_loss_of_each_epoch(pairs, key):
    heard = []
    with progress.listen(lambda event, values: heard.append((event, values))):
        closure = Network(**SMALL).fit(pairs, key=key)
    events = [values for event, values in heard if event == "train"]
    assert [values["epoch"] for values in events] == list(range(1, 9))
    assert events[-1]["validation"] < events[0]["validation"] < events[0]["start"]
    # The loss is what it says it is: 1 - R2 at held-out times, in the deviation of training.
    training, held = pairs.split(0.2, blocks=5)
    found = pairs_of(closure, held.inputs["X"]).targets["X"]
    error = np.mean((found - held.targets["X"]) ** 2) / np.var(training.targets["X"])
    best = min(values["validation"] for values in events)
    assert error == pytest.approx(best, rel=1e-3)
    assert events[0]["measure"] == "1 - R2" and events[0]["learner"] == "Network"


def test_several_seeds_give_the_one_that_does_best_on_held_out_times(pairs, key):
    heard = []
    with progress.listen(lambda event, values: heard.append(values)):
        closure = Network(**SMALL | {"seeds": 3}).fit(pairs, key=key)
    assert closure.predictor.weights[0].shape == (3, 16)
    assert r_squared(closure, pairs) > 0.95


def test_a_constant_feature_is_no_trouble(key):
    inputs = smooth()
    time = np.arange(inputs.shape[1], dtype=float)
    held = {"X": inputs, "Z": np.full_like(inputs, 7.0)}
    pairs = Pairs(held, {"X": np.sin(inputs)}, time, Passport("file"))
    closure = Network(**SMALL).fit(pairs, key=key)
    assert np.all(np.isfinite(closure.tendency({"X": jnp.ones(7), "Z": jnp.full(7, 7.0)})["X"]))


def square(parameters, constants, batch, stage):
    """Mean squared distance of a number from the samples, counted at each trace."""
    constants["traced"].append(1)
    return jnp.mean(jnp.square(parameters["x"] - batch))


SETTINGS = Descent(epochs=30, batch=8, learning_rate=0.3, schedule="constant", patience=3)


def trained(descent, training, held, *, start=0.0, sets=1, traced=None):
    heard = []
    with progress.listen(lambda event, values: heard.append(values)):
        fitted = minimise(
            square,
            {"x": jnp.full(sets, start)},
            {"traced": Counter(traced)},
            training,
            held,
            descent=descent,
            key=jax.random.key(0),
            learner="Square",
            measure="squares",
        )
    return fitted, heard


class Counter:
    """Something that counts and always looks the same to a compiled function."""

    def __init__(self, counts=None):
        self.counts = [] if counts is None else counts

    def append(self, one):
        self.counts.append(one)

    def __hash__(self):
        return 0

    def __eq__(self, other):
        return isinstance(other, Counter)


def test_an_epoch_is_traced_once_however_many_follow():
    counts: list = []
    data = jnp.linspace(1, 3, 33)
    trained(Descent(epochs=40, batch=4, learning_rate=0.01), data, data[:9], traced=counts)
    # The held-out loss and the epoch; JAX may look twice at the body of a loop.
    assert len(counts) <= 6


def test_training_stops_when_held_out_samples_no_longer_gain_and_restores_the_best():
    # Training pulls x from 0 to 5; the held-out optimum, 1, is passed on the way.
    fitted, heard = trained(SETTINGS, jnp.full(16, 5.0), jnp.full(4, 1.0))
    losses = [values["validation"] for values in heard]
    assert len(losses) == int(np.argmin(losses)) + 1 + SETTINGS.patience < SETTINGS.epochs
    assert fitted.validation == pytest.approx(min(losses))
    assert (float(fitted.parameters["x"]) - 1) ** 2 == pytest.approx(fitted.validation)


def test_training_never_returns_worse_than_its_start():
    fitted, _ = trained(SETTINGS, jnp.full(16, 5.0), jnp.full(4, 0.0))
    assert fitted.validation == fitted.start == 0 and fitted.parameters["x"] == 0


def test_a_loss_that_is_never_finite_is_an_error():
    with pytest.raises(FloatingPointError, match="Square: the held-out loss was never finite in"):
        trained(SETTINGS, jnp.full(16, jnp.inf), jnp.full(4, jnp.nan))


def test_an_update_that_is_not_finite_is_left_out():
    data = jnp.array([2.0] * 15 + [jnp.nan])
    fitted, _ = trained(SETTINGS, data, jnp.full(4, 2.0))
    assert fitted.validation < 0.1


@pytest.mark.parametrize("schedule", ["cosine", "exponential", "constant"])
def test_each_schedule_reaches_the_minimum(schedule):
    descent = Descent(epochs=40, batch=8, learning_rate=0.3, schedule=schedule, patience=40)
    fitted, _ = trained(descent, jnp.full(16, 2.0), jnp.full(4, 2.0), sets=2)
    assert fitted.validation < 1e-2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "rleu"}, r"Network: activation is 'rleu'; did you mean 'relu'\?"),
        ({"schedule": "cosin"}, r"Network: schedule is 'cosin'; did you mean 'cosine'\?"),
        ({"held_out": 1.2}, r"Network: held_out is 1.2; it must lie between 0 and 1, e.g. 0.2"),
        ({"width": 0}, r"Network: width is 0; it must be 1 or more"),
        ({"batch": 0}, r"Network: batch is 0; it must be 1 or more"),
        ({"learning_rate": 0.0}, r"Network: learning_rate is 0.0; it must be positive and finite"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Network(**settings)


def test_a_record_too_short_for_its_blocks_is_refused(key):
    with pytest.raises(ValueError, match="9 times cannot be cut into 5 blocks of two or more"):
        Network(**SMALL).fit(pairs_of(None, smooth(times=9)), key=key)


def test_an_output_that_never_varies_is_returned_as_its_mean(key):
    # A target that is 0 at every training time must come out as 0, not as small noise.
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(1, 200, 5))
    targets = np.concatenate([inputs[..., :2] ** 2, np.full((1, 200, 1), 0.25)], axis=-1)
    pairs = Pairs({"T": inputs}, {"Q": targets}, np.arange(200.0), Passport("file"))
    network = Network(features=Whole(), width=8, epochs=3).fit(pairs, key=key)
    for state in inputs[0, :5]:
        assert float(network.tendency({"T": jnp.asarray(state)})["Q"][2]) == 0.25
