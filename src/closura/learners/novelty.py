"""A one-class support vector machine that tells the unseen, fitted by scikit-learn."""

from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from closura.closures.novelty import AbstractNovelty, check_quantile, known_limit
from closura.closures.support import SupportVectors


class OneClassSVM(AbstractNovelty):
    """Novel is what lies outside the support of the training samples: a kernel machine.

    Features are scaled to mean 0 and standard deviation 1 first. Scores count from the one that
    `quantile` of the training samples do not exceed.

    Args:
        gamma: Width of the kernel, exp(-gamma |x - y|^2); 1 / features if None.
        nu: Share of the training samples that the machine may leave outside.
        quantile: Share of the training samples that count as known; 1 for all, 0.75 is stricter.
        samples: Training samples at most; the time of a fit grows with their square.

    Reference:
        Schoelkopf et al. (2001), Neural Computation 13, 1443-1471; as a guard: Sanford et al.
        (2022), doi:10.48550/arXiv.2211.13354.
    """

    gamma: float | None = eqx.field(static=True, default=None)
    nu: float = eqx.field(static=True, default=0.01)
    quantile: float = eqx.field(static=True, default=1.0)
    samples: int = eqx.field(static=True, default=8000)

    def __check_init__(self):
        check_quantile(self)
        if not 0 < self.nu < 1:
            raise ValueError(f"OneClassSVM: nu is {self.nu}; it must lie between 0 and 1.")

    def fit(self, table: Float[np.ndarray, "sample feature"]) -> SupportVectors:
        from sklearn.svm import OneClassSVM as Machine

        mean, deviation = table.mean(axis=0), table.std(axis=0)
        deviation = np.where(deviation > 0, deviation, 1.0)
        order = np.sort(np.random.default_rng(0).permutation(len(table))[: self.samples])
        gamma = 1.0 / table.shape[1] if self.gamma is None else self.gamma
        scaled = (np.asarray(table[order], float) - mean) / deviation
        machine = Machine(kernel="rbf", gamma=gamma, nu=self.nu).fit(scaled)
        arrays = (mean, deviation, machine.support_vectors_, machine.dual_coef_[0], gamma, 0.0)
        blank = SupportVectors(*(jnp.asarray(a, table.dtype) for a in arrays))
        limit = known_limit(blank, table, self.quantile)
        return replace(blank, offset=jnp.asarray(limit, table.dtype))
