"""The price of a step."""

import pytest

from closura.closures.physical import PolynomialClosure
from closura.core.couple import couple
from closura.evaluation.price import _prepare, measure_price
from closura.models.lorenz96 import Lorenz96, Lorenz96TwoScale


def test_prices_are_ratios_to_the_coarse_and_the_fine_model():
    coarse = Lorenz96(K=8, dt=0.005)
    fine = Lorenz96TwoScale(K=8, J=32, dt=0.001)
    hybrid = couple(coarse, PolynomialClosure((0.1, -0.5, 0.01)))
    found = measure_price(
        {"hybrid": hybrid}, coarse=coarse, truth_model=fine, members=16, repeats=3
    )
    assert list(found) == ["hybrid", "coarse", "fine"]
    assert found["coarse"]["ratio_to_coarse"] == 1.0
    assert found["fine"]["ratio_to_fine"] == 1.0
    # 264 variables in five times as many steps, against 8.
    assert found["fine"]["ratio_to_coarse"] > 2.0
    assert found["hybrid"]["ratio_to_fine"] < 0.5
    assert all(value >= 0.0 for price in found.values() for value in price.values())


def test_a_timing_is_whole_cycles_of_closures_that_act_now_and_then():
    coarse, closure = Lorenz96(K=8, dt=0.005), PolynomialClosure((0.1, -0.5))
    model = couple(couple(coarse, closure, every=6), closure, every=4)
    for one, cycle in ((coarse, 1), (couple(coarse, closure, every=7), 7), (model, 12)):
        steps = _prepare(one, 1, None)[1]
        assert steps >= 4 and steps % cycle == 0


def test_a_name_kept_for_the_reference_is_refused():
    with pytest.raises(ValueError, match="a model is named 'coarse'"):
        measure_price({"coarse": Lorenz96()}, coarse=Lorenz96())
