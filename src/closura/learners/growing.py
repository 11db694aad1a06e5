"""Trees of a random forest, grown in one process or by the workers of a Dask cluster."""

import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from closura.data.cluster import spread_over
from closura.learners.tables import Table
from closura.nets.forest import Tree

MISSING = "Forest needs scikit-learn: pip install 'closura[trees]'"


@dataclass(frozen=True)
class Growth:
    """What a forest is grown from; the trees follow from it, wherever they are grown.

    Args:
        trees: Number of trees.
        settings: Arguments of scikit-learn's regressor.
        seed: Its random state; each tree has a number of its own drawn from it.
    """

    trees: int
    settings: Mapping[str, Any]
    seed: int

    def grow(self, table: Table, *, threads: int, cluster: str | None) -> list[Tree]:
        """Return the trees, grown on all rows of a table.

        Args:
            table: Inputs and outputs.
            threads: Threads of this process; not used on a cluster.
            cluster: Address of a Dask scheduler, ``"local"``, or None for this process.
        """
        if cluster is None:
            return self.some(table, 0, self.trees, threads=threads)
        with tempfile.TemporaryDirectory(prefix="closura-forest-") as folder:
            np.save(Path(folder) / "inputs.npy", table.inputs.astype(np.float32))
            np.save(Path(folder) / "outputs.npy", table.outputs.astype(np.float64))
            tasks = [(self, folder, number) for number in range(self.trees)]
            found = dict(spread_over(cluster, _grow_one, tasks))
        return [found[number] for number in range(self.trees)]

    def some(self, table: Table, first: int, last: int, *, threads: int = 1) -> list[Tree]:
        """Return the trees from one number to before another, as if all had been grown."""
        forest = regressor()(
            n_estimators=last, warm_start=True, n_jobs=threads, random_state=self.seed,
            **self.settings,
        )  # fmt: skip
        if first:
            forest.estimators_ = [None] * first  # "grown" already: their seeds are skipped
        outputs = table.outputs[:, 0] if table.outputs.shape[1] == 1 else table.outputs
        forest.fit(table.inputs, outputs)
        return as_trees(forest.estimators_[first:])


def as_trees(estimators: Sequence[Any]) -> list[Tree]:
    """Return fitted scikit-learn regression trees as arrays."""
    grown = [estimator.tree_ for estimator in estimators]
    return [
        Tree(t.feature, t.threshold, t.children_left, t.children_right, t.value[:, :, 0])
        for t in grown
    ]


def regressor() -> Any:
    """Return scikit-learn's forest of regression trees.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import RandomForestRegressor
    except ImportError as missing:
        raise ImportError(MISSING) from missing
    return RandomForestRegressor


def _grow_one(task: tuple[Growth, str, int]) -> Tree:
    """Grow one tree on a worker, from the table in a folder that it can see."""
    growth, folder, number = task
    try:
        inputs, outputs = (
            np.load(Path(folder) / f"{side}.npy", mmap_mode="r") for side in ("inputs", "outputs")
        )
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"Forest: the worker on {platform.node()} does not see {folder}; set TMPDIR to a "
            "folder that all workers share."
        ) from error
    (tree,) = growth.some(Table(inputs, outputs), number, number + 1)
    return tree
