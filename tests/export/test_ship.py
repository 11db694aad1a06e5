"""From a closure to a folder that a Fortran model can use: the same numbers, or nothing."""

import inspect
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from importlib import import_module

import jax.numpy as jnp
import numpy as np
import pytest

from closura.closures.features import AbstractFeatures, Stencil, Whole
from closura.closures.learned import LearnedClosure, Scaling
from closura.closures.physical import PolynomialClosure
from closura.closures.stochastic import AR1Noise
from closura.core.closure import Zero
from closura.export import gate, native
from closura.export.cases import Cases, write_cases
from closura.export.compute import reached_leaves
from closura.export.container import Column, Container, write_container
from closura.export.operations import (
    Add,
    Dense,
    Select,
)
from closura.export.reading import read_container
from closura.export.ship import FORMATS, Export, export_closure
from closura.export.translate import translate
from closura.learners.linear import Linear, Polynomial
from closura.learners.network import Network
from closura.learners.noise import AR1, WithNoise
from closura.nets.mlp import ACTIVATIONS
from closura.registry import find

RING = Stencil(radius=2)
NETWORK = Network(RING, width=6, depth=1, epochs=1, batch=64)


@pytest.fixture
def alone(pairs):
    """The pairs with one field, as a model's own state would be."""
    return replace(pairs, inputs={"X": pairs.inputs["X"]})


CLOSURES = {
    "a network of two fields": lambda: NETWORK,
    "a network of whole instants": lambda: replace(NETWORK, features=Whole(), activation="gelu"),
    "a polynomial of neighbours": lambda: Polynomial(degree=2, features=Stencil(radius=1)),
    "noise on a sum": lambda: WithNoise(Linear(RING)),
    "noise on whole instants": lambda: WithNoise(Linear(Whole())),
    "noise alone": AR1,
}


@pytest.mark.parametrize("name", CLOSURES)
def test_what_is_shipped_equals_what_was_trained(name, gfortran, pairs, key, tmp_path):
    closure = CLOSURES[name]().fit(pairs, key=key)
    figures = export_closure(closure, tmp_path / "out", pairs=pairs)
    assert figures == json.loads((tmp_path / "out" / "parity.json").read_text())
    assert figures["compiler"] == "gfortran"
    assert figures["native"]["double"]["largest"] <= 1e-12
    assert 1e-12 < figures["native"]["single"]["largest"] <= 1e-5
    assert figures["as_trained"] < 1e-5


def test_trees_reach_the_same_leaves_and_rounding_comes_first(gfortran, alone, key, tmp_path):
    pytest.importorskip("sklearn")
    forest = find("learners", "Forest")(trees=5, leaves=40).fit(alone, key=key)
    figures = export_closure(forest, tmp_path / "out", pairs=alone)
    assert figures["branches"] == {"compared": 5 * figures["cases"], "different": 0}
    assert figures["native"]["double"]["largest"] <= 1e-6
    # A split that float32 cannot hold exactly: 0.1 in float64 lies below float32's 0.1.
    near = float(np.float32(0.1))
    held = read_container(tmp_path / "out" / "learned.closura")
    trees = next(one for one in held.operations if hasattr(one, "threshold"))
    inner = trees.left != np.arange(len(trees.left))
    changed = replace(trees, threshold=np.where(inner, np.float32(0.1), 0).astype(np.float32))
    below, above = reached_leaves(changed, np.array([[0.1], [near + 1e-8]]))
    assert list(below) == list(reached_leaves(changed, np.array([[near]]))[0])
    assert list(above) != list(below)


def test_a_forest_knows_no_missing_values(alone, key, tmp_path):
    pytest.importorskip("sklearn")
    learner, holes = find("learners", "Forest")(trees=3, depth=4), alone.inputs["X"].copy()
    holes[0, 3, 2] = np.nan
    line = "input 'X' of the pairs holds 1 values that are not finite; drop those times, or fill"
    with pytest.raises(ValueError, match=line):
        learner.fit(replace(alone, inputs={"X": holes}), key=key)
    forest = learner.fit(alone, key=key)
    for name in ("value", "threshold"):  # as if another program had filled the tables
        told = getattr(forest.predictor, name)
        changed = jnp.where(jnp.arange(told.shape[1])[:, None] == 0, jnp.nan, told.T).T
        changed = changed if name == "threshold" else told * jnp.nan
        lost = replace(forest, predictor=replace(forest.predictor, **{name: changed}))
        for to in ("fortran", "onnx"):
            line = rf"\d+ {name}s? of the closure's Trees are not finite, as training with missing"
            with pytest.raises(ValueError, match=line):
                export_closure(lost, tmp_path / "out", pairs=alone, to=to)
    assert not (tmp_path / "out").exists()


