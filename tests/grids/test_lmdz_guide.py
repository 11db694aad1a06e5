import math

import numpy as np
import pytest

from closura.grids.lmdz_guide import (
    GuideKeys,
    boundary_layer_taper,
    guided_step,
    relaxation_factor,
    relaxation_time,
)

FACTT = 900 / 86400  # the guide every 15 minutes


def test_the_factor_is_exponential():
    # 6 hours: 1 - exp(-15 / 360)
    assert relaxation_factor(FACTT, 0.25) == pytest.approx(1 - math.exp(-1 / 24), rel=1e-12)


@pytest.mark.parametrize("exponential", [True, False])
def test_the_timescale_comes_back_from_its_factor(exponential):
    alpha = relaxation_factor(FACTT, 0.25, exponential=exponential)
    found = relaxation_time(alpha, FACTT, exponential=exponential)
    assert found == pytest.approx(0.25, rel=1e-12)


def test_on_a_regular_grid_tau_max_acts():
    keys = GuideKeys(tau_min=0.25, tau_max=10)
    assert keys.acting == "tau_max"
    assert keys.timescale() == 10
    assert keys.factor(FACTT) == pytest.approx(1 - math.exp(-FACTT / 10), rel=1e-12)


def test_zoomed_in_one_direction_only_is_regular_to_the_guide():
    assert GuideKeys(grossismx=3, grossismy=1.05).acting == "tau_max"


def test_in_a_box_tau_min_acts():
    keys = GuideKeys(tau_min=0.25, guide_reg=True)
    assert (keys.acting, keys.exponential) == ("tau_min", True)


def test_what_is_added_is_tau_min_without_an_exponential():
    keys = GuideKeys(tau_min=1, tau_max=10, guide_add=True)
    assert (keys.acting, keys.exponential) == ("tau_min", False)
    assert keys.factor(FACTT) == pytest.approx(FACTT, rel=1e-12)


def test_on_a_zoomed_grid_both_act_and_there_is_no_one_timescale():
    keys = GuideKeys(grossismx=3, grossismy=2)
    assert keys.acting == "both"
    with pytest.raises(ValueError, match=r"grossismx is 3 and grossismy 2: .*variables au and av"):
        keys.timescale()


def test_a_time_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="tau_min is 0 days; it must be positive"):
        GuideKeys(tau_min=0)


def test_a_factor_without_a_timescale_is_refused():
    with pytest.raises(ValueError, match=r"the nudging factor is 1\.0; between 0 and 1"):
        relaxation_time(1.0, FACTT)


def test_the_taper_is_half_at_850_hpa_and_small_at_950():
    # (1 + tanh(0)) / 2; (1 + tanh(-2)) / 2 = 1 / (1 + e^4) with p / p0 of 0.85 and 0.95.
    found = boundary_layer_taper(np.array([0.85, 0.95, 0.2]) * 101325)
    np.testing.assert_allclose(found, [0.5, 1 / (1 + math.exp(4)), 1.0], rtol=1e-9)


def test_only_without_the_boundary_layer_is_there_a_taper():
    pressure = np.array([95000.0, 50000.0])
    np.testing.assert_array_equal(GuideKeys().taper(pressure), 1.0)
    found = GuideKeys(guide_BL=False).taper(pressure)
    np.testing.assert_array_equal(found, boundary_layer_taper(pressure))


def test_repeated_steps_follow_the_exact_exponential():
    # 24 steps of 15 minutes towards 10 with 6 hours: 10 - 7 exp(-1).
    state, alpha = 3.0, relaxation_factor(FACTT, 0.25)
    for _ in range(24):
        state += guided_step(state, 10.0, alpha)
    assert state == pytest.approx(10 - 7 * math.exp(-1), rel=1e-12)


def test_a_forcing_of_one_a_day_adds_one_in_a_day():
    alpha = GuideKeys(tau_min=1, guide_add=True).factor(FACTT)
    added = sum(guided_step(5.0, 1.0, alpha, guide_add=True) for _ in range(96))
    assert added == pytest.approx(1.0, rel=1e-12)
