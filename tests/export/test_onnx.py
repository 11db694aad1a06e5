"""ONNX: the same numbers in ONNX Runtime from Python and from Fortran, bit for bit, or nothing."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import onnx
import onnxruntime
import pytest

from closura.closures.features import Stencil, Whole
from closura.closures.physical import PolynomialClosure
from closura.export import gate
from closura.export.cases import Cases
from closura.export.container import Column, Container, write_container
from closura.export.onnx import open_session, run_onnx, with_graph
from closura.export.onnx_graph import to_onnx
from closura.export.operations import Add, Dense, Select
from closura.export.reading import read_container
from closura.export.ship import export_closure
from closura.learners.linear import Linear, Polynomial
from closura.learners.network import Network
from closura.learners.noise import AR1, WithNoise
from closura.nets.mlp import ACTIVATIONS
from closura.registry import find
from shipped import everything, network

RING = Stencil(radius=2)
NETWORK = Network(RING, width=6, depth=1, epochs=1, batch=64)
LIBRARY = Path(onnxruntime.__file__).parent / "capi"


@pytest.fixture
def alone(pairs):
    """The pairs with one field, as a model's own state would be."""
    return replace(pairs, inputs={"X": pairs.inputs["X"]})


def run(container: Container, columns, memory=None) -> np.ndarray:
    memory = np.zeros((len(columns), container.memory)) if memory is None else memory
    cases = Cases(columns, memory, memory, columns, memory)
    return run_onnx(to_onnx(container), cases, precise=container.precise)


@pytest.mark.parametrize(("precise", "allowed"), [(False, 1e-6), (True, 1e-14)])
def test_every_operation_is_the_same_in_onnx(precise, allowed):
    container, draw = replace(everything(), precise=precise), np.random.default_rng(0)
    columns = draw.normal(size=(1003, 2)).astype(np.float32).astype(float)
    memory = draw.normal(size=(1003, 2)).astype(np.float32).astype(float)
    wanted = container.predict(columns, memory)
    found = run(container, columns, memory)
    assert gate.difference(found, wanted) <= allowed


@pytest.mark.parametrize(("precise", "allowed"), [(False, 1e-5), (True, 1e-13)])
def test_every_activation_is_the_same_in_onnx(precise, allowed):
    one, where = np.ones((1, 1)), np.array([0])
    told = []
    for number, name in enumerate(ACTIVATIONS):
        told += [Select(where), Dense(one, np.zeros(1), name), Add(np.array([number]))]
    columns = tuple(Column(name, "1") for name in ACTIVATIONS)
    container = Container(columns[:1], columns, tuple(told), precise=precise)
    values = np.linspace(-30, 30, 1001)[:, None]
    wanted = np.stack([bend(values[:, 0]) for bend in ACTIVATIONS.values()], axis=1)
    np.testing.assert_allclose(run(container, values), wanted, rtol=allowed, atol=allowed)


@pytest.mark.parametrize("missing", ["report", "zero"])
def test_columns_that_are_not_finite_get_what_was_chosen(missing):
    columns = np.full((4, 5), 0.5)
    columns[1, 3], columns[2, 0] = np.nan, -np.inf
    found = run(replace(network(), missing=missing), columns)[:, 0]
    instead = 0.0 if missing == "zero" else np.nan
    np.testing.assert_array_equal(found[1:3], [instead, instead])
    assert np.all(np.isfinite(found[[0, 3]])) and found[0] == found[3] != 0


def test_the_graph_says_what_it_is_and_takes_any_number_of_columns():
    content = to_onnx(network())
    model = onnx.load_from_string(content)
    told = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert told["inputs"][1] == ["X(-1)", "m s-1"] and told["outputs"] == [["X", "m s-2"]]
    assert told["lower"] == [-50.0] * 5
    session = open_session(content)
    assert session.get_inputs()[0].shape == ["column", 5]
    for count in (0, 1, 13):
        columns = np.zeros((count, 5), np.float32)
        assert session.run(None, {"columns": columns})[0].shape == (count, 1)


CLOSURES = {
    "a network of two fields": lambda: NETWORK,
    "a network of whole instants": lambda: replace(NETWORK, features=Whole(), activation="gelu"),
    "a polynomial of neighbours": lambda: Polynomial(degree=2, features=Stencil(radius=1)),
    "noise on a sum": lambda: WithNoise(Linear(RING)),
    "noise alone": AR1,
}


@pytest.mark.parametrize("name", CLOSURES)
def test_what_leaves_as_onnx_equals_what_was_trained(name, pairs, key, tmp_path):
    closure = CLOSURES[name]().fit(pairs, key=key)
    figures = export_closure(closure, tmp_path / "out", pairs=pairs, to="onnx")
    assert figures == json.loads((tmp_path / "out" / "parity.json").read_text())
    assert figures["cases"] >= 240 and figures["runtime"].startswith("onnxruntime ")
    assert figures["native"]["single"]["largest"] <= 1e-5
    onnx.checker.check_model(onnx.load(tmp_path / "out" / "learned.onnx"))
    page = (tmp_path / "out" / "README.md").read_text()
    assert "onnxruntime" in page and "@" not in page


def test_trees_reach_the_same_leaves_in_onnx(alone, key, tmp_path):
    pytest.importorskip("sklearn")
    forest = find("learners", "Forest")(trees=5, leaves=40).fit(alone, key=key)
    figures = export_closure(forest, tmp_path / "out", pairs=alone, to="onnx")
    assert figures["branches"] == {"compared": 5 * figures["cases"], "different": 0}
    (found,) = figures["native"].values()
    assert found["largest"] <= 1e-6


