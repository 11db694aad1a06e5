"""What points and levels stand for: shares of the sphere, and layers from their centres."""

import numpy as np
from jaxtyping import Float

from closura.grids.sphere import gaussian_grid
from closura.grids.truncation import is_gaussian

SURFACE = 1.0  # sigma = p / p_s at the ground
NEAR = 1e-3  # how far rounded sigma levels may miss the ground


def area_shares(latitude: Float[np.ndarray, "lat"]) -> Float[np.ndarray, "lat"]:
    """Return the share of the area that each circle of latitude stands for; they sum to 1.

    Those of Gauss where the latitudes are a Gaussian grid, else the area between the latitudes
    halfway to the next ones; the outer circles reach as far outward as inward, to the poles at
    most.

    Args:
        latitude: [degrees_north], in either order; one is all there is.

    Raises:
        ValueError: Latitudes do not run one way.
    """
    values = np.asarray(latitude, float)
    if values.size < 2:
        return np.ones(values.size)
    steps = np.diff(values)
    if not ((steps > 0).all() or (steps < 0).all()):
        raise ValueError("latitudes do not run one way; sort them: dataset.sortby('lat').")
    if is_gaussian(np.sort(values)):
        return gaussian_grid(values.size).weights  # the same from either end
    sines = np.sin(np.radians(np.clip(_between(values), -90.0, 90.0)))
    area = np.abs(np.diff(sines))
    return area / area.sum()


def layer_thickness(levels: Float[np.ndarray, "level"]) -> Float[np.ndarray, "level"]:
    """Return the thickness of layers from their centres [unit of the centres].

    Centres halfway between interfaces, from 0 at the top to 1 at the ground (sigma levels), give
    the interfaces back exactly. Of other levels, such as pressures, a layer reaches halfway to its
    neighbours, and the outer ones as far outward as inward.

    Args:
        levels: Centres, increasing or decreasing, two or more; one layer is all there is.
    """
    if levels.size < 2:
        return np.ones(levels.size)
    interfaces = sigma_interfaces(levels)
    return np.abs(np.diff(_between(levels) if interfaces is None else interfaces))


def sigma_interfaces(centres: Float[np.ndarray, "level"]) -> Float[np.ndarray, "interface"] | None:
    """Return the interfaces that centres of sigma levels, top first, lie halfway between.

    Returns:
        One more than levels, from 0 to 1; None if the centres are not those of sigma levels.
    """
    found = [0.0]
    for centre in centres:
        found.append(2 * float(centre) - found[-1])
    if abs(found[-1] - SURFACE) > NEAR or not (np.diff(found) > 0).all():
        return None
    return np.array([*found[:-1], SURFACE])


def _between(centres: np.ndarray) -> np.ndarray:
    """Return edges halfway between centres, the outer ones as far outward as inward."""
    middles = (centres[1:] + centres[:-1]) / 2
    return np.array([2 * centres[0] - middles[0], *middles, 2 * centres[-1] - middles[-1]])
