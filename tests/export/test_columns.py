"""Columns of an atmosphere: levels, places and calendar by name, and the same numbers out."""

import jax
import numpy as np
import pytest

from closura.closures.atmosphere import Column, ColumnNeighbourhood
from closura.export.reading import read_container
from closura.export.ship import export_closure
from closura.export.translate import translate
from closura.learners.boosted import BoostedTrees
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


LEARNERS = {
    "network": Network(FEATURES, width=6, depth=1, epochs=1, batch=64),
    "noise": WithNoise(Linear(FEATURES)),
    "boosted": BoostedTrees(features=FEATURES, rounds=6, depth=3),
    "rounds": BoostedTrees(features=FEATURES, rounds=9, depth=2, shared=False),
}


@pytest.mark.parametrize("to", ["fortran", "onnx"])
@pytest.mark.parametrize("name", LEARNERS)
def test_columns_pass_the_gate(name, to, gfortran, atmosphere, key, tmp_path):
    closure = LEARNERS[name].fit(atmosphere, key=key)
    figures = export_closure(closure, tmp_path / "out", pairs=atmosphere, to=to)
    assert figures["cases"] >= 1000
    trees = {"boosted": 6, "rounds": 9 * 6}.get(name, 0)  # 3 levels of u and of v are predicted
    different = figures.get("branches", {"compared": 0, "different": 0})
    assert different == {"compared": trees * figures["cases"], "different": 0}
    assert all(one["largest"] <= one["allowed"] for one in figures["native"].values())
    held = read_container(tmp_path / "out" / "learned.closura")
    assert held.memory == (2 * LEVELS if name == "noise" else 0)
    assert "one column of the atmosphere" in (tmp_path / "out" / "README.md").read_text()


def test_a_neighbourhood_of_columns_is_refused(atmosphere, key):
    closure = Linear(ColumnNeighbourhood()).fit(atmosphere, key=key)
    with pytest.raises(ValueError, match="ColumnNeighbourhood features cannot be shipped; what ca"):
        translate(closure, atmosphere)
