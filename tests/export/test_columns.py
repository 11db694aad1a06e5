"""Columns of an atmosphere: levels, places and calendar by name, and the same numbers out."""

import jax
import numpy as np
import pytest

from closura.closures.atmosphere import Column, ColumnNeighbourhood
from closura.closures.novelty import Guarded
from closura.export.guards import settle
from closura.export.reading import read_container
from closura.export.ship import export_closure
from closura.export.translate import translate
from closura.learners.boosted import BoostedTrees
from closura.learners.forest import Forest
from closura.learners.linear import Linear
from closura.learners.network import Network
from closura.learners.noise import WithNoise
from made_atmosphere import LEVELS, LINES, ROWS, made_pairs

FEATURES = Column(
    variables=("u", "surface_pressure"),
    scalars=("latitude", "orography", "solar_zenith", "hour"),
    input_levels=(1, 5),
    output_levels=(2, 5),
)


@pytest.fixture(scope="module")
def atmosphere():
    """Pairs of 30 instants: 1440 columns."""
    return made_pairs(30)


def test_a_column_names_levels_place_and_calendar(atmosphere, key):
    container, layout = translate(Linear(FEATURES).fit(atmosphere, key=key), atmosphere)
    assert [one.name for one in container.inputs] == [
        "u(2)", "u(3)", "u(4)", "u(5)", "surface_pressure", "sin latitude", "cos latitude",
        "orography", "solar_zenith", "sin hour", "cos hour",
    ]  # fmt: skip
    assert [one.units for one in container.inputs][5:7] == ["1", "1"]
    wind = [f"{name}({level})" for name in ("u", "v") for level in range(1, LEVELS + 1)]
    assert [one.name for one in container.outputs] == wind
    assert layout.points == ROWS * LINES


def test_what_a_column_in_the_host_gives_is_what_the_model_got(atmosphere, key):
    closure = Linear(FEATURES).fit(atmosphere, key=key)
    container, _ = translate(closure, atmosphere)
    fields = {name: jax.numpy.asarray(a[0, 3]) for name, a in atmosphere.inputs.items()}
    calendar = {part: jax.numpy.asarray(a[3]) for part, a in atmosphere.given["calendar"].items()}
    wanted = closure.tendency(fields, {"calendar": calendar})
    row, line = 4, 6  # latitude 45, longitude 270
    day, hour = 172 + 3 // 4, 18.0
    table = np.asarray(closure.features.inputs(fields, {"calendar": calendar}))
    column = np.concatenate([
        fields["u"][1:5, row, line], [fields["surface_pressure"][row, line]],
        [np.sin(np.pi / 4), np.cos(np.pi / 4), atmosphere.static["orography"][row, line]],
        table[row * LINES + line, 8:9],  # the sun's height is another module's business
        [np.sin(2 * np.pi * (hour / 24 + 270 / 360)), np.cos(2 * np.pi * (hour / 24 + 270 / 360))],
    ])  # fmt: skip
    assert day == calendar["day"] and hour == calendar["hour"]
    found = container.predict(column[None])[0]
    np.testing.assert_allclose(found[:5], wanted["u"][:, row, line], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found[5:], wanted["v"][:, row, line], rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(found[:2], 0)  # levels that are not predicted


NEAR = ColumnNeighbourhood(variables=("u", "v"), input_levels=(1, 3), output_levels=(2, 4))
LEARNERS = {
    "network": Network(FEATURES, width=6, depth=1, epochs=1, batch=64),
    "noise": WithNoise(Linear(FEATURES)),
    "boosted": BoostedTrees(features=FEATURES, rounds=6, depth=3),
    "near": Network(NEAR, width=6, depth=1, epochs=1, batch=64),
    "grove": Forest(features=NEAR, trees=3, leaves=9),
    "rounds": BoostedTrees(features=FEATURES, rounds=9, depth=2, shared=False),
}


@pytest.mark.parametrize("to", ["fortran", "onnx"])
@pytest.mark.parametrize("name", LEARNERS)
def test_columns_pass_the_gate(name, to, gfortran, atmosphere, key, tmp_path):
    closure = LEARNERS[name].fit(atmosphere, key=key)
    figures = export_closure(closure, tmp_path / "out", pairs=atmosphere, to=to)
    assert figures["cases"] >= 1000
    # 3 levels of u and of v are predicted
    trees = {"boosted": 6, "grove": 3, "rounds": 9 * 6}.get(name, 0)
    different = figures.get("branches", {"compared": 0, "different": 0})
    assert different == {"compared": trees * figures["cases"], "different": 0}
    assert all(one["largest"] <= one["allowed"] for one in figures["native"].values())
    held = read_container(tmp_path / "out" / "learned.closura")
    assert held.memory == (2 * LEVELS if name == "noise" else 0)
    page = (tmp_path / "out" / "README.md").read_text()
    assert "one column of the atmosphere" in page
    assert ("6 latitudes of 8 longitudes" in page) == (name in ("near", "grove"))


@pytest.mark.parametrize("latitudes", [(-90, -40, 0, 40, 90), (-80, -30, 30, 80), (-60, 15, 90)])
def test_a_neighbourhood_is_gathered_as_the_model_does(latitudes, gfortran, key, tmp_path):
    # Seven longitudes: beyond a pole no column lies half-way round, and two are averaged.
    draw, shape = np.random.default_rng(3), (1, 6, 3, len(latitudes), 7)
    inputs = {name: draw.normal(size=shape) for name in ("u", "T")}
    place = {"lat": np.array(latitudes, float), "lon": np.arange(7) * 360 / 7}
    pairs = made_pairs(6, inputs=inputs, targets={"T": inputs["u"]}, static={}, coordinates=place)
    closure = Linear(ColumnNeighbourhood()).fit(pairs, key=key)
    figures = export_closure(closure, tmp_path / "out", pairs=pairs)
    assert figures["cases"] >= 1000 and figures["states"]["real"] == 6 * 7 * len(latitudes)
    assert figures["reference"]["largest"] <= 1e-12
    assert figures["native"]["double"]["largest"] <= 1e-12
    held = read_container(tmp_path / "out" / "learned.closura")
    assert [one.name for one in held.inputs][-2:] == ["sin latitude", "cos latitude"]
    assert len(held.inputs) == 3 + 3 + 2
    run_onnx = export_closure(closure, tmp_path / "onnx", pairs=pairs, to="onnx")
    assert run_onnx["native"]["single"]["largest"] <= 1e-5
    with pytest.raises(ValueError, match="a neighbourhood of columns cannot be shipped as that"):
        export_closure(closure, tmp_path / "mom6", pairs=pairs, to="mom6")


def test_novelty_of_a_neighbourhood_is_refused(atmosphere, key):
    closure = Guarded(Linear(NEAR).fit(atmosphere, key=key)).fit(atmosphere)
    line = "Guarded that looks at ColumnNeighbourhood cannot be shipped: .* features=Column"
    with pytest.raises(ValueError, match=line):
        settle(closure, atmosphere)
    alone = Guarded(closure.closure, features=FEATURES).fit(atmosphere)
    settle(alone, atmosphere)
