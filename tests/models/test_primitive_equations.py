"""The dry atmosphere: its border in SI, its forcing, what it keeps, and what it refuses."""

import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import closura as cl
from closura.core.rollout import rollout
from closura.data.store import load_snapshot, save_snapshot
from closura.metrics.budgets import angular_momentum, energy, total_mass
from closura.models.held_suarez import HeldSuarez, as_rate
from closura.models.spectral_core import _Forced, _inside

DAY = 86400.0
BARE = {"kf": 0.0, "ka": 0.0, "ks": 0.0}


@pytest.fixture(scope="module")
def model():
    return cl.PrimitiveEquations(levels=5)


@pytest.fixture(scope="module")
def run(model):
    """A state after two days, and the jitted way back to fields."""
    start = model.start(model.initial_state(jax.random.key(3)))
    return rollout(model, start, 96, every=96)[1].state


def worst(first, second) -> float:
    """Largest difference of any array, in units of the array's largest value (or of 1)."""
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return max(float(jnp.abs(a - b).max() / max(jnp.abs(a).max(), 1)) for a, b in pairs)


def test_fields_are_in_si_from_the_top_and_from_the_south(model, run):
    fields = model.fields(run)
    assert fields.u.shape == fields.temperature.shape == (5, 32, 64)
    assert fields.surface_pressure.shape == (32, 64)
    assert abs(float(fields.surface_pressure.mean()) - 1e5) < 300
    np.testing.assert_allclose(model.coordinates["level"], [0.1, 0.3, 0.5, 0.7, 0.9])
    assert model.coordinates["lat"][0] < -85 and model.coordinates["lat"][-1] > 85
    assert model.coordinates["lon"][:2].tolist() == [0.0, 5.625]
    # After two days the air at the equator is warmed near the ground, the pole has cooled.
    bottom = fields.temperature[-1].mean(axis=-1)
    assert bottom[16] > bottom[0] + 3 and bottom[16] > bottom[-1] + 3


def test_a_truncated_state_survives_the_way_to_fields_and_back(model, run):
    assert worst(run, model.state(model.fields(run))) < 1e-9


