"""Error growth, and when chaos counts as lost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from closura.closures.physical import PolynomialClosure
from closura.closures.stochastic import AR1Noise
from closura.core.closure import AbstractMemorylessClosure
from closura.core.couple import couple
from closura.core.inputs import Calendar, Inputs, named
from closura.core.rollout import member_keys, start_members
from closura.evaluation.stability import (
    extrapolated_share,
    has_slope,
    measure_chaos,
    summary,
)
from closura.models.lorenz63 import Lorenz63
from closura.models.lorenz96 import Lorenz96


class Stairs(AbstractMemorylessClosure):
    """-X in steps of 1/8, as trees would give it."""

    def tendency(self, fields, inputs=None):
        return {"X": -jnp.round(8.0 * fields.X) / 8.0}


def chaos_of(model, length, members=8, number=3):
    begun = start_members(model, member_keys(jax.random.key(number), members))
    return measure_chaos(model, begun, length=length, key=jax.random.key(1))


def test_lyapunov_exponent_of_lorenz63():
    # Sprott (2003), Chaos and Time-Series Analysis: 0.906.
    assert abs(chaos_of(Lorenz63(), 1000.0).exponents.mean() - 0.906) < 0.05


def test_lyapunov_exponent_of_lorenz96():
    # 40 points, F = 8: 1.69 per time unit (Karimi and Paul 2010, doi:10.1063/1.3496397).
    found = chaos_of(Lorenz96(), 500.0)
    assert abs(found.exponents.mean() - 1.69) < 0.1
    assert not found.lost.any()


def test_error_of_a_decaying_model_shrinks_at_its_rate(relaxation):
    # dx/dt = -0.5 x: every error shrinks by exp(-0.5) per time unit.
    found = chaos_of(relaxation(rate=0.5), 50.0)
    np.testing.assert_allclose(found.exponents, -0.5, rtol=1e-4)
    assert summary(found, 0.9)["lost_chaos"]


def test_linear_closure_loses_chaos_and_the_cubic_keeps_it():
    # Lorenz-96, F = 18: the linear closure ends on a periodic orbit, members one after another.
    coarse = Lorenz96(K=8, F=18.0, dt=0.005)
    linear = couple(coarse, PolynomialClosure((-0.7522, -0.8544)))
    cubic = couple(coarse, PolynomialClosure((-0.668, -1.226, 0.0131, 0.00295)))
    lost = summary(chaos_of(linear, 250.0), 0.9)
    assert lost["lost_chaos"]
    assert abs(lost["lyapunov"]) < 0.1
    kept = summary(chaos_of(cubic, 250.0), 0.9)
    assert not kept["lost_chaos"]
    assert 1.2 < kept["lyapunov"] < 1.7


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_lost_chaos_does_not_depend_on_luck(number):
    coarse = Lorenz96(K=8, F=18.0, dt=0.005)
    for coefficients, lost in (
        ((-0.7522, -0.8544), True),
        ((-0.668, -1.226, 0.0131, 0.00295), False),
        ((-0.527, -1.406, 0.0040, 0.0119, -0.000604), False),
        ((0.0,), False),
    ):
        model = couple(coarse, PolynomialClosure(coefficients))
        found = chaos_of(model, 250.0, number=20 + number)
        assert found.lost.any() == lost, coefficients


def test_a_closure_of_steps_is_measured_with_a_finite_error():
    model = couple(Lorenz96(K=8, F=18.0, dt=0.01), Stairs())
    begun = start_members(model, member_keys(jax.random.key(0), 4))
    assert not has_slope(model, begun)
    smooth = couple(Lorenz96(K=8, F=18.0, dt=0.01), PolynomialClosure((0.0, -1.0)))
    assert has_slope(smooth, begun)
    # X' = ... - 2 X + 18 is the same model but for stairs of 1/8.
    stairs, slope = (chaos_of(m, 100.0).exponents.mean() for m in (model, smooth))
    assert abs(stairs - slope) < 0.3


def test_a_run_that_is_not_finite_has_no_exponent(relaxation):
    begun = start_members(relaxation(), member_keys(jax.random.key(0), 3))
    broken = begun._replace(state=begun.state._replace(x=begun.state.x.at[:, 1].set(jnp.nan)))
    found = measure_chaos(relaxation(), broken, length=10.0, key=jax.random.key(1))
    assert list(np.isnan(found.exponents)) == [False, True, False]
    assert list(found.lost) == [True, False, True]


def test_a_stochastic_model_is_refused():
    model = couple(Lorenz96(K=8, dt=0.01), AR1Noise({"X": 0.5}, {"X": 1.0}))
    with pytest.raises(ValueError, match="draws random numbers"):
        begun = start_members(model, member_keys(jax.random.key(0), 2))
        measure_chaos(model, begun, length=1.0, key=jax.random.key(0))


class Dated(AbstractMemorylessClosure):
    """Knows X below 2, and the hours before 12."""

    def tendency(self, fields, inputs=None):
        return {"X": 0.0 * fields["X"]}

    def extrapolates(self, fields, inputs=None):
        late = named(inputs, "calendar", "Dated")["hour"] >= 12
        return (fields["X"] > 2.0) | late


def test_inputs_outside_the_training_range_are_counted_with_the_date_of_each_instant():
    values = np.zeros((2, 4, 5))
    values[1, 0, :3] = 3.0
    run = xr.Dataset(
        {"X": (("member", "time", "k"), values)}, {"time": 6 * 3600.0 * np.arange(1, 5)}
    )
    model = couple(Lorenz96(K=5, dt=3600.0), Dated())
    date = Inputs(ahead=0, calendar=Calendar("1979-06-01", 3600.0))
    # 6, 12, 18 and 24 h: the second and third are late, and 3 of the other 20 values too large.
    assert extrapolated_share(model, run, date) == pytest.approx((20 + 3) / 40)


def test_without_the_inputs_that_a_closure_reads_nobody_knows_what_it_extrapolates():
    run = xr.Dataset({"X": (("member", "time", "k"), np.zeros((2, 4, 5)))}, {"time": np.arange(4)})
    assert np.isnan(extrapolated_share(couple(Lorenz96(K=5), Dated()), run))
    broken = run.rename(X="Y")
    with pytest.raises(KeyError, match="X"):
        date = Inputs(calendar=Calendar("1979-06-01", 3600.0))
        extrapolated_share(couple(Lorenz96(K=5, dt=3600.0), Dated()), broken, date)
