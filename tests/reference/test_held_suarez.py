"""The climate of Held and Suarez, and the wave of Jablonowski and Williamson, beside the papers."""

import jax
import numpy as np
import pytest

import closura as cl
from closura.metrics.budgets import area_weights, zonal_mean

ADIABATIC = {"kf": 0.0, "ka": 0.0, "ks": 0.0, "orography": "jablonowski_williamson"}


@pytest.mark.slow
def test_the_climate_has_the_shape_of_held_and_suarez():
    # Held and Suarez (1994), figs. 1-3: one westerly jet a hemisphere in the upper troposphere,
    # surface westerlies below and poleward of it, easterlies in the tropics, a tropopause that is
    # high and cold at the equator. At T21 with 8 levels the jet stands at 30 degrees, nearer to the
    # equator than in the paper's finer models. 27.7 and 27.3 m/s (south, north) are this model's
    # own mean of 800 days; an independent prototype on the same core gave 27-29 m/s.
    with jax.enable_x64(False):
        model = cl.PrimitiveEquations()
        run = cl.simulate(
            model, spinup="200 days", duration="600 days", every="1 day", key=jax.random.key(0)
        )
    mean = zonal_mean(run).mean(("member", "time"))
    latitude, u, temperature = mean["lat"].values, mean["u"].values, mean["temperature"].values
    south, north = latitude < 0, latitude > 0
    for half in (south, north):
        assert 25.5 < u[:, half].max() < 30.0
        level, place = np.unravel_index(u[:, half].argmax(), u[:, half].shape)
        assert level in (1, 2) and 28 < abs(latitude[half][place]) < 42  # sigma 0.19 or 0.31
        surface = u[-1, half]
        assert 2.5 < surface.max() < 5.5 and 33 < abs(latitude[half][surface.argmax()]) < 45
        assert -7.0 < surface.min() < -4.0 and abs(latitude[half][surface.argmin()]) < 25
    # Warmest at the ground at the equator (304.7 K) and 37 K colder at the poles.
    assert np.abs(temperature[-1, 15:17] - 304.7).max() < 1.0
    assert np.abs(temperature[-1, 15:17].mean() - temperature[-1, [0, -1]].mean() - 37.2) < 2.5
    assert temperature[0].argmin() in (14, 15, 16, 17) and abs(temperature[0].min() - 195) < 1
    # The hemispheres are forced alike: what differs is weather. 200 days of it leave up to 6 m/s
    # (windows of this run had 1.7 to 6.2, and 2.3 to 4.5 with other rounding, now in one sense and
    # now in the other); 800 days left 1.7 and 1.5.
    assert np.abs(u - u[:, ::-1]).max() < 4.0
    mass = (mean["surface_pressure"] * area_weights(mean["lat"])).sum("lat")
    assert abs(float(mass) - 1e5) < 10.0  # [Pa] the core conserves it in practice: 3 Pa were seen
    assert list(run.attrs["blown_up_members"]) == []


@pytest.mark.slow
def test_balanced_jets_stay_and_a_bump_grows_into_a_wave():
    lowest, drift = {}, {}
    for bump in (0.0, 1.0):
        start = {"jablonowski_williamson": {"perturbation": bump}}
        with jax.enable_x64(False):
            model = cl.PrimitiveEquations("T42", 8, initial=start, **ADIABATIC)
            first = model.fields(model.initial_state(jax.random.key(0)))
            run = cl.simulate(model, duration="9 days", every="1 day", key=jax.random.key(0))
        lowest[bump] = run["surface_pressure"].min(("lat", "lon")).values[0] / 100
        change = run["u"].isel(member=0).mean("lon").values - np.asarray(first.u).mean(axis=-1)
        drift[bump] = np.sqrt((change**2).mean(axis=1) @ model.grid.weights)
    # Alone the jets keep their zonal mean: 0.25 m/s at most were seen (0.06 with 15 levels).
    assert drift[0.0].max() < 0.35 and (lowest[0.0] > 999).all()
    # With the bump: little by day 4, then deepening ever faster, deep lows by day 9. 942.1 hPa was
    # seen, 947.4 with 15 levels; the paper's models come to the 940s (from memory of its figures).
    assert lowest[1.0][3] > 997.5
    deepening = -np.diff(lowest[1.0][3:])
    assert (np.diff(deepening) > 0).all()
    assert 935 < lowest[1.0][8] < 955
