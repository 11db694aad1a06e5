"""Pairs, small closures of every kind, and the runtime compiled with every check on."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closura.closures.features import Stencil, Whole
from closura.closures.learned import LearnedClosure, Scaling
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.core.variable import Variable

HERE = Path(__file__).parent
RUNTIME = HERE.parents[1] / "src" / "closura" / "export" / "runtime"
STRICT = ("-std=f2008", "-Wall", "-Wextra", "-Werror", "-O0", "-g", "-fcheck=all", "-fopenmp")
SANITIZER = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
POINTS, SERIES, TIMES = 7, 2, 120


@pytest.fixture(scope="session")
def gfortran() -> str:
    """The compiler, or a skip."""
    found = shutil.which("gfortran")
    if found is None:
        pytest.skip("gfortran is not installed: apt-get install gfortran")
    return found


@pytest.fixture(scope="session")
def probe(gfortran, tmp_path_factory) -> Path:
    """The runtime and its probe, with warnings as errors, checks and the sanitizer.

    It is kept where JAX keeps what it compiled, by what it was compiled from.
    """
    program = tmp_path_factory.mktemp("probe") / "probe"
    sources = (RUNTIME / "closura.F90", HERE / "probe.f90")
    compiler = [_say(gfortran, "--version"), _say(gfortran, "-dumpmachine")]
    about = "\0".join([*compiler, *STRICT, *SANITIZER, *map(Path.read_text, sources)])
    name = f"probe-{hashlib.sha256(about.encode()).hexdigest()[:24]}"
    kept = Path(os.environ["JAX_COMPILATION_CACHE_DIR"]) / name
    if kept.is_file():
        return Path(shutil.copy2(kept, program))
    command = [gfortran, *STRICT, *map(str, sources), "-o", str(program)]
    done = _compile([*command, *SANITIZER], program.parent)
    if "cannot find" in done.stderr and "san" in done.stderr:  # a compiler without sanitizers
        done = _compile(command, program.parent)
    elif done.returncode == 0:
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_name(f"{name}.{os.getpid()}")
        shutil.copy2(program, part)
        part.replace(kept)
    assert done.returncode == 0, done.stderr
    return program


def _compile(command: list[str], folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def _say(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="session")
def pairs() -> Pairs:
    """Two fields on a ring of 7 points, 240 instants, in units of their own."""
    draw = np.random.default_rng(1)
    X, Z = draw.normal(2, 3, (SERIES, TIMES, POINTS)), draw.normal(-1, 2, (SERIES, TIMES, POINTS))
    target = np.tanh(X) + 0.1 * np.roll(Z, 1, axis=2) ** 2 + 0.1 * draw.normal(size=X.shape)
    about = {
        "X": Variable("X", "m s-1", ("k",), "wind"),
        "Z": Variable("Z", "K", ("k",), "temperature"),
    }
    units = (("X", "m s-2"),)
    passport = Passport("difference", source="test", units=units, dt=0.1)
    time = 0.1 * np.arange(TIMES)
    return Pairs({"X": X, "Z": Z}, {"X": target}, time, passport, about)


def learned(predictor, pairs: Pairs, features, outputs: int) -> LearnedClosure:
    """A closure around a predictor, with a scaling in which no number is like another."""
    bound = features.bind(pairs)
    read = {name: jnp.asarray(pairs.inputs[name][0, 0]) for name, _ in bound.read}
    count = bound.inputs(read).shape[1]
    number = np.arange(count, dtype=float)
    scaling = Scaling(
        mean=jnp.asarray(1 + 0.1 * number),
        deviation=jnp.asarray(2 + 0.3 * number),
        output_mean=jnp.asarray(0.5 + np.arange(outputs)),
        output_deviation=jnp.asarray(1.5 + np.arange(outputs)),
        lower=jnp.asarray(-20 - number),
        upper=jnp.asarray(20 + number),
    )
    return LearnedClosure(bound, scaling, predictor, pairs.passport)


@pytest.fixture
def ring() -> Stencil:
    return Stencil(radius=2, variables=("X",))


@pytest.fixture
def column() -> Whole:
    return Whole()


@pytest.fixture
def ask(probe):
    """Run the probe: (arguments, standard input) to its lines; it must end by itself."""

    def call(*arguments: str, lines: str = "") -> list[str]:
        done = subprocess.run(
            [str(probe), *arguments], input=lines, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert "ERROR" not in done.stderr and "rror" not in done.stderr, done.stderr[-3000:]
        return done.stdout.splitlines()

    return call


@pytest.fixture(scope="session")
def draw_key() -> jax.Array:
    return jax.random.key(3)
