"""One process and several learn the same."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import closura as cl
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.core.processes import ENVIRONMENT
from closura.learners.processes import check_shares, my_share

PROGRAM = """
import json, sys
import jax
import closura as cl
from closura.core import progress
from closura.core.lazy import LazyArray
number = cl.distributed()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
reads = []
original = LazyArray.fill
def noting(self, place):
    reads.extend(self._times.tolist())
    return original(self, place)
heard, found = [], {}
for name, memory in (("held", 1e9), ("stream", 3e5)):
    pairs = cl.load_pairs(sys.argv[1], lazy=True)
    network = cl.Network(features=cl.Whole(), width=16, epochs=5, batch=64, memory=memory)
    heard.clear(), reads.clear()
    def hear(event, values):
        LazyArray.fill = noting  # from the first epoch on
        heard.append((float(values["loss"]), float(values["validation"])))
        if len(heard) == 2:
            reads.clear()
    with progress.listen(hear):
        closure = network.fit(pairs, key=jax.random.key(0))
    LazyArray.fill = original
    found[name] = {"losses": list(heard), "reads": sorted(set(reads)),
                   "weight": float(abs(closure.predictor.weights[0]).sum())}
print(json.dumps([number, found]))
"""

CACHED = {"JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir)}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def place(address: str, count: int, number: int) -> dict[str, str]:
    return dict(zip(ENVIRONMENT, (address, str(count), str(number)), strict=True))


def run(path: Path, count: int) -> list[dict]:
    """Run the program in so many processes and return what each found."""
    address = f"127.0.0.1:{free_port()}"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(path)], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=os.environ | CACHED | place(address, count, n),
        )
        for n in range(count)
    ]  # fmt: skip
    told = [process.communicate(timeout=280) for process in started]
    assert [process.returncode for process in started] == [0] * count, told
    numbered = [json.loads(out.splitlines()[-1]) for out, _ in told]
    assert [number for number, _ in numbered] == list(range(count))
    return [found for _, found in numbered]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    # 9600 instants of 12 + 4 numbers: a table of 614 kB in single precision.
    draw = np.random.default_rng(0)
    x = draw.normal(size=(40, 240, 12)).astype(np.float32)
    law = draw.normal(size=(12, 4)).astype(np.float32)
    pairs = Pairs({"x": x}, {"y": np.tanh(x @ law)}, np.arange(240.0), Passport("file"))
    path = tmp_path_factory.mktemp("store") / "pairs.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("closura.data.stored_pairs.CHUNK", 40 * 12 * 4 * 6)
        cl.save_pairs(path, pairs)
    return path


@pytest.mark.slow
def test_one_and_two_processes_have_the_same_loss_curve(store):
    (alone,), together = run(store, 1), run(store, 2)
    for way in ("held", "stream"):
        for found in together:
            np.testing.assert_allclose(found[way]["losses"], alone[way]["losses"], rtol=1e-6)
            assert found[way]["weight"] == pytest.approx(alone[way]["weight"], rel=1e-5)
        assert alone[way]["losses"][-1][1] < 0.8 * alone[way]["losses"][0][1]
    assert alone["stream"]["losses"] != alone["held"]["losses"]
    reads = [set(found["stream"]["reads"]) for found in together]
    assert reads[0] and not reads[0] & reads[1]  # each reads its own part of the record
    assert reads[0] | reads[1] == set(alone["stream"]["reads"])


def test_a_batch_must_be_shared_evenly(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    assert my_share(12) == slice(4, 8)
    with pytest.raises(ValueError) as caught:
        check_shares("Network", 64)
    assert str(caught.value) == (
        "Network: a batch of 64 samples cannot be shared evenly by 3 processes; use a batch of "
        "63, or another number of processes."
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"processes": 2}, "CLOSURA_COORDINATOR, CLOSURA_PROCESS is not set; give coordinator"),
        ({"coordinator": "here:1", "processes": 2, "process": 2}, "process is 2 of 2 processes"),
    ],
)
def test_a_process_that_does_not_fit_is_refused(arguments, message, monkeypatch):
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match=message):
        cl.distributed(**arguments)


def test_a_number_in_the_environment_must_be_one(monkeypatch):
    monkeypatch.setenv("CLOSURA_PROCESSES", "two")
    with pytest.raises(ValueError, match="CLOSURA_PROCESSES is 'two'; it must be a whole number"):
        cl.distributed("here:1", process=0)


def test_one_process_needs_no_others():
    assert cl.distributed("nowhere:1", 1, 0) == 0
