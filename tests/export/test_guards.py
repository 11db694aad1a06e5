"""Guards in the runtime: the same weights and limits as in Python, and columns that are told."""

import subprocess
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from closura.closures.atmosphere import Column
from closura.closures.conserving import Conserving
from closura.closures.fallback import Fallback
from closura.closures.guards import Damped, Limited, Tapered
from closura.closures.novelty import Guarded, Mahalanobis, MinMax
from closura.closures.physical import PolynomialClosure
from closura.closures.stochastic import AR1Noise
from closura.closures.tapers import BoundaryLayer, Sponge
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.core.variable import Variable
from closura.export import native
from closura.export.cases import Cases, write_cases
from closura.export.container import Container, write_container
from closura.export.gate import difference
from closura.export.operations import Add, Clip, Select
from closura.export.prepare import prepare
from closura.export.reading import read_container
from closura.export.ship import export_closure
from closura.learners.linear import Linear
from closura.learners.novelty import OneClassSVM
from made_atmosphere import made_pairs
from shipped import RING, everything, novelties


def test_every_operation_is_the_same_in_fortran(gfortran, tmp_path):
    container, draw = everything(), np.random.default_rng(0)
    columns = draw.normal(size=(1003, 2)).astype(np.float32).astype(float)
    memory = draw.normal(size=(1003, 2)).astype(np.float32).astype(float)
    write_container(tmp_path / "all.closura", container)
    cases = Cases(columns, memory, memory, container.predict(columns, memory), memory)
    write_cases(tmp_path / "cases.bin", cases, cases, (1e30, 1e30))
    program = native.compile_driver(gfortran)
    files = (tmp_path / "all.closura", tmp_path / "cases.bin")
    found = native.run_driver(program, *files, (1003, 2, 2))
    assert difference(found["double"][0], cases.tendencies) <= 1e-14
    assert difference(found["single"][0], cases.tendencies) <= 1e-6


FLAGS = """\
program flags
  use, intrinsic :: iso_fortran_env, only: real32
  use closura
  implicit none
  type(closura_model) :: model
  real(real32) :: columns(2, 4), tendencies(2, 4)
  integer :: status, told(4)
  call closura_load(model, 'a.closura', status)
  columns = reshape([0.0, 0.5, 0.0, 1.5, 0.3, 0.5, 0.0, -0.6], [2, 4])
  columns(2, 4) = sqrt(-1.0 - columns(1, 4))
  call closura_predict(model, columns, tendencies, status, flags=told)
  print '(4i3)', told
end program flags
"""


