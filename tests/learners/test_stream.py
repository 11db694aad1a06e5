"""Training on a record that is read while it is used: same contract, bounded memory."""

import os
import subprocess
import sys
import time
from dataclasses import replace

import jax
import numpy as np
import pytest

import closura as cl
from closura.core import progress
from closura.core.lazy import LazyArray
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.learners import training
from closura.learners.stream import Stream, ahead, samples_of
from closura.learners.tables import measure_scaling, standardise

SERIES, TIMES, LEVELS = 6, 160, 3
MEMORY = 20000.0  # bytes; the table of 960 samples of 4 + 2 numbers takes 23040
PLACE = np.arange(SERIES * TIMES, dtype=float).reshape(SERIES, TIMES, 1)


def record(*, chunk: int = 2, wait=lambda: 0.0) -> Pairs:
    """Pairs that lie elsewhere; each input names its own place, the target is a law of it."""

    def lazy(values: np.ndarray) -> LazyArray:
        def read(series: slice, times: slice) -> np.ndarray:
            time.sleep(wait())
            return values[series, times]

        return LazyArray(read, values.shape, values.dtype, chunks=(SERIES, chunk))

    x = np.random.default_rng(0).normal(size=(SERIES, TIMES, LEVELS))
    inputs = {"x": lazy(x), "place": lazy(PLACE)}
    targets = {"y": lazy(np.tanh(x[..., :2]))}
    return Pairs(inputs, targets, np.arange(float(TIMES)), Passport("file"))


@pytest.fixture
def stream():
    def make(*, memory: float = MEMORY, batch: int = 8, **settings) -> Stream:
        pairs = record(**settings)
        features = cl.Whole().bind(pairs)
        scaling = measure_scaling(features, pairs)
        return samples_of("Net", features, pairs, scaling, memory=memory, batch=batch)

    return make


def epoch(samples, seed: int, updates: int | None = None) -> list[tuple[np.ndarray, np.ndarray]]:
    updates = samples.count // 8 if updates is None else updates
    found = samples.parts(np.random.default_rng(seed), updates, 8)
    return [(np.asarray(samples.finish(read).inputs), rows) for read, rows in found]


def places(samples, parts) -> np.ndarray:
    """The place of every sample of an epoch, in the order in which it is used."""
    scaled = np.concatenate([inputs[rows.ravel(), -1] for inputs, rows in parts])
    scaling = samples.scaling
    return np.rint(scaled * scaling.deviation[-1] + scaling.mean[-1]).astype(int)


def test_an_epoch_holds_each_sample_once_but_for_the_last_few(stream):
    samples = stream()
    # 80 chunks of 2 times in 4 lanes: 20 chunks of 12 instants each, 240 a lane. An instant takes
    # 48 bytes; 20 000 / 8 / 4 / 48 is 13, and 2 of a lane are in a batch: buffers take 12.
    # A piece may have 20 000 / 8 / 4 bytes, which is a chunk and no second one.
    assert samples.lanes == 4 and samples.sizes == [12] * 20 and samples.count == 960
    found = places(samples, epoch(samples, 0))
    assert sorted(found) == list(range(SERIES * TIMES))


def test_samples_are_standardised_as_those_in_memory_are(stream):
    samples = stream()
    pairs = record()
    whole = standardise(samples.features, pairs, samples.scaling)
    by_place = {row[-1].item(): row for row in whole.inputs}
    for inputs, _ in epoch(samples, 0):
        for row in inputs:
            np.testing.assert_array_equal(row, by_place[row[-1].item()])


