"""Who grows trees does not change them, and who dies does not stop it."""

import os
import signal
import tempfile
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import closura as cl
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.learners import boosted
from closura.learners.boosted import _grow_some
from closura.learners.forest import Growth, _grow_one
from closura.learners.laid_out import laid_out
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


@pytest.mark.parametrize("row_share", [1.0, 0.6])
def test_outputs_boosted_one_by_one_are_those_boosted_together(row_share):
    pytest.importorskip("xgboost")
    trees = cl.BoostedTrees(rounds=3, depth=3, shared=False, row_share=row_share)._boosting(7)
    together = trees.some(table(), range(2))
    with laid_out(table(), "BoostedTrees") as folder:
        assert_same(_grow_some((trees, folder, range(1, 2))), together[1:])
    assert not np.array_equal(together[0][0].threshold, together[1][0].threshold)


def test_boosted_trees_stand_in_rounds(monkeypatch):
    pytest.importorskip("xgboost")
    monkeypatch.setattr(boosted, "spread_over", lambda _, work, tasks: enumerate(map(work, tasks)))
    monkeypatch.setattr(boosted, "TASKS", 2)
    draw = np.random.default_rng(1)
    rows = Table(draw.normal(size=(200, 4)), draw.normal(size=(200, 5)))  # 3 outputs, and 2
    for shared in (False, True):
        trees = cl.BoostedTrees(rounds=3, depth=2, shared=shared)._boosting(7)
        assert_same(trees.grow(rows, cluster="pretended"), trees.grow(rows, cluster=None))


def test_a_worker_that_does_not_see_the_samples_says_so():
    with pytest.raises(FileNotFoundError, match=r"does not see /nowhere; set TMPDIR to a folder"):
        _grow_one((Growth(1, SETTINGS, 0), "/nowhere", 0))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of the cluster's own processes and sockets
@pytest.mark.parametrize(
    ("learner", "settings", "package"),
    [
        (cl.Forest, {"trees": 8, "depth": 9}, "sklearn"),
        (cl.BoostedTrees, {"rounds": 150, "depth": 8, "shared": False}, "xgboost"),
    ],
    ids=["forest", "boosted"],
)
def test_a_cluster_grows_the_same_trees_though_a_worker_dies(learner, settings, package):
    distributed = pytest.importorskip("distributed")
    pytest.importorskip(package)
    rows = table(60_000)
    pairs = Pairs({"x": rows.inputs[None]}, {"y": rows.outputs[None]},
                  np.arange(60_000.0), Passport("file"))  # fmt: skip
    settings |= {"features": cl.Whole(), "samples": None}
    here = learner(**settings).fit(pairs, key=jax.random.key(0))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        killed = []
        killer = threading.Thread(target=kill_one_at_work, args=(cluster, killed))
        killer.start()
        with pytest.warns(UserWarning, match=r"the Dask worker tcp://.* died; what it was at is"):
            there = learner(**settings, cluster=cluster.scheduler_address).fit(
                pairs, key=jax.random.key(0)
            )
        killer.join()
    assert killed
    assert_same(here.predictor, there.predictor)
    assert not list(Path(tempfile.gettempdir()).glob(f"closura-{learner.__name__.lower()}-*"))


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
