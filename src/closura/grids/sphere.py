"""The Earth as a sphere: its constants, Gaussian grids, and the area that each point stands for."""

from typing import NamedTuple

import numpy as np

# The values of the spectral core's authors; a twin needs the same ones everywhere, not better ones.
RADIUS = 6.37122e6  # [m]
ROTATION = 7.292e-5  # [rad s-1]
GRAVITY = 9.80616  # [m s-2]
KAPPA = 2 / 7  # [1] R / cp of a diatomic gas
HEAT_CAPACITY = 1004.0  # [J kg-1 K-1] at constant pressure
GAS_CONSTANT = HEAT_CAPACITY * KAPPA  # [J kg-1 K-1] 286.86

# Name of a truncation: its largest wave number and the latitudes of its Gaussian grid. T: products
# of two fields have no aliases; TL: only linear terms have none.
TRUNCATIONS = {
    "T21": (21, 32), "T31": (31, 48), "T42": (42, 64), "T63": (63, 96), "T85": (85, 128),
    "T106": (106, 160), "T170": (170, 256),
    "TL31": (31, 32), "TL47": (47, 48), "TL63": (63, 64), "TL95": (95, 96), "TL127": (127, 128),
}  # fmt: skip


class GaussianGrid(NamedTuple):
    """Points where a spectral model computes its products.

    Attributes:
        latitude: (lat,) [degrees_north], increasing, without the poles.
        longitude: (lon,) [degrees_east], from 0, even.
        weights: (lat,) share of the sphere that a circle of latitude stands for; sums to 1.
    """

    latitude: np.ndarray
    longitude: np.ndarray
    weights: np.ndarray


def gaussian_grid(latitudes: int) -> GaussianGrid:
    """Return the Gaussian grid with a number of latitudes, and twice as many longitudes."""
    sines, weights = np.polynomial.legendre.leggauss(latitudes)
    longitude = np.arange(2 * latitudes) * (180.0 / latitudes)
    return GaussianGrid(np.degrees(np.arcsin(sines)), longitude, weights / 2)
