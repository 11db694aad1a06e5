"""What an atmosphere holds: mass, energy, angular momentum; and the weight of each of its points.

Datasets have `surface_pressure` [Pa] and dimensions "lat" and "lon" [degrees], fields also
"level"; further ones (member, time) stay.
"""

import numpy as np
import xarray as xr

from closura.grids.levels import Levels
from closura.grids.sphere import GRAVITY, HEAT_CAPACITY, RADIUS, ROTATION
from closura.grids.weights import area_shares, sigma_interfaces

SPHERE = 4 * np.pi * RADIUS**2  # [m2] the surface of the Earth


def area_weights(latitude: xr.DataArray) -> xr.DataArray:
    """Return the share of the sphere that each circle of latitude stands for (`area_shares`).

    Args:
        latitude: The coordinate "lat" [degrees], in either order.

    Raises:
        ValueError: Latitudes do not run one way, or there is only one.
    """
    if latitude.size < 2:
        raise ValueError("there is one latitude, and the sphere has more; keep all of them.")
    weights = area_shares(latitude.values)
    return xr.DataArray(weights, {"lat": latitude}, ("lat",), "area", {"units": "1"})


def mass_weights(dataset: xr.Dataset, levels: Levels | None = None) -> xr.DataArray:
    """Return the mass of air that each point stands for [kg].

    Args:
        dataset: Has surface pressure, and the coordinate "level" if it has levels.
        levels: The model's levels (`model.levels`); if None they are sigma levels, their
            interfaces between the values of the coordinate.

    Raises:
        ValueError: Surface pressure or the coordinate is missing.
    """
    surface = _needed(dataset, "surface_pressure")
    if levels is None:
        levels = _sigma_between(_needed(dataset, "level").values)
    thickness = xr.DataArray(
        levels.thickness(surface.values), dims=("level", *surface.dims), coords=surface.coords
    )
    if "level" in dataset.coords:
        thickness = thickness.assign_coords(level=dataset["level"])
    return (thickness * _area(dataset) / GRAVITY).assign_attrs(units="kg")


def total_mass(dataset: xr.Dataset) -> xr.DataArray:
    """Return the mass of the atmosphere [kg]."""
    pressure = _needed(dataset, "surface_pressure").astype(float)
    total = (pressure * _area(dataset)).sum(("lat", "lon")) / GRAVITY
    return total.rename("mass").assign_attrs(units="kg", long_name="mass of the atmosphere")


def energy(
    dataset: xr.Dataset,
    levels: Levels | None = None,
    orography: np.ndarray | xr.DataArray | float = 0.0,
) -> xr.Dataset:
    """Return the energy of the atmosphere [J].

    ``kinetic`` is that of the horizontal wind, ``potential`` internal and potential energy
    together: of a hydrostatic column the integral of cp T, plus the work of lifting it onto its
    ground. Both are 0 at rest at 0 K at sea level.

    Args:
        dataset: Has u, v, temperature and surface pressure.
        levels: The model's levels; see `mass_weights`.
        orography: Height of the ground, (lat, lon) [m].
    """
    mass = mass_weights(dataset, levels)
    everywhere = ("level", "lat", "lon")
    speed_squared = _needed(dataset, "u").astype(float) ** 2 + _needed(dataset, "v") ** 2
    kinetic = (mass * speed_squared).sum(everywhere) / 2
    if not isinstance(orography, xr.DataArray):
        orography = xr.DataArray(orography, dims=("lat", "lon")[2 - np.ndim(orography) :])
    warm = (mass * _needed(dataset, "temperature")).sum(everywhere) * HEAT_CAPACITY
    lifted = (mass.sum("level") * orography).sum(("lat", "lon")) * GRAVITY
    about = {"units": "J"}
    return xr.Dataset(
        {
            "kinetic": kinetic.assign_attrs(about, long_name="kinetic energy"),
            "potential": (warm + lifted).assign_attrs(about, long_name="total potential energy"),
        }
    )


def angular_momentum(dataset: xr.Dataset, levels: Levels | None = None) -> xr.Dataset:
    """Return the angular momentum of the atmosphere about the axis of the Earth [kg m2 s-1].

    ``relative`` is that of the wind, ``planetary`` that of the air as the Earth carries it.

    Args:
        dataset: Has u and surface pressure.
        levels: The model's levels; see `mass_weights`.
    """
    mass, everywhere = mass_weights(dataset, levels), ("level", "lat", "lon")
    arm = RADIUS * np.cos(np.radians(dataset["lat"]))
    relative = (mass * arm * _needed(dataset, "u")).sum(everywhere)
    planetary = (mass * arm**2).sum(everywhere) * ROTATION
    about = {"units": "kg m2 s-1"}
    return xr.Dataset(
        {
            "relative": relative.assign_attrs(about, long_name="relative angular momentum"),
            "planetary": planetary.assign_attrs(about, long_name="planetary angular momentum"),
        }
    )


def zonal_mean(dataset: xr.Dataset) -> xr.Dataset:
    """Return means along circles of latitude, on the levels as they are; units stay."""
    return dataset.mean("lon", keep_attrs=True)


def _area(dataset: xr.Dataset) -> xr.DataArray:
    """Return the area of each circle's points [m2]."""
    return area_weights(_needed(dataset, "lat")) * SPHERE / _needed(dataset, "lon").size


def _sigma_between(centres: np.ndarray) -> Levels:
    """Return sigma levels with these centres, each interface as far from one as from the next."""
    edges = sigma_interfaces(centres)
    if edges is None:
        raise ValueError(
            f"the coordinate 'level' ({centres[0]:g} ... {centres[-1]:g}) does not hold the "
            "centres of sigma levels, top first; pass levels=model.levels."
        )
    return Levels((0.0,) * len(edges), tuple(edges.tolist()))


def _needed(dataset: xr.Dataset, name: str) -> xr.DataArray:
    if name not in dataset.variables:
        raise ValueError(
            f"the dataset has no {name!r}; it holds {', '.join(map(str, dataset.variables))}."
        )
    return dataset[name]
