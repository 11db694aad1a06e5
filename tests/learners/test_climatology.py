"""The mean tendency by day and hour."""

import jax.numpy as jnp
import numpy as np
import pytest

from closura.core.couple import ClosuraWarning
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.data.closures import load_closure, save_closure
from closura.learners.climatology import ClimatologicalCorrection
from made_atmosphere import made_pairs

from .conftest import pairs_of, smooth

TIMES = 4 * 365


def dated(times=TIMES, size=1.0, noise=0.0):
    """Pairs whose target has a season and a daily cycle of 4 known hours."""
    steps = np.arange(times)
    day, hour = 1 + steps // 4 % 365, 6.0 * (steps % 4)
    season = np.cos(2 * np.pi * (day + hour / 24) / 365.25)
    daily = np.array([0.0, 1.0, -1.0, 5.0])[steps % 4]
    place = np.arange(6.0).reshape(2, 3)
    target = place + size * season[:, None, None] + daily[:, None, None]
    target = target + noise * np.random.default_rng(0).normal(size=(2, times, 2, 3))
    zero = np.zeros_like(target)
    return Pairs({"u": zero}, {"u": target}, 6.0 * steps, Passport("nudging"),
                 given={"calendar": {"day": day, "hour": hour}})  # fmt: skip


def at(closure, day, hour):
    fields = {"u": jnp.zeros((2, 3))}
    return closure.tendency(
        fields, {"calendar": {"day": jnp.asarray(day), "hour": jnp.asarray(hour)}}
    )["u"]


def test_season_and_daily_cycle_are_recovered():
    closure = ClimatologicalCorrection().fit(dated())
    assert (closure.hours, closure.terms) == (4, 7)
    wanted = np.arange(6.0).reshape(2, 3) + np.cos(2 * np.pi * 100.75 / 365.25) + 5.0
    np.testing.assert_allclose(at(closure, 100, 18.0), wanted, atol=1e-10)
    # Half-way between hours 18 (5) and 24 (0, of the same harmonics).
    between = np.arange(6.0).reshape(2, 3) + np.cos(2 * np.pi * 100.875 / 365.25) + 2.5
    np.testing.assert_allclose(at(closure, 100, 21.0), between, atol=1e-10)


def test_hours_between_the_round_ones_keep_their_own_mean():
    pairs = dated(times=160, size=0.0)
    later = {"day": pairs.given["calendar"]["day"], "hour": pairs.given["calendar"]["hour"] + 3.0}
    pairs = Pairs(pairs.inputs, pairs.targets, pairs.time, pairs.passport,
                  given={"calendar": later})  # fmt: skip
    closure = ClimatologicalCorrection(harmonics=0).fit(pairs)
    np.testing.assert_allclose(at(closure, 9, 21.0), np.arange(6.0).reshape(2, 3) + 5.0)
    # Half-way from hour 21 (5) to hour 3 (0).
    np.testing.assert_allclose(at(closure, 9, 0.0), np.arange(6.0).reshape(2, 3) + 2.5)


def test_noise_is_smoothed_by_the_harmonics():
    # 2 series x 365 days for 7 coefficients an hour: sqrt(7 / 730) = 0.1 of the noise is left.
    closure = ClimatologicalCorrection().fit(dated(noise=1.0))
    error = at(closure, 200, 6.0) - at(ClimatologicalCorrection().fit(dated()), 200, 6.0)
    assert np.sqrt(np.mean(np.square(error))) < 0.3


def test_a_short_record_has_no_season_and_says_so():
    with pytest.warns(
        ClosuraWarning,
        match="40 of the days of a year, which give 0 of 3 harmonics: the corr.* no season",
    ):
        closure = ClimatologicalCorrection().fit(dated(times=160, size=0.0))
    assert (closure.hours, closure.terms) == (4, 1)
    np.testing.assert_allclose(at(closure, 300, 6.0), np.arange(6.0).reshape(2, 3) + 1.0)


def test_without_a_calendar_it_is_the_plain_mean_on_any_model():
    pairs = pairs_of(None, smooth())
    target = np.random.default_rng(0).normal(size=pairs.targets["X"].shape)
    pairs = Pairs(pairs.inputs, {"X": target}, pairs.time, pairs.passport)
    closure = ClimatologicalCorrection().fit(pairs)
    found = closure.tendency({"X": jnp.zeros(7)})["X"]
    np.testing.assert_allclose(found, target.mean(axis=(0, 1)), atol=1e-12)
    assert closure.passport == pairs.passport


def test_it_comes_back_from_a_file(tmp_path):
    closure = ClimatologicalCorrection().fit(dated())
    back = load_closure(save_closure(tmp_path, closure))
    np.testing.assert_array_equal(at(back, 7, 1.0), at(closure, 7, 1.0))


def test_a_season_without_a_calendar_is_refused():
    closure = ClimatologicalCorrection().fit(dated())
    with pytest.raises(ValueError, match="depends on the date and was given no calendar; run with"):
        closure.tendency({"u": jnp.zeros((2, 3))})


def test_an_hour_without_samples_is_refused():
    with pytest.raises(ValueError, match="no sample is near hour 3, one of 8 times of day"):
        ClimatologicalCorrection(hours=8).fit(dated())


def test_a_target_with_gaps_is_refused():
    pairs = made_pairs()
    pairs.targets["u"][0, 3, 1, 1, 1] = np.nan
    with pytest.raises(ValueError, match="target 'u' of the pairs holds values that are not fini"):
        ClimatologicalCorrection(harmonics=0).fit(pairs)


@pytest.mark.parametrize(
    ("settings", "line"),
    [({"harmonics": -1}, "harmonics is -1; it must be 0"), ({"hours": 25}, "hours is 25; it must")],
)
def test_settings_that_cannot_be_are_refused(settings, line):
    with pytest.raises(ValueError, match=line):
        ClimatologicalCorrection(**settings)
