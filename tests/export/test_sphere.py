"""Networks of the whole sphere leave for the native runtime and as ONNX, by the same calls."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from closura.closures.atmosphere import Column, LatLonImage
from closura.closures.fallback import Fallback
from closura.closures.guards import Damped, Limited
from closura.closures.learned import LearnedClosure, Scaling
from closura.closures.mesh import SphereMesh
from closura.closures.novelty import Guarded, Mahalanobis
from closura.core.learner import Pairs
from closura.export.cases import Cases, write_cases
from closura.export.container import Column as Name
from closura.export.container import Container, write_container
from closura.export.gate import difference
from closura.export.grid import Image, Merge
from closura.export.native import compile_driver, run_driver
from closura.export.operations import Add, Dense, Operation, Select, Sphere
from closura.export.reading import read_container
from closura.export.ship import export_closure
from closura.export.unfold import unfold
from closura.nets.graph import draw_graph
from closura.nets.unet import draw_unet
from made_atmosphere import made_pairs

SCALARS = ("latitude", "orography")
LIBRARY = Path(onnxruntime.__file__).parent / "capi"
KINDS = ("relu", "gelu", "graph")


@pytest.fixture(scope="module")
def atmosphere():
    """Pairs of 21 instants of 48 columns; 6 latitudes do not halve twice."""
    return made_pairs(21)


def drawn(kind: str, pairs: Pairs) -> LearnedClosure:
    """A closure with random weights and a scaling in which no number is like another."""
    features = (SphereMesh if kind == "graph" else LatLonImage)(scalars=SCALARS).bind(pairs)
    inputs, outputs, key = len(features.layout.names), 10, jax.random.key(4)
    if kind == "graph":
        winds = (tuple(range(5)), tuple(range(5, 10)))
        told = {"width": 4, "rounds": 2, "activation": "silu", "winds": winds}
        net = replace(draw_graph(inputs, outputs, key=key, **told), mesh=features.mesh)
    else:
        poles, signs = (True, False), features.layout.signs
        told = {"width": 3, "depth": 2, "activation": kind, "poles": poles, "signs": signs}
        net = draw_unet(inputs, outputs, key=key, **told)
    last = jax.tree.map(lambda a: a + 0.1 * jax.random.normal(key, a.shape), net.last)
    number = jnp.arange(inputs, dtype=float)
    ends = (1.0 + 0.2 * jnp.arange(outputs), 0.5 + 0.1 * jnp.arange(outputs))
    scaling = Scaling(0.1 * number, 1 + 0.1 * number, *ends, number - 99, number + 99)
    return LearnedClosure(features, scaling, replace(net, last=last), pairs.passport)


@pytest.mark.parametrize("name", KINDS)
def test_a_network_of_the_sphere_leaves_as_onnx(name, gfortran, atmosphere, tmp_path):
    closure = drawn(name, atmosphere)
    figures = export_closure(closure, tmp_path / "out", pairs=atmosphere, to="onnx", name=name)
    assert figures["cases"] >= 1000
    assert 0 < figures["native"]["single"]["largest"] <= 1e-5
    settings = os.environ | {"FFLAGS": "-O0"}
    command = ["make", "-s", "-C", str(tmp_path / "out"), f"ONNXRUNTIME={LIBRARY}", "test"]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.count("ok") == 2, done.stderr
    session = onnxruntime.InferenceSession(tmp_path / "out" / f"{name}.onnx")
    columns = np.zeros((96, len(closure.features.layout.names)), np.float32)
    columns[50, 3] = np.nan  # of the second sphere
    found = session.run(None, {"columns": columns})[0]
    assert np.all(np.isfinite(found[:48])) and np.all(np.isnan(found[48:]))
    for to in ("source", "mom6"):
        with pytest.raises(ValueError, match="cannot be shipped"):
            export_closure(closure, tmp_path / to, pairs=atmosphere, to=to)


@pytest.mark.parametrize("name", KINDS)
def test_a_network_of_the_sphere_leaves_for_fortran(name, gfortran, atmosphere, tmp_path):
    closure = drawn(name, atmosphere)
    figures = export_closure(closure, tmp_path / "out", pairs=atmosphere, name=name)
    assert figures["cases"] >= 1000
    assert figures["native"]["double"]["largest"] <= 1e-12
    assert 0 < figures["native"]["single"]["largest"] <= 1e-5
    page = (tmp_path / "out" / "README.md").read_text()
    assert "whole spheres of 48 columns: 6 latitudes of 8 longitudes" in page
    if name == "relu":  # the driver compiles in the same way for all
        strict = "-std=f2008 -Wall -Wextra -Werror -O0 -fcheck=all -fopenmp"
        command = ["make", "-s", "-C", str(tmp_path / "out"), f"FFLAGS={strict}", "test"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and done.stdout.count("ok") == 2, done.stderr


def test_guards_go_along_with_a_network_of_the_sphere(gfortran, atmosphere, tmp_path):
    seen = Column(variables=("temperature",), scalars=())
    guarded = Guarded(Limited(drawn("relu", atmosphere), {"u": 1.0}), Mahalanobis(0.5), "decay",
                      features=seen)  # fmt: skip
    closure = Fallback(Damped(guarded.fit(atmosphere), 0.5))
    figures = export_closure(closure, tmp_path / "out", pairs=atmosphere)
    assert figures["native"]["double"]["largest"] <= 1e-12
    held = read_container(tmp_path / "out" / "learned.closura")
    kinds = [type(one).__name__ for one in held.operations]
    assert kinds[-6:] == ["Restore", "Clip", "Novelty", "Restore", "Finite", "Add"]
    assert held.missing == "zero"


def sphere(place, poles, depth) -> Container:
    """A U-Net of three channels with random numbers, the second of which is a wind, in float64."""
    key, told = jax.random.key(7), {"width": 2, "depth": depth, "activation": "tanh"}
    net = draw_unet(3, 2, key=key, poles=poles, signs=(1.0, -1.0, 1.0), **told)
    net = replace(net, last=jax.tree.map(lambda a: a + 0.3, net.last))
    net = jax.tree.map(lambda a: a.astype(float), net)
    columns = tuple(Name(f"x({number})", "1") for number in range(1, 4))
    told = (Select(np.arange(3)), Sphere(net, place, 3, 2), Add(np.array([1, 0])))
    return Container(columns, columns[:2], told)


SPHERES = {
    "odd longitudes between two poles": ((7, 5), (True, True), 0),
    "rows that fill up beyond a pole": ((5, 8), (True, True), 2),
    "no pole": ((4, 6), (False, False), 1),
}


@pytest.mark.parametrize("name", SPHERES)
def test_fortran_computes_any_sphere_as_jax_does(name, gfortran, tmp_path):
    place, poles, depth = SPHERES[name]
    count = 2 * place[0] * place[1]
    inputs, none = np.random.default_rng(2).normal(size=(count, 3)), np.zeros((count, 0))
    with jax.enable_x64(True):
        container = sphere(place, poles, depth)
        wanted = container.predict(inputs)
        held = unfold(container)
    assert difference(held.predict(inputs), wanted) <= 1e-12
    cases = Cases(inputs, none, none, wanted, none)
    write_container(tmp_path / "a.closura", held)
    write_cases(tmp_path / "cases.bin", cases, cases, (1.0, 1.0))
    files = (tmp_path / "a.closura", tmp_path / "cases.bin")
    found = run_driver(compile_driver(gfortran), *files, (count, 2, 0))
    assert difference(found["double"][0], wanted) <= 1e-12
    assert difference(found["single"][0], wanted) <= 1e-5


@pytest.mark.parametrize("outputs", [((1,), (2, 0, 3, 1)), ((2, 0, 3, 1), (1,))])
def test_two_networks_of_a_sphere_of_many_blocks_add_up(outputs, gfortran, tmp_path):
    # A block has 1024 columns at most: each finds what it put down, though the second term is
    # not as wide as the first.
    place, draw, ones = (36, 40), np.random.default_rng(4), np.ones(2, int)
    columns = tuple(Name(f"x({number})", "1") for number in range(1, 5))
    told: list[Operation] = []
    for rows in outputs:
        dense, merge = draw.normal(size=(2, len(rows))), draw.normal(size=(2, len(rows)))
        told += [Select(np.arange(2)), Image(place, (False, False), 0, ones)]
        told += [Dense(dense, dense[0], "none"), Merge(merge, merge[1]), Add(np.array(rows))]
    container = Container(columns[:2], columns, tuple(told))
    inputs, none = draw.normal(size=(1440, 2)), np.zeros((1440, 0))
    wanted = container.predict(inputs)
    cases = Cases(inputs, none, none, wanted, none)
    write_container(tmp_path / "a.closura", container)
    write_cases(tmp_path / "cases.bin", cases, cases, (1.0, 1.0))
    files = (tmp_path / "a.closura", tmp_path / "cases.bin")
    found = run_driver(compile_driver(gfortran), *files, (1440, 4, 0))
    assert difference(found["double"][0], wanted) <= 1e-12
    assert difference(found["single"][0], wanted) <= 1e-5


def test_a_container_with_a_network_of_the_sphere_must_be_unfolded(tmp_path):
    with pytest.raises(ValueError, match="no network of the whole sphere; unfold the container"):
        write_container(tmp_path / "a.closura", sphere((4, 6), (False, False), 1))
