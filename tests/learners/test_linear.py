"""Linear maps and polynomials by least squares."""

import jax.numpy as jnp
import numpy as np
import pytest

from closura.closures.features import Stencil, Whole
from closura.closures.physical import PolynomialClosure, monomials
from closura.core.learner import Pairs
from closura.core.passport import Passport
from closura.learners.linear import Linear, Polynomial, least_squares

from .conftest import pairs_of, r_squared, smooth

CUBIC = [0.355, 1.302, -0.01343, -0.00237]  # Lorenz-96, F = 20, c = 10, reference/lorenz96.md


def test_a_polynomial_recovers_the_polynomial_that_made_the_pairs(key):
    pairs = pairs_of(PolynomialClosure(CUBIC), smooth())
    found = Polynomial(degree=3).fit(pairs, key=key)
    np.testing.assert_allclose(found.coefficients, CUBIC, rtol=0, atol=1e-10)
    assert found.passport == pairs.passport
    assert found.lower[0] == pairs.inputs["X"].min() and found.upper[0] == pairs.inputs["X"].max()


def test_coefficients_survive_inputs_far_from_zero(key):
    # Like a temperature in kelvin: raw cubes would span 14 decimal digits.
    inputs = 280 + 3 * smooth()
    wanted = [280.0, -2.0, 0.01, 1e-5]
    pairs = pairs_of(PolynomialClosure(wanted), inputs)
    found = Polynomial(degree=3).fit(pairs, key=key)
    np.testing.assert_allclose(found.coefficients, wanted, rtol=1e-5)
    again = pairs_of(found, inputs).targets["X"]
    np.testing.assert_allclose(again, pairs.targets["X"], atol=1e-8)


def test_a_polynomial_of_a_stencil_recovers_its_products(key):
    made = Polynomial(degree=2, features=Stencil(1)).fit(pairs_of(None, smooth()), key=key)
    wanted = np.linspace(-1, 2, len(made.coefficients))
    closure = PolynomialClosure(wanted, features=made.features, exponents=made.exponents)
    found = Polynomial(degree=2, features=Stencil(1)).fit(pairs_of(closure, smooth()), key=key)
    assert found.exponents == monomials(3, 2)
    np.testing.assert_allclose(found.coefficients, wanted, atol=1e-10)


def test_without_interactions_only_powers_of_single_points_are_used(key):
    learner = Polynomial(degree=2, features=Stencil(1), interactions=False)
    found = learner.fit(pairs_of(PolynomialClosure([1.0, 2.0, 3.0]), smooth()), key=key)
    assert len(found.coefficients) == 7
    # Constant, three points, three squares; the middle point is the one that counts.
    np.testing.assert_allclose(found.coefficients, [1, 0, 2, 0, 0, 3, 0], atol=1e-10)


def test_linear_recovers_a_matrix_of_a_whole_ring(key):
    inputs = smooth()
    matrix = np.random.default_rng(1).normal(size=(7, 7))
    time = np.arange(inputs.shape[1], dtype=float)
    pairs = Pairs({"X": inputs}, {"X": inputs @ matrix + 4}, time, Passport("coupling"))
    found = Linear(features=Whole()).fit(pairs, key=key)
    assert r_squared(found, pairs) == pytest.approx(1, abs=1e-13)
    slopes = found.predictor.weights * found.scaling.output_deviation
    np.testing.assert_allclose(slopes / found.scaling.deviation[:, None], matrix, atol=1e-10)


def test_a_constant_feature_gets_no_slope(key):
    inputs = smooth()
    time = np.arange(inputs.shape[1], dtype=float)
    constant = np.full_like(inputs, 2.5)
    pairs = Pairs({"X": inputs, "Z": constant}, {"X": 3 * inputs}, time, Passport("file"))
    found = Linear().fit(pairs, key=key)
    np.testing.assert_allclose(found.predictor.weights[:, 0], [1, 0], atol=1e-12)


def test_ridge_shrinks_the_slope_by_one_over_one_plus_ridge(key):
    # One standardised feature: minimise (y - w x)^2 + r w^2, so w = 1 / (1 + r) where y = x.
    pairs = pairs_of(PolynomialClosure([0.5, 2.0]), smooth())
    found = Linear(ridge=0.25).fit(pairs, key=key)
    np.testing.assert_allclose(found.predictor.weights, [[0.8]], rtol=1e-10)


def test_blocks_of_rows_give_what_all_rows_give():
    draw = np.random.default_rng(2)
    design, target = draw.normal(size=(101, 5)), draw.normal(size=(101, 2))
    whole = np.linalg.lstsq(design, target, rcond=None)[0]
    blocks = [(design[a:b], target[a:b]) for a, b in ((0, 3), (3, 40), (40, 101))]
    np.testing.assert_allclose(least_squares(blocks), whole, atol=1e-13)


def test_a_polynomial_of_several_outputs_is_refused(key):
    inputs = smooth()
    time = np.arange(inputs.shape[1], dtype=float)
    pairs = Pairs({"X": inputs}, {"X": inputs, "Y": inputs}, time, Passport("file"))
    with pytest.raises(ValueError, match=r"one value a sample and these pairs have 2 \(X, Y\)"):
        Polynomial().fit(pairs, key=key)


def test_values_that_are_not_finite_are_refused(key):
    inputs = smooth()
    inputs[1, 3, 2] = np.nan
    with pytest.raises(ValueError, match="input 'X' of the pairs holds 1 values that are not"):
        Linear().fit(pairs_of(None, inputs), key=key)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"Linear: ridge is -1.0; it must be 0 or a positive"):
        Linear(ridge=-1.0)
    with pytest.raises(ValueError, match=r"Polynomial: degree is -1; it must be 0 or more"):
        Polynomial(degree=-1)


def test_a_closure_works_in_the_precision_of_the_model(key):
    found = Linear().fit(pairs_of(PolynomialClosure(CUBIC), smooth()), key=key)
    assert found.tendency({"X": jnp.ones(7, jnp.float32)})["X"].dtype == np.float32
