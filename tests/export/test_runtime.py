"""The Fortran runtime, compiled with every check on: no file and no call makes it crash."""

import math
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from closura.export.container import to_bytes, with_checksum, write_container
from closura.export.reading import from_bytes
from shipped import everything, network, on_grid

RUNTIME = Path(__file__).parents[2] / "src" / "closura" / "export" / "runtime"
FINE = "0 closura: no error."


def load(ask, files) -> list[str]:
    """Return one line for each file that the runtime was given."""
    found = ask("load", lines="".join(f"{file}\n" for file in files))
    assert len(found) == len(files)
    return found


@pytest.fixture
def folder(tmp_path):
    """Write many small files: contents to paths."""

    def write(contents) -> list[Path]:
        paths = []
        for number, content in enumerate(contents):
            paths.append(tmp_path / f"{number}.closura")
            paths[-1].write_bytes(content)
        return paths

    return write


KINDS = pytest.mark.parametrize("kind", [everything, on_grid])


@KINDS
def test_every_truncation_of_a_file_is_a_status(kind, ask, folder):
    content = to_bytes(kind())
    found = load(ask, folder(content[:length] for length in range(len(content))))
    kinds = {line.partition(" ")[0] for line in found}
    assert kinds <= {"3", "4"}, kinds  # cut off; or too short to know whose it is
    assert all(line.startswith("3 ") for line in found[48:])
    assert load(ask, folder([content])) == [FINE]


@KINDS
def test_random_damage_is_a_status_by_the_checksum(kind, ask, folder):
    content, draw = to_bytes(kind()), np.random.default_rng(0)

    def flipped() -> bytes:
        damaged = bytearray(content)
        for _ in range(draw.integers(1, 4)):
            damaged[draw.integers(len(content))] ^= 1 << draw.integers(8)
        return bytes(damaged)

    contents = [one for one in (flipped() for _ in range(500)) if one != content]
    found = {int(line.partition(" ")[0]) % 1000 for line in load(ask, folder(contents))}
    assert found <= {3, 4, 5, 6}, found  # cut off, foreign, other format; all else is damaged
    # Room for so many sections is made only once the checksum has been seen to be right.
    many = bytearray(content)
    many[24:28] = np.array(2**30, "<i4").tobytes()
    said = load(ask, folder([bytes(many), with_checksum(bytes(many))]))
    assert [line.partition(" ")[0] for line in said] == ["6", "7"]


@KINDS
def test_damage_with_a_checksum_that_is_right_is_never_a_crash(kind, ask, folder):
    """What the checksum would catch gets through to the parser here, and into what it computes."""
    content, draw = to_bytes(kind()), np.random.default_rng(1)
    words = np.frombuffer(content, "<i4")
    extremes = np.array([-1, 0, 1, 2, 3, 4, 8, 17, 8192, 8193, 2**30, 2**31 - 1, -(2**31)])

    def changed() -> bytes:
        damaged = words.copy()
        for _ in range(draw.integers(1, 4)):
            damaged[draw.integers(8, len(words) - 2)] = draw.choice(extremes)
        return with_checksum(damaged.tobytes())

    found = load(ask, folder(changed() for _ in range(1500)))
    kinds = {int(line.partition(" ")[0]) % 1000 for line in found}
    assert kinds <= {0, 7, 8, 9}, kinds  # fine, contradictory, unknown operation, too wide
    assert {0, 7, 8} <= kinds


