"""The large scales of a field on a latitude-longitude grid: low zonal or total wave numbers."""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def truncate_zonal(field: Float[Array, "*level lat lon"], largest: int) -> Array:
    """Return a field without its zonal wave numbers above `largest`.

    Args:
        field: Any field whose last axis goes once around, evenly.
        largest: Largest wave number that stays; 0 leaves the zonal mean.

    Raises:
        ValueError: It is negative.
    """
    _check(largest)
    waves = jnp.fft.rfft(field)
    kept = (jnp.arange(waves.shape[-1]) <= largest).astype(field.dtype)
    return jnp.fft.irfft(waves * kept, field.shape[-1]).astype(field.dtype)


def truncate_total(field: Float[Array, "*level lat lon"], largest: int) -> Array:
    """Return a scalar field without the spherical harmonics of degree above `largest`.

    Args:
        field: On all latitudes of a Gaussian grid (see `is_gaussian`) and even longitudes.
        largest: Largest total wave number that stays; less than the number of latitudes.

    Raises:
        ValueError: It is negative, or more than the grid resolves.
    """
    _check(largest)
    latitudes, longitudes = field.shape[-2:]
    if largest >= latitudes or 2 * largest > longitudes:
        raise ValueError(
            f"the largest total wave number is {largest} and a grid of {latitudes} x {longitudes} "
            f"resolves {min(latitudes - 1, longitudes // 2)}; take that or less."
        )
    waves = jnp.fft.rfft(field)[..., : largest + 1]
    kept = jnp.einsum("mij,...jm->...im", jnp.asarray(_projections(latitudes, largest)), waves)
    missing = longitudes // 2 + 1 - kept.shape[-1]
    padded = jnp.pad(kept, [(0, 0)] * (kept.ndim - 1) + [(0, missing)])
    return jnp.fft.irfft(padded, longitudes).astype(field.dtype)


def is_gaussian(latitude: np.ndarray) -> bool:
    """Return whether latitudes [degrees_north] are all those of a Gaussian grid, northward."""
    sines, _ = np.polynomial.legendre.leggauss(len(latitude))
    return bool(np.allclose(np.degrees(np.arcsin(sines)), latitude, atol=1e-3))


@lru_cache(maxsize=8)
def _projections(latitudes: int, largest: int) -> np.ndarray:
    """Return for each zonal wave number the projection on degrees up to `largest` (m, lat, lat)."""
    sines, weights = np.polynomial.legendre.leggauss(latitudes)
    legendre = _associated_legendre(sines, largest)
    return np.einsum("mli,mlj,j->mij", legendre, legendre, weights)


def _associated_legendre(sines: np.ndarray, largest: int) -> np.ndarray:
    """Return P(m, l, lat), each of mean square 1/2 over sine of latitude; 0 where l < m.

    The stable recurrence in degree: Holmes and Featherstone (2002), doi:10.1007/s00190-002-0216-2,
    section 2.
    """
    cosines = np.sqrt(1 - sines**2)
    found = np.zeros((largest + 1, largest + 1, len(sines)))
    diagonal = np.full(len(sines), np.sqrt(0.5))
    for m in range(largest + 1):
        if m > 0:
            diagonal = diagonal * cosines * np.sqrt((2 * m + 1) / (2 * m))
        found[m, m] = diagonal
        if m < largest:
            found[m, m + 1] = sines * np.sqrt(2 * m + 3) * diagonal
        for degree in range(m + 2, largest + 1):
            a = np.sqrt((4 * degree**2 - 1) / (degree**2 - m**2))
            b = np.sqrt(((degree - 1) ** 2 - m**2) / (4 * (degree - 1) ** 2 - 1))
            found[m, degree] = a * (sines * found[m, degree - 1] - b * found[m, degree - 2])
    return found


def _check(largest: int) -> None:
    if largest < 0:
        raise ValueError(f"the largest wave number is {largest}; it must be 0 or more.")