def test_adding_nothing_changes_no_bit(model, run):
    same = model.add(run, {})
    zeros = model.add(run, jax.tree.map(jnp.zeros_like, model.fields(run))._asdict())
    for other in (same, zeros):
        for a, b in zip(jax.tree.leaves(run), jax.tree.leaves(other), strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_the_model_resolves_is_added_exactly(model, run):
    other = model.initial_state(jax.random.key(8))
    wanted = model.fields(other)
    increments = jax.tree.map(jnp.subtract, wanted, model.fields(run))._asdict()
    assert worst(wanted, model.fields(model.add(run, increments))) < 1e-9


def test_wind_is_added_linearly_component_by_component(model, run):
    u, v = jax.random.normal(jax.random.key(1), (2, 5, 32, 64))
    both = model.add(run, {"u": 2 * u, "v": 2 * v})
    parts = model.add(model.add(run, {"u": u}), {"v": v})
    parts = model.add(parts, {"u": u, "v": v})
    assert worst(both, parts) < 1e-12
    np.testing.assert_array_equal(both.temperature, run.temperature)


def test_rotation_of_a_solid_body_is_kept_by_the_way_through_vorticity(model, run):
    # u = U cos(lat) is resolved: its vorticity is 2 U sin(lat) / radius.
    latitude = np.radians(model.coordinates["lat"])
    u = jnp.broadcast_to(7.0 * jnp.cos(latitude)[:, None], (5, 32, 64))
    before, after = model.fields(run), model.fields(model.add(run, {"u": u}))
    np.testing.assert_allclose(after.u - before.u, u, atol=1e-10)
    np.testing.assert_allclose(after.v, before.v, atol=1e-10)


def test_the_forcing_is_that_of_the_paper():
    # On the equator at 1000 hPa 315 K, at the pole 60 K less, aloft never below 200 K; at 500 hPa
    # on the equator (315 + 6.93147) 0.820335 = 264.0917 K.
    forcing = HeldSuarez()
    sine = jnp.array([[0.0, 1.0]])
    pressure = jnp.array([1e5, 5e4, 1e3])[:, None, None] * jnp.ones((1, 1, 2))
    found = forcing.equilibrium(pressure, sine)
    np.testing.assert_allclose(found[0, 0], [315.0, 255.0])
    np.testing.assert_allclose(found[1, 0, 0], 264.0917, atol=1e-3)
    np.testing.assert_allclose(found[2, 0], 200.0)
    # Friction falls from 1 / day at the ground to 0 at sigma 0.7.
    sigma = jnp.array([1.0, 0.85, 0.7, 0.2])[:, None, None]
    np.testing.assert_allclose(forcing.friction(sigma).ravel() * DAY, [1, 0.5, 0, 0], atol=1e-12)
    # 1 K too warm cools within 4 days at the ground at the equator, 40 days at the pole.
    heating = forcing.heating(found + 1, pressure, jnp.ones((3, 1, 1)), sine)
    np.testing.assert_allclose(heating[0, 0] * DAY, [-1 / 4, -1 / 40])


@pytest.mark.parametrize("levels", [5, {"ECMWF137": 5}], ids=["sigma", "hybrid"])
def test_the_forcing_inside_is_that_of_the_core_s_authors(levels, run):
    from dinosaur import held_suarez, scales

    settings = {"kf": 2e-5, "ka": 3e-7, "ks": 4e-6, "dTy": 50.0, "dThz": 8.0}
    model = cl.PrimitiveEquations(levels=levels, **settings)
    equation = _Forced(model.core, jnp.zeros((44, 23)), model.forcing)
    made = (
        held_suarez.HeldSuarezForcingSigma
        if model.levels.are_sigma
        else held_suarez.HeldSuarezForcingHybrid
    )
    units = dict.fromkeys(("kf", "ka", "ks"), 1 / scales.units.s) | dict.fromkeys(
        ("dTy", "dThz"), scales.units.degK
    )
    theirs = made(
        model.core.coords,
        equation.dynamics.physics_specs,
        np.full(5, 288.0),
        **{name: value * units[name] for name, value in settings.items()},
    )

    @jax.jit
    def both(state):
        return equation._forcing(state), theirs.explicit_terms(state)

    ours, expected = both(_inside(run))
    clip = model.core.coords.horizontal.clip_wavenumbers
    for name in ("vorticity", "divergence", "temperature_variation"):
        a, b = clip(getattr(ours, name)), clip(getattr(expected, name))
        np.testing.assert_allclose(a, b, atol=1e-9 * float(jnp.abs(b).max()))


def test_numbers_of_the_forcing_may_change_without_compiling_again(model, run):
    traces = []

    @eqx.filter_jit
    def step(model, state):
        traces.append(1)
        return model.step(model.start(state)).state

    strong = cl.PrimitiveEquations(levels=5, kf=jnp.asarray(1e-5), orography={"bell": {}})
    weak = cl.PrimitiveEquations(levels=5, kf=jnp.asarray(2e-6), orography={"waves": {}})
    assert worst(step(strong, run), step(weak, run)) > 1e-6
    assert len(traces) == 1


def test_friction_may_be_learned_through_the_model(model, run):
    def energy(kf):
        stepped = cl.PrimitiveEquations(levels=5, kf=kf).step(model.start(run)).state
        fields = model.fields(stepped)
        return (fields.u**2 + fields.v**2).mean()

    kf, small = jnp.asarray(1e-5), 1e-8
    compiled = jax.jit(energy)
    energies = compiled(kf - small), compiled(kf + small)
    slope = jax.jit(jax.grad(energy))(kf)
    assert slope < 0
    np.testing.assert_allclose(slope, (energies[1] - energies[0]) / (2 * small), rtol=1e-5)


def test_air_at_rest_of_one_temperature_stays_at_rest_over_a_mountain():
    # Hydrostatic: p = 1e5 exp(-g z / (R T)). On sigma levels the two parts of the pressure
    # gradient cancel but for truncation.
    model = cl.PrimitiveEquations(
        levels=5, orography={"bell": {"height": 1500.0, "width": 25.0}},
        initial={"rest": {"noise": 0.0}}, **BARE,
    )  # fmt: skip
    start = model.start(model.initial_state(jax.random.key(0)))
    fields = jax.tree.map(lambda x: x[-1], rollout(model, start, 48, every=48)[0])
    lowest = 1e5 * np.exp(-9.80616 * 1500.0 / (1004 * 2 / 7 * 288.0))  # 83700 Pa
    assert abs(float(fields.surface_pressure.min()) - lowest) < 200
    assert float(jnp.abs(fields.u).max()) < 0.05 and float(jnp.abs(fields.v).max()) < 0.05


def test_hybrid_levels_say_where_pressure_is():
    model = cl.PrimitiveEquations(levels={"a": [0.0, 2e4, 1e4, 0.0], "b": [0.0, 0.0, 0.5, 1.0]})
    # Interfaces at 9e4 Pa: 0, 2e4, 5.5e4, 9e4.
    np.testing.assert_allclose(model.levels.thickness(9e4), [2e4, 3.5e4, 3.5e4])
    np.testing.assert_allclose(model.coordinates["level"], [0.1, 0.4, 0.8])
    assert "3 hybrid levels" in repr(model)


def test_tracers_ride_along_and_humidity_makes_air_lighter():
    model = cl.PrimitiveEquations(levels=5, tracers=("specific_humidity", "dust"))
    assert [v.name for v in model.variables][-2:] == ["specific_humidity", "dust"]
    assert model.variables[-2].units == "kg kg-1"
    dry = model.initial_state(jax.random.key(0))
    east = np.cos(np.radians(model.coordinates["lon"]))
    blob = jnp.broadcast_to(0.01 * (1 + east), (5, 32, 64))
    step = jax.jit(lambda s: model.fields(model.step(model.start(s)).state))
    still, damp = step(dry), step(model.add(dry, {"specific_humidity": blob}))
    dusty = step(model.add(dry, {"dust": blob}))
    assert float(jnp.abs(dusty.dust).max()) > 0.01
    np.testing.assert_array_equal(still.u, dusty.u)
    assert float(jnp.abs(still.u - damp.u).max()) > 1e-3


def test_tracers_may_be_called_what_the_core_calls_its_own():
    model = cl.PrimitiveEquations(levels=3, tracers=("vorticity", "divergence"))
    state = model.initial_state(jax.random.key(0))
    lat, lon = (np.radians(model.coordinates[name]) for name in ("lat", "lon"))
    blob = jnp.broadcast_to(np.cos(lat)[:, None] * np.cos(lon), (3, 32, 64))
    fields = model.fields(state)._replace(vorticity=blob)
    again = model.fields(model.state(fields))
    np.testing.assert_allclose(again.vorticity, blob, atol=1e-5)
    np.testing.assert_allclose(again.divergence, 0, atol=1e-5)
    np.testing.assert_allclose(again.u, fields.u, atol=1e-3)
    stirred = model.fields(model.add(state, {"vorticity": blob}))
    np.testing.assert_allclose(stirred.vorticity, blob, atol=1e-5)
    np.testing.assert_array_equal(stirred.u, model.fields(state).u)


@pytest.mark.parametrize("given", [("u",), ("v",), ("temperature", "u"), ("dust", "v", "u"), ()])
def test_increments_come_alone_and_together(given):
    model = cl.PrimitiveEquations(levels=3, tracers=("dust",))
    state = model.initial_state(jax.random.key(0))
    wind = model.fields(model.initial_state(jax.random.key(5))).u
    more = {name: (index + 1) * wind for index, name in enumerate(given)}
    alone = state
    for name in given:
        alone = model.add(alone, {name: more[name]})
    found = model.add(state, more)
    assert worst(found, alone) < 2e-6
    if not given:
        assert worst(found, state) == 0


PROGRAM = """
import jax, closura as cl
model = cl.PrimitiveEquations(levels=3, tracers=("dust",))
fields = jax.eval_shape(model.fields, model.initial_state(jax.random.key(0)))
back = lambda given: model.add(model.state(given), given._asdict())
print(jax.jit(back).lower(fields).as_text())
"""


def test_every_process_compiles_the_same_program():
    # Else compiled code that is kept between runs is not found again.
    texts = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("0", "1")
    }  # fmt: skip
    assert len(texts) == 1
    assert "stablehlo" in texts.pop()


