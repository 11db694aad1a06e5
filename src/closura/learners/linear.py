"""Least squares: a linear map of the features, or a polynomial of them."""

from collections.abc import Iterable
from math import comb

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from closura.closures.features import AbstractFeatures, Stencil
from closura.closures.learned import LearnedClosure
from closura.closures.physical import (
    Exponents,
    PolynomialClosure,
    evaluate_monomials,
    monomials,
)
from closura.core.learner import AbstractLearner, Pairs
from closura.core.pieces import in_memory
from closura.learners.tables import HELD, check_rows, measure_scaling, standardised_tables
from closura.nets.affine import Affine


class Linear(AbstractLearner):
    """Each output as an affine function of the features, by least squares in float64.

    Args:
        features: How the state is seen; the point alone by default.
        ridge: Penalty on the squared slope of each standardised feature, relative to the target's
            variance; 0 is ordinary least squares.
    """

    features: AbstractFeatures = Stencil(radius=0)
    ridge: float = 0.0

    def __check_init__(self):
        _check_ridge("Linear", self.ridge)

    def fit(self, pairs: Pairs, *, key: Array | None = None) -> LearnedClosure:
        """Return the least-squares closure; the key is not needed."""
        pairs = in_memory(pairs, HELD)
        features = self.features.bind(pairs)
        check_rows("Linear", features, pairs)
        scaling = measure_scaling(features, pairs)
        blocks = (
            (np.column_stack([np.ones(len(table.inputs)), table.inputs]), table.outputs)
            for table in standardised_tables(features, pairs, scaling)
        )
        found = least_squares(blocks, ridge=self.ridge)
        predictor = Affine(jnp.asarray(found[1:], dtype=float), jnp.asarray(found[0], dtype=float))
        return LearnedClosure(features, scaling, predictor, pairs.passport)


class Polynomial(AbstractLearner):
    """One output as a polynomial of the features, by least squares in float64.

    It is solved in features scaled to mean 0 and deviation 1 and written out in the features'
    own units, so that the coefficients can be compared with published ones.

    Args:
        degree: Highest total degree.
        features: How the state is seen; the point alone by default.
        ridge: Penalty on the squared coefficient of each monomial of standardised features,
            relative to the target's variance; 0 is ordinary least squares.
        interactions: Whether products of different features are included.

    Reference:
        Wilks (2005), Q. J. R. Meteorol. Soc. 131, 389-407, doi:10.1256/qj.04.03.
    """

    degree: int = 3
    features: AbstractFeatures = Stencil(radius=0)
    ridge: float = 0.0
    interactions: bool = True

    def __check_init__(self):
        _check_ridge("Polynomial", self.ridge)
        if self.degree < 0:
            raise ValueError(f"Polynomial: degree is {self.degree}; it must be 0 or more.")

    def fit(self, pairs: Pairs, *, key: Array | None = None) -> PolynomialClosure:
        """Return the least-squares polynomial; the key is not needed.

        Raises:
            ValueError: The pairs have more than one output.
        """
        pairs = in_memory(pairs, HELD)
        features = self.features.bind(pairs)
        scaling = measure_scaling(features, pairs)
        if len(scaling.output_mean) != 1:
            raise ValueError(
                f"Polynomial predicts one value a sample and these pairs have "
                f"{len(scaling.output_mean)} ({', '.join(pairs.targets)}); "
                "use Linear or Network, or a Stencil of one variable."
            )
        exponents = monomials(len(scaling.mean), self.degree)
        if not self.interactions:
            exponents = tuple(p for p in exponents if sum(power > 0 for power in p) <= 1)
        blocks = (
            (np.asarray(_design(jnp.asarray(table.inputs), exponents)), table.outputs)
            for table in standardised_tables(features, pairs, scaling)
        )
        found = least_squares(blocks, ridge=self.ridge)[:, 0]
        scaling = jax.tree.map(np.asarray, scaling)
        coefficients = scaling.output_deviation * write_out(
            found, exponents, scaling.mean, scaling.deviation
        )
        coefficients[0] += scaling.output_mean[0]
        return PolynomialClosure(
            coefficients,
            variable=features.written[0][0],
            features=features,
            exponents=exponents,
            lower=scaling.lower,
            upper=scaling.upper,
            origin=pairs.passport,
        )


_design = eqx.filter_jit(evaluate_monomials)


def least_squares(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]], *, ridge: float = 0.0
) -> np.ndarray:
    """Return the coefficients (term, output) of smallest mean squared error.

    Blocks of rows are folded one by one into a triangular factor, so memory does not grow with
    the number of rows and nothing is squared. Terms that the rows do not determine get the
    smallest coefficients that fit.

    Args:
        blocks: Design (row, term) and target (row, output); the first term is the constant.
        ridge: Penalty on the mean squared coefficient of every term but the first.

    Reference:
        Golub and Van Loan (2013), Matrix Computations, 4th ed., chapters 5 and 6.
    """
    factor: np.ndarray | None = None
    count, terms = 0, 0
    for design, target in blocks:
        rows = np.concatenate([design, target], axis=1, dtype=float)
        count, terms = count + len(rows), design.shape[1]
        stacked = rows if factor is None else np.concatenate([factor, rows])
        factor = np.asarray(np.linalg.qr(stacked, mode="r"))
    if factor is None:
        raise ValueError("there are no pairs to fit; give at least one time.")
    left, right = factor[:, :terms], factor[:, terms:]
    if ridge > 0:
        penalty = np.sqrt(ridge * count) * np.eye(terms)[1:]
        left = np.concatenate([left, penalty])
        right = np.concatenate([right, np.zeros((terms - 1, right.shape[1]))])
    return np.linalg.lstsq(left, right, rcond=None)[0]


def write_out(
    scaled: np.ndarray, exponents: Exponents, centre: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Return the coefficients in x of a polynomial given in (x - centre) / scale."""
    place = {powers: index for index, powers in enumerate(exponents)}
    coefficients = np.zeros(len(exponents))
    for value, powers in zip(scaled, exponents, strict=True):
        expanded = {(): float(value)}
        for power, middle, width in zip(powers, centre, scale, strict=True):
            expanded = {
                (*lower, kept): factor * comb(power, kept) * (-middle) ** (power - kept)
                / width**power
                for lower, factor in expanded.items()
                for kept in range(power + 1)
            }  # fmt: skip
        for lower, factor in expanded.items():
            coefficients[place[lower]] += factor
    return coefficients


def _check_ridge(owner: str, ridge: float) -> None:
    if not 0 <= ridge < float("inf"):
        raise ValueError(f"{owner}: ridge is {ridge}; it must be 0 or a positive, finite number.")
