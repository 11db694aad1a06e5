"""MOM6, Fortran source and StableHLO: the same numbers there, or one line that says why not."""

import json
import os
import subprocess
from dataclasses import replace

import jax
import jax.numpy as jnp
import netCDF4
import numpy as np
import pytest

from closura.closures.anchored import Anchored
from closura.closures.fallback import Fallback
from closura.closures.features import Stencil, Whole
from closura.closures.physical import PolynomialClosure
from closura.export import gate
from closura.export.container import Column, Container
from closura.export.operations import Add, Dense, Select
from closura.export.ship import FORMATS, export_closure, summarise
from closura.export.source_text import write_module
from closura.learners.linear import Linear, Polynomial
from closura.learners.network import Network
from closura.learners.noise import AR1, WithNoise
from closura.models.lorenz96 import Lorenz96
from closura.nets.mlp import ACTIVATIONS
from closura.registry import REGISTRY, find
from made_atmosphere import made_pairs

RING = Stencil(radius=2)
NETWORK = Network(RING, width=6, depth=2, epochs=1, batch=64, activation="relu")
# How small a learner must be for a test; one that is not here is tried as it is.
SMALL = {
    "Network": {"width": 6, "depth": 1, "epochs": 1, "batch": 64, "activation": "relu"},
    "Forest": {"trees": 3, "leaves": 9},
    "BoostedTrees": {"features": Stencil(radius=1), "rounds": 4, "depth": 2},
    "WithNoise": {"learner": Linear()},
    "LearnerEnsemble": {"learners": (Linear(),), "repeats": 2},
    "UNet": {"width": 2, "depth": 1, "columns": 1, "epochs": 1},
    "Graph": {"width": 2, "rounds": 1, "columns": 1, "epochs": 1},
    "Online": {"start": Linear(), "model": Lorenz96(K=7, dt=0.1), "window": 3, "grow": (),
               "epochs": 1, "learning_rate": 1e-9},
}  # fmt: skip


# A function of the date, and the median of several closures: no operations on columns.
NO_COLUMNS = ("ClimatologicalCorrection", "LearnerEnsemble")


@pytest.fixture
def alone(pairs):
    """The pairs with one field, as a model's own state would be."""
    return replace(pairs, inputs={"X": pairs.inputs["X"]})


# Compiling for StableHLO takes long.
TARGETS = [
    pytest.param(to, marks=[pytest.mark.slow] if to == "stablehlo" else []) for to in FORMATS
]


@pytest.mark.parametrize("name", REGISTRY["learners"])
@pytest.mark.parametrize("to", TARGETS)
def test_every_registered_learner_leaves_to_each_format_or_says_why_not(
    name, to, alone, key, tmp_path
):
    pairs = made_pairs(21) if name in ("UNet", "Graph") else alone  # they see a sphere
    closure = find("learners", name)(**SMALL.get(name, {})).fit(pairs, key=key)
    try:
        figures = export_closure(closure, tmp_path / to, pairs=pairs, to=to)
    except ValueError as refused:
        assert "cannot be shipped" in str(refused) and "\n" not in str(refused)
        assert to != "fortran" or name in NO_COLUMNS
        assert not (tmp_path / to).exists()
    else:
        assert figures["cases"] >= 1000 and figures["native"]
        assert all(one["largest"] <= one["allowed"] for one in figures["native"].values())
        assert json.loads((tmp_path / to / "parity.json").read_text())["cases"] >= 1000
        assert "@" not in (tmp_path / to / "README.md").read_text()


def as_mom6_reads_it(path, column):
    """MOM_ANN's ANN_init and ANN_apply, written from its source with Fortran's index order."""
    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        count = int(file["num_layers"][0])
        sizes = file["layer_sizes"][:].tolist()
        x = (column - file["input_means"][:]) * (1 / file["input_norms"][:])
        for layer in range(count - 1):
            fortran = np.asfortranarray(file[f"A{layer}"][:].T)  # A(output_width, input_width)
            assert fortran.shape == (sizes[layer + 1], sizes[layer])
            y = file[f"b{layer}"][:].copy()
            for i in range(sizes[layer]):
                y += x[i] * fortran[:, i]
            x = np.maximum(y, 0) if layer < count - 2 else y
        return x * file["output_norms"][:] + file["output_means"][:]


