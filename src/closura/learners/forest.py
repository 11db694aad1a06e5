"""A random forest, grown by scikit-learn and kept as arrays that run inside the model."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jaxtyping import Array

from closura.closures.features import AbstractFeatures, Stencil
from closura.closures.learned import LearnedClosure
from closura.core.learner import AbstractLearner, Pairs
from closura.core.pieces import in_memory
from closura.data.cluster import spread_over
from closura.learners.laid_out import find_table, laid_out
from closura.learners.tables import (
    HELD,
    Table,
    check_rows,
    draw_samples,
    measure_scaling,
    threads,
    unscaled_inputs,
)
from closura.nets.forest import Tree, pack_trees

MISSING = "Forest needs scikit-learn: pip install 'closura[trees]'"


class Forest(AbstractLearner):
    """The mean of regression trees, each grown on a random part of the samples.

    A forest never predicts beyond the targets it has seen. Several outputs share one forest, in
    standardised units. It is grown on `OMP_NUM_THREADS` threads, or as many as there are cores,
    or by the workers of a Dask cluster; who grows it does not change the result.

    Args:
        trees: Number of trees.
        features: How the state is seen; the point alone by default.
        depth: Largest number of decisions on the way to a leaf; None sets no limit.
        leaves: Largest number of leaves of a tree; None sets no limit.
        minimum_leaf: Smallest number of samples in a leaf.
        maximum_samples: Share of the samples that each tree is grown on; None draws as many as
            there are, with replacement.
        samples: Most samples that are used, drawn evenly from all pairs; None uses all.
        cluster: Address of a Dask scheduler, or ``"local"``, a process a core of this computer, if
            its workers shall grow the trees; they read samples from a temporary folder (`TMPDIR`).

    Reference:
        Breiman (2001), Machine Learning 45, 5-32, doi:10.1023/A:1010933404324;
        Watt-Meyer et al. (2021), Geophys. Res. Lett. 48, doi:10.1029/2021GL092555.
    """

    trees: int = 16
    features: AbstractFeatures = Stencil(radius=0)
    depth: int | None = 13
    leaves: int | None = None
    minimum_leaf: int = 5
    maximum_samples: float | None = 0.5
    samples: int | None = 100_000
    cluster: str | None = None

    def __check_init__(self):
        if importlib.util.find_spec("sklearn") is None:  # said before hours of simulation
            raise ImportError(MISSING)
        for name, least in (
            ("trees", 1), ("depth", 1), ("leaves", 2), ("minimum_leaf", 1), ("samples", 2)
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"Forest: {name} is {value}; it must be {least} or more.")
        if self.maximum_samples is not None and not 0 < self.maximum_samples <= 1:
            raise ValueError(
                f"Forest: maximum_samples is {self.maximum_samples}; it is a share of the samples "
                "and must lie above 0 and not above 1. To limit their number use `samples`."
            )

    def fit(self, pairs: Pairs, *, key: Array) -> LearnedClosure:
        """Return the forest as a closure.

        Raises:
            ImportError: scikit-learn is not installed.
        """
        pairs = in_memory(pairs, HELD)
        features = self.features.bind(pairs)
        check_rows("Forest", features, pairs)
        scaling = measure_scaling(features, pairs)
        chosen, grown = (
            int(jax.random.randint(k, (), 0, 2**31 - 1)) for k in jax.random.split(key)
        )
        scaling = unscaled_inputs(scaling)
        table = draw_samples(features, pairs, scaling, self.samples, seed=chosen)
        growth = Growth(
            self.trees,
            {"max_depth": self.depth, "max_leaf_nodes": self.leaves,
             "min_samples_leaf": self.minimum_leaf, "max_samples": self.maximum_samples},
            seed=grown,
        )  # fmt: skip
        trees = growth.grow(table, threads=threads(), cluster=self.cluster)
        return LearnedClosure(features, scaling, pack_trees(trees), pairs.passport)


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
        with laid_out(table, "Forest") as folder:
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
    (tree,) = growth.some(find_table(folder, "Forest"), number, number + 1)
    return tree
