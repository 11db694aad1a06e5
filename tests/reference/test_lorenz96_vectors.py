"""Lorenz-96 against vectors computed once with independent NumPy code in double precision.

State: X = 10 s (s - 1) (s + 1) with s = 2 (k + 1/2) / 8 - 1; Y_j = cos(j + 1); K = 8, J = 4.
"""

import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.models.lorenz96 import Lorenz96State, TwoScaleState


def numbers(text: str) -> np.ndarray:
    return np.array([float(word) for word in text.split()])


def slow() -> jnp.ndarray:
    s = 2 * (np.arange(8) + 0.5) / 8 - 1
    return jnp.asarray(10 * s * (s - 1) * (s + 1))


def both() -> TwoScaleState:
    return TwoScaleState(slow(), jnp.cos(jnp.arange(32.0) + 1))


def close(found, expected, tolerance=1e-11):
    np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=tolerance)


ONE_SCALE_TENDENCY = numbers(
    "-7.671966552734 17.006072998047 3.653106689453 -7.469635009766 3.299713134766"
    " 19.423065185547 16.452178955078 -8.033599853516"
)
STEPPED = {
    "euler": numbers(
        "1.974061584473 3.978654479980 3.259187316895 1.155772399902 -1.197471618652"
        " -3.028425598145 -3.644071960449 -2.131117248535"
    ),
    "rk2": numbers(
        "1.971327602764 3.976957223452 3.258346536996 1.153004407994 -1.194288624617"
        " -3.031680142885 -3.643920081877 -2.121329336321"
    ),
    "rk4": numbers(
        "1.971596885179 3.976840145339 3.258352096715 1.153077695646 -1.194261575242"
        " -3.031725912199 -3.643996067177 -2.121406544352"
    ),
}


def test_one_scale_tendency():
    model = cl.Lorenz96(K=8, F=10.0)
    close(model.tendency(Lorenz96State(slow())).X, ONE_SCALE_TENDENCY)


@pytest.mark.parametrize("stepper", STEPPED)
def test_one_step_of_each_stepper(stepper):
    model = cl.Lorenz96(K=8, F=10.0, dt=0.01, stepper=stepper)
    close(model.step(model.start(Lorenz96State(slow()))).state.X, STEPPED[stepper])


def test_ten_steps_of_runge_kutta():
    model = cl.Lorenz96(K=8, F=10.0, dt=0.01)
    states, _ = cl.rollout(model, model.start(Lorenz96State(slow())), 10)
    close(
        states.X[-1],
        numbers(
            "1.239697611666 5.256354381058 3.492983735627 .280171727898 -.594050806034"
            " -1.608886207627 -2.230717664762 -2.066358725022"
        ),
    )


def test_coupling_and_two_scale_tendency():
    model = cl.Lorenz96TwoScale(K=8, J=4, F=10.0)
    close(
        model.coupling(both()),
        numbers(
            "1.519480648143 -1.852234692648 .901922134241 .673163393524 -1.781940050193"
            " 1.656344099615 -.383377459145 -1.155159638510"
        ),
    )
    tendency = model.tendency(both())
    close(
        tendency.X,
        numbers(
            "-6.152485904591 15.153838305399 4.555028823694 -6.796471616241 1.517773084573"
            " 21.079409285162 16.068801495933 -9.188759492025"
        ),
    )
    close(
        tendency.Y[:4],
        numbers("-79.266407620101 -111.987501265638 57.693276521993 -46.731526251961"),
    )
    close(
        tendency.Y[28:],
        numbers("-23.528574504520 -148.331230969525 -43.403469068297 61.515235201255"),
    )


def test_two_scale_runge_kutta():
    model = cl.Lorenz96TwoScale(K=8, J=4, F=10.0, dt=0.001)
    states, _ = cl.rollout(model, model.start(both()), 10)
    close(
        states.X[0],
        numbers(
            "2.044684809309 3.823880284926 3.227259487241 1.223697027869 -1.228778226297"
            " -3.201492173290 -3.792456049250 -2.059796779952"
        ),
    )
    close(states.Y[0][:4], numbers(".451601598326 -.521861521053 -.932196239824 -.686715295917"))
    close(states.Y[0][28:], numbers("-.757419636926 .007069911724 .867724782620 .891241566477"))
    close(
        states.X[9],
        numbers(
            "1.991623929040 3.972637832554 3.268630334922 1.164727501093 -1.198377119048"
            " -3.010037227704 -3.639665521014 -2.127251689945"
        ),
    )
    close(
        states.Y[9][24:],
        numbers(
            ".907553469272 -.649856543170 -.770720234251 -.753978002303 -.131144450054"
            " -.802788619732 .460753366173 .696795977189"
        ),
    )


def test_rasp_scaling_takes_means_where_lorenz_takes_sums():
    model = cl.Lorenz96TwoScale(K=8, J=4, F=10.0, scaling="rasp")
    tendency = model.tendency(both())
    close(
        tendency.X,
        numbers(
            "-3.873264932377 12.375486266426 5.907912025055 -5.786726525955 -1.155136990716"
            " 23.563925434585 15.493735307216 -10.921498949790"
        ),
    )
    close(
        tendency.Y[:4],
        numbers("-76.190235745101 -108.911329390638 60.769448396993 -43.655354376961"),
    )


def test_scalings_are_one_model_where_J_equals_b():
    state = TwoScaleState(slow(), jnp.cos(jnp.arange(80.0) + 1))
    lorenz, rasp = (
        cl.Lorenz96TwoScale(K=8, J=10, F=10.0, b=10.0, scaling=scaling).tendency(state)
        for scaling in ("lorenz", "rasp")
    )
    close(lorenz.X, np.asarray(rasp.X))
    close(lorenz.Y, np.asarray(rasp.Y))


def test_forty_variables_from_a_unit_kick():
    model = cl.Lorenz96(K=40, F=8.0, dt=0.05)
    start = model.start(Lorenz96State(jnp.zeros(40).at[0].set(1.0)))
    states, _ = cl.rollout(model, start, 10)
    close(
        states.X[0][:6],
        numbers(
            "1.341391952194 .389771886954 .380813371398 .390166546057 .390210173229 .390164583333"
        ),
    )
    close(states.X[0][-2:], numbers(".390210173229 .399520695717"))
    close(states.X[9][:4], numbers("3.502427722755 2.641603761520 2.757620577699 3.337755970854"))
    close(states.X[9][-1], 3.607049885470)


def test_sums_of_a_larger_ring():
    model = cl.Lorenz96TwoScale(K=36, J=10, F=10.0, dt=0.005)
    s = 2 * (np.arange(36) + 0.5) / 36 - 1
    state = TwoScaleState(jnp.asarray(s * (s - 1) * (s + 1)), jnp.zeros(360))
    states, _ = cl.rollout(model, model.start(state), 100)
    for step, total_x, total_y in (
        (1, 1.794783754482, 0.044168275129),
        (10, 17.486651272630, 3.760478571837),
        (100, 120.411287394180, 102.515383817505),
    ):
        close(states.X[step - 1].sum(), total_x, 1e-9)
        close(states.Y[step - 1].sum(), total_y, 1e-9)