def test_files_of_other_kinds_say_what_they_are(ask, tmp_path, folder):
    content = to_bytes(everything())
    newer = with_checksum(content[:8] + bytes([4]) + content[9:])
    older = with_checksum(content[:8] + bytes([0]) + content[9:])
    unknown = bytearray(content)
    place = content.index(np.array([10, 0], "<i4").tobytes())
    unknown[place] = 77
    swapped = np.frombuffer(content, "<i4").byteswap().tobytes()  # as a big-endian host reads it
    long = content + bytes(4)
    text = b"an ASCII file that is not one of ours, of some length\n"
    files = folder([newer, older, with_checksum(bytes(unknown)), swapped, long, text, b""])
    found = load(ask, [*files, tmp_path / "nowhere.closura", tmp_path])
    assert found[0] == (
        "4005 closura: the file has format 4, newer than the formats 1 to 3 that this closura.F90 "
        "reads; take the closura.F90 that was exported with it, or export it again."
    )
    assert [int(line.partition(" ")[0]) for line in found] == [4005, 5, 77008, 0, 6, 4, 3, 1, 2]
    assert found[1].startswith("5 closura: the file has format 0, older than the formats 1 to 3")
    earlier = [with_checksum(content[:8] + bytes([n]) + content[9:]) for n in (1, 2)]
    assert load(ask, folder(earlier)) == [FINE, FINE]
    assert found[-2] == "1 closura: the file cannot be opened; check its path and permissions."


@KINDS
def test_files_of_older_formats_are_still_read(kind, ask, folder):
    content = to_bytes(kind())
    files = [with_checksum(content[:8] + bytes([number]) + content[9:]) for number in (1, 2, 3)]
    assert load(ask, folder(files)) == 3 * [FINE]
    assert [from_bytes(file).about for file in files] == 3 * [{"a": 1}]


def test_what_a_host_gets_wrong_is_a_status_and_a_line(ask, tmp_path):
    write_container(tmp_path / "a.closura", network())
    lines = ask("misuse", str(tmp_path / "a.closura"))
    said = dict(line.partition(": ")[::2] for line in lines if ": " in line)
    wanted = {
        "empty": "20 closura: the model is empty; call closura_load first and check its status.",
        "precision": "24 closura: this precision was not loaded; call closura_load with",
        "setting": "28 closura: there is no such precision or guard",
        "inputs": "4021 closura: columns has 4 rows, wanted 5; it is (inputs, columns).",
        "outputs": "2022 closura: tendencies has 2 rows, wanted 1; it is (outputs, columns).",
        "columns": "2023 closura: tendencies has 2 columns, and columns another number",
        "flags": "2026 closura: flags has 2 values; give one for each column.",
        "memory": "25 closura: memory is missing or of another shape",
        "good names": FINE,
        "names": "4041 closura: the name of input 4 is another, wanted 'X(+1)'; order and names",
        "units": "2042 closura: input 2 has other units, wanted 'm s-1'; convert it first.",
        "output units": "1044 closura: output 1 has other units, wanted 'm s-2'; convert it.",
        "missing reported": "1030 closura: 1 columns hold NaN or infinity and got NaN back",
        "missing zero": FINE,
        "missing passed": FINE,
        "guard": "28 closura: there is no such precision or guard",
        "count": "5040 closura: the file wants 5 names and as many units; give all.",
        "no columns": FINE,
        "failed load": "1 closura: the file cannot be opened; check its path and permissions.",
    }
    empty = ("freed", "freed check", "freed guard", "freed start", "freed advance", "after it")
    wanted |= dict.fromkeys(empty, "20 closura: the model is empty; call closura_load first")
    assert said.keys() == wanted.keys()
    assert not [name for name in wanted if not said[name].startswith(wanted[name])], said


def test_a_column_with_nan_is_flagged_and_gets_what_the_guard_says(ask, tmp_path):
    write_container(tmp_path / "a.closura", network())
    lines = ask("misuse", str(tmp_path / "a.closura"))
    # Column 2 holds NaN (1), column 6 lies outside the training range (2); only 2 is not finite.
    assert "flags 0 1 0 0 0 2 T F T T T T" in lines
    assert "zero T T" in lines  # column 2 is zero, column 1 is not


