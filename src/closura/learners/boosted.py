"""Gradient-boosted trees, grown by xgboost and kept as arrays that run inside the model."""

import importlib.util
import json
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from closura.closures.atmosphere import Column
from closura.closures.features import AbstractFeatures
from closura.closures.learned import LearnedClosure
from closura.core.learner import AbstractLearner, Pairs
from closura.core.pieces import in_memory
from closura.learners.supervised import check_least
from closura.learners.tables import (
    HELD,
    check_rows,
    draw_samples,
    measure_scaling,
    threads,
    unscaled_inputs,
)
from closura.nets.boosted import TreeSum, add_trees
from closura.nets.forest import Tree

MISSING = "BoostedTrees needs xgboost: pip install 'closura[trees]'"


class BoostedTrees(AbstractLearner):
    """A sum of regression trees, each fitted to what the trees before it left over.

    Targets are standardised. It is grown on `OMP_NUM_THREADS` threads, or as many as there are
    cores, and predicts what xgboost itself would, in compiled code and without xgboost.

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
        booster = self.grow(table.inputs, table.outputs, seed=grown)
        return LearnedClosure(features, scaling, as_sum(booster), pairs.passport)

    def grow(self, inputs: np.ndarray, outputs: np.ndarray, *, seed: int = 0) -> Any:
        """Return xgboost's own model of samples (sample, feature) and (sample, output)."""
        try:
            import xgboost
        except ImportError as missing:
            raise ImportError(MISSING) from missing
        settings = {
            "objective": "reg:squarederror",
            "tree_method": "hist",
            "base_score": 0.0,
            "max_depth": self.depth,
            "eta": self.learning_rate,
            "min_child_weight": self.minimum_leaf * (outputs.shape[1] if self.shared else 1),
            "lambda": self.penalty,
            "subsample": self.row_share,
            "multi_strategy": "multi_output_tree" if self.shared else "one_output_per_tree",
            "nthread": threads(),
            "seed": seed,
        }
        samples = xgboost.QuantileDMatrix(inputs, outputs, nthread=threads())
        return xgboost.train(settings, samples, num_boost_round=self.rounds)


def as_sum(booster: Any) -> TreeSum:
    """Return xgboost's model as arrays."""
    model = json.loads(bytes(booster.save_raw("json")))["learner"]
    outputs = max(1, int(model["learner_model_param"]["num_target"]))
    trees = model["gradient_booster"]["model"]["trees"]
    return add_trees([_as_tree(tree) for tree in trees], outputs)


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
