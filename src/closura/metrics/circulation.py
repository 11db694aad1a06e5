"""What a circulation is known by: weights of its cells, jets, eddies, and where they lie.

All take xarray objects with any of the dimensions "level" (index 0 at the top), "lat" [degrees] and
"lon" [degrees]; one that is not there is simply not weighed.
"""

from collections.abc import Hashable, Iterable

import numpy as np
import xarray as xr

from closura.grids.weights import area_shares, layer_thickness
from closura.metrics.spectra import wave_number_spectrum

RINGS = ("lon", "k", "kj")  # dimensions along which a field closes in itself


def cell_weights(field: xr.DataArray) -> xr.DataArray:
    """Return the share of area and mass of each cell: its area times the layer's thickness.

    Args:
        field: Has the dimensions that are weighed, with their coordinates.

    Returns:
        On those of "level" and "lat" that the field has; the weights add up to 1.
    """
    weights = xr.DataArray(1.0)
    if "lat" in field.dims and "lat" in field.coords:
        area = area_shares(field["lat"].values)
        weights = weights * xr.DataArray(area, {"lat": field["lat"]}, "lat")
    if "level" in field.dims and "level" in field.coords:
        thickness = layer_thickness(field["level"].values.astype(float))
        weights = weights * xr.DataArray(thickness, {"level": field["level"]}, "level")
    return weights / weights.sum()


def eddy_kinetic_energy(
    square: xr.DataArray, mean: xr.DataArray, over: Iterable[Hashable] = ("lon",)
) -> xr.DataArray:
    """Return the kinetic energy of what departs from the time mean, (mean(x^2) - mean(x)^2) / 2.

    Args:
        square: Time mean of the square of one wind component [m2 s-2].
        mean: Time mean of the component [m s-1].
        over: Dimensions to average over.

    Returns:
        The remaining dimensions [m2 s-2]: this component's part; add that of the other.
    """
    dims = [dim for dim in over if dim in mean.dims]
    return ((square - mean**2) / 2).clip(0.0).mean(dims)


def jets(zonal_wind: xr.DataArray) -> xr.Dataset:
    """Return the strongest westerly of each hemisphere: how strong, and at which latitude.

    The strongest wind of the levels is taken at each latitude, and the parabola through the
    largest value and its two neighbours gives latitude and strength.

    Args:
        zonal_wind: Time- and zonal-mean zonal wind, dimensions "lat" and possibly others (a
            "level") [m s-1].

    Returns:
        `jet_strength` [m s-1] and `jet_latitude` [degrees_north], by `hemisphere`.
    """
    others = [dim for dim in zonal_wind.dims if dim != "lat"]
    profile = zonal_wind.max(others).sortby("lat")
    found = [_peak(profile.where(sign * profile["lat"] > 0, drop=True)) for sign in (-1, 1)]
    latitude, strength = zip(*found, strict=True)
    return xr.Dataset(
        {
            "jet_strength": ("hemisphere", np.array(strength), {"units": "m s-1"}),
            "jet_latitude": ("hemisphere", np.array(latitude), {"units": "degrees_north"}),
        },
        {"hemisphere": ["south", "north"]},
    )


def zonal_spectrum(field: xr.DataArray, ring: str) -> xr.DataArray:
    """Return the variance at each wave number along a ring, averaged over all other dimensions.

    Latitudes and levels count by their area and mass.

    Args:
        field: Periodic and evenly spaced along the ring.
        ring: Name of the ring dimension.

    Returns:
        Dimension `wave_number`, 1 ... n // 2 [square of the units].
    """
    spectrum = wave_number_spectrum(field, along=ring)
    assert isinstance(spectrum, xr.DataArray)
    others = [dim for dim in spectrum.dims if dim != "wave_number"]
    return spectrum.weighted(cell_weights(field)).mean(others)


def ring_of(dims: Iterable[Hashable]) -> str | None:
    """Return the dimension along which a field closes in itself, or None."""
    return next((str(dim) for dim in dims if dim in RINGS), None)


def _peak(profile: xr.DataArray) -> tuple[float, float]:
    """Return position and height of the largest value, by a parabola through its neighbours."""
    values, latitudes = profile.values.astype(float), profile["lat"].values.astype(float)
    if values.size == 0 or not np.isfinite(values).all():
        return float("nan"), float("nan")
    top = int(values.argmax())
    if top in (0, values.size - 1):
        return float(latitudes[top]), float(values[top])
    near = slice(top - 1, top + 2)
    centre = latitudes[top]
    curvature, slope, height = np.polyfit(latitudes[near] - centre, values[near], 2)
    if curvature >= 0:
        return float(centre), float(values[top])
    shift = -slope / (2 * curvature)
    return float(centre + shift), float(height + slope * shift / 2)
