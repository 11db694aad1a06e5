"""Networks of the whole sphere leave as ONNX, and Fortran runs them through the same calls."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from closura.closures.atmosphere import LatLonImage
from closura.closures.learned import LearnedClosure, Scaling
from closura.closures.mesh import SphereMesh
from closura.core.learner import Pairs
from closura.export.ship import export_closure
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
    for to in ("fortran", "source", "mom6"):
        with pytest.raises(ValueError, match="cannot be shipped"):
            export_closure(closure, tmp_path / to, pairs=atmosphere, to=to)
