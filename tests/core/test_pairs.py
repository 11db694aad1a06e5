"""Pairs: shapes, time order and held-out blocks."""

import numpy as np
import pytest

import closura as cl
from closura.core.passport import Passport


def pairs(times=50, series=3, interval=0.1):
    values = np.arange(series * times * 4, dtype=float).reshape(series, times, 4)
    return cl.Pairs(
        {"X": values}, {"X": -values}, interval * np.arange(times), Passport("coupling")
    )


def test_held_out_times_are_whole_blocks():
    # 50 times in 5 stretches of 10: the last 2 of each are held out.
    mask = pairs().held_out(0.2, blocks=5)
    assert np.flatnonzero(mask).tolist() == [8, 9, 18, 19, 28, 29, 38, 39, 48, 49]


def test_split_keeps_every_sample_once_without_a_gap():
    train, held = pairs().split(0.3, blocks=2)
    assert sorted([*train.time, *held.time]) == pytest.approx(list(pairs().time))


def test_gap_drops_training_samples_near_a_block():
    # Blocks 20-24 and 45-49; a gap of 2 drops 18, 19, 25, 26 and 43, 44 from training.
    train, held = pairs().split(0.2, blocks=2, gap=2)
    dropped = set(range(50)) - set(np.rint(train.time / 0.1)) - set(np.rint(held.time / 0.1))
    assert dropped == {18, 19, 25, 26, 43, 44}


def test_a_split_that_leaves_nothing_to_learn_from_is_refused():
    times = len(pairs().time)
    with pytest.raises(ValueError, match=rf"of {times} times .* {times} on each side .* smaller"):
        pairs().split(0.2, blocks=2, gap=times)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5])
def test_fraction_must_be_inside_zero_and_one(fraction):
    with pytest.raises(ValueError, match=f"held-out fraction is {fraction}"):
        pairs().held_out(fraction)


def test_too_many_blocks_are_refused():
    with pytest.raises(ValueError, match="50 times cannot be cut into 40 blocks"):
        pairs().held_out(0.2, blocks=40)


def test_interval_is_none_where_times_are_irregular():
    assert pairs().interval == pytest.approx(0.1)
    assert pairs().at(np.array([0, 1, 3])).interval is None


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"different .series, time. shapes"):
        cl.Pairs(
            {"X": np.zeros((2, 5, 3))}, {"X": np.zeros((2, 6, 3))}, np.arange(5), Passport("file")
        )


def test_what_was_given_is_split_with_the_times():
    given = {"calendar": {"hour": np.arange(50.0)}}
    made = cl.Pairs({"X": np.zeros((3, 50, 4))}, {"X": np.zeros((3, 50, 4))}, np.arange(50.0),
                    Passport("file"), given=given)  # fmt: skip
    _, held = made.split(0.2, blocks=1)
    assert held.given["calendar"]["hour"].tolist() == list(np.arange(40.0, 50.0))
    fields, inputs = held.instants(2, slice(3, 5))
    assert fields["X"].shape == (2, 4)
    assert inputs["calendar"]["hour"].tolist() == [43.0, 44.0]
    assert pairs().instants(0, slice(0, 1))[1] is None


def test_what_was_given_must_have_the_times_of_the_pairs():
    with pytest.raises(ValueError, match=r"50 times and the input 'calendar' gives 'hour' with"):
        cl.Pairs({"X": np.zeros((3, 50, 4))}, {}, np.arange(50.0), Passport("file"),
                 given={"calendar": {"hour": np.zeros(49)}})  # fmt: skip


def test_prints_itself():
    assert repr(pairs()).startswith("Pairs: 3 series x 50 times, target 'coupling'")
