"""Two samples told apart by a classifier, or not."""

import warnings
from typing import Any

import numpy as np

from closura.metrics.calibration import as_numbers

MISSING = "c2st needs scikit-learn: pip install 'closura[trees]'"


def c2st(first: Any, second: Any, *, seed: int, folds: int = 5) -> float:
    """Return how often a classifier tells from which of two samples a draw is.

    A small network, trained and judged on different draws (cross-validated).

    Args:
        first: Draws, (number, draw); or a Dataset with the dimension `draw`.
        second: Likewise. The larger sample is cut to the size of the smaller.
        seed: Of the network and of the folds.
        folds: Number of folds.

    Returns:
        The share that was told right: 0.5 if the samples are from one distribution, 1 if they do
        not overlap. Its noise is 0.5 / sqrt(number of draws of both): 0.011 for twice 1000. A weak
        classifier, or few draws, find 0.5 where there is a difference.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: The samples hold different numbers, or fewer than 10 draws a fold.

    Reference:
        Lopez-Paz and Oquab (2017), arXiv:1610.06545.
    """
    make, pipeline, scale, score, fold = _scikit_learn()
    samples = [as_numbers(sample, "number", "draw") for sample in (first, second)]
    count = min(sample.shape[1] for sample in samples)
    if samples[0].shape[0] != samples[1].shape[0] or count < 10 * folds:
        raise ValueError(
            f"the samples have shapes {samples[0].shape} and {samples[1].shape}; they must hold "
            f"the same numbers, and {10 * folds} draws or more each."
        )
    drawn = np.random.default_rng(seed)
    chosen = [s[:, drawn.permutation(s.shape[1])[:count]].T for s in samples]
    width = 10 * samples[0].shape[0]
    network = make((width, width), max_iter=200, early_stopping=True, random_state=seed)
    with warnings.catch_warnings():  # not converged in 200 passes: still a classifier
        warnings.simplefilter("ignore")
        found = score(
            pipeline(scale(), network),
            np.concatenate(chosen),
            np.repeat([0, 1], count),
            cv=fold(folds, shuffle=True, random_state=seed),
        )
    return float(found.mean())


def _scikit_learn() -> tuple[Any, ...]:
    try:
        from sklearn.model_selection import StratifiedKFold, cross_val_score
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as missing:
        raise ImportError(MISSING) from missing
    return MLPClassifier, make_pipeline, StandardScaler, cross_val_score, StratifiedKFold