def test_the_order_is_another_in_each_epoch_and_the_same_for_a_seed(stream):
    samples = stream()
    first, again, other = (places(samples, epoch(samples, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, np.sort(first))


def test_every_batch_has_as_many_samples_of_one_lane_as_of_another(stream):
    samples = stream()
    lane = places(samples, epoch(samples, 3)).reshape(-1, 8) % TIMES // 2 % 4
    assert all(np.bincount(batch, minlength=4).tolist() == [2, 2, 2, 2] for batch in lane)


def test_an_epoch_ends_after_the_updates_that_were_asked_for(stream):
    parts = epoch(stream(), 0, updates=7)
    assert sum(len(rows) for _, rows in parts) == 7


def test_buffers_have_the_same_shapes_in_every_epoch(stream):
    samples = stream(chunk=3)
    shapes = [[inputs.shape for inputs, _ in epoch(samples, seed)] for seed in range(3)]
    assert shapes[0] == shapes[1] == shapes[2] and len(set(shapes[0])) <= 2


def losses(pairs: Pairs, **settings) -> list[float]:
    heard = []
    network = cl.Network(**{"features": cl.Whole(), "width": 8, "epochs": 4, "batch": 8,
                            "learning_rate": 2e-2, "memory": 15000.0} | settings)  # fmt: skip
    with progress.listen(lambda event, values: heard.append(values)):
        network.fit(pairs, key=jax.random.key(0))
    return [(values["loss"], values["validation"]) for values in heard]


def test_the_losses_do_not_depend_on_when_pieces_arrive(stream):
    at_once = losses(record())
    draw = np.random.default_rng(0)
    late = losses(record(wait=lambda: draw.uniform(0, 3e-3)))
    assert at_once == late and at_once[-1][1] < at_once[0][1]


def test_a_stream_learns_as_well_as_memory_does(stream):
    streamed, held = losses(record(), epochs=30), losses(record(), epochs=30, memory=1e9)
    assert streamed[-1][1] == pytest.approx(held[-1][1], abs=0.02)
    assert streamed[0] != held[0]


def test_nothing_is_traced_again_after_the_first_epoch(stream, monkeypatch):
    traced = []

    def note(*arguments):
        traced.append(1)
        return original(*arguments)

    original = training._epoch
    monkeypatch.setattr(training, "_epoch", note)
    losses(record(), epochs=2, width=9)
    once = len(traced)
    losses(record(), epochs=6, width=9, patience=9)
    assert 1 <= once <= 2 and len(traced) <= 2 * once  # epochs count in the schedule


def test_an_error_of_the_reading_thread_reaches_the_caller():
    def items():
        yield 1
        raise OSError("gone")

    reading = ahead(items())
    assert next(reading) == 1
    with pytest.raises(OSError, match="gone"):
        next(reading)
    assert list(ahead(iter(range(5)))) == [0, 1, 2, 3, 4]


def test_memory_must_be_positive():
    with pytest.raises(ValueError, match=r"Network: memory is 0.0 bytes; it must be positive, e"):
        cl.Network(memory=0.0)


def test_what_a_stream_gives_is_overwritten_by_the_next_but_one_only(stream):
    parts = [read for read, _ in stream().parts(np.random.default_rng(0), 120, 8)]
    places = [read[0]["place"] for read in parts]
    assert not np.shares_memory(places[0], places[1])
    assert all(np.shares_memory(one, other) for one, other in zip(places, places[2:], strict=False))
    assert all(one.ctypes.data % 64 == 0 for one in places)


def test_only_what_features_read_is_read():
    pairs = record()

    def refuse(series: slice, times: slice) -> np.ndarray:
        raise AssertionError("nobody wanted it")

    unread = LazyArray(refuse, (SERIES, TIMES, 9), float, chunks=(SERIES, 2))
    features = cl.Whole(variables=("x", "place")).bind(pairs)
    scaling = measure_scaling(features, pairs)
    wider = replace(pairs, inputs={**pairs.inputs, "unread": unread})
    found = samples_of("Net", features, wider, scaling, memory=MEMORY, batch=8)
    assert sum(len(rows) for _, rows in epoch(found, 0, updates=3)) == 3


PROGRAM = """
import resource, sys
import jax
import closura as cl
pairs = cl.load_pairs(sys.argv[1], lazy=True)
jax.block_until_ready(jax.numpy.zeros(3) + 1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
network = cl.Network(features=cl.Whole(), width=8, epochs=1, batch=256, memory=float(sys.argv[2]))
network.fit(pairs, key=jax.random.key(0))
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_is_bounded_where_the_record_is_not(tmp_path, monkeypatch):
    # 240 MB of numbers; 40 MB for samples. Beside them: pieces of 32 MB as float64, and compiling.
    shape = (500, 600, 50)
    draw = np.random.default_rng(0)
    values = draw.normal(size=shape).astype(np.float32)
    monkeypatch.setattr("closura.data.stored_pairs.CHUNK", 2**22)
    pairs = Pairs({"x": values}, {"y": values}, np.arange(600.0), Passport("file"))
    cl.save_pairs(tmp_path / "pairs.zarr", pairs)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "pairs.zarr"), "4e7"]
    cached = {"JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir)}
    done = subprocess.run(command, stdout=-1, text=True, check=True, env=os.environ | cached)
    out = done.stdout
    before, after = map(int, out.split())
    assert after - before < 300_000  # kB