def test_no_number_of_a_sum_of_trees_lies_unread_in_its_graph(alone, key, tmp_path):
    """ONNX Runtime would print a warning for each."""
    pytest.importorskip("sklearn")
    forest = find("learners", "Forest")(trees=2, leaves=9)
    both = forest.fit(alone, key=key) + forest.fit(alone, key=jax.random.fold_in(key, 1))
    export_closure(both, tmp_path / "out", pairs=alone, to="onnx")
    graph = onnx.load(tmp_path / "out" / "learned.onnx").graph
    read = {name for node in graph.node for name in node.input}
    assert {number.name for number in graph.initializer} <= read


def test_numbers_that_cancel_leave_as_a_graph_of_float64(alone, tmp_path):
    far = replace(alone, inputs={"X": alone.inputs["X"] + 500})
    closure = PolynomialClosure([175e3, -700.0, 0.7])  # 0.7 (X - 500)^2, at most 100
    figures = export_closure(closure, tmp_path / "out", pairs=far, to="onnx")
    assert figures["precise"] is True
    assert figures["native"]["double"]["largest"] <= 1e-12


def test_a_difference_in_onnx_writes_nothing(alone, tmp_path, monkeypatch):
    closure = PolynomialClosure([0.5, -1.0, 0.1], exponents=((0,), (2,), (1,)))
    monkeypatch.setattr(gate, "TOLERANCE", {"single": 0.0, "double": -1.0})
    with pytest.raises(ValueError, match="the ONNX graph in double precision differs from the"):
        export_closure(closure, tmp_path / "out", pairs=alone, to="onnx")
    assert list(tmp_path.iterdir()) == []


BITS = """\
program bits
  use, intrinsic :: iso_fortran_env, only: real32, real64
  use closura
  implicit none
  type(closura_model) :: model
  real(real32) :: columns(5, 1003), tendencies(1, 1003)
  real(real64) :: wide(1, 1003)
  integer :: status, flags(1003), unit, again
  do again = 1, 2   ! a model that is loaded again gives its session back
    call closura_load(model, 'a.closura', status)
    if (status /= 0) print '(a)', closura_message(status)
  end do
  open(newunit=unit, file='columns.bin', access='stream', form='unformatted')
  read(unit) columns
  close(unit)
  call closura_predict(model, columns, tendencies, status, flags=flags)
  call closura_predict(model, real(columns, real64), wide, status)
  open(newunit=unit, file='found.bin', access='stream', form='unformatted')
  write(unit) tendencies
  close(unit)
  print '(i0, 1x, l1, 3(1x, i0))', status / 1000, all(abs(wide(1, 9:) - tendencies(1, 9:)) <= 0), &
    flags(1:3)
  call closura_predict(model, columns(1:4, :), tendencies, status)
  print '(a)', closura_message(status, model)
  call closura_free(model)
end program bits
"""


def test_fortran_through_onnxruntime_gives_the_same_bits_as_python(gfortran, tmp_path):
    runtime = Path(__file__).parents[2] / "src" / "closura" / "export" / "runtime"
    library = next(LIBRARY.glob("libonnxruntime.so*"))
    (tmp_path / "libonnxruntime.so.1").symlink_to(library)
    (tmp_path / "bits.f90").write_text(BITS)
    write_container(tmp_path / "a.closura", with_graph(network(70)))
    columns = np.random.default_rng(2).normal(0, 9, (1003, 5)).astype(np.float32)
    columns[1, 2], columns[2, 4] = np.nan, 60
    columns.tofile(tmp_path / "columns.bin")
    command = [gfortran, "-std=f2008", "-Wall", "-Wextra", "-Werror", "-O1", "-fcheck=all",
               "-DCLOSURA_ONNX", str(runtime / "closura_onnx.F90"), str(runtime / "closura.F90"),
               "bits.f90", "libonnxruntime.so.1", "-Wl,-rpath,$ORIGIN", "-o", "bits"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = subprocess.run(["./bits"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.stdout.splitlines() == [
        "1 T 0 1 2",
        "closura: columns has 4 rows, wanted 5; it is (inputs, columns).",
    ], said.stderr
    found = np.fromfile(tmp_path / "found.bin", np.float32)[:, None]
    wanted = open_session(to_onnx(network(70))).run(None, {"columns": columns})[0]
    assert np.isnan(found[1, 0]) and np.isnan(wanted[1, 0])
    np.testing.assert_array_equal(found, wanted)  # NaN equals NaN here


def test_make_runs_the_shipped_graph_in_fortran(gfortran, alone, key, tmp_path):
    closure = WithNoise(NETWORK).fit(alone, key=key)
    export_closure(closure, tmp_path / "out", pairs=alone, to="onnx", name="network")
    held = read_container(tmp_path / "out" / "network.closura")
    assert [one.code for one in held.operations] == [30, 17]
    settings = os.environ | {"FFLAGS": "-O0"}

    def make(*arguments):
        command = ["make", "-s", "-C", str(tmp_path / "out"), *arguments, "test"]
        return subprocess.run(command, env=settings, capture_output=True, text=True, check=False)

    assert "call make ONNXRUNTIME=/folder/of/libonnxruntime.so test" in make().stderr
    done = make(f"ONNXRUNTIME={LIBRARY}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ok") == 2


def test_a_runtime_without_onnx_says_what_to_do(ask, tmp_path):
    write_container(tmp_path / "a.closura", with_graph(network()))
    found = ask("load", lines=f"{tmp_path / 'a.closura'}\n")
    assert found == [
        "11 closura: the file holds an ONNX graph; compile closura_onnx.F90 and closura.F90 with "
        "-DCLOSURA_ONNX and link libonnxruntime, or export it again with --to fortran."
    ]
