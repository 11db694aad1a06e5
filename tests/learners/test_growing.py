"""Who grows a forest does not change it, and who dies does not stop it."""

import os
import signal
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import closura as cl
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.learners.growing import Growth, _grow_one
from closura.learners.tables import Table

SETTINGS = {"max_depth": 5, "max_leaf_nodes": None, "min_samples_leaf": 3, "max_samples": 0.5}


def table(rows: int = 300) -> Table:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(rows, 5))
    return Table(x, np.tanh(x[:, :2]) + 0.1 * draw.normal(size=(rows, 2)))


def assert_same(first, second) -> None:
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(one, other)


def test_trees_grown_one_by_one_are_those_grown_together(tmp_path):
    growth = Growth(4, SETTINGS, seed=7)
    together = growth.grow(table(), threads=1, cluster=None)
    assert_same(growth.some(table(), 2, 4), together[2:])
    np.save(tmp_path / "inputs.npy", table().inputs.astype(np.float32))
    np.save(tmp_path / "outputs.npy", table().outputs)
    assert_same(_grow_one((growth, str(tmp_path), 3)), together[3])
    assert not np.array_equal(together[2].threshold, together[3].threshold)


def test_a_worker_that_does_not_see_the_samples_says_so():
    with pytest.raises(FileNotFoundError, match=r"does not see /nowhere; set TMPDIR to a folder"):
        _grow_one((Growth(1, SETTINGS, 0), "/nowhere", 0))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of the cluster's own processes and sockets
def test_a_cluster_grows_the_same_forest_though_a_worker_dies(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    rows = table(60_000)
    pairs = Pairs({"x": rows.inputs[None]}, {"y": rows.outputs[None]},
                  np.arange(60_000.0), Passport("file"))  # fmt: skip
    settings = {"trees": 8, "depth": 9, "features": cl.Whole(), "samples": None}
    here = cl.Forest(**settings).fit(pairs, key=jax.random.key(0))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        killed = []
        killer = threading.Thread(target=kill_one_at_work, args=(cluster, killed))
        killer.start()
        with pytest.warns(UserWarning, match=r"the Dask worker tcp://.* died; what it was at is"):
            there = cl.Forest(**settings, cluster=cluster.scheduler_address).fit(
                pairs, key=jax.random.key(0)
            )
        killer.join()
    assert killed
    assert_same(here.predictor, there.predictor)
    assert not list(Path(os.environ.get("TMPDIR", "/tmp")).glob("closura-forest-*/inputs.npy"))


def kill_one_at_work(cluster, killed: list[int]) -> None:
    """Kill the process of the first worker once it is growing a tree."""
    worker = cluster.workers[0]
    for _ in range(6000):
        busy = cluster.scheduler.workers.get(worker.worker_address)
        if busy is not None and busy.processing:
            time.sleep(0.2)
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)
            return
        time.sleep(0.01)