def test_mom6_reads_a_network_and_its_self_test_holds(pairs, key, tmp_path):
    closure = NETWORK.fit(pairs, key=key)
    figures = export_closure(closure, tmp_path / "out", pairs=pairs, to="mom6", name="net")
    path = tmp_path / "out" / "net.nc"
    with netCDF4.Dataset(path) as file:
        assert file.data_model == "NETCDF3_64BIT_OFFSET"
        assert file["num_layers"][:].tolist() == [4]
        assert file["layer_sizes"][:].tolist() == [10, 6, 6, 1]
        assert file["A0"].shape == (10, 6) and file["A2"].shape == (6, 1)
        assert "X(-2) [m s-1]" in file.inputs and file.outputs == "X [m s-2]"
        tested, wanted = file["x_test"][:], file["y_test"][:]
    found = as_mom6_reads_it(path, np.asarray(tested))
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()  # else MOM6 stops
    assert figures["native"]["double"]["largest"] <= 1e-12
    # The columns of point 4 at the first instant, through the file and through the closure.
    fields = {name: jnp.asarray(pairs.inputs[name][0, 0]) for name in ("X", "Z")}
    column = np.concatenate([np.roll(fields[name], -4 + 2)[:5] for name in ("X", "Z")])
    np.testing.assert_allclose(
        as_mom6_reads_it(path, column)[0], closure.tendency(fields)["X"][4], rtol=1e-5
    )


