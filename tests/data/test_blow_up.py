"""A run that blows up keeps what it has and says when, where and by which term."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from box import Box

KEY = jax.random.key(2)


class Growing(cl.AbstractMemorylessClosure):
    """Multiplies the wind at one point by a thousand each step of 1800 s."""

    def tendency(self, fields, inputs=None):
        rate = jnp.zeros_like(fields.u).at[3, 2, 5].set(999.0 / 1800 * fields.u[3, 2, 5])
        return {"u": rate}


class Calm(cl.AbstractMemorylessClosure):
    """Adds a little to temperature."""

    def tendency(self, fields, inputs=None):
        return {"temperature": jnp.full_like(fields.temperature, 1e-5)}


def blown(**settings):
    model = cl.couple(cl.couple(Box(), Calm()), Growing(), **settings)
    # |u| about 10 grows by 10^3 a step and passes 1.8e308 in a little over 100 steps.
    steps = 200 * settings.get("every", 1)
    return cl.simulate(model, duration=1800.0 * steps, every=1800.0 * 8, key=KEY, chunk=5)


def test_a_run_that_blew_up_says_when_where_and_by_which_term():
    run = blown()
    start = float(Box().initial_state(jax.random.fold_in(KEY, 0)).u[3, 2, 5])
    assert (
        np.isfinite(run["u"].values[0, :12]).all()
        and not np.isfinite(run["u"].values[0, 13:]).all()
    )
    line = run.attrs["blow_up"]
    assert line.startswith("member 0 blew up at time 18"), (line, start)
    assert "u is not finite at level 0.85, lat -23.94" in line
    assert "lon 200, where it was" in line
    assert "the largest tendency in the step before was that of Growing (" in line
    assert "m s-1 per s in u); after it Calm (1e-05 K per s in temperature)" in line
    assert "\n" not in line


def test_a_run_of_one_member_stops_and_its_warning_holds_the_line():
    run = blown()
    assert run.attrs["blown_up_members"] == [0]
    (warning,) = run.attrs["warnings"]
    assert "the rest is not computed" in warning and run.attrs["blow_up"] in warning


@pytest.mark.parametrize("every", [1, 4])
def test_a_held_or_recorded_term_is_blamed_too(every):
    run = blown(every=every, record=True)
    assert "was that of Growing (" in run.attrs["blow_up"]


def test_a_bare_model_is_blamed_itself():
    model = cl.Lorenz96(K=7, dt=0.2, stepper="euler", F=20.0)
    run = cl.simulate(model, duration=40.0, every=1.0, members=3, key=KEY)
    first = run.attrs["blown_up_members"][0]
    line = run.attrs["blow_up"]
    assert line.startswith(f"member {first} blew up at time ") and "X " in line
    assert "was that of Lorenz96 (" in line


def test_a_run_that_is_well_says_nothing():
    run = cl.simulate(cl.Lorenz96(K=7), duration=1.0, key=KEY)
    assert run.attrs["blow_up"] == "" and run.attrs["warnings"] == []
