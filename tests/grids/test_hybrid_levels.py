import math

import numpy as np

from closura.grids.hybrid_levels import StratoCustom, intermediate_sigma, reference_levels


def test_levels_begin_at_the_surface_and_end_in_the_vacuum():
    ap, bp = StratoCustom().interfaces(79)
    assert ap.shape == bp.shape == (80,)
    np.testing.assert_array_equal([ap[0], bp[0], ap[-1], bp[-1]], [0, 1, 0, 0])
    assert np.all(np.diff(ap + bp * 101325.0) < 0)


def test_intermediate_sigma_solves_its_equation():
    share = 50000 / 101325
    s = intermediate_sigma(np.array([0.99, 0.5, 0.1, 1e-4]), share)
    left = share * s + (1 - share) * np.exp(1 - 1 / s**2)
    np.testing.assert_allclose(left, [0.99, 0.5, 0.1, 1e-4], rtol=1e-12)


def test_interfaces_lie_at_the_heights_that_the_keys_say():
    # By hand: z1 = 0.02 km; z2 = z1 + 0.02 + tanh(z1 / 8) + the tails of the two transitions.
    z1 = 0.02
    middle = math.tanh((z1 - 70) / 20) + math.tanh(70 / 20)
    high = math.tanh((z1 - 80) / 20) + math.tanh(80 / 20)
    z2 = z1 + 0.02 + math.tanh(z1 / 8) + (3 - 1) * middle + (11 - 3 - 1) * high
    ap, bp = StratoCustom().interfaces(5)
    found = (ap + bp * 101325)[1:3] / 101325
    np.testing.assert_allclose(found, [math.exp(-z1 / 7), math.exp(-z2 / 7)], rtol=1e-9)


def test_high_levels_are_levels_of_pressure():
    # Where p < 0.3 pa the relative weight of the surface is below 1e-3 (comment in disvert).
    ap, bp = StratoCustom().interfaces(79)
    pressure = ap + bp * 101325
    assert np.all(bp[pressure < 15000][:-1] * 101325 < 1e-3 * pressure[pressure < 15000][:-1])


def test_reference_levels_are_half_sums():
    # (0 + 2000) / 2 + (1 + 0.8) / 2 * 1e5 and (2000 + 0) / 2 + 0.4 * 1e5.
    found = reference_levels(np.array([0.0, 2000, 0]), np.array([1.0, 0.8, 0]), 1e5)
    np.testing.assert_allclose(found, [91000, 41000], rtol=1e-12)
