"""Inputs by name, and the calendar."""

import datetime

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.core.inputs import Steady, named


def days_of(calendar, steps):
    found = jax.jit(jax.vmap(calendar.at))(jnp.asarray(steps))
    return np.asarray(found["day"]), np.asarray(found["hour"])


@pytest.mark.parametrize(
    "begin", ["1979-06-01T18:00", "1999-12-31T23:30", "2000-02-28", "2100-02-28"]
)
def test_the_standard_calendar_agrees_with_the_one_of_python(begin):
    steps = np.arange(0, 48 * 365 * 9, 1013)  # nine years, leap ones among them
    day, hour = days_of(cl.Calendar(begin, dt=1800.0), steps)
    start = datetime.datetime.fromisoformat(begin)
    for index, step in enumerate(steps):
        date = start + datetime.timedelta(minutes=30 * int(step))
        assert day[index] == date.timetuple().tm_yday
        assert hour[index] == pytest.approx(date.hour + date.minute / 60, abs=1e-9)


def test_a_year_without_leap_days_has_365_and_one_of_360():
    steps = 24 * np.arange(800)
    day, _ = days_of(cl.Calendar("2000-02-28", dt="1 hour", calendar="noleap"), steps)
    np.testing.assert_array_equal(day, (58 + np.arange(800)) % 365 + 1)
    day, _ = days_of(cl.Calendar("2000-02-30", dt="1 hour", calendar="360_day"), steps)
    np.testing.assert_array_equal(day, (59 + np.arange(800)) % 360 + 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("1979-13-01", 1800.0), "begin is '1979-13-01', which is no date of the calendar"),
        (("1979-02-30", 1800.0), "begin is '1979-02-30', which is no date"),
        (("June", 1800.0), "begin is 'June', which is no date"),
        (("1979-06-01", 7000.0), "dt is 7000 s, which does not divide a day"),
        (("1979-06-01", 1800.0, "julian"), "calendar is 'julian'; it must be one of"),
    ],
)
def test_a_calendar_refuses_what_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        cl.Calendar(*settings)


def test_inputs_by_name_are_read_a_step_ahead():
    series = cl.Series(jnp.arange(5.0) ** 2, every=2)  # 0 1 4 9 16 at steps 0 2 4 6 8
    inputs = cl.Inputs(reference=series, other=Steady(jnp.asarray(7.0)))
    assert float(inputs.at(1)["reference"]) == 1.0
    assert float(inputs.at(2)["reference"]) == 2.5
    assert float(inputs.at(2)["other"]) == 7.0
    assert float(cl.Inputs(reference=series, ahead=0).at(2)["reference"]) == 1.0


def test_inputs_name_the_one_that_is_too_short():
    inputs = cl.Inputs(reference=cl.Series(jnp.zeros(5)), ahead=1)
    inputs.check_covers(0, 4)
    with pytest.raises(ValueError, match=r"the input 'reference' is too short: the run goes"):
        inputs.check_covers(0, 5)


def test_a_closure_that_misses_its_input_says_how_to_give_it():
    with pytest.raises(ValueError, match=r"Nudging reads the input 'reference' and the model is"):
        named({"calendar": 1}, "reference", "Nudging")
    with pytest.raises(ValueError, match=r"given nothing by name; pass inputs=cl.Inputs"):
        named(None, "reference", "Nudging")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({}, "Inputs is empty; name at least one"), ({"ahead": 2, "a": 1}, "ahead is 2; it must be")],
)
def test_inputs_refuse_what_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        cl.Inputs(**settings)