def test_new_columns_are_flagged_apart_from_those_outside_the_range(gfortran, tmp_path):

    ramp, _ = novelties()
    told = (Select(np.arange(2)), Clip(np.zeros(2), np.ones(2)), ramp, Add(np.arange(2)))
    bounds = (np.array([-9.0, -9.0]), np.array([9.0, 1.0]))
    write_container(tmp_path / "a.closura", Container(RING[:2], RING[3:], told, *bounds))
    (tmp_path / "flags.f90").write_text(FLAGS)
    source = str(native.resources.files("closura.export") / "runtime" / "closura.F90")
    command = [gfortran, "-O0", source, "flags.f90", "-o", "flags"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    said = subprocess.run(["./flags"], cwd=tmp_path, capture_output=True, text=True, check=True)
    # known; new and outside the range (4 + 2); new; NaN
    assert said.stdout.split() == ["0", "6", "4", "1"]


FEATURES = Column(variables=("u", "surface_pressure"), output_levels=(1, 5))
LINEAR = Linear(FEATURES)


@pytest.fixture(scope="module")
def atmosphere():
    """Pairs of 30 instants, 1440 columns, which know their levels and variables."""
    found = made_pairs(30)
    dims = {name: ("level", "lat", "lon")[3 - a.ndim + 2 :] for name, a in found.inputs.items()}
    about = {name: Variable(name, "1", one, name) for name, one in dims.items()}
    return replace(found, variables=about)


GUARDS = {
    "taper": lambda inside: Tapered(inside, taper=BoundaryLayer(), cutoff=2, rate=1.5),
    "damping": lambda inside: Damped(inside, factor={"u": 0.25}),
    "limits": lambda inside: Limited(inside, limits={"u": 0.4, "v": (-0.1, 0.3)}),
    "quantile": lambda inside: Limited(inside, quantile=0.9),
    "range": lambda inside: Guarded(inside, response="mask"),
    "ramp": lambda inside: Guarded(inside, response="ramp", cutoff=0.01, end=0.3),
    "distance": lambda inside: Guarded(inside, Mahalanobis(quantile=0.7), response="decay"),
    "support vectors": lambda inside: Guarded(
        inside, OneClassSVM(nu=0.05, quantile=0.8, samples=700), response="ramp", end=0.2
    ),
    "support vectors, a mask": lambda inside: Guarded(
        inside, OneClassSVM(gamma=0.02, quantile=1.0, samples=300), cutoff=-0.01
    ),
    "other features": lambda inside: Guarded(
        inside, MinMax(), response="decay", features=Column(variables=("temperature",), scalars=())
    ),
    "all": lambda inside: Fallback(
        Guarded(Limited(Tapered(inside, taper=Sponge()), limits={"u": 0.3}), response="ramp")
    ),
}


@pytest.mark.parametrize("name", GUARDS)
def test_a_guarded_closure_passes_the_gate(name, gfortran, atmosphere, key, tmp_path):
    early, later = atmosphere.at(slice(0, 12)), atmosphere
    closure = GUARDS[name](LINEAR.fit(atmosphere, key=key)).fit(early)
    for to in ("fortran", "onnx"):
        figures = export_closure(closure, tmp_path / to, pairs=later, to=to)
        assert figures["cases"] >= 1000
        assert all(one["largest"] <= one["allowed"] for one in figures["native"].values())
    ready = prepare(closure, [later], missing="report", source="")
    plain = prepare(LINEAR.fit(atmosphere, key=key), [later], missing="report", source="")
    ratio = np.abs(ready.double.tendencies).sum() / np.abs(plain.double.tendencies).sum()
    assert 0.02 < ratio < 0.9995  # the guard does something, and not all
    assert ready.container.missing == ("zero" if name == "all" else "report")


def test_what_overflows_inside_a_fallback_is_zero_as_in_python(gfortran, tmp_path):
    """Fallback looks at what a closure gives; the inputs of this one are finite."""
    draw = np.random.default_rng(0).normal(size=(1, 210, 7))
    pairs = Pairs({"X": draw}, {"X": draw}, np.arange(210.0), Passport("file"))
    closure = Damped(Fallback(PolynomialClosure([0.5, 0.0, 1.0])), factor=2.0)
    for to in ("fortran", "onnx", "source"):
        export_closure(closure, tmp_path / to, pairs=pairs, to=to)
    page = (tmp_path / "fortran" / "README.md").read_text()
    assert "holds NaN or infinity gets zero back, and `status` stays 0;" in page
    values = np.array([[1e30], [2.0], [-1e30], [1.0]], np.float32)
    with jax.enable_x64(False):
        told = closure({"X": jnp.asarray(values[:, 0])}, None, (), None)[0]["X"]
    np.testing.assert_array_equal(told, [0, 9, 0, 3])
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / "learned.onnx"))
    found = session.run(None, {"columns": values})[0]
    np.testing.assert_allclose(found[:, 0], told, rtol=1e-6)
    wide = values.astype(float) ** 8  # 1e240 overflows in double precision
    with np.errstate(over="ignore"):
        held = read_container(tmp_path / "fortran" / "learned.closura")
        np.testing.assert_array_equal(held.predict(wide)[[0, 2]], 0.0)
    cases = Cases(values, values[:, :0], values[:, :0], np.asarray(told)[:, None], values[:, :0])
    write_cases(tmp_path / "cases.bin", cases, cases, (1e-5, 1e30))
    program = native.compile_driver(gfortran)
    files = (tmp_path / "fortran" / "learned.closura", tmp_path / "cases.bin")
    single, _ = native.run_driver(program, *files, (4, 1, 0))["single"]
    np.testing.assert_allclose(single[:, 0], told, rtol=1e-6)


def test_a_taper_leaves_to_mom6_and_limits_to_source(gfortran, atmosphere, key, tmp_path):
    linear = LINEAR.fit(atmosphere, key=key)
    for to, guard in (("mom6", "taper"), ("mom6", "damping"), ("source", "limits")):
        figures = export_closure(
            GUARDS[guard](linear), tmp_path / to / guard, pairs=atmosphere, to=to
        )
        assert figures["native"]["double"]["largest"] <= 1e-12


def test_a_guard_that_needs_more_than_its_column_is_refused(atmosphere, key, tmp_path):
    closure = Conserving(LINEAR.fit(atmosphere, key=key))
    with pytest.raises(ValueError, match="Conserving cannot be shipped: of guards, Tapered,"):
        export_closure(closure, tmp_path / "out", pairs=atmosphere)
    several = Damped(LINEAR.fit(atmosphere, key=key) + LINEAR.fit(atmosphere, key=key))
    noise = Damped(AR1Noise({"u": jnp.asarray(0.5)}, {"u": jnp.asarray(1.0)}))
    for around in (several, noise):
        line = "Damped around noise or a sum cannot be shipped; put the guard around each term"
        with pytest.raises(ValueError, match=line):
            export_closure(around, tmp_path / "out", pairs=atmosphere)