@pytest.mark.parametrize(("width", "precise"), [(3, False), (70, False), (3, True)])
def test_a_column_gets_the_same_bits_in_any_piece_and_thread(ask, tmp_path, width, precise):
    write_container(tmp_path / "a.closura", replace(network(width), precise=precise))
    assert ask("alike", str(tmp_path / "a.closura")) == ["0 T T"]


@pytest.mark.parametrize("precise", [False, True])
def test_a_sphere_gets_the_same_bits_alone_and_in_threads(ask, tmp_path, precise):
    container = on_grid((5, 8))
    quiet = replace(container, operations=container.operations[:-1], precise=precise)
    write_container(tmp_path / "a.closura", quiet)
    assert ask("alike", str(tmp_path / "a.closura")) == ["0 T T"]


@pytest.mark.parametrize("precise", [False, True])
def test_columns_that_make_no_sphere_and_what_is_missing_are_told(ask, tmp_path, precise):
    container = on_grid((3, 4))
    quiet = replace(container, operations=container.operations[:-1], precise=precise)
    write_container(tmp_path / "a.closura", quiet)
    missing = "12030 closura: 12 columns hold NaN or infinity and got NaN back; look for them"
    told = ask("sphere", str(tmp_path / "a.closura"))
    grid, columns, none, first, flags, finite, second, again = told
    assert grid == "grid 3 4" and none == f"none: {FINE}"
    assert columns == (
        "columns: 12029 closura: this network sees whole spheres of 12 columns (3 latitudes of 4 "
        "longitudes); hand over all of them, in the order of the training."
    )
    assert first.startswith(f"missing: {missing}") and second.startswith(f"single: {missing}")
    assert flags == again == "flags " + 12 * "0" + 12 * "1"
    assert finite == "finite " + 12 * "T" + 12 * "F"


def test_a_missing_column_spoils_only_those_around_it(ask, tmp_path):
    near, dense, add = on_grid((5, 4)).operations[:3]
    container = replace(on_grid((5, 4)), operations=(near, dense, add))
    write_container(tmp_path / "a.closura", container)
    found = ask("sphere", str(tmp_path / "a.closura"))
    # The last column, of rows of 4: line 4 is beside lines 3, 4 and 1 of its row and of the one
    # before, and half-way round beyond the last row it is beside lines 1, 2 and 3.
    assert found[4] == found[7] == "flags " + 20 * "0" + 12 * "0" + "1011" + "1111"


def threefry(key, counter):
    """Threefry-2x32 with 20 rounds, after Salmon et al. (2011), in Python's whole numbers."""
    mask = 2**32 - 1
    keys = (*key, 0x1BD11BDA ^ key[0] ^ key[1])
    first, second = ((c + k) & mask for c, k in zip(counter, keys, strict=False))
    for number in range(20):
        turn = (13, 15, 26, 6, 17, 29, 16, 24)[number % 8]
        first = (first + second) & mask
        second = ((second << turn) | (second >> (32 - turn))) & mask ^ first
        if number % 4 == 3:
            later = number // 4 + 1
            first = (first + keys[later % 3]) & mask
            second = (second + keys[(later + 1) % 3] + later) & mask
    return first, second


def test_random_numbers_are_threefry_by_box_and_muller(ask):
    # The known answers of the authors' Random123 for this generator.
    assert threefry((0, 0), (0, 0)) == (0x6B200159, 0x99BA4EFE)
    assert threefry((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3)) == (0xC4923A9C, 0x483DF7A0)
    wanted = []
    for column in (5, 6, 7):
        for row in (1, 2):
            first, second = (
                (bits + 0.5) / 2**32 for bits in threefry((11, 2**32 - 7), (column, row))
            )
            wanted.append(math.sqrt(-2 * math.log(first)) * math.cos(2 * math.pi * second))
    numbers, same = ask("draw")
    np.testing.assert_allclose([float(one) for one in numbers.split()], wanted, rtol=1e-13)
    assert same == "T T"  # column 6 is the same drawn alone, and single precision is rounded double


