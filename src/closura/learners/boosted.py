"""Gradient-boosted trees, grown by xgboost and kept as arrays that run inside the model."""

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from closura.closures.atmosphere import Column
from closura.closures.features import AbstractFeatures
from closura.closures.learned import LearnedClosure
from closura.core.learner import AbstractLearner, Pairs
from closura.core.pieces import in_memory
from closura.data.cluster import spread_over
from closura.learners.laid_out import find_table, laid_out
from closura.learners.supervised import check_least
from closura.learners.tables import (
    HELD,
    Table,
    check_rows,
    draw_samples,
    measure_scaling,
    threads,
    unscaled_inputs,
)
from closura.nets.boosted import TreeSum, add_trees
from closura.nets.forest import Tree

TASKS = 32  # most tasks of a cluster: each sorts the inputs into bins anew, and may be lost
MISSING = "BoostedTrees needs xgboost: pip install 'closura[trees]'"


class BoostedTrees(AbstractLearner):
    """A sum of regression trees, each fitted to what the trees before it left over.

    Targets are standardised. It is grown on `OMP_NUM_THREADS` threads, or as many as there are
    cores, or by the workers of a Dask cluster, and predicts what xgboost itself would, in compiled
    code and without xgboost. Who grows it does not change the result, but that sums of other
    numbers of threads may differ by rounding.

    Args:
        rounds: Number of times that trees are added.
        features: How the state is seen; the column by default.
        depth: Largest number of decisions on the way to a leaf.
        learning_rate: Share of what is left over that a tree takes away.
        shared: True: one tree a round predicts all outputs. False: one tree for each output; it
            fits better, and costs the number of outputs times as much in the running model.
        minimum_leaf: Smallest number of samples in a leaf.
        penalty: Penalty on the squared value of a leaf.
        row_share: Share of the samples that each tree is grown on.
        samples: Most samples that are used, drawn evenly from all pairs; None uses all.
        cluster: Address of a Dask scheduler, or ``"local"``, a process a core of this computer, if
            its workers shall grow the trees, with samples from a temporary folder (`TMPDIR`). They
            share the outputs; trees that predict all of them (`shared`) are grown by one worker.

    Reference:
        Chen and Guestrin (2016), doi:10.1145/2939672.2939785.
    """

    rounds: int = 100
    features: AbstractFeatures = Column()
    depth: int = 6
    learning_rate: float = 0.3
    shared: bool = True
    minimum_leaf: int = 5
    penalty: float = 1.0
    row_share: float = 1.0
    samples: int | None = 500_000
    cluster: str | None = None

    def __check_init__(self):
        if importlib.util.find_spec("xgboost") is None:  # said before hours of simulation
            raise ImportError(MISSING)
        check_least(
            "BoostedTrees", rounds=(self.rounds, 1), depth=(self.depth, 1),
            minimum_leaf=(self.minimum_leaf, 1), samples=(self.samples or 2, 2),
        )  # fmt: skip
        for name in ("learning_rate", "row_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(
                    f"BoostedTrees: {name} is {getattr(self, name)}; it must lie above 0 and not "
                    "above 1."
                )
        if not 0 <= self.penalty < float("inf"):
            raise ValueError(
                f"BoostedTrees: penalty is {self.penalty}; it must be 0 or positive and finite."
            )

    def fit(self, pairs: Pairs, *, key: Array) -> LearnedClosure:
        """Return the trees as a closure.

        Raises:
            ImportError: xgboost is not installed.
        """
        pairs = in_memory(pairs, HELD)
        features = self.features.bind(pairs)
        check_rows("BoostedTrees", features, pairs)
        chosen, grown = (
            int(jax.random.randint(k, (), 0, 2**31 - 1)) for k in jax.random.split(key)
        )
        scaling = unscaled_inputs(measure_scaling(features, pairs))
        table = draw_samples(features, pairs, scaling, self.samples, seed=chosen)
        trees = self._boosting(grown).grow(table, cluster=self.cluster)
        return LearnedClosure(features, scaling, trees, pairs.passport)

    def _boosting(self, seed: int) -> "Boosting":
        settings = {
            "objective": "reg:squarederror",
            "tree_method": "hist",
            "base_score": 0.0,
            "max_depth": self.depth,
            "eta": self.learning_rate,
            "lambda": self.penalty,
            "subsample": self.row_share,
        }
        return Boosting(self.rounds, settings, self.minimum_leaf, self.shared, seed)