REFUSED = {
    "gelu": (replace(NETWORK, activation="gelu"), "one with gelu"),
    "noise": (WithNoise(Linear(RING)), "noise or a sum of closures"),
    "polynomial": (Polynomial(degree=2, features=RING), "a polynomial"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_mom6_does_not_read_says_so_and_writes_nothing(name, alone, key, tmp_path):
    learner, what = REFUSED[name]
    closure = learner.fit(alone, key=key)
    line = f"MOM6 reads one network of dense layers with relu, and {what} cannot be shipped as that"
    with pytest.raises(ValueError, match=line):
        export_closure(closure, tmp_path / "out", pairs=alone, to="mom6")
    with pytest.raises(ValueError, match="missing is 'zero', but MOM6 has no guard"):
        export_closure(closure, tmp_path / "out", pairs=alone, to="mom6", missing="zero")
    assert list(tmp_path.iterdir()) == []


def test_mom6_has_no_place_for_a_fallback(alone, key, tmp_path):
    closure = Fallback(NETWORK.fit(alone, key=key))
    with pytest.raises(
        ValueError, match="relu, and a Fallback, which MOM6 has no place for, cannot"
    ):
        export_closure(closure, tmp_path / "out", pairs=alone, to="mom6")
    assert list(tmp_path.iterdir()) == []


SOURCES = {
    "network": lambda: replace(NETWORK, activation="gelu"),
    "whole-instants": lambda: Linear(Whole(variables=("X",))),
    "polynomial": lambda: Polynomial(degree=2, features=Stencil(radius=1)),
}


@pytest.mark.parametrize("name", SOURCES)
def test_source_compiles_with_warnings_as_errors_and_equals(name, gfortran, pairs, key, tmp_path):
    closure = SOURCES[name]().fit(pairs, key=key)
    figures = export_closure(closure, tmp_path / "out", pairs=pairs, to="source", name=name)
    assert figures["native"]["double"]["largest"] <= 1e-12
    assert figures["native"]["single"]["largest"] <= 1e-5
    settings = os.environ | {"FFLAGS": "-std=f2008 -Wall -Wextra -Werror -O0 -fcheck=all"}
    done = subprocess.run(["make", "-s", "-C", str(tmp_path / "out"), "test"], env=settings,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0 and done.stdout.count("ok") == 2, done.stderr
    text = (tmp_path / "out" / f"{name}.f90").read_text()
    assert f"module {name.replace('-', '_')}\n" in text and max(map(len, text.splitlines())) <= 132


def test_a_negative_zero_compiles_as_source(gfortran, alone, tmp_path):
    closure = PolynomialClosure([-0.0, 1.0, -0.0, 0.5])
    figures = export_closure(closure, tmp_path / "out", pairs=alone, to="source")
    assert figures["native"]["double"]["largest"] <= 1e-12


@pytest.mark.parametrize("name", ["driver", "Driver", "wanted"])
def test_a_name_that_the_driver_uses_is_refused_as_source(name, gfortran, alone, tmp_path):
    with pytest.raises(ValueError, match=f"'{name}' is a name that the shipped driver uses itself"):
        export_closure(PolynomialClosure([1.0, 2.0]), tmp_path / "out", pairs=alone, to="source",
                       name=name)  # fmt: skip


GUARDED = """\
program guarded
  use, intrinsic :: iso_fortran_env, only: real64
  use small
  implicit none
  real(real64) :: x(1), y(8)
  integer :: number
  do number = -30, 30
    x = 0.7_real64 * number
    call small_tendency(x, y)
    print '(8es24.16)', y
  end do
  x = sqrt(-1 - x)
  call small_tendency(x, y)
  print '(8es24.16)', y
end program guarded
"""


@pytest.mark.parametrize("missing", ["report", "zero"])
def test_every_activation_and_the_guard_are_in_the_source(missing, gfortran, tmp_path):
    one, where, told = np.ones((1, 1)), np.array([0]), []
    for number, name in enumerate(ACTIVATIONS):
        told += [Select(where), Dense(one, np.zeros(1), name), Add(np.array([number]))]
    columns = tuple(Column(name, "1") for name in ACTIVATIONS)
    container = Container(columns[:1], columns, tuple(told), missing=missing)
    (tmp_path / "small.f90").write_text(write_module(container, "small"))
    (tmp_path / "guarded.f90").write_text(GUARDED)
    command = [gfortran, "-std=f2008", "-Wall", "-Wextra", "-Werror", "small.f90", "guarded.f90"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = subprocess.run(["./a.out"], cwd=tmp_path, capture_output=True, text=True, check=True)
    *found, last = (np.array(line.split(), float) for line in said.stdout.splitlines())
    values = 0.7 * np.arange(-30, 31)
    wanted = np.stack([bend(values) for bend in ACTIVATIONS.values()], axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-14)
    np.testing.assert_array_equal(last, np.full(8, 0.0 if missing == "zero" else np.nan))


def test_what_is_no_small_equation_is_refused_as_source(gfortran, alone, key, tmp_path):
    wide = replace(NETWORK, width=40).fit(alone, key=key)
    # 5 inputs, two layers of 40, one output: 5 + 2 * 5 + 5 * 40 + 40 + 1600 + 40 + 40 + 1 + 2 + 1
    line = "a closure of 1939 numbers cannot be shipped as source, which holds up to 100; export it"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("closura.export.source_text.MOST_NUMBERS", 100)
        with pytest.raises(ValueError, match=line):
            export_closure(wide, tmp_path / "out", pairs=alone, to="source")
    noise = AR1().fit(alone, key=key)
    with pytest.raises(ValueError, match="noise cannot be shipped as source, only equations"):
        export_closure(noise, tmp_path / "out", pairs=alone, to="source")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FC", "no-such-compiler")
        with pytest.raises(ValueError, match="source cannot be proved without a Fortran compiler"):
            export_closure(wide, tmp_path / "out", pairs=alone, to="source")
    assert list(tmp_path.iterdir()) == []


def test_stablehlo_takes_any_number_of_instants_in_either_precision(pairs, key, tmp_path):
    closure = NETWORK.fit(pairs, key=key)
    figures = export_closure(closure, tmp_path / "out", pairs=pairs, to="stablehlo", name="net")
    assert figures["native"]["double"]["largest"] <= 1e-12
    assert 0 < figures["native"]["single"]["largest"] <= 1e-5
    content = (tmp_path / "out" / "net_single.stablehlo").read_bytes()
    function = jax.export.deserialize(bytearray(content))
    assert function.platforms == ("cpu", "cuda")
    for count in (1, 3):
        fields = {name: jnp.asarray(a[1, :count], "f4") for name, a in pairs.inputs.items()}
        found = function.call(fields, {})["X"]
        wanted = [
            closure.tendency({n: a[at] for n, a in fields.items()})["X"] for at in range(count)
        ]
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_noise_leaves_as_stablehlo_with_its_memory_and_key(pairs, key, tmp_path):
    closure = WithNoise(Linear(RING)).fit(pairs, key=key)
    export_closure(closure, tmp_path / "out", pairs=pairs, to="stablehlo", name="noisy")
    content = (tmp_path / "out" / "noisy_double.stablehlo").read_bytes()
    fields = {name: a[1, :2] for name, a in pairs.inputs.items()}
    keys = jax.random.split(jax.random.key(5), 2)
    memory = jax.vmap(closure.init)(fields, keys)
    function = jax.export.deserialize(bytearray(content))
    found = function.call(fields, {}, memory, jax.random.key_data(keys))
    wanted = jax.vmap(lambda f, m, k: closure(f, None, m, k))(fields, memory, keys)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), found, wanted)


def test_guards_that_only_jax_computes_leave_as_stablehlo(pairs, key, tmp_path):
    """The baseline reads a field that the closure itself does not."""
    other = Linear(Stencil(radius=1, variables=("Z",))).fit(pairs, key=key)
    closure = Fallback(PolynomialClosure([0.5, 0.0, 1.0]), baseline=other)
    figures = export_closure(closure, tmp_path / "out", pairs=pairs, to="stablehlo", name="net")
    assert figures["native"]["double"]["largest"] <= 1e-12
    content = (tmp_path / "out" / "net_double.stablehlo").read_bytes()
    X, Z = (jnp.asarray(pairs.inputs[name][0, :1]).at[0, 2].set(1e200) for name in ("X", "Z"))
    found = jax.export.deserialize(bytearray(content)).call({"X": X, "Z": Z}, {})["X"][0]
    wanted = other.tendency({"X": X[0], "Z": Z[0]})["X"]
    np.testing.assert_allclose(found[2], wanted[2], rtol=1e-12)
    np.testing.assert_allclose(found[5], 0.5 + X[0, 5] ** 2, rtol=1e-12)


def test_what_remembers_is_refused_as_stablehlo(alone, tmp_path):
    guard = Anchored(PolynomialClosure([0.5, 0.0, 1.0]), {"X": 2.0}, averaging=3.0).fit(alone)
    export_closure(replace(guard, averaging=None), tmp_path / "a", pairs=alone, to="stablehlo")
    with pytest.raises(ValueError, match="the closure remembers what it saw"):
        export_closure(guard, tmp_path / "b", pairs=alone, to="stablehlo")
    assert not (tmp_path / "b").exists()


def test_numbers_that_cancel_are_double_within_a_single_function(alone, tmp_path):
    far = replace(alone, inputs={"X": alone.inputs["X"] + 500})
    closure = PolynomialClosure([175e3, -700.0, 0.7])  # 0.7 (X - 500)^2, at most 100
    figures = export_closure(closure, tmp_path / "out", pairs=far, to="stablehlo")
    assert figures["native"]["single"]["largest"] < 1e-7
    assert "1001 states repeated, largest difference" in summarise(figures)


@pytest.mark.parametrize("to", ["mom6", "source", "stablehlo"])
def test_a_difference_writes_nothing_there_either(to, gfortran, alone, key, tmp_path, monkeypatch):
    closure = NETWORK.fit(alone, key=key)
    for precision in ("single", "double"):
        monkeypatch.setitem(gate.TOLERANCE, precision, -1.0)
    with pytest.raises(
        ValueError, match=r"differs from the trained closure by .*nothing is written"
    ):
        export_closure(closure, tmp_path / "out", pairs=alone, to=to)
    assert list(tmp_path.iterdir()) == []
