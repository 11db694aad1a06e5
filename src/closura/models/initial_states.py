"""Fields that an atmosphere may start from: at rest, or balanced jets with a disturbance."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from closura.grids.distance import great_circle
from closura.grids.levels import REFERENCE_PRESSURE, Levels
from closura.grids.mountains import balance
from closura.grids.sphere import GAS_CONSTANT, GRAVITY


class Place(NamedTuple):
    """Where fields are wanted.

    Attributes:
        levels: Where pressure is kept.
        latitude: (lat,) [degrees_north].
        longitude: (lon,) [degrees_east].
        orography: Height of the ground, (lat, lon) [m].
    """

    levels: Levels
    latitude: np.ndarray
    longitude: np.ndarray
    orography: Array

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of levels, latitudes and longitudes."""
        return self.levels.layers, self.latitude.size, self.longitude.size


def rest(
    place: Place, key: Array, *, temperature: float = 288.0, noise: float = 0.5
) -> dict[str, Array]:
    """Return air of one temperature at rest, with noise that breaks the symmetry.

    Args:
        place: Where fields are wanted.
        key: Randomness of the noise.
        temperature: [K].
        noise: Standard deviation of temperature [K], without correlation in space.
    """
    drawn = jax.random.normal(key, place.shape)
    height = GRAVITY * place.orography / (GAS_CONSTANT * temperature)
    still = jnp.zeros(place.shape)
    return {
        "u": still,
        "v": still,
        "temperature": temperature + noise * drawn,
        "surface_pressure": REFERENCE_PRESSURE * jnp.exp(-height),
    }


def jablonowski_williamson(
    place: Place, key: Array, *, perturbation: float = 1.0, speed: float = 35.0
) -> dict[str, Array]:
    """Return two jets in balance, and a bump of wind from which a baroclinic wave grows.

    Balanced over the ground of the same name (`orography: jablonowski_williamson`) without
    friction and heating (kf = ka = ks = 0). Not random.

    Args:
        place: Where fields are wanted.
        key: Not read.
        perturbation: Added eastward wind at 20 E, 40 N [m s-1]; 0 for the steady state.
        speed: Of the jets [m s-1].

    Reference:
        Jablonowski and Williamson (2006), Q. J. R. Meteorol. Soc. 132, 2943-2975,
        doi:10.1256/qj.06.12: eqs. 2 (wind), 4-6 (temperature), 10 (perturbation).
    """
    latitude, eta = place.latitude[:, None], place.levels.centres[:, None, None]
    angle = (eta - 0.252) * np.pi / 2
    jet = speed * np.cos(angle) ** 1.5
    steep = 0.75 * eta * np.pi * speed / GAS_CONSTANT * np.sin(angle) * np.cos(angle) ** 0.5
    points = np.stack(np.meshgrid(place.longitude, place.latitude), axis=-1)
    distance = great_circle(points, np.array([20.0, 40.0]), 1.0)  # [radians]
    bump = perturbation * np.exp(-((distance / 0.1) ** 2))
    fields: dict[str, Any] = {
        "u": jet * np.sin(2 * np.radians(latitude)) ** 2 + bump,
        "v": np.zeros(1),
        "temperature": _mean_temperature(eta) + steep * balance(latitude, 2 * jet),
    }
    whole = {name: jnp.broadcast_to(values, place.shape) for name, values in fields.items()}
    return whole | {"surface_pressure": jnp.full(place.shape[1:], REFERENCE_PRESSURE)}


def _mean_temperature(eta: np.ndarray) -> np.ndarray:
    """Return the horizontal mean: a lapse of 5 K / km, and a warm stratosphere above eta = 0.2."""
    troposphere = 288.0 * eta ** (GAS_CONSTANT * 0.005 / GRAVITY)
    return np.asarray(troposphere + 4.8e5 * np.maximum(0.2 - eta, 0.0) ** 5)


STARTS: dict[str, Callable[..., dict[str, Array]]] = {
    "rest": rest,
    "jablonowski_williamson": jablonowski_williamson,
}