@dataclass(frozen=True)
class Boosting:
    """What boosted trees are grown from; they follow from it, wherever they are grown.

    Args:
        rounds: Number of times that trees are added.
        settings: Arguments of xgboost.
        minimum_leaf: Smallest number of samples in a leaf.
        shared: Whether one tree predicts all outputs; else each output is boosted by itself.
        seed: Decides which samples each tree is grown on; each output has a number of its own.
    """

    rounds: int
    settings: Mapping[str, Any]
    minimum_leaf: int
    shared: bool
    seed: int

    def grow(self, table: Table, *, cluster: str | None) -> TreeSum:
        """Return the trees, grown on all rows of a table.

        Args:
            table: Inputs and outputs.
            cluster: Address of a Dask scheduler, ``"local"``, or None for this process.
        """
        outputs = table.outputs.shape[1]
        if cluster is None:
            found = self.some(table, range(outputs))
        else:
            size = outputs if self.shared else -(-outputs // TASKS)
            groups = [range(n, min(n + size, outputs)) for n in range(0, outputs, size)]
            with laid_out(table, "BoostedTrees") as folder:
                tasks = [(self, folder, group) for group in groups]
                answers = dict(spread_over(cluster, _grow_some, tasks))
            found = [trees for number in range(len(groups)) for trees in answers[number]]
        return add_trees([tree for trees in zip(*found, strict=True) for tree in trees], outputs)

    def some(self, table: Table, outputs: range) -> list[list[Tree]]:
        """Return the trees of some outputs, each from the first round on; of all if they share."""
        xgboost = installed()
        if self.shared:
            samples = xgboost.QuantileDMatrix(table.inputs, table.outputs, nthread=threads())
            return [as_trees(self.boost(samples, table.outputs.shape[1], self.seed))]
        samples, found = xgboost.QuantileDMatrix(table.inputs, nthread=threads()), []
        for output in outputs:
            samples.set_label(np.ascontiguousarray(table.outputs[:, output]))
            found.append(as_trees(self.boost(samples, 1, (self.seed + output) % 2**31)))
        return found

    def boost(self, samples: Any, outputs: int, seed: int) -> Any:
        """Return xgboost's own model of samples with so many outputs."""
        settings = {
            **self.settings,
            "min_child_weight": self.minimum_leaf * outputs,
            "multi_strategy": "multi_output_tree" if self.shared else "one_output_per_tree",
            "nthread": threads(),
            "seed": seed,
        }
        return installed().train(settings, samples, num_boost_round=self.rounds)


def installed() -> Any:
    """Return the module xgboost.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import xgboost
    except ImportError as missing:
        raise ImportError(MISSING) from missing
    return xgboost


def _grow_some(task: tuple[Boosting, str, range]) -> list[list[Tree]]:
    """Grow the trees of some outputs on a worker, from the table in a folder that it can see."""
    boosting, folder, outputs = task
    return boosting.some(find_table(folder, "BoostedTrees"), outputs)


def as_trees(booster: Any) -> list[Tree]:
    """Return the trees of xgboost's model as arrays."""
    model = json.loads(bytes(booster.save_raw("json")))["learner"]
    return [_as_tree(tree) for tree in model["gradient_booster"]["model"]["trees"]]


def _as_tree(tree: dict[str, Any]) -> Tree:
    """Return one tree of xgboost's file; values of leaves stand in the place of thresholds."""
    left, right = np.asarray(tree["left_children"]), np.asarray(tree["right_children"])
    threshold = np.asarray(tree["split_conditions"], np.float32)
    leaf = left < 0
    width = int(tree["tree_param"]["size_leaf_vector"])
    if width > 1:  # one vector a leaf, whose number stands in the place of the right child
        weights = np.asarray(tree["leaf_weights"], np.float32).reshape(-1, width)
        value = weights[np.where(leaf, right, 0)] if len(weights) else np.zeros((len(left), width))
    else:
        value = threshold[:, None]
    value = np.where(leaf[:, None], value, 0)
    return Tree(
        np.asarray(tree["split_indices"]), threshold, left, np.where(leaf, -1, right), value
    )
