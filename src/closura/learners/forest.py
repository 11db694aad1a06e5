"""A random forest, grown by scikit-learn and kept as arrays that run inside the model."""

import importlib.util

import jax
from jaxtyping import Array

from closura.closures.features import AbstractFeatures, Stencil
from closura.closures.learned import LearnedClosure
from closura.core.learner import AbstractLearner, Pairs
from closura.core.pieces import in_memory
from closura.learners.growing import MISSING, Growth
from closura.learners.tables import (
    HELD,
    check_rows,
    draw_samples,
    measure_scaling,
    threads,
    unscaled_inputs,
)
from closura.nets.forest import pack_trees


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