def test_both_precisions_are_the_same_text():
    """The half for double precision is the other one with other names; it is never edited."""
    text = (RUNTIME / "closura.F90").read_text()
    _, _, rest = text.partition("  ! ---- In single precision ")
    single, _, double = rest.partition("  ! ---- In double precision ")
    single = single.partition("  elemental integer(int32) function abs_bits_single")[0]
    double = double.partition("  elemental integer(int64) function abs_bits_double")[0]
    renamed = (
        single.replace("real32", "real64").replace("single", "double").replace("sgemm", "dgemm")
    )
    assert len(double) > 10_000
    assert renamed == double


def test_it_compiles_with_blas_and_without_openmp(gfortran, tmp_path):
    command = [gfortran, "-std=f2008", "-Wall", "-Wextra", "-Werror", "-O0", "-DCLOSURA_BLAS",
               "-fsyntax-only", str(RUNTIME / "closura.F90")]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


ALLOCATIONS = """\
module counter
  use, intrinsic :: iso_c_binding
  implicit none
  integer :: calls = 0
contains
  function counted(bytes) bind(c, name='__wrap_malloc') result(address)
    integer(c_size_t), value :: bytes
    type(c_ptr) :: address
    interface
      function real_malloc(bytes) bind(c, name='__real_malloc') result(address)
        import :: c_size_t, c_ptr
        integer(c_size_t), value :: bytes
        type(c_ptr) :: address
      end function real_malloc
    end interface
    calls = calls + 1
    address = real_malloc(bytes)
  end function counted
end module counter
program count_allocations
  use counter
  use closura
  use, intrinsic :: iso_fortran_env, only: real32, real64
  implicit none
  type(closura_model) :: model, sphere
  real(real32) :: single(2, 5000), out_single(2, 5000), memory_single(2, 5000)
  real(real64) :: double(2, 5000), out_double(2, 5000), memory_double(2, 5000)
  integer :: status, before, loading, flags(5000), absent(4)
  call closura_load(model, 'all.closura', status)
  loading = calls
  call closura_load(sphere, 'grid.closura', status)
  call random_number(double)
  call random_number(memory_double)
  single = real(double)
  memory_single = real(memory_double)
  call closura_predict(sphere, single(:, :40), out_single(:, :40), status, memory_single(:, :40))
  call closura_predict(sphere, double(:, :40), out_double(:, :40), status, memory_double(:, :40))
  before = calls
  call closura_predict(sphere, single(:, :80), out_single(:, :80), status, memory_single(:, :80))
  call closura_predict(sphere, double(:, :80), out_double(:, :80), status, memory_double(:, :80))
  call closura_predict(model, single, out_single, status, memory=memory_single, flags=flags)
  call closura_predict(model, double, out_double, status, memory=memory_double, flags=flags)
  call closura_advance(model, memory_double, memory_double, status)
  call closura_predict(model, single, out_single, absent(1))
  call closura_predict(model, double, out_double, absent(2))
  call closura_predict(model, single, out_single, absent(3), memory_single(:, :4999))
  call closura_predict(model, double, out_double, absent(4), memory_double(:1, :))
  print '(i0, 1x, i0, 1x, l1)', status, calls - before, loading > 10
  print '(*(i0, 1x))', absent
end program count_allocations
"""


def test_predicting_allocates_nothing_and_wants_its_memory(gfortran, tmp_path):
    write_container(tmp_path / "all.closura", everything())
    write_container(tmp_path / "grid.closura", on_grid((5, 8)))
    (tmp_path / "count.f90").write_text(ALLOCATIONS)
    command = [gfortran, "-O1", str(RUNTIME / "closura.F90"), "count.f90", "-o", "count",
               "-Wl,--wrap=malloc"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if done.returncode and "wrap" in done.stderr:
        pytest.skip("this linker cannot wrap malloc")
    assert done.returncode == 0, done.stderr
    found = subprocess.run(["./count"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["0", "0", "T", *4 * ["25"]]
