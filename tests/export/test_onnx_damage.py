"""ONNX graphs in Fortran: neither a damaged file nor one that lies makes the program crash."""

import os
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from closura.export.container import to_bytes, with_checksum
from closura.export.onnx import with_graph
from shipped import everything, network

HERE = Path(__file__).parent
RUNTIME = HERE.parents[1] / "src" / "closura" / "export" / "runtime"
LIBRARY = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so*"))
CHECKED = ("-std=f2008", "-Wall", "-Wextra", "-Werror", "-O0", "-g", "-fcheck=all", "-fopenmp")
EXTREMES = np.array([-1, 0, 1, 2, 3, 4, 8, 17, 8193, 2**30, 2**31 - 1, -(2**31)])
FINE = "0 closura: no error."


@pytest.fixture(scope="module")
def load(gfortran, tmp_path_factory):
    """Load contents as files, run what was loaded, and return the line of each."""
    build = tmp_path_factory.mktemp("onnx")
    (build / "libonnxruntime.so.1").symlink_to(LIBRARY)
    sources = [RUNTIME / "closura_onnx.F90", RUNTIME / "closura.F90", HERE / "probe.f90"]
    link = ["libonnxruntime.so.1", "-Wl,-rpath,$ORIGIN"]

    def compiled(*more: str) -> Path:
        program = build / ("probe" + "".join(more))
        command = [gfortran, *CHECKED, *more, "-DCLOSURA_ONNX", *map(str, sources), *link]
        done = subprocess.run(
            [*command, "-o", program.name], cwd=build, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or more, done.stderr  # a compiler may lack the sanitizer
        return program if done.returncode == 0 else compiled()

    programs = {False: compiled(), True: compiled("-fsanitize=address")}

    def call(contents: list[bytes], *, sanitized: bool) -> list[str]:
        names = []
        for number, content in enumerate(contents):
            names.append(f"{number}.closura")
            (build / names[-1]).write_bytes(content)
        settings = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}  # ONNX Runtime's own
        done = subprocess.run(
            [str(programs[sanitized]), "load"], input="".join(f"{name}\n" for name in names),
            cwd=build, env=settings, capture_output=True, text=True, check=False,
        )  # fmt: skip
        lines = [line for line in done.stdout.splitlines() if "closura:" in line]
        assert done.returncode == 0, (len(lines), done.stderr[-3000:])
        assert len(lines) == len(contents)
        return lines

    return call


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    return [to_bytes(with_graph(network(4))), to_bytes(with_graph(everything()))]


def kinds(lines: list[str]) -> set[int]:
    return {int(line.partition(" ")[0]) % 1000 for line in lines}


def test_a_damaged_graph_never_reaches_onnxruntime(load, files):
    draw, damaged = np.random.default_rng(0), []
    for content in files:
        for _ in range(150):
            changed = bytearray(content)
            changed[draw.integers(len(content))] ^= 1 << draw.integers(8)
            damaged.append(bytes(changed))
        cuts = draw.integers(8, len(content), 50)
        damaged += [content[:length] for length in cuts]
    assert load(files, sanitized=True) == [FINE, FINE]
    said = load(damaged, sanitized=True)
    assert kinds(said) <= {3, 4, 5, 6}, kinds(said)  # cut off, foreign, other format, damaged


def test_what_lies_about_its_graph_is_a_status(load, files):
    """The checksum is right, the graph is whole, and the words around it are not."""
    draw, lying = np.random.default_rng(1), []
    for content in files:
        start = content.index(np.array([30, 0], "<i4").tobytes()) // 4
        words = np.frombuffer(content, "<i4")
        for place in range(start, start + 9):  # kind, length; inputs, outputs, bytes, sphere, ...
            for value in EXTREMES:
                changed = words.copy()
                changed[place] = value
                lying.append(with_checksum(changed.tobytes()))
        for _ in range(60):
            changed = words.copy()
            changed[draw.integers(8, start + 9, 2)] = draw.choice(EXTREMES, 2)
            lying.append(with_checksum(changed.tobytes()))
    found = kinds(load(lying, sanitized=True))
    assert found <= {0, 7, 8, 9, 12}, found
    assert {0, 7} <= found  # 0: a wrong precision, say, is refused by ONNX Runtime as it runs


def test_a_graph_that_is_no_graph_is_refused_by_onnxruntime_and_said(load, files):
    """Its allocations are its own, which the sanitizer would not let fail: so without it."""
    draw, forged = np.random.default_rng(2), []
    for content in files:
        for _ in range(200):
            changed = bytearray(content)
            for _ in range(draw.integers(1, 4)):
                changed[draw.integers(32, len(content) - 8)] = draw.integers(256)
            forged.append(with_checksum(bytes(changed)))
    lines = load(forged, sanitized=False)
    assert kinds(lines) <= {0, 7, 8, 12}, kinds(lines)
    refused = next(line for line in lines if "012 " in line)
    assert "closura: ONNX Runtime refused the graph (its error " in refused
