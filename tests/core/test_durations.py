"""Durations in words."""

import pytest

import closura as cl


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("6 hours", 21600.0), ("1 day", 86400.0), ("300 days", 2.592e7), ("30 min", 1800.0),
        ("1.5h", 5400.0), ("2 weeks", 1209600.0), ("90 s", 90.0), ("1e3 seconds", 1000.0),
        ("12", 12.0), (0.05, 0.05), (7, 7.0),
    ],
)  # fmt: skip
def test_a_duration_in_words_is_its_seconds(said, meant):
    assert cl.duration(said) == meant


def test_natural_units_are_seconds():
    assert (cl.seconds, cl.minutes, cl.hours, cl.days, cl.weeks) == (1, 60, 3600, 86400, 604800)


@pytest.mark.parametrize("said", ["1 month", "six hours", "6 hours ago", "", True, None, "1.2.3 h"])
def test_what_is_no_duration_is_refused(said):
    with pytest.raises(ValueError, match=r"every is .*; write a number and a unit, e.g. '6 hours'"):
        cl.duration(said, name="every")


def test_a_model_without_units_has_no_hours():
    with pytest.raises(ValueError, match=r"every is '6 hours' and the time of this model is in"):
        cl.duration("6 hours", name="every", time_units="1")
    assert cl.duration("6", time_units="1") == 6.0
