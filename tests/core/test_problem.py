import numpy as np
import pytest

from closura.core.problem import Observations


def whole(fields):
    return fields.X


def made(values=None, variance=None, time=(0.1, 0.3), positions=None):
    values = np.ones((2, 3)) if values is None else values
    variance = np.full(3, 0.5) if variance is None else variance
    return Observations(values, variance, np.asarray(time), whole, positions)


def test_times_become_steps_even_if_irregular():
    assert made(time=(0.1, 0.35)).steps(0.05).tolist() == [2, 7]


def test_a_time_between_steps_is_refused():
    with pytest.raises(ValueError, match=r"time 0.35 of the observations is no positive multiple"):
        made(time=(0.1, 0.35)).steps(0.1)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            {"variance": np.array([1.0, 0.0, 1.0])},
            r"variance is 0 at \(1,\); an error variance must",
        ),
        ({"variance": np.array([1.0, -2.0, 1.0])}, r"variance is -2 at \(1,\)"),
        ({"variance": np.ones(2)}, r"variance has shape \(2,\); wanted is \(3,\) or \(2, 3\)"),
        (
            {"values": np.ones(3)},
            r"values has shape \(3,\); observations want \(time, observation\)",
        ),
        ({"time": (0.1,)}, r"time has shape \(1,\) for values of shape \(2, 3\)"),
        ({"time": (0.3, 0.1)}, "time does not increase after 0.3"),
        ({"time": (0.0, 0.1)}, "time begins at 0; a run starts at 0"),
        ({"positions": np.arange(3.0)}, r"positions has shape \(3,\); wanted is \(3, coordinate\)"),
        ({"values": np.full((2, 3), np.inf)}, "values holds infinities"),
    ],
)
def test_bad_observations_are_refused(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        made(**settings)


def test_a_stretch_of_time_is_cut_out():
    kept = made(variance=np.arange(1.0, 7).reshape(2, 3)).between(0.1, 0.3)
    assert kept.time.tolist() == [0.3]
    assert kept.variance.tolist() == [[4.0, 5.0, 6.0]]
