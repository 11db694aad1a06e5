"""What a free run looks like: sections, maps, jets, eddies, spectra, what a closure added."""

import numpy as np
import xarray as xr

from closura.evaluation.running_means import ADDED, MEAN, SHARE, SPECTRUM, SQUARE
from closura.metrics.circulation import cell_weights, eddy_kinetic_energy, jets

MAP_SIGMAS = (0.25, 0.5, 0.85)  # levels whose maps are kept: jet, middle, boundary layer
SECTION = ("level", "lat")


def portrait(run: xr.Dataset) -> xr.Dataset:
    """Return what is drawn of a run, from its statistics; empty where it has no whole block.

    - ``section`` (field, level, lat): time and zonal mean; ``map`` (field, map_level, lat, lon)
    - ``jet_strength``, ``jet_latitude`` (hemisphere)
    - ``eddy_energy`` (level, lat) and ``eddy_energy_mean``: of the departures from the time mean
    - ``spectrum`` (wave_number): kinetic energy of u and v, or variance of the first field
    - ``course`` (field, block): global mean of each block, which shows a drift
    - ``profile`` (line, point): time mean of fields on a ring alone
    - ``added_mean``, ``added_rms`` (added, level): what the closure added; without levels, of all

    - ``guard_share`` (guard): mean of what each guard did, such as the share of columns limited

    What needs a dimension or a field that the run does not have is left out.
    """
    names = [
        str(name).removeprefix(MEAN) for name in run.data_vars if str(name).startswith(MEAN)
    ]  # fmt: skip
    means = {name: run[MEAN + name].mean("block") for name in names}
    shares = {name.removeprefix(SHARE): means.pop(name) for name in names if SHARE in name}
    fields = {name: mean for name, mean in means.items() if not name.endswith(ADDED)}
    added = {name: mean for name, mean in means.items() if name.endswith(ADDED)}
    parts = [
        _sections(fields), _profiles(fields), _course(run, fields), _eddies(run, fields),
        _spectra(run, fields), _added(run, added), _shares(shares),
    ]  # fmt: skip
    if "u" in fields and {"lat", "lon"} <= set(fields["u"].dims):
        parts.append(jets(fields["u"].mean("lon")))
    return xr.merge(parts, compat="override", join="exact", combine_attrs="drop")


def _sections(fields: dict[str, xr.DataArray]) -> xr.Dataset:
    deep = {n: a for n, a in fields.items() if {*SECTION, "lon"} <= set(a.dims)}
    if not deep:
        return xr.Dataset()
    names = xr.DataArray(list(deep), dims="field", name="field")
    stacked = xr.concat([a.drop_attrs() for a in deep.values()], names)
    units = [str(a.attrs.get("units", "1")) for a in deep.values()]
    levels = stacked["level"].values.astype(float)
    chosen = sorted({int(abs(levels - sigma).argmin()) for sigma in MAP_SIGMAS})
    maps = stacked.isel(level=chosen).rename(level="map_level")
    found = xr.Dataset({"section": stacked.mean("lon"), "map": maps.astype("float32")})
    return found.assign_coords(field_units=("field", units))


def _profiles(fields: dict[str, xr.DataArray]) -> xr.Dataset:
    flat = {n: a for n, a in fields.items() if a.ndim == 1}
    if not flat or len({a.sizes[a.dims[0]] for a in flat.values()}) > 1:
        return xr.Dataset()
    names = xr.DataArray(list(flat), dims="line", name="line")
    rows = [xr.DataArray(a.values, dims="point") for a in flat.values()]
    return xr.Dataset({"profile": xr.concat(rows, names)})


def _course(run: xr.Dataset, fields: dict[str, xr.DataArray]) -> xr.Dataset:
    rows = []
    for name, mean in fields.items():
        blocks = run[MEAN + name]
        dims = [dim for dim in blocks.dims if dim != "block"]
        rows.append(blocks.weighted(cell_weights(mean)).mean(dims).drop_attrs())
    if not rows:
        return xr.Dataset()
    names = xr.DataArray(list(fields), dims="of", name="of")
    course = xr.concat(rows, names)
    return xr.Dataset({"course": course.assign_coords(block=1 + np.arange(course.sizes["block"]))})


def _eddies(run: xr.Dataset, fields: dict[str, xr.DataArray]) -> xr.Dataset:
    parts = [
        eddy_kinetic_energy(run[SQUARE + name], fields[name])
        for name in ("u", "v")
        if name in fields and SQUARE + name in run and "lon" in fields[name].dims
    ]
    if len(parts) < 2:
        return xr.Dataset()
    energy = parts[0] + parts[1]
    mean = energy.weighted(cell_weights(energy)).mean()
    units = {"units": "m2 s-2"}
    return xr.Dataset(
        {"eddy_energy": energy.assign_attrs(units), "eddy_energy_mean": mean.assign_attrs(units)}
    )


def _spectra(run: xr.Dataset, fields: dict[str, xr.DataArray]) -> xr.Dataset:
    both = [SPECTRUM + name for name in ("u", "v") if SPECTRUM + name in run]
    if len(both) == 2:
        return xr.Dataset({"spectrum": (run[both[0]] + run[both[1]]) / 2})
    first = next((SPECTRUM + name for name in fields if SPECTRUM + name in run), None)
    return xr.Dataset() if first is None else xr.Dataset({"spectrum": run[first]})


def _added(run: xr.Dataset, added: dict[str, xr.DataArray]) -> xr.Dataset:
    """Return mean and root-mean-square of what was added, by level."""
    if not added:
        return xr.Dataset()
    rows = []
    for name, mean in added.items():
        over = [dim for dim in mean.dims if dim != "level"]
        area = cell_weights(mean.isel(level=0) if "level" in mean.dims else mean)
        square = run[SQUARE + name].weighted(area).mean(over)
        made = {"added_mean": mean.weighted(area).mean(over), "added_rms": np.sqrt(square)}
        rows.append(xr.Dataset(made).drop_attrs())
    names = [name.removesuffix(ADDED) for name in added]
    return xr.concat(rows, xr.DataArray(names, dims="added", name="added"), join="outer")


def _shares(shares: dict[str, xr.DataArray]) -> xr.Dataset:
    if not shares:
        return xr.Dataset()
    names = xr.DataArray(list(shares), dims="guard", name="guard")
    return xr.Dataset({"guard_share": xr.concat(list(shares.values()), names).drop_attrs()})