def test_make_repeats_the_recorded_states_and_fails_where_they_differ(
    gfortran, alone, key, tmp_path
):
    if shutil.which("make") is None:
        pytest.skip("make is not installed: apt-get install make")
    closure = WithNoise(Linear(RING)).fit(alone, key=key)
    export_closure(closure, tmp_path / "out", pairs=alone, name="linear")
    settings = os.environ | {"FFLAGS": "-std=f2008 -Wall -Wextra -Werror -O0 -fcheck=all"}

    def make():
        return subprocess.run(["make", "-C", str(tmp_path / "out"), "test"], env=settings,
                              capture_output=True, text=True, check=False)  # fmt: skip

    done = make()
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^(double|single) +(\d+) cases +largest .* ok$", done.stdout, re.M)
    assert [name for name, _ in found] == ["double", "single"]
    assert int(found[0][1]) >= 1000
    cases = tmp_path / "out" / "cases.bin"
    content = bytearray(cases.read_bytes())
    content[-8 * 100 : -8 * 99] = np.array(9e9).tobytes()
    cases.write_bytes(content)
    done = make()
    assert done.returncode != 0 and "FAILED" in done.stdout


def test_the_readme_and_the_file_say_which_columns_are_wanted(alone, key, pairs, tmp_path):
    two = Linear(Stencil(radius=1)).fit(pairs, key=key)
    export_closure(two, tmp_path / "out", pairs=pairs)
    held = read_container(tmp_path / "out" / "learned.closura")
    names = ["X(-1)", "X(0)", "X(+1)", "Z(-1)", "Z(0)", "Z(+1)"]
    assert [column.name for column in held.inputs] == names
    assert [column.units for column in held.inputs] == ["m s-1"] * 3 + ["K"] * 3
    assert [(c.name, c.units) for c in held.outputs] == [("X", "m s-2")]
    page = (tmp_path / "out" / "README.md").read_text()
    assert all(f"| `{name}` |" in page for name in names)
    assert "@" not in page.replace("@NAME@", "@")
    whole = Linear(Whole(variables=("X",))).fit(alone, key=key)
    container, _ = translate(whole, alone)
    assert [column.name for column in container.inputs] == [f"X({n})" for n in range(1, 8)]


def test_terms_that_read_different_neighbours_share_their_inputs(alone, key):
    one, two = (Linear(Stencil(radius)).fit(alone, key=key) for radius in (0, 1))
    container, _ = translate(one + two, alone)
    assert [column.name for column in container.inputs] == ["X(0)", "X(-1)", "X(+1)"]
    fields = {"X": jnp.asarray(alone.inputs["X"][0, 0])}
    columns = np.stack([np.roll(fields["X"], -shift) for shift in (0, -1, 1)], axis=1)
    wanted = one.tendency(fields)["X"] + two.tendency(fields)["X"]
    np.testing.assert_allclose(container.predict(columns)[:, 0], wanted, rtol=1e-12)


class Odd(AbstractFeatures):
    variables: tuple[str, ...] | None = None
    read: tuple = ()
    written: tuple = ()

    def inputs(self, fields, inputs=None):
        return fields["X"][:, None]

    def outputs(self, table):
        return {"X": table[:, 0]}

    def collect(self, targets):
        return targets["X"][:, None]


def _closure(predictor):
    one = jnp.ones(1)
    features = Stencil(read=(("X", (7,)),), written=(("X", (7,)),))
    return LearnedClosure(features, Scaling(one, one, one, one, one, one), predictor)


