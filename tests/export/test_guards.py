"""Guards in the runtime: the same weights and limits as in Python, and columns that are told."""

import subprocess

import numpy as np

from closura.export import native
from closura.export.cases import Cases, write_cases
from closura.export.container import Container, write_container
from closura.export.operations import Add, Clip, Select
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
    scale = np.abs(cases.tendencies).max()
    assert np.abs(found["double"][0] - cases.tendencies).max() <= 1e-14 * scale
    assert np.abs(found["single"][0] - cases.tendencies).max() <= 1e-6 * scale


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