def test_single_precision_stays_single():
    with jax.enable_x64(False):
        model = cl.PrimitiveEquations(levels=5)
        state = model.initial_state(jax.random.key(0))
        shapes = eqx.filter_eval_shape(lambda m, s: m.step(m.start(s)), model, state)
        leaves = jax.tree.leaves((state, shapes.state, eqx.filter(model, eqx.is_array)))
        assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("text", "rate"),
    [("1 / day", 1 / DAY), ("1 / 4 days", 0.25 / DAY), ("2/h", 2 / 3600), (3e-6, 3e-6)],
)
def test_rates_read_as_people_write_them(text, rate):
    assert as_rate(text, "kf") == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": "T22"}, r"resolution is 'T22'; did you mean 'T42'\? There are: T21, T31"),
        ({"resolution": "T170"}, r"no usual time step for T170; give dt \[s\]"),
        ({"dt": 0.0}, "dt is 0.0; it must be a positive, finite number"),
        ({"levels": 1}, "levels is 1; a model of the atmosphere needs 2 or more"),
        ({"levels": "L91"}, r"levels is 'L91'; give a number of sigma levels, .* ECMWF137, UFS127"),
        ({"levels": {"sigma": [1.0, 0.5, 0.0]}}, "from 100000 to 0 Pa; give them from the top"),
        ({"levels": {"sigma": [0.1, 0.5, 1.0]}}, "begin with 0.1; the first interface is 0"),
        ({"kf": "4 days"}, "kf is '4 days', no rate; write .* '1 / 4 days'"),
        ({"ka": -1e-6}, "ka is -1e-06 s-1; a rate is 0 or positive"),
        ({"orography": "bel"}, "orography is 'bel'; did you mean 'bell'"),
        ({"orography": {"bell": {"hight": 1.0}}}, "'bell' has no 'hight'; did you mean 'height'"),
        ({"orography": np.zeros((4, 5))}, r"has shape \(4, 5\); this grid has .* \(32, 64\)"),
        ({"initial": "rset"}, "initial is 'rset'; did you mean 'rest'"),
        ({"tracers": ("u",)}, "tracers names 'u'; name each once"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(settings, message):
    with pytest.raises(ValueError, match=message) as refusal:
        cl.PrimitiveEquations(**settings)
    assert "\n" not in str(refusal.value)


def test_there_is_nothing_to_add_to_an_unknown_field(model, run):
    with pytest.raises(ValueError, match="there is no 'T' to add to; there are u, v, temperature"):
        model.add(run, {"T": jnp.zeros((5, 32, 64))})


def test_the_jets_of_the_test_case_are_those_of_the_core_s_authors():
    # Their code of the paper's formulas begins from vorticity, ours from wind: truncated, the two
    # differ by 0.15 m/s at T21, 0.043 at T42 and 0.012 at T63.
    from dinosaur import primitive_equations_states

    from closura.models.spectral_core import METRE, SPECS
    from closura.models.spectral_state import SpectralState

    start = {"jablonowski_williamson": {}}
    model = cl.PrimitiveEquations("T42", 3, orography="jablonowski_williamson", initial=start)
    coords = model.core.coords
    steady, features = primitive_equations_states.steady_state_jw(coords, SPECS)
    theirs = steady() + primitive_equations_states.baroclinic_perturbation_jw(coords, SPECS)
    state = SpectralState(*(getattr(theirs, name) for name in SpectralState._fields[:2]),
        theirs.temperature_variation, theirs.log_surface_pressure, {})  # fmt: skip
    wanted = model.fields(state)
    warm = np.asarray(features["ref_temperatures"])[:, None, None] - 288.0
    found = model.fields(model.initial_state(jax.random.key(0)))
    np.testing.assert_allclose(found.u, wanted.u, atol=0.06)
    np.testing.assert_allclose(found.v, wanted.v, atol=0.002)
    np.testing.assert_allclose(found.temperature, wanted.temperature + warm, atol=1e-6)
    heights = np.swapaxes(features["orography"], 0, 1) * METRE
    np.testing.assert_allclose(model.orography, heights, atol=1e-6)


def test_a_run_goes_on_through_a_file_bit_for_bit(run, tmp_path):
    model = cl.PrimitiveEquations(levels=5, tracers=("dust",))
    start = model.start(model.initial_state(jax.random.key(2)))
    middle = rollout(model, start, 3, every=3)[1]
    save_snapshot(tmp_path / "restart.npz", middle)
    again = load_snapshot(tmp_path / "restart.npz")
    assert jax.tree.structure(again) == jax.tree.structure(middle)
    pair = (rollout(model, snapshot, 3, every=3) for snapshot in (middle, again))
    for one, other in zip(*map(jax.tree.leaves, pair), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_mass_and_energy_of_frictionless_air_are_kept():
    # Not conserved by design (the core steps the logarithm of pressure, and damps the smallest
    # scales), yet to 1e-6 and 1e-5 of the whole over a day of a wavy jet; the wind's energy is
    # 1e-3 of the whole.
    start = {"jablonowski_williamson": {"perturbation": 5.0}}
    model = cl.PrimitiveEquations(levels=5, initial=start, **BARE)
    day = cl.simulate(model, duration=DAY, every=DAY / 2, key=jax.random.key(0))
    mass, held = total_mass(day)[0], energy(day, model.levels).isel(member=0)
    assert abs(float(mass[1] / mass[0]) - 1) < 1e-6
    whole = held["kinetic"] + held["potential"]
    assert abs(float(whole[1] / whole[0]) - 1) < 1e-5
    spin = angular_momentum(day, model.levels).isel(member=0)
    total = (spin["relative"] + spin["planetary"]).values
    assert abs(total[1] - total[0]) < 1e-2 * float(spin["relative"][0])