REFUSED = {
    "nothing": (lambda: Zero(), "Zero adds nothing, so there is nothing to ship."),
    "predictor": (lambda: _closure(jnp.tanh), "the predictor jitted function cannot be shipped"),
    "features": (
        lambda: PolynomialClosure([1.0], features=Odd()), "Odd features cannot be shipped; what",
    ),
    "sum": (
        lambda: PolynomialClosure([1.0]) + PolynomialClosure(
            [1.0, 2.0], exponents=((0,) * 7, (1,) * 7),
            features=Whole(read=(("X", (7,)),), written=(("X", (7,)),)),
        ),
        "a sum of Whole and other closures cannot be shipped: their columns differ",
    ),
    "noise": (
        lambda: AR1Noise({"X": jnp.full(7, 0.5)}, {"X": jnp.arange(1.0, 8.0)}),
        "AR1Noise of 'X' differs from point to point (shape (7,)), and each point is a column",
    ),
    "field": (
        lambda: AR1Noise({"Y": jnp.array(0.5)}, {"Y": jnp.array(1.0)}),
        "the pairs hold no target 'Y'; they hold X.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_shipped_says_so_and_writes_nothing(name, alone, tmp_path):
    make, line = REFUSED[name]
    closure = make()
    with pytest.raises(ValueError) as caught:
        export_closure(closure, tmp_path / "deep" / "out", pairs=alone)
    message = str(caught.value)
    assert (line in message or "cannot be shipped" in message) and "\n" not in message
    if name != "predictor":
        assert line in message
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize("to", FORMATS)
def test_every_format_is_called_in_the_same_way(to):
    module, _, function = FORMATS[to].partition(":")
    found = inspect.signature(getattr(import_module(module), function)).parameters.values()
    _, *wanted = inspect.signature(Export.__call__).parameters.values()  # without self
    assert [(one.name, one.kind, one.default) for one in found] == [
        (one.name, one.kind, one.default) for one in wanted
    ]


def test_a_folder_that_exists_and_a_format_that_does_not_are_refused(alone, tmp_path):
    closure = PolynomialClosure([0.5, -1.0])
    with pytest.raises(FileExistsError, match="exists already, and nothing is overwritten"):
        export_closure(closure, tmp_path, pairs=alone)
    with pytest.raises(ValueError, match=r"there is no format 'fortan'; did you mean 'fortran'\?"):
        export_closure(closure, tmp_path / "out", pairs=alone, to="fortan")
    with pytest.raises(ValueError, match=r"'my net' cannot be the name of a file in a Makefile"):
        export_closure(closure, tmp_path / "out", pairs=alone, name="my net")
    with pytest.raises(ValueError, match="missing is 'ignore'; it must be one of report, zero"):
        export_closure(closure, tmp_path / "out", pairs=alone, missing="ignore")


def test_numbers_that_cancel_are_computed_in_double_precision(gfortran, alone, tmp_path):
    far = replace(alone, inputs={"X": alone.inputs["X"] + 500})
    closure = PolynomialClosure([175e3, -700.0, 0.7])  # 0.7 (X - 500)^2, at most 100
    figures = export_closure(closure, tmp_path / "out", pairs=far)
    assert figures["precise"] is True
    assert figures["native"]["single"]["largest"] < 1e-7  # of what float32 inputs give in float64
    assert "computed in double precision too" in (tmp_path / "out" / "README.md").read_text()
    assert read_container(tmp_path / "out" / "learned.closura").precise


def test_a_difference_writes_nothing(gfortran, alone, tmp_path, monkeypatch):
    closure = PolynomialClosure([0.5, -1.0, 0.1], exponents=((0,), (2,), (1,)))
    monkeypatch.setitem(gate.TOLERANCE, "single", 1e-12)
    line = (
        r"the compiled closure in single precision differs from the trained closure by \d.*wanted"
    )
    with pytest.raises(ValueError, match=line):
        export_closure(closure, tmp_path / "out", pairs=alone)
    assert list(tmp_path.iterdir()) == []


def test_without_a_compiler_the_file_is_checked_and_the_readme_says_what_is_left(
    alone, tmp_path, monkeypatch
):
    monkeypatch.setenv("FC", "no-such-compiler")
    assert native.find_compiler() is None
    figures = export_closure(PolynomialClosure([0.5, -1.0]), tmp_path / "out", pairs=alone)
    assert figures["compiler"] is None and figures["native"] == {}
    assert figures["reference"]["largest"] <= 1e-12
    assert "`make test` is still to be run" in (tmp_path / "out" / "README.md").read_text()


def test_every_activation_is_the_same_in_fortran(gfortran, tmp_path):
    one, where = np.ones((1, 1)), np.array([0])
    told = []
    for number, name in enumerate(ACTIVATIONS):
        told += [Select(where), Dense(one, np.zeros(1), name), Add(np.array([number]))]
    columns = tuple(Column(name, "1") for name in ACTIVATIONS)
    container = Container(columns[:1], columns, tuple(told))
    write_container(tmp_path / "all.closura", container)
    values, nothing = np.linspace(-30, 30, 1001)[:, None], np.zeros((1001, 0))
    wanted = np.stack([bend(values[:, 0]) for bend in ACTIVATIONS.values()], axis=1)
    cases = Cases(values, nothing, nothing, wanted, nothing)
    write_cases(tmp_path / "cases.bin", cases, cases, (1e-5, 1e-12))
    program = native.compile_driver(gfortran)
    files = (tmp_path / "all.closura", tmp_path / "cases.bin")
    found = native.run_driver(program, *files, (*wanted.shape, 0))
    np.testing.assert_allclose(found["double"][0], wanted, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(found["single"][0], wanted, rtol=1e-5, atol=1e-6)
