"""A random forest, grown by scikit-learn and kept as arrays that run inside the model."""

import importlib.util
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from closura.closures.features import AbstractFeatures, Stencil
from closura.closures.learned import LearnedClosure, Scaling
from closura.core.learner import AbstractLearner, Pairs
from closura.learners.tables import (
    Table,
    check_rows,
    measure_scaling,
    samples_at_once,
    standardised_tables,
)
from closura.nets.forest import Tree, TreeTable, pack_trees

MISSING = "Forest needs scikit-learn: pip install 'closura[trees]'"


class Forest(AbstractLearner):
    """The mean of regression trees, each grown on a random part of the samples.

    A forest never predicts beyond the targets it has seen. Several outputs share one forest, in
    standardised units. It is grown on `OMP_NUM_THREADS` threads, or as many as there are cores;
    their number does not change the result.

    Args:
        trees: Number of trees.
        features: How the state is seen; the point alone by default.
        depth: Largest number of decisions on the way to a leaf; None sets no limit.
        leaves: Largest number of leaves of a tree; None sets no limit.
        minimum_leaf: Smallest number of samples in a leaf.
        maximum_samples: Share of the samples that each tree is grown on; None draws as many as
            there are, with replacement.
        samples: Most samples that are used, drawn evenly from all pairs; None uses all.

    Reference:
        Breiman (2001), Machine Learning 45, 5-32, doi:10.1023/A:1010933404324.
    """

    trees: int = 50
    features: AbstractFeatures = Stencil(radius=0)
    depth: int | None = None
    leaves: int | None = 300
    minimum_leaf: int = 5
    maximum_samples: float | None = 0.5
    samples: int | None = 100_000

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
        regressor = _regressor()
        features = self.features.bind(pairs)
        check_rows("Forest", features, pairs)
        scaling = measure_scaling(features, pairs)
        chosen, grown = (
            int(jax.random.randint(k, (), 0, 2**31 - 1)) for k in jax.random.split(key)
        )
        table = self._draw(features, pairs, scaling, np.random.default_rng(chosen))
        forest = regressor(
            n_estimators=self.trees,
            max_depth=self.depth,
            max_leaf_nodes=self.leaves,
            min_samples_leaf=self.minimum_leaf,
            max_samples=self.maximum_samples,
            n_jobs=int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1),
            random_state=grown,
        )
        outputs = table.outputs[:, 0] if table.outputs.shape[1] == 1 else table.outputs
        forest.fit(table.inputs, outputs)
        return LearnedClosure(features, _unscaled_inputs(scaling), as_table(forest), pairs.passport)

    def _draw(
        self, features: AbstractFeatures, pairs: Pairs, scaling: Scaling, draw: np.random.Generator
    ) -> Table:
        """Return raw inputs and standardised outputs of the samples that trees are grown on."""
        count = len(pairs) * samples_at_once(features, pairs)
        wanted = min(count, self.samples or count)
        rows = np.sort(draw.choice(count, wanted, replace=False, shuffle=False))
        pieces, seen = [], 0
        for table in standardised_tables(features, pairs, _unscaled_inputs(scaling)):
            here = rows[(rows >= seen) & (rows < seen + len(table.inputs))] - seen
            pieces.append(Table(table.inputs[here], table.outputs[here]))
            seen += len(table.inputs)
        return Table(*(np.concatenate(column) for column in zip(*pieces, strict=True)))


def as_table(forest: Any) -> TreeTable:
    """Return a fitted scikit-learn forest of regression trees as arrays."""
    grown = [estimator.tree_ for estimator in forest.estimators_]
    return pack_trees(
        [
            Tree(t.feature, t.threshold, t.children_left, t.children_right, t.value[:, :, 0])
            for t in grown
        ]
    )


def _unscaled_inputs(scaling: Scaling) -> Scaling:
    """Return the scaling with inputs left as they are: trees compare them with thresholds."""
    return Scaling(
        mean=jnp.zeros_like(scaling.mean),
        deviation=jnp.ones_like(scaling.deviation),
        output_mean=scaling.output_mean,
        output_deviation=scaling.output_deviation,
        lower=scaling.lower,
        upper=scaling.upper,
    )


def _regressor() -> Any:
    try:
        from sklearn.ensemble import RandomForestRegressor
    except ImportError as missing:
        raise ImportError(MISSING) from missing
    return RandomForestRegressor
